use std::env;
use std::path::{Path, PathBuf};

/// The tools folders above this crate, where the set-up step puts what the machine lacks.
pub fn tools_dirs() -> impl Iterator<Item = PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|dir| dir.join(".tools/bin"))
}

/// A program that the tests need: named by `variable`, on PATH, or in a tools folder.
pub fn tool(name: &str, variable: &str) -> Option<PathBuf> {
    if let Some(path) = env::var_os(variable) {
        return Some(path.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).collect::<Vec<_>>();
    on_path.into_iter().chain(tools_dirs()).map(|dir| dir.join(name)).find(|path| path.is_file())
}
