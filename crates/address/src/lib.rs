//! What a message is and where it goes. `wire` says which streams and subjects there are, `bus` carries messages to
//! them, and neither has to know the other: this is all that they share.
mod message;

pub use message::Message;
use std::fmt;

/// A stream, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stream(&'static str);

/// A key-value bucket, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BucketName(&'static str);

/// A subject to publish on. It prints as NATS spells it.
pub trait Address: fmt::Display {
    /// The stream that holds it.
    fn stream(&self) -> Stream;
}

/// A subject with wildcards, to read, count or purge by. It prints as NATS spells it.
pub trait Pattern: fmt::Display {}

impl Stream {
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl BucketName {
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl AsRef<str> for Stream {
    fn as_ref(&self) -> &str {
        self.0
    }
}

impl AsRef<str> for BucketName {
    fn as_ref(&self) -> &str {
        self.0
    }
}

impl From<BucketName> for String {
    fn from(name: BucketName) -> Self {
        name.0.to_owned()
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
