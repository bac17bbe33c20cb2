//! Open files and sockets. Many systems begin a process with 1,024 of them, which the door alone could use up; more are
//! allowed where they are asked for.
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Of connections, each way's files, and what NATS and the store take.
const WANTED: u64 = 16_384;

/// Asks for what is allowed. What is refused is said, not suffered from: connections then wait.
pub fn raise() {
    let result = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| match WANTED.min(hard) {
        most if most > soft => setrlimit(Resource::RLIMIT_NOFILE, most, hard),
        _ => Ok(()),
    });
    if let Err(error) = result {
        tracing::warn!(%error, "the number of open files stays as it is");
    }
}
