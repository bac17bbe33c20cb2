//! The release of a nats-server. A pre-release is older than its release: `2.15.1-RC.1` than `2.15.1`.
pub use semver::Version;

/// Reads `2.15.1`, `v2.15.1`, `2.15.1-RC.1` and the `nats-server: v2.15.1` that the binary prints.
pub fn parse(text: &str) -> Option<Version> {
    let text = text.trim().rsplit(' ').next()?;
    Version::parse(text.strip_prefix('v').unwrap_or(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SERVER_VERSION_MIN;

    #[test]
    fn old_servers_are_older() {
        for old in ["2.15.0", "2.14.6", "v2.9.99", "1.99.99", "2.15.1-RC.1", "nats-server: v2.10.7"] {
            assert!(parse(old).expect(old) < SERVER_VERSION_MIN, "{old}");
        }
        for new in ["2.15.1", "v2.15.2", "2.16.0-beta.1", "3.0.0", "2.15.1+build.7", "nats-server: v2.15.1"] {
            assert!(parse(new).expect(new) >= SERVER_VERSION_MIN, "{new}");
        }
    }

    #[test]
    fn nonsense_is_no_version() {
        for text in ["", "2", "2.15", "2.x.1", "2.15.1.4", "latest"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
