//! Which files an input is: some files, folders, globs. In the order of their names, so that the same words give the same
//! rows in the same order.
use crate::{
    Error,
    open::STDIN,
    parts::{self, Parts},
    source::Remote,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
};

/// A file, and what its rows are called after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub path: PathBuf,
    /// Its path below the folder that all files of the input share.
    pub name: String,
    /// Where it lies if not on this machine; then its path is but what it is called.
    pub remote: Option<Remote>,
    /// Columns that its folders name; all files of an input have the same.
    pub parts: Parts,
}

impl Named {
    pub fn is_stdin(&self) -> bool {
        self.remote.is_none() && self.path == Path::new(STDIN)
    }
}

impl From<&Path> for Named {
    fn from(path: &Path) -> Self {
        Self { path: path.to_owned(), name: path.to_string_lossy().into_owned(), remote: None, parts: Parts::new() }
    }
}

/// The files of an input, sorted by path. At least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files(Vec<Named>);

impl Files {
    /// `-` is standard input, and then the only one.
    pub fn find(given: &[PathBuf]) -> Result<Self, Error> {
        let mut paths = Vec::new();
        for one in given {
            let (mut found, root) = (Vec::new(), root(one));
            expand(one, &mut found)?;
            paths.extend(found.into_iter().map(|path| (path, root)));
        }
        paths.sort();
        paths.dedup_by(|one, before| one.0 == before.0);
        match paths.len() {
            0 => Err(Error::Asked("no file is given".to_owned())),
            2.. if paths.iter().any(|(path, _)| path == Path::new(STDIN)) => {
                Err(Error::Asked("standard input cannot be read together with files".to_owned()))
            }
            _ => Ok(Self(named(paths))),
        }
    }

    /// Standard input, which is kept in this file.
    pub fn stdin(kept: &Path) -> Self {
        Self(vec![Named { name: STDIN.to_owned(), ..Named::from(kept) }])
    }

    /// Files that lie elsewhere, by their paths there.
    pub fn elsewhere(files: Vec<(String, Remote)>) -> Result<Self, Error> {
        if files.is_empty() {
            return Err(Error::Asked("no file is there".to_owned()));
        }
        let mut files: BTreeMap<PathBuf, Remote> =
            files.into_iter().map(|(path, remote)| (path.into(), remote)).collect();
        let named = named(files.keys().map(|path| (path.clone(), 0)).collect());
        let found = |Named { path, name, parts, .. }| {
            let remote = files.remove(&path);
            Named { remote, path: name.clone().into(), name, parts }
        };
        Ok(Self(named.into_iter().map(found).collect()))
    }

    pub fn all(&self) -> &[Named] {
        &self.0
    }
}

/// How many of its components stand above what its files are looked for in.
fn root(given: &Path) -> usize {
    if given.is_dir() {
        return parts::steps(given).count();
    }
    let fixed = |step: &Component<'_>| !step.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    match given.is_file() {
        true => usize::MAX,
        false => parts::steps(given).take_while(fixed).count(),
    }
}

/// With how many components of each stand above the input.
fn named(found: Vec<(PathBuf, usize)>) -> Vec<Named> {
    let own: Vec<Parts> = found.iter().map(|(path, root)| parts::of(path, *root)).collect();
    let paths: Vec<PathBuf> = found.into_iter().map(|(path, _)| path).collect();
    let shared = shared(&paths);
    let name = |path: &Path| {
        let rest: PathBuf = path.components().skip(shared).collect();
        rest.to_string_lossy().into_owned()
    };
    let level = parts::level(own.iter());
    let all = paths.into_iter().zip(own).map(|(path, own)| {
        let parts = level.clone().into_iter().chain(own).collect();
        Named { name: name(&path), path, remote: None, parts }
    });
    all.collect()
}

/// How many components all folders begin with. Paths are sorted, so the first and the last tell.
fn shared(paths: &[PathBuf]) -> usize {
    let folder = |path: Option<&PathBuf>| -> Vec<PathBuf> {
        let folder = path.and_then(|path| path.parent()).map(Path::components);
        folder.into_iter().flatten().map(|part: Component<'_>| PathBuf::from(part.as_os_str())).collect()
    };
    let (first, last) = (folder(paths.first()), folder(paths.last()));
    first.iter().zip(&last).take_while(|(a, b)| a == b).count()
}

fn expand(given: &Path, to: &mut Vec<PathBuf>) -> Result<(), Error> {
    let text = given.to_string_lossy();
    if given == Path::new(STDIN) || given.is_file() {
        to.push(given.to_owned());
        return Ok(());
    }
    let before = to.len();
    if given.is_dir() {
        walk(given, to)?;
    } else if text.contains(['*', '?', '[']) {
        matching(&text, to)?;
    } else {
        // A pipe, or nothing at all: whoever opens it finds out.
        fs::metadata(given).map_err(Error::file("read", given))?;
        to.push(given.to_owned());
    }
    if to.len() == before {
        return Err(Error::Asked(format!("{} holds no file", given.display())));
    }
    Ok(())
}

/// All files below a folder, but those that tools leave there (`_SUCCESS`, `.crc`).
fn walk(folder: &Path, to: &mut Vec<PathBuf>) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(Error::file("list", folder))? {
        let path = entry.map_err(Error::file("list", folder))?.path();
        if is_aside(&path) {
            continue;
        }
        if path.is_dir() { walk(&path, to)? } else { to.push(path) }
    }
    Ok(())
}

