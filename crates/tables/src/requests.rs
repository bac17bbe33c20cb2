//! An input as a stream of request lines.
use crate::{
    Error, Files, Format, Ids, Mapping, Options, Pick, Reader, Said, Spec,
    lines::{self, Line},
    map::{listed, unknown},
    open,
    pick::Picked,
    read::{self, TEXT},
    walk::{Piece, Walk},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// The request of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Without its line end. JSON, if it is made of a row; else whatever stands in the file.
    pub line: Vec<u8>,
    /// Why the row is no request: it will be answered with that.
    pub bad: Option<String>,
}

/// An input, and what is wanted of it. What is wrong with that is found before any row is read.
pub struct Asked {
    files: Files,
    /// None: the lines are requests as they are.
    mapping: Option<Mapping>,
    ids: Ids,
    pick: Pick,
    options: Options,
    first: Reader,
}

impl Asked {
    /// Every file must have the columns that the requests are made of.
    pub fn new(files: Files, spec: &Spec, said: Said, pick: Pick) -> Result<Self, Error> {
        let all = Options { said, columns: None };
        let (named, first) = read::first(&files, &all)?;
        if first.is_empty {
            return Err(Error::Asked(format!("{} has no row that names a column", files.all()[named].path.display())));
        }
        let mapping = mapping(spec, &first)?;
        let ids = Ids::new(spec.id_column.clone());
        let columns = mapping.as_ref().filter(|mapping| !mapping.reads_all()).map(|mapping| needed(mapping, &ids));
        let options = Options { said, columns };
        if let Some(mapping) = &mapping {
            let said = |error| Error::Asked(format!("{}: {error}", files.all()[named].path.display()));
            fits(&first, mapping, &ids).map_err(said)?;
            for file in &files.all()[named + 1..] {
                let reader = read::named(file, &options)?;
                if !reader.is_empty {
                    fits(&reader, mapping, &ids).map_err(|error| Error::broken(&file.path, error))?;
                }
            }
        }
        Ok(Self { files, mapping, ids, pick, options, first })
    }

    /// The first file, as it lies there.
    pub const fn first(&self) -> &Reader {
        &self.first
    }

    pub const fn files(&self) -> &Files {
        &self.files
    }

    /// Whether the lines are requests as they are.
    pub const fn is_plain(&self) -> bool {
        self.mapping.is_none()
    }

    /// Where the rows of these requests stand, which are counted from 1. It reads the input once more, of its columns only those
    /// that name rows.
    pub fn spots(self, wanted: &BTreeSet<u64>) -> Result<BTreeMap<u64, Spot>, Error> {
        let mut found = BTreeMap::new();
        let Some(last) = wanted.last().filter(|_| self.mapping.is_some()) else { return Ok(found) };
        let columns = Some(self.ids.column().map(str::to_owned).into_iter().collect());
        let options = Options { columns, ..self.options };
        let picked = Walk::pick(self.pick, &self.files, &self.ids, &options)?;
        let (files, mut number) = (self.files.clone(), 0);
        for piece in Walk::new(self.files, self.ids, picked, options.clone(), None) {
            let piece = piece?;
            for taken in &piece.taken {
                number += 1;
                if wanted.contains(&number) {
                    found.insert(number, Spot::of(&files, piece.file, taken.number, &options)?);
                }
            }
            if number >= *last {
                break;
            }
        }
        Ok(found)
    }

    pub fn requests(self) -> Result<Requests, Error> {
        let is_stdin = self.files.all()[0].is_stdin();
        if is_stdin && matches!(self.pick, Pick::Sample(_)) {
            return Err(Error::Asked(
                "--sample reads the input twice, which standard input is not; use --limit".to_owned(),
            ));
        }
        let Some(mapping) = self.mapping else {
            return Ok(Requests::Plain(Box::new(Plain::new(self.files, self.pick)?)));
        };
        let picked = Walk::pick(self.pick, &self.files, &self.ids, &self.options)?;
        // The first file is open with all its columns; what cannot be read twice goes on from there.
        let first = is_stdin.then_some(self.first);
        let walk = Walk::new(self.files, self.ids, picked, self.options, first);
        Ok(Requests::Mapped(Box::new(Mapped { walk, mapping, piece: None })))
    }
}

/// Where a row stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// What its file is called.
    pub file: String,
    /// From 0, where the format has such.
    pub group: Option<usize>,
    /// In its file, from 1.
    pub row: u64,
}

impl Spot {
    fn of(files: &Files, file: usize, row: u64, options: &Options) -> Result<Self, Error> {
        let named = &files.all()[file];
        let mut before = 0;
        let group = read::named(named, options)?.groups.iter().position(|rows| {
            before += rows;
            row <= before
        });
        Ok(Self { file: named.name.clone(), group, row })
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.group {
            Some(group) => write!(f, "{}, row group {group}, row {}", self.file, self.row),
            None => write!(f, "{}, row {}", self.file, self.row),
        }
    }
}

/// Lines that are requests need no mapping; plain text has one column.
fn mapping(spec: &Spec, first: &Reader) -> Result<Option<Mapping>, Error> {
    if spec.has_source() {
        return Mapping::new(spec).map(Some);
    }
    match first.format {
        Format::Text if spec.endpoint.as_deref() == Some(crate::map::EMBEDDINGS) => {
            Mapping::new(&Spec { input_column: Some(TEXT.to_owned()), ..spec.clone() }).map(Some)
        }
        Format::Text => Mapping::new(&Spec { prompt_column: Some(TEXT.to_owned()), ..spec.clone() }).map(Some),
        Format::Jsonl if first.names().any(|name| name == "body") => Ok(None),
        _ => Err(Error::Asked(format!(
            "say where the prompts are: --prompt-column, --messages-column, --template or --input-column; the columns are {}",
            listed(first.names())
        ))),
    }
}

