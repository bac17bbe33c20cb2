//! Where it is asked what tenants used.
use std::fmt;

/// `usage.days`, in no stream: where the projector takes a [`domain::usage::Asked`] and answers with a
/// [`domain::usage::Told`], both as JSON; asked by the doors. Who projects answers, and nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usages;

impl fmt::Display for Usages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("usage.days")
    }
}
