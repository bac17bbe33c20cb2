//! A saved log: a text of one event a line, subject, version of the envelope, and the payload in hex.
use crate::{Subject, envelope};
use domain::{Event, JobId};
use std::fmt::Write;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("it is not a subject, a version and a payload in hex")]
    Shape,
    #[error("its subject is that of no event")]
    Subject,
    #[error(transparent)]
    Event(#[from] envelope::DecodeError),
}

/// A line without its end. No version means the first one.
pub fn line(subject: &str, version: Option<&str>, payload: &[u8]) -> String {
    let mut line = format!("{subject} {} ", version.unwrap_or("1"));
    payload.iter().for_each(|byte| write!(line, "{byte:02x}").expect("a string takes all"));
    line
}

pub fn read(line: &str) -> Result<(JobId, Event), Error> {
    let words: Vec<&str> = line.split(' ').collect();
    let [subject, version, hex] = words[..] else { return Err(Error::Shape) };
    let payload = bytes(hex).ok_or(Error::Shape)?;
    let event = envelope::read_event(Some(version), &payload)?;
    match subject.parse() {
        Ok(Subject::JobEvent(job) | Subject::ChunkEvent(job)) => Ok((job, event)),
        Ok(_) | Err(_) => Err(Error::Subject),
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Timestamp, event::At};

    #[test]
    fn what_is_saved_is_read() {
        let (job, event) = (JobId::keyed("t", "k"), Event::JobPaused(At { at: Timestamp::new(7) }));
        let (subject, payload) = (Subject::JobEvent(job).to_string(), envelope::encode(&event));
        assert_eq!(read(&line(&subject, Some("1"), &payload)).unwrap(), (job, event.clone()));
        assert_eq!(read(&line(&subject, None, &payload)).unwrap(), (job, event));
        assert!(matches!(read(&line("jobs.submit", None, &payload)), Err(Error::Subject)));
        assert!(matches!(read(&line(&subject, Some("99"), &payload)), Err(Error::Event(_))));
        for bad in ["", "a b", "a 1 0g", "a 1 00 x"] {
            assert!(matches!(read(bad), Err(Error::Shape)), "{bad}");
        }
    }
}
