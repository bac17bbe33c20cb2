//! Why there is no engine process any more, or none at all. One line each.
use super::frame;
use crate::{About, Fault};
use std::{io, os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

/// How an engine process ended.
#[derive(Debug, thiserror::Error)]
pub enum End {
    #[error("{}", told(status))]
    Exited { status: ExitStatus },
    #[error("its process closed its output, and was killed")]
    Silent,
    #[error("no answer within {} s, and its process was killed", limit.as_secs())]
    Stuck { limit: Duration },
    #[error("{message}; its process was killed")]
    Dead { message: String },
    #[error("its process sent {0}, and was killed")]
    Garbled(#[from] frame::Error),
    #[error("its process sent what was not asked for, and was killed")]
    Strange,
    #[error("its process cannot be read: {0}")]
    Pipe(#[from] io::Error),
}

impl End {
    /// What the calls get that the process held.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Stuck { limit } => Fault::Timeout { seconds: limit.as_secs() },
            Self::Dead { message } => Fault::Died { message: message.clone() },
            other => Fault::Died { message: other.to_string() },
        }
    }
}

fn told(status: &ExitStatus) -> String {
    const SIGKILL: i32 = nix::sys::signal::Signal::SIGKILL as i32;
    match status.signal() {
        Some(SIGKILL) => format!("its process ended ({status}), as it does when the kernel is out of memory"),
        _ => format!("its process ended ({status})"),
    }
}

/// Why an engine process did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("its process cannot be started: {0}")]
    Spawn(#[source] io::Error),
    /// In the engine's own words.
    #[error("{0}")]
    Load(String),
    #[error("while the model was loaded, {0}")]
    Ended(End),
    #[error("the model was not loaded within {} s", limit.as_secs())]
    Slow { limit: Duration },
    #[error("it came back with {} slots on {}, and not as it was, with {} on {}", found.slots, found.device, wanted.slots, wanted.device)]
    Other { found: Box<About>, wanted: Box<About> },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_says_how_on_one_line() {
        let exited = |raw| End::Exited { status: ExitStatus::from_raw(raw) };
        assert_eq!(exited(6).fault().to_string(), "the engine died: its process ended (signal: 6 (SIGABRT))");
        assert!(exited(9).to_string().contains("out of memory"));
        assert!(exited(3 << 8).to_string().contains("exit status: 3"));
        assert_eq!(End::Stuck { limit: Duration::from_secs(5) }.fault(), Fault::Timeout { seconds: 5 });
    }
}
