//! Where what pools have before them is told.
use std::fmt;

/// `forecast.pools`, in no stream: where who projects tells once a second what each pool has before it, an array of
/// [`domain::foresight::Ahead`] as JSON; heard by the doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aheads;

impl fmt::Display for Aheads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("forecast.pools")
    }
}
