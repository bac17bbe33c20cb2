//! The benchmark's input: requests that differ, of equal size.
use crate::cli::error::Error;
use domain::Endpoint;
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

pub const POOL: &str = "echo";
/// Writes `requests` lines of `bytes` bytes each, the line's end included. Gives the file and its size.
pub fn write(folder: &Path, requests: u64, bytes: usize) -> Result<(PathBuf, u64), Error> {
    let path = folder.join("input.jsonl");
    let fail = || Error::file("write", &path);
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&path).map_err(fail())?);
    for number in 0..requests {
        file.write_all(line(number, bytes).as_bytes()).map_err(fail())?;
    }
    file.flush().map_err(fail())?;
    Ok((path.clone(), requests * line(0, bytes).len() as u64))
}

pub fn custom_id(number: u64) -> String {
    format!("request-{number:010}")
}

/// What the n-th request says first, so that its answer is known.
pub fn words(number: u64) -> String {
    format!("question {number:010}: ")
}

/// The n-th request, with the line's end.
pub fn line(number: u64, bytes: usize) -> String {
    let mut text = format!(
        r#"{{"custom_id":"{}","method":"POST","url":"{}","body":{{"model":"{POOL}","messages":[{{"role":"user","content":"{}"#,
        custom_id(number),
        Endpoint::Chat.url(),
        words(number)
    );
    const END: &str = "\"}],\"max_tokens\":64}}\n";
    while text.len() + END.len() < bytes {
        let room = bytes - text.len() - END.len();
        text.push_str(&"lorem ipsum dolor sit amet "[..room.min(27)]);
    }
    text + END
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line without its filler.
    const BYTES_MIN: usize = 183;

    #[test]
    fn lines_are_valid_and_of_the_size_asked_for() {
        for bytes in [BYTES_MIN, 350, 351, 4_000] {
            let line = line(1_234, bytes);
            assert_eq!(line.len(), bytes.max(BYTES_MIN));
            let request = domain::line::check(line.trim_end().as_bytes(), 1, None);
            assert!(request.is_ok(), "{line}");
        }
    }
}
