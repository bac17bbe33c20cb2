//! Answers of earlier runs, found by what was asked.
use super::{Defaults, Hash, hash::Read, unnamed};
use crate::{
    Answer, Error, Format, Options, Row, Rows, Said, lines, read,
    write::{ANSWER, HASH},
};
use serde_json::Value;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Seek, Write},
    path::{Path, PathBuf},
};

/// What is read at once around an answer: a few of its neighbours, which most often come next.
const BLOCK_BYTES: usize = 16 << 10;

/// Collects answers that are good.
pub struct Gather {
    dir: PathBuf,
    /// A JSON line each.
    answers: BufWriter<File>,
    /// Half of each one's hash, and where it begins in `answers`.
    index: BufWriter<File>,
    bytes: u64,
    rows: usize,
}

impl Gather {
    /// Its files lie in the folder `dir`.
    pub fn new(dir: &Path) -> Result<Self, Error> {
        let [answers, index] = [unnamed(dir)?, unnamed(dir)?].map(BufWriter::new);
        Ok(Self { dir: dir.to_owned(), answers, index, bytes: 0, rows: 0 })
    }

    /// Those of a table that was written with answers. Gives how many are good.
    pub fn table(&mut self, path: &Path) -> Result<usize, Error> {
        let before = self.rows;
        let prefixes = prefixes(path)?;
        if prefixes.is_empty() {
            return Err(Error::Asked(format!(
                "{} has no column `{HASH}`, which tells what its answers answer; give the id of the job that made them",
                path.display()
            )));
        }
        let columns = prefixes.iter().flat_map(|prefix| ANSWER.map(|name| format!("{prefix}{name}"))).collect();
        let reader = read::open(path, &Options { said: Said::default(), columns: Some(columns) })?;
        let is_text = matches!(reader.format, Format::Csv | Format::Tsv);
        for rows in reader {
            for (at, prefix) in (0..rows.count()).flat_map(|at| prefixes.iter().map(move |prefix| (at, prefix))) {
                good(&rows, at, prefix, is_text).map_or(Ok(()), |answer| self.add(&answer))?;
            }
        }
        Ok(self.rows - before)
    }

    /// Those of a job: its input, and its output in the order of the input. Gives how many there are.
    pub fn job(&mut self, mut input: impl BufRead, good: impl BufRead, defaults: &Defaults) -> Result<usize, Error> {
        let before = self.rows;
        let mut good = crate::join::Lines::new(good)?;
        let mut line = Vec::new();
        while lines::full(&mut input, &mut line).map_err(|error| Error::Asked(format!("the job's input: {error}")))? {
            let Read { id, hash } = Read::of(&line, defaults);
            if let Some(answer) = good.of(&id)?
                && let Some(hash) = hash
                && answer.error.is_none()
            {
                self.add(&Answer { request_hash: Some(hash.to_string()), ..answer })?;
            }
        }
        good.end()?;
        Ok(self.rows - before)
    }

    fn add(&mut self, answer: &Answer) -> Result<(), Error> {
        let Some(hash) = answer.request_hash.as_deref().and_then(Hash::parse) else { return Ok(()) };
        let mut line = serde_json::to_vec(answer).map_err(|error| Error::broken(&self.dir, error))?;
        line.push(b'\n');
        let mut write = || {
            self.answers.write_all(&line)?;
            self.index.write_all(&hash.head().to_le_bytes())?;
            self.index.write_all(&self.bytes.to_le_bytes())
        };
        write().map_err(Error::file("write a file into", &self.dir))?;
        self.bytes += line.len() as u64;
        self.rows += 1;
        Ok(())
    }

    pub fn finish(self) -> Result<Earlier, Error> {
        let Self { dir, answers, index, rows, .. } = self;
        let read = |dir: &PathBuf| Error::file("read a file in", dir);
        let whole = |file: BufWriter<File>| -> io::Result<File> {
            let mut file = file.into_inner()?;
            file.rewind()?;
            Ok(file)
        };
        let answers = BufReader::with_capacity(BLOCK_BYTES, whole(answers).map_err(read(&dir))?);
        let mut index = BufReader::new(whole(index).map_err(read(&dir))?);
        // Of just this length: a vector that grows holds up to twice as much.
        let mut places = Vec::with_capacity(rows);
        for _ in 0..rows {
            places.push(Place::read(&mut index).map_err(read(&dir))?);
        }
        places.sort_unstable();
        Ok(Earlier { dir, answers, at: 0, places, line: Vec::new() })
    }
}

