//! What a command can end with: a code for scripts, a line for people.
use super::text::plural;
use crate::chain::chain;
use domain::{JobId, status::State};
use std::{
    error::Error as StdError,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// What `--help` says of [`Error::code`].
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed: an answer was missing, a file could not be written, a room could not go on
  2  wrong usage, or a configuration that cannot be read
  3  the job ended without being completed: its input failed validation, it expired, or it was cancelled
  4  the server cannot be reached
  5  the server refused: no such job, a conflict, a request it does not take
  6  the job was completed, and each of its requests was answered with an error
  7  the user went away, and the job runs on

Environment:
  JETBATCH_URL               address of the server for client commands (default http://127.0.0.1:8800)
  JETBATCH_API_KEY           the key that the server asks for, where it asks for one
  JETBATCH__SECTION__KEY     overrides a key of the configuration, as JETBATCH__HTTP__LISTEN=0.0.0.0:8800
  RUST_LOG                   what `serve` logs";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Usage(String),
    #[error("no jetbatch answers at {url} ({why}); start one with `jetbatch serve`, or name another with --url")]
    Unreachable { url: String, why: String },
    #[error("{0}; start NATS, or correct nats.url")]
    NoNats(String),
    #[error("{message}")]
    Refused { status: u16, message: String },
    #[error("the server at {url} answered what this jetbatch does not understand ({why}); are both the same version?")]
    Strange { url: String, why: String },
    #[error("job {id} was not completed: it is {}", state.as_str())]
    Ended { id: JobId, state: State },
    #[error("job {id} was completed without one good answer: its {} failed; see `jetbatch errors {id}`", plural(*.requests, "request"))]
    AllFailed { id: JobId, requests: u64 },
    #[error(
        "job {id} runs on: `jetbatch status {id} --watch` follows it, `jetbatch results {id}` has its answers, `jetbatch cancel {id}` ends it"
    )]
    Left { id: JobId },
    #[error("cannot {verb} {}: {source}", path.display())]
    File { verb: &'static str, path: PathBuf, source: io::Error },
    /// The server cannot do it now, and says that this passes.
    #[error("{0}")]
    Unavailable(String),
    #[error("{0}")]
    Failed(String),
}

impl Error {
    pub fn file(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { verb, path, source }
    }

    /// A failure of something that has no better word.
    pub fn failed(error: impl StdError) -> Self {
        Self::Failed(chain(&error))
    }

    pub const fn number(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Unavailable(_) | Self::File { .. } | Self::Strange { .. } => 1,
            Self::Usage(_) => 2,
            Self::Ended { .. } => 3,
            Self::Unreachable { .. } | Self::NoNats(_) => 4,
            Self::Refused { .. } => 5,
            Self::AllFailed { .. } => 6,
            Self::Left { .. } => 7,
        }
    }

    pub fn code(&self) -> ExitCode {
        ExitCode::from(self.number())
    }

    /// The server is away, which a restart of it mends.
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unavailable(_))
    }

    /// The other end of a pipe went away (`jetbatch results ID | head`): no failure of ours.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_in_the_help() {
        let refused = Error::Refused { status: 404, message: String::new() };
        let all_failed = Error::AllFailed { id: JobId::keyed("t", "x"), requests: 2 };
        assert!(all_failed.to_string().contains("its 2 requests failed"));
        let left = Error::Left { id: JobId::keyed("t", "x") };
        for error in [Error::Failed(String::new()), Error::Usage(String::new()), refused, all_failed, left] {
            assert!(EXIT_CODES.contains(&format!("\n  {}  ", error.number())));
        }
    }
}
