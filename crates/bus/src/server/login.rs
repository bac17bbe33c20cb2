//! Who may speak to the own server: one user, with a password that jetbatch makes itself. Whoever can read the folder
//! can read the streams anyway; nobody else on the machine gets in.
use std::fs;
use std::io;
use std::path::Path;

use crate::{Secret, private};

pub const USER: &str = "jetbatch";
const FILE: &str = "password";
const BYTES: usize = 24;

/// The folder's password, made where there is none. For the folder's owner alone.
pub fn password(dir: &Path) -> io::Result<Secret> {
    if let Some(found) = find(dir)? {
        private::close(&dir.join(FILE))?;
        return Ok(found);
    }
    let made = make()?;
    private::write(&dir.join(FILE), &made)?;
    Ok(Secret::new(made))
}

/// None where no server has asked for one yet.
pub fn find(dir: &Path) -> io::Result<Option<Secret>> {
    match fs::read_to_string(dir.join(FILE)) {
        Ok(text) => Ok(Some(text.trim()).filter(|text| is_plain(text)).map(Secret::new)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// It stands in the server's configuration between quotes.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn make() -> io::Result<String> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_password() {
        let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        assert!(find(one.path()).unwrap().is_none());
        let first = password(one.path()).unwrap();
        assert_eq!(password(one.path()).unwrap().reveal(), first.reveal());
        assert_eq!(first.reveal().len(), 2 * BYTES);
        assert_ne!(password(other.path()).unwrap().reveal(), first.reveal());
        // One that a crash left empty, or a hand with quotes, is made anew.
        for bad in ["", "\n", "a\"b"] {
            fs::write(one.path().join(FILE), bad).unwrap();
            assert!(is_plain(password(one.path()).unwrap().reveal()));
        }
    }
}
