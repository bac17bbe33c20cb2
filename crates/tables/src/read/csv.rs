//! CSV and TSV with a line of names. Every value is a text; an empty one is null. A ragged line is a bad row.
use super::{Column, Grouped, Opened, Options, Row, at};
use crate::{Error, open::Bytes};
use csv::{ByteRecord, ReaderBuilder, StringRecord};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

pub fn open(path: &Path, bytes: Bytes, delimiter: u8, options: &Options) -> Result<Opened, Error> {
    let quotes = Arc::new(Quotes::default());
    let counted = Counted { bytes, quotes: quotes.clone() };
    let mut reader = ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(counted);
    let header = reader.headers().map_err(|error| Error::broken(path, format!("line 1: {error}")))?.clone();
    check(path, &header)?;
    let columns = header.iter().map(|name| Column { name: name.to_owned(), kind: "string".to_owned() }).collect();
    let names = header.iter().map(|name| options.wants(name).then(|| name.to_owned())).collect();
    let cut = Cut { path: path.to_owned(), names };
    let mut record = ByteRecord::new();
    let rows = Grouped(Some(move || match reader.read_byte_record(&mut record) {
        Ok(true) if quotes.are_open(&record) => Ok(Some(Err(cut.open(&record)))),
        Ok(true) => Ok(Some(cut.row(&record))),
        Ok(false) => Ok(None),
        Err(error) => Err(cut.at(reader.position().line(), error)),
    }));
    Ok(Opened::untyped(columns, rows))
}

/// The quotes of a file as far as it is read: one that is never closed takes all that follows for its own.
#[derive(Default)]
struct Quotes {
    is_odd: AtomicBool,
    /// The last byte is one: what was open is closed.
    is_last: AtomicBool,
    is_end: AtomicBool,
}

impl Quotes {
    /// Whether the file ended within a quoted text of this row, which is its last one.
    fn are_open(&self, record: &ByteRecord) -> bool {
        let is = |what: &AtomicBool| what.load(Ordering::Relaxed);
        is(&self.is_odd)
            && is(&self.is_end)
            && !is(&self.is_last)
            && record.iter().last().is_some_and(|value| value.contains(&b'\n'))
    }
}

struct Counted {
    bytes: Bytes,
    quotes: Arc<Quotes>,
}

impl Read for Counted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buf)?;
        let quotes = buf[..count].iter().filter(|byte| **byte == b'"').count();
        if let Some(last) = buf[..count].last() {
            self.quotes.is_last.store(*last == b'"', Ordering::Relaxed);
        }
        self.quotes.is_odd.fetch_xor(quotes % 2 == 1, Ordering::Relaxed);
        self.quotes.is_end.store(count == 0, Ordering::Relaxed);
        Ok(count)
    }
}

fn check(path: &Path, header: &StringRecord) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    if header.is_empty() {
        return Err(Error::broken(path, "there is no line of column names"));
    }
    match header.iter().find(|name| !seen.insert(*name)) {
        None => Ok(()),
        Some(name) => Err(Error::broken(path, format!("line 1: column `{name}` stands twice"))),
    }
}

struct Cut {
    path: PathBuf,
    /// None: the column is not wanted.
    names: Vec<Option<String>>,
}

impl Cut {
    fn at(&self, line: u64, why: impl std::fmt::Display) -> String {
        at(&self.path, format_args!("line {line}"), why)
    }

    fn open(&self, record: &ByteRecord) -> String {
        let line = record.position().map_or(0, csv::Position::line);
        self.at(line, "a quote is opened and never closed: all that follows was taken for one text")
    }

    fn row(&self, record: &ByteRecord) -> Result<Row, String> {
        let line = record.position().map_or(0, csv::Position::line);
        let (found, wanted) = (record.len(), self.names.len());
        if found != wanted {
            return Err(self.at(line, format_args!("{found} fields where the first line names {wanted} columns")));
        }
        let mut row = Row::new();
        for (name, value) in self.names.iter().zip(record) {
            let Some(name) = name else { continue };
            let text =
                std::str::from_utf8(value).map_err(|_| self.at(line, format_args!("column `{name}` is no UTF-8")))?;
            let value = if text.is_empty() { Value::Null } else { Value::from(text) };
            row.insert(name.clone(), value);
        }
        Ok(row)
    }
}