fn needed(mapping: &Mapping, ids: &Ids) -> BTreeSet<String> {
    let mut columns = mapping.columns();
    columns.extend(ids.column().map(str::to_owned));
    columns
}

fn fits(reader: &Reader, mapping: &Mapping, ids: &Ids) -> Result<(), Error> {
    let columns: Vec<&str> = reader.names().collect();
    mapping.fits(&columns)?;
    match ids.column().filter(|column| !columns.contains(column)) {
        None => Ok(()),
        Some(column) => Err(unknown(column, &columns)),
    }
}

/// The requests of an input, in order.
pub enum Requests {
    Mapped(Box<Mapped>),
    Plain(Box<Plain>),
}

impl Iterator for Requests {
    type Item = Result<Request, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Mapped(mapped) => mapped.next(),
            Self::Plain(plain) => plain.next().transpose(),
        }
    }
}

pub struct Mapped {
    walk: Walk,
    mapping: Mapping,
    /// The open piece, and how many of its rows were given.
    piece: Option<(Piece, usize)>,
}

impl Mapped {
    fn request(&self, piece: &Piece, at: usize) -> Request {
        let taken = &piece.taken[at];
        let line = match &taken.bad {
            Some(why) => Err(why.clone()),
            None => piece.rows.row(taken.at).and_then(|row| self.mapping.line(&taken.id, &row)),
        };
        match line {
            Ok(line) => Request { line: line.into_bytes(), bad: None },
            Err(why) => Request { line: self.mapping.refused(&taken.id, &why).into_bytes(), bad: Some(why) },
        }
    }
}

impl Iterator for Mapped {
    type Item = Result<Request, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((piece, at)) = self.piece.take()
                && at < piece.taken.len()
            {
                let request = self.request(&piece, at);
                self.piece = Some((piece, at + 1));
                return Some(Ok(request));
            }
            match self.walk.next()? {
                Ok(piece) => self.piece = Some((piece, 0)),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// What a request line is drawn by: its id, as a row is.
fn name(line: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Line {
        custom_id: String,
    }
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    serde_json::from_slice(line)
        .map_or_else(|_| String::from_utf8_lossy(line).into_owned(), |Line { custom_id }| custom_id)
}

/// Request lines as they are, of files that may be packed.
pub struct Plain {
    files: Files,
    picked: Picked,
    /// The next one.
    file: usize,
    open: Option<open::Bytes>,
    line: Vec<u8>,
    total: u64,
}

impl Plain {
    fn new(files: Files, pick: Pick) -> Result<Self, Error> {
        let picked = match pick {
            Pick::All => Picked::All,
            Pick::First(rows) => Picked::First(rows),
            Pick::Sample(count) => {
                let mut lowest = crate::pick::Lowest::new(count);
                let mut all = Self::new(files.clone(), Pick::All)?;
                while let Some(request) = all.next()? {
                    lowest.add(&name(&request.line));
                }
                lowest.picked()
            }
        };
        Ok(Self { files, picked, file: 0, open: None, line: Vec::new(), total: 0 })
    }

    fn next(&mut self) -> Result<Option<Request>, Error> {
        while !self.picked.is_past(self.total) {
            let Some(open) = &mut self.open else {
                let Some(next) = self.files.all().get(self.file) else { return Ok(None) };
                self.file += 1;
                self.open = Some(open::open(next, Some(Format::Jsonl))?.0);
                continue;
            };
            let path = &self.files.all()[self.file - 1].path;
            match lines::next(open, &mut self.line).map_err(Error::file("read", path))? {
                Line::End => self.open = None,
                Line::TooLong => return Err(Error::broken(path, "a line is longer than 16 MiB")),
                Line::Text if self.line.trim_ascii().is_empty() => {}
                Line::Text => {
                    self.total += 1;
                    if self.picked.takes(self.total - 1, || name(&self.line)) {
                        return Ok(Some(Request { line: std::mem::take(&mut self.line), bad: None }));
                    }
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn lines(names: &[(&str, &str)], spec: &Spec) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in names {
            fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
            fs::write(dir.path().join(name), text).unwrap();
        }
        let files = Files::find(&[dir.path().to_owned()]).unwrap();
        let asked = Asked::new(files, spec, Said::default(), Pick::All).unwrap();
        asked.requests().unwrap().map(|request| String::from_utf8(request.unwrap().line).unwrap()).collect()
    }

    /// As Spark leaves them.
    #[test]
    fn files_without_rows_stand_among_others() {
        let line = r#"{"custom_id":"a","body":{}}"#;
        let plain = [("0.jsonl", ""), ("1.jsonl", line), ("2.jsonl", "")];
        assert_eq!(lines(&plain, &Spec::default()), [line]);
        let spec = Spec { prompt_column: Some("text".to_owned()), ..Spec::default() };
        let mapped =
            lines(&[("0.csv", ""), ("1.csv", "text\nx\n"), ("k=v/2.csv", ""), ("k=v/3.csv", "text\ny\n")], &spec);
        assert!(
            matches!(&mapped[..], [x, y] if x.contains(r#""1.csv:1""#) && y.contains(r#""k=v/3.csv:1""#)),
            "{mapped:?}"
        );
    }
}
