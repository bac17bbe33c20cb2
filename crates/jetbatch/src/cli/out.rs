//! Standard input and output. Whoever reads it may go away (`jetbatch jobs | head -1`): that is an error to end on, not a panic.
use super::error::Error;
use std::{
    fmt::Display,
    io::{Write, stderr, stdin, stdout},
    os::fd::AsFd,
    path::Path,
};

pub fn line(text: impl Display) -> Result<(), Error> {
    writeln!(stdout(), "{text}").map_err(Error::file("write to", Path::new("standard output")))
}

pub fn page(text: impl Display) -> Result<(), Error> {
    write!(stdout(), "{text}").map_err(Error::file("write to", Path::new("standard output")))
}

/// A line for whoever looks on, on standard error. What is done goes on where nobody looks any more.
pub fn note(text: impl Display) {
    let _ = writeln!(stderr(), "{text}");
}

/// The same with no line's end.
pub fn ask(text: impl Display) {
    let _ = write!(stderr(), "{text}");
}

/// Standard output for a stream of bytes.
pub fn sink() -> Result<tokio::fs::File, Error> {
    file(stdout().as_fd(), "write to")
}

/// Standard input as a stream of bytes.
pub fn source() -> Result<tokio::fs::File, Error> {
    file(stdin().as_fd(), "read")
}

fn file(fd: std::os::fd::BorrowedFd<'_>, verb: &'static str) -> Result<tokio::fs::File, Error> {
    let fd = fd.try_clone_to_owned().map_err(Error::file(verb, Path::new("the standard streams")))?;
    Ok(tokio::fs::File::from_std(fd.into()))
}
