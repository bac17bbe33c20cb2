//! What is decided of each row of an input, in its order.
use super::{Defaults, Hash, hash::Read, unnamed};
use crate::{Answer, Error, lines};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Seek, Write},
    path::{Path, PathBuf},
};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Planned {
    /// What its request is called.
    pub id: String,
    pub hash: Option<String>,
    /// None: a job is asked for it.
    pub answer: Option<Answer>,
}

pub(super) struct Writer {
    dir: PathBuf,
    to: BufWriter<File>,
}

impl Writer {
    pub fn new(dir: &Path) -> Result<Self, Error> {
        Ok(Self { dir: dir.to_owned(), to: BufWriter::new(unnamed(dir)?) })
    }

    pub fn put(&mut self, id: String, hash: Option<Hash>, answer: Option<Answer>) -> Result<(), Error> {
        let planned = Planned { id, hash: hash.map(|hash| hash.to_string()), answer };
        let mut line = serde_json::to_vec(&planned).map_err(|error| Error::broken(&self.dir, error))?;
        line.push(b'\n');
        self.to.write_all(&line).map_err(Error::file("write a file into", &self.dir))
    }

    pub fn finish(self) -> Result<Plan, Error> {
        let Self { dir, to } = self;
        let whole = || -> io::Result<File> {
            let mut file = to.into_inner()?;
            file.rewind()?;
            Ok(file)
        };
        let from = BufReader::new(whole().map_err(Error::file("write a file into", &dir))?);
        let mut plan = Plan { dir, from, line: Vec::new(), next: None };
        plan.step()?;
        Ok(plan)
    }
}

/// Read once, from its beginning.
pub struct Plan {
    dir: PathBuf,
    from: BufReader<File>,
    line: Vec<u8>,
    next: Option<Planned>,
}

impl Plan {
    /// That of a job of which all is asked: its input.
    pub fn of_job(mut input: impl BufRead, defaults: &Defaults, dir: &Path) -> Result<Self, Error> {
        let (mut writer, mut line) = (Writer::new(dir)?, Vec::new());
        while lines::full(&mut input, &mut line).map_err(|error| Error::Asked(format!("the job's input: {error}")))? {
            let Read { id, hash } = Read::of(&line, defaults);
            writer.put(id, hash, None)?;
        }
        writer.finish()
    }

    fn step(&mut self) -> Result<Option<Planned>, Error> {
        let next =
            match lines::full(&mut self.from, &mut self.line).map_err(Error::file("read a file in", &self.dir))? {
                true => Some(serde_json::from_slice(&self.line).map_err(|error| Error::broken(&self.dir, error))?),
                false => None,
            };
        Ok(std::mem::replace(&mut self.next, next))
    }

    /// What was decided of the next row, where it is called so.
    pub(crate) fn of(&mut self, id: &str) -> Result<Option<Planned>, Error> {
        match &self.next {
            Some(planned) if planned.id == id => self.step(),
            _ => Ok(None),
        }
    }

    /// What the next row of this name asked. Those between have no line yet.
    pub(crate) fn skip_to(&mut self, id: &str) -> Result<Option<String>, Error> {
        while let Some(planned) = self.step()? {
            if planned.id == id {
                return Ok(planned.hash);
            }
        }
        Ok(None)
    }

    /// A row of which something was decided and that did not come.
    pub(crate) fn left(&self) -> Option<&str> {
        self.next.as_ref().map(|planned| planned.id.as_str())
    }
}
