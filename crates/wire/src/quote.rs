//! Where what a job would come to is asked.
use std::fmt;

/// `forecast.quote`, in no stream: where the projector takes a [`domain::foresight::Asked`] and answers with a
/// [`domain::foresight::Quoted`], both as JSON; asked by the doors. Who projects answers, and nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotes;

impl fmt::Display for Quotes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("forecast.quote")
    }
}
