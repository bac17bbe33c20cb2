//! Files that hold a secret.
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What its owner alone may read.
const MODE: u32 = 0o600;

/// Writes a file that its owner alone may read, whole or not at all, in the place of what was there.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = beside(path);
    drop(fs::remove_file(&new));
    let mut file = File::options().create_new(true).write(true).mode(MODE).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

/// A file of the owner's that others may read, perhaps because it was copied here, is closed to them.
pub(super) fn close(path: &Path) -> io::Result<()> {
    let is_open = fs::metadata(path)?.permissions().mode() & 0o077 != 0;
    if is_open { fs::set_permissions(path, Permissions::from_mode(MODE)) } else { Ok(()) }
}

fn beside(path: &Path) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_written_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, "old and much longer").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        write(&path, "new").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("new", MODE));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        close(&path).unwrap();
        assert_eq!(mode(&path), MODE);
    }
}