/// Which paths below a folder an input is: those that match a pattern, or lie below what does; without one all but what
/// tools leave there.
pub fn chosen(mut paths: Vec<String>, pattern: Option<&str>) -> Result<Vec<String>, Error> {
    let wrong = |error: glob::PatternError| Error::Asked(format!("it is no pattern of files: {error}"));
    let pattern = pattern.map(|text| glob::Pattern::new(text).map(|glob| (glob, is_aside(Path::new(text)))));
    let pattern = pattern.transpose().map_err(wrong)?;
    paths.retain(|path| match &pattern {
        None => path.split('/').all(|part| !is_aside(Path::new(part))),
        Some((glob, names_aside)) => matches(path, glob, *names_aside),
    });
    Ok(paths)
}

fn matches(path: &str, glob: &glob::Pattern, names_aside: bool) -> bool {
    let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::default() };
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    ends.filter(|end| glob.matches_with(&path[..*end], options)).any(|end| {
        let is_named = names_aside || !is_aside(Path::new(&path[..end]));
        is_named && path[end..].split('/').skip(1).all(|part| !is_aside(Path::new(part)))
    })
}

fn is_aside(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.to_string_lossy().starts_with(['_', '.']))
}

fn matching(pattern: &str, to: &mut Vec<PathBuf>) -> Result<(), Error> {
    let wrong = |why: String| Error::Asked(format!("{pattern} is no pattern of files: {why}"));
    // Who names such files means them: `_*.csv`.
    let names_aside = is_aside(Path::new(pattern));
    for path in glob::glob(pattern).map_err(|error| wrong(error.to_string()))? {
        let path = path.map_err(|error| wrong(error.to_string()))?;
        match path.is_dir() {
            _ if is_aside(&path) && !names_aside => {}
            true => walk(&path, to)?,
            false => to.push(path),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(given: &[&Path]) -> Vec<String> {
        let given: Vec<PathBuf> = given.iter().map(|path| (*path).to_owned()).collect();
        Files::find(&given).unwrap().all().iter().map(|file| file.name.clone()).collect()
    }

    #[test]
    fn what_lies_elsewhere_is_chosen_as_files_are() {
        let all = ["dt=1/_SUCCESS", "dt=1/a.parquet", "dt=2/b/a.parquet", "_tmp/x.parquet", ".x", "a.csv"];
        let of = |pattern| chosen(all.iter().map(ToString::to_string).collect(), pattern).unwrap();
        assert_eq!(of(None), ["dt=1/a.parquet", "dt=2/b/a.parquet", "a.csv"]);
        assert_eq!(of(Some("*.csv")), ["a.csv"]);
        assert_eq!(of(Some("dt=*")), ["dt=1/a.parquet", "dt=2/b/a.parquet"]);
        assert_eq!(of(Some("dt=1/*")), ["dt=1/a.parquet"]);
        assert_eq!(of(Some("dt=1/_*")), ["dt=1/_SUCCESS"]);
        assert_eq!(of(Some("**/*.parquet")), ["dt=1/a.parquet", "dt=2/b/a.parquet", "_tmp/x.parquet"]);
        assert!(chosen(Vec::new(), Some("a**b")).is_err());
    }

    #[test]
    fn folders_and_globs_are_files_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("b/c")).unwrap();
        for name in ["b/2.csv", "b/c/1.csv", "a.csv", "b/_SUCCESS", "b/.2.csv.crc"] {
            fs::write(root.join(name), "x").unwrap();
        }
        assert_eq!(names(&[root]), ["a.csv", "b/2.csv", "b/c/1.csv"]);
        assert_eq!(names(&[&root.join("b/*.csv")]), ["2.csv"]);
        assert_eq!(names(&[&root.join("b/*")]), ["2.csv", "c/1.csv"]);
        assert_eq!(names(&[&root.join("b/_*")]), ["_SUCCESS"]);
        assert_eq!(names(&[&root.join("b"), &root.join("b/2.csv")]), ["2.csv", "c/1.csv"]);
        assert_eq!(names(&[&root.join("a.csv")]), ["a.csv"]);
        fs::create_dir(root.join("empty")).unwrap();
        for none in ["empty", "*.no", "no"] {
            assert!(Files::find(&[root.join(none)]).is_err(), "{none}");
        }
        assert!(Files::find(&[PathBuf::from("-"), root.join("a.csv")]).is_err());
    }
}
