//! Errors in words, for who is no program.
use std::{error::Error, fmt::Write as _};

/// An error and its causes on one line. A cause that its parent's words already hold is not said twice.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            let _ = write!(text, ": {words}");
        }
        next = cause.source();
    }
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn causes_are_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] io::Error);
        assert_eq!(chain(&Outer(io::Error::other("inner"))), "outer: inner");
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read x: {0}")]
        struct Told(#[source] io::Error);
        assert_eq!(chain(&Told(io::Error::other("gone"))), "cannot read x: gone");
    }
}
