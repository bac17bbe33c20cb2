//! The jobs that a table is being made by, in a file beside it: whoever gives the same command again goes on with them.
use super::target::url;
use crate::cli::error::Error;
use domain::JobId;
use std::{
    ffi::OsString,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// `answers.parquet.jobs`: an id a line. It is there while the table is not whole.
///
/// None: the table is an object of a store, and nothing lies beside it.
pub struct Ledger(Option<PathBuf>);

impl Ledger {
    pub fn of(table: &Path) -> Self {
        let mut name = OsString::from(table);
        name.push(".jobs");
        Self(url(table).is_none().then(|| name.into()))
    }

    pub fn jobs(&self) -> Result<Vec<JobId>, Error> {
        let Some(path) = &self.0 else { return Ok(Vec::new()) };
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            text => text.map_err(Error::file("read", path))?,
        };
        let wrong =
            |line: &str| Error::Failed(format!("{} names no job: '{line}'; remove it to begin anew", path.display()));
        text.lines().map(|line| line.trim().parse().map_err(|_| wrong(line))).collect()
    }

    /// On the disk before anybody waits for the job.
    pub fn add(&self, job: JobId) -> Result<(), Error> {
        let Some(path) = &self.0 else { return Ok(()) };
        let add = || {
            let mut file = fs::OpenOptions::new().create(true).append(true).open(path)?;
            writeln!(file, "{job}")?;
            file.sync_all()
        };
        add().map_err(Error::file("write", path))
    }

    /// A job that answered nothing and never will.
    pub fn forget(&self, job: JobId) -> Result<(), Error> {
        let left: Vec<JobId> = self.jobs()?.into_iter().filter(|known| *known != job).collect();
        self.remove()?;
        left.into_iter().try_for_each(|job| self.add(job))
    }

    pub fn remove(&self) -> Result<(), Error> {
        let Some(path) = &self.0 else { return Ok(()) };
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file("remove", path)(error)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_kept_until_the_table_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::of(&dir.path().join("a.parquet"));
        let ids = ["x", "y"].map(|key| JobId::keyed("t", key));
        assert_eq!(ledger.jobs().unwrap(), []);
        ids.iter().for_each(|id| ledger.add(*id).unwrap());
        assert_eq!(ledger.jobs().unwrap(), ids);
        assert!(dir.path().join("a.parquet.jobs").is_file());
        ledger.forget(ids[0]).unwrap();
        assert_eq!(ledger.jobs().unwrap(), ids[1..]);
        ledger.remove().and(ledger.remove()).unwrap();
        assert_eq!(ledger.jobs().unwrap(), []);
        fs::write(dir.path().join("a.parquet.jobs"), "no id\n").unwrap();
        assert!(ledger.jobs().unwrap_err().to_string().contains("remove it to begin anew"));
    }
}