/// Whether a table has answers and says what they answer.
pub fn has_answers(path: &Path) -> Result<bool, Error> {
    prefixes(path).map(|prefixes| !prefixes.is_empty())
}

/// What stands before the names of a table's answers: one for each time that it was asked something.
fn prefixes(path: &Path) -> Result<Vec<String>, Error> {
    let reader = read::open(path, &Options::default())?;
    let names: Vec<&str> = reader.names().collect();
    let prefixes = names.iter().filter_map(|name| name.strip_suffix(HASH));
    let is_whole = |prefix: &&str| ANSWER.iter().all(|name| names.contains(&&*format!("{prefix}{name}")));
    Ok(prefixes.filter(is_whole).map(str::to_owned).collect())
}

/// A row's answer, where it is one.
fn good(rows: &Rows, at: usize, prefix: &str, is_text: bool) -> Option<Answer> {
    let row = rows.row(at).ok()?;
    let text = |name: &str| of(&row, prefix, name).and_then(Value::as_str).map(str::to_owned);
    let count =
        |name: &str| of(&row, prefix, name).and_then(|value| value.as_i64().or_else(|| value.as_str()?.parse().ok()));
    let answer = Answer {
        // A format of texts has no null: an answer without a text is an empty one there.
        response: text("response").or(is_text.then(String::new)),
        error: text("error"),
        finish_reason: text("finish_reason"),
        prompt_tokens: count("prompt_tokens"),
        completion_tokens: count("completion_tokens"),
        model: text("model"),
        request_id: text("request_id"),
        request_hash: text(HASH),
    };
    (answer.error.is_none() && answer.request_hash.is_some()).then_some(answer)
}

fn of<'a>(row: &'a Row, prefix: &str, name: &str) -> Option<&'a Value> {
    row.get(&format!("{prefix}{name}"))
}

/// Where an answer lies. Ordered by hash; of one hash those that were given away come first, and all in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    head: u64,
    /// The highest bit stands where it was not given away.
    offset: u64,
}

const FREE: u64 = 1 << 63;

impl Place {
    fn read(from: &mut impl io::Read) -> io::Result<Self> {
        let mut halves = [[0; 8]; 2];
        from.read_exact(&mut halves[0])?;
        from.read_exact(&mut halves[1])?;
        let [head, offset] = halves.map(u64::from_le_bytes);
        Ok(Self { head, offset: offset | FREE })
    }
}

/// Answers by what was asked. Each is given away once: a request that stands twice has two answers.
pub struct Earlier {
    dir: PathBuf,
    answers: BufReader<File>,
    /// Where `answers` is.
    at: u64,
    places: Vec<Place>,
    line: Vec<u8>,
}

impl Earlier {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    pub(super) fn take(&mut self, hash: Hash) -> Result<Option<Answer>, Error> {
        let next = Place { head: hash.head(), offset: FREE };
        loop {
            let found = self.places.partition_point(|place| *place < next);
            let Some(place) = self.places.get_mut(found).filter(|place| place.head == next.head) else {
                return Ok(None);
            };
            let offset = place.offset & !FREE;
            place.offset = offset;
            let answer = self.read(offset)?;
            // Half of a hash may be another's, too.
            if answer.request_hash.as_deref().and_then(Hash::parse) == Some(hash) {
                return Ok(Some(answer));
            }
        }
    }

    fn read(&mut self, offset: u64) -> Result<Answer, Error> {
        let step = offset.cast_signed() - self.at.cast_signed();
        let mut line = || {
            self.answers.seek_relative(step)?;
            lines::full(&mut self.answers, &mut self.line)
        };
        line().map_err(Error::file("read a file in", &self.dir))?;
        self.at = offset + self.line.len() as u64 + 1;
        serde_json::from_slice(&self.line).map_err(|error| Error::broken(&self.dir, error))
    }
}
