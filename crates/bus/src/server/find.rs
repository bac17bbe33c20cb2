use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{SERVER_VERSION_MIN, Version};

const NAME: &str = "nats-server";
/// Where the set-up step puts what the machine lacks.
const TOOLS: &str = ".tools/bin";

#[derive(Debug, thiserror::Error)]
pub enum FindError {
    #[error(
        "no nats-server {SERVER_VERSION_MIN} or newer was found{}; run deploy/setup.sh, put one on PATH, or set nats.url",
        found(.0)
    )]
    None(Vec<(PathBuf, Option<Version>)>),
    #[error("{path} is not a nats-server {SERVER_VERSION_MIN} or newer{}", version(.found))]
    Unfit { path: PathBuf, found: Option<Version> },
}

fn found(tried: &[(PathBuf, Option<Version>)]) -> String {
    let each = tried.iter().map(|(path, found)| format!("{}{}", path.display(), version(found)));
    if tried.is_empty() { String::new() } else { format!(" ({})", each.collect::<Vec<_>>().join(", ")) }
}

fn version(found: &Option<Version>) -> String {
    found.as_ref().map(|version| format!(" (it is {version})")).unwrap_or_default()
}

/// The server to run: the configured one, else the first that is new enough on PATH and in the tools folders
/// above the executable and the working directory.
pub fn find(configured: Option<&Path>) -> Result<PathBuf, FindError> {
    if let Some(path) = configured {
        return check(path)
            .map(|()| path.to_owned())
            .map_err(|found| FindError::Unfit { path: path.to_owned(), found });
    }
    let mut tried = Vec::new();
    for path in candidates() {
        match check(&path) {
            Ok(()) => return Ok(path),
            Err(found) => tried.push((path, found)),
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

fn check(path: &Path) -> Result<(), Option<Version>> {
    let output = Command::new(path).arg("--version").output().map_err(|_| None)?;
    match crate::version::parse(&String::from_utf8_lossy(&output.stdout)) {
        Some(version) if version >= SERVER_VERSION_MIN => Ok(()),
        found => Err(found),
    }
}
