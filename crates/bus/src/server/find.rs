use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::{env, io};

use crate::{SERVER_VERSION_MIN, Version};

const NAME: &str = "nats-server";
/// Where the set-up step puts what the machine lacks.
const TOOLS: &str = ".tools/bin";
/// Of what a program says of its failure.
const WORDS_MAX: usize = 200;

#[derive(Debug, thiserror::Error)]
pub enum FindError {
    #[error(
        "no nats-server {SERVER_VERSION_MIN} or newer was found{}; run deploy/setup.sh, put one on PATH, or set nats.url",
        found(.0)
    )]
    None(Vec<(PathBuf, Flaw)>),
    #[error("{path} is not a nats-server {SERVER_VERSION_MIN} or newer ({flaw}); nats.server_bin names it")]
    Unfit { path: PathBuf, flaw: Flaw },
}

/// Why a program is not the server to run.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    #[error("it is {0}")]
    Old(Version),
    #[error("it cannot be run: {0}")]
    NotRun(io::Error),
    /// Limits of memory or processes, a library that is missing, another program.
    #[error("asked for its version it ended with {status}{}", said(.words))]
    Failed { status: ExitStatus, words: String },
    #[error("it tells no version")]
    Silent,
}

fn found(tried: &[(PathBuf, Flaw)]) -> String {
    let each = tried.iter().map(|(path, flaw)| format!("{}: {flaw}", path.display()));
    if tried.is_empty() { String::new() } else { format!(" ({})", each.collect::<Vec<_>>().join("; ")) }
}

fn said(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

/// The server to run: the configured one, else the first that is new enough on PATH and in the tools folders
/// above the executable and the working directory.
pub fn find(configured: Option<&Path>) -> Result<PathBuf, FindError> {
    if let Some(path) = configured {
        return check(path).map(|()| path.to_owned()).map_err(|flaw| FindError::Unfit { path: path.to_owned(), flaw });
    }
    let mut tried = Vec::new();
    for path in candidates() {
        match check(&path) {
            Ok(()) => return Ok(path),
            Err(flaw) => tried.push((path, flaw)),
        }
    }
    Err(FindError::None(tried))
}

fn candidates() -> impl Iterator<Item = PathBuf> {
    let on_path = env::var_os("PATH").map(|path| env::split_paths(&path).collect::<Vec<_>>()).unwrap_or_default();
    let roots = [env::current_exe().ok(), env::current_dir().ok()].into_iter().flatten();
    let tools = roots.flat_map(|root| root.ancestors().map(|dir| dir.join(TOOLS)).collect::<Vec<_>>());
    on_path.into_iter().chain(tools).map(|dir| dir.join(NAME)).filter(|path| path.is_file())
}

fn check(path: &Path) -> Result<(), Flaw> {
    let output = Command::new(path).arg("--version").output().map_err(Flaw::NotRun)?;
    match crate::version::parse(&String::from_utf8_lossy(&output.stdout)) {
        Some(version) if version >= SERVER_VERSION_MIN => Ok(()),
        Some(version) => Err(Flaw::Old(version)),
        None if output.status.success() => Err(Flaw::Silent),
        None => {
            let said = String::from_utf8_lossy(&output.stderr);
            let words = said.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            Err(Flaw::Failed { status: output.status, words: words.chars().take(WORDS_MAX).collect() })
        }
    }
}
