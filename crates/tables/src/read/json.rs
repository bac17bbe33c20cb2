//! JSON objects, one a line.
use super::{BATCH_ROWS, Column, Grouped, Next, Opened, Row, at};
use crate::{
    lines::{self, Line},
    open::Bytes,
    value,
};
use std::{
    collections::{HashMap, VecDeque},
    path::{Path, PathBuf},
};

pub fn open(path: &Path, bytes: Bytes) -> Opened {
    let mut lines = Objects { path: path.to_owned(), bytes, line: Vec::new(), number: 0 };
    let mut head = VecDeque::new();
    while head.len() < BATCH_ROWS {
        let next = lines.next();
        let is_end = !matches!(next, Ok(Some(_)));
        head.push_back(next);
        if is_end {
            break;
        }
    }
    let columns = columns(head.iter().filter_map(|next| next.as_ref().ok()?.as_ref()?.as_ref().ok()));
    let rows = Grouped(Some(move || head.pop_front().unwrap_or_else(|| lines.next())));
    Opened::untyped(columns, rows)
}

/// The columns of some rows, in the order in which they come.
fn columns<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    let mut places = HashMap::new();
    for (name, found) in rows.flatten() {
        let at = *places.entry(name.clone()).or_insert_with(|| {
            columns.push(Column { name: name.clone(), kind: "null".to_owned() });
            columns.len() - 1
        });
        let kind = &mut columns[at].kind;
        let found = value::kind_of(found);
        if kind == "null" {
            *kind = found.to_owned();
        } else if found != "null" && kind != found {
            *kind = "any".to_owned();
        }
    }
    columns
}

struct Objects {
    path: PathBuf,
    bytes: Bytes,
    line: Vec<u8>,
    number: u64,
}

impl Objects {
    fn at(&self, why: impl std::fmt::Display) -> String {
        at(&self.path, format_args!("line {}", self.number), why)
    }

    fn next(&mut self) -> Next {
        loop {
            self.number += 1;
            match lines::next(&mut self.bytes, &mut self.line) {
                Ok(Line::End) => return Ok(None),
                Ok(Line::Text) if self.line.trim_ascii().is_empty() => {}
                Ok(Line::Text) => return Ok(Some(self.row())),
                Ok(Line::TooLong) => return Ok(Some(Err(self.at("longer than 16 MiB")))),
                Err(error) => return Err(self.at(error)),
            }
        }
    }

    fn row(&self) -> Result<Row, String> {
        let mark = if self.number == 1 { &b"\xef\xbb\xbf"[..] } else { b"" };
        let line = self.line.strip_prefix(mark).unwrap_or(&self.line);
        let text = std::str::from_utf8(line).map_err(|_| self.at("no UTF-8"))?;
        serde_json::from_str(text).map_err(|error| self.at(format_args!("no JSON object: {error}")))
    }
}
