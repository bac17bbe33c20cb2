use std::fmt;

/// A release of nats-server. A pre-release counts as the release before it is out: `2.15.1-RC.1` is older than `2.15.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
    released: bool,
}

impl Version {
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch, released: true }
    }

    /// Reads `2.15.1`, `v2.15.1`, `2.15.1-RC.1` and the `nats-server: v2.15.1` that the binary prints.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().rsplit(' ').next()?;
        let text = text.strip_prefix('v').unwrap_or(text);
        let core = text.split(['-', '+']).next()?;
        let mut parts = core.split('.').map(|part| part.parse().ok());
        let (major, minor, patch) = (parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(Self { major, minor, patch, released: !text.contains('-') })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if self.released { Ok(()) } else { f.write_str(" (pre-release)") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SERVER_VERSION_MIN;

    #[test]
    fn old_servers_are_older() {
        for old in ["2.15.0", "2.14.6", "v2.9.99", "1.99.99", "2.15.1-RC.1", "nats-server: v2.10.7"] {
            assert!(Version::parse(old).expect(old) < SERVER_VERSION_MIN, "{old}");
        }
        for new in ["2.15.1", "v2.15.2", "2.16.0-beta.1", "3.0.0", "2.15.1+build.7", "nats-server: v2.15.1"] {
            assert!(Version::parse(new).expect(new) >= SERVER_VERSION_MIN, "{new}");
        }
    }

    #[test]
    fn nonsense_is_no_version() {
        for text in ["", "2", "2.15", "2.x.1", "2.15.1.4", "latest"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }
}
