//! CSV and TSV with a line of names. Every value is a text; an empty one is null. A ragged line is a bad row, and so is one
//! whose quote is not closed: what comes after it is read on.
mod record;

use super::{Column, Grouped, Opened, Options, Row, at};
use crate::{Error, open::Bytes};
use record::{Fields, Found, Records};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

pub fn open(path: &Path, bytes: Bytes, delimiter: u8, options: &Options) -> Result<Opened, Error> {
    let mut records = Records::new(bytes, delimiter);
    let header = header(path, &mut records)?;
    let columns = header.iter().map(|name| Column { name: name.clone(), kind: "string".to_owned() }).collect();
    let names = header.into_iter().map(|name| options.wants(&name).then_some(name)).collect();
    let cut = Cut { path: path.to_owned(), names };
    let rows = Grouped(Some(move || {
        let found = records.next();
        let line = records.line();
        match found {
            Ok(Found::End) => Ok(None),
            Ok(Found::Record) => Ok(Some(cut.row(line, records.fields()))),
            Ok(Found::Broken(why)) => Ok(Some(Err(cut.at(line, why)))),
            Err(error) => Err(cut.at(line, error)),
        }
    }));
    Ok(Opened::untyped(columns, rows))
}

fn header(path: &Path, records: &mut Records) -> Result<Vec<String>, Error> {
    let found = records.next().map_err(Error::file("read", path))?;
    let broken = |why: &str| Error::broken(path, format!("line {}: {why}", records.line()));
    match found {
        Found::End => return Ok(Vec::new()),
        Found::Broken(why) => return Err(broken(why)),
        Found::Record => {}
    }
    let names = records.fields().iter().map(|name| std::str::from_utf8(name).map(str::to_owned));
    let names: Vec<String> = names.collect::<Result<_, _>>().map_err(|_| broken("a column's name is no UTF-8"))?;
    let mut seen = BTreeSet::new();
    match names.iter().find(|name| !seen.insert(name.as_str())) {
        None => Ok(names),
        Some(name) => Err(broken(&format!("column `{name}` stands twice"))),
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

    fn row(&self, line: u64, fields: &Fields) -> Result<Row, String> {
        let (found, wanted) = (fields.len(), self.names.len());
        if found != wanted {
            return Err(self.at(line, format_args!("{found} fields where the first line names {wanted} columns")));
        }
        let mut row = Row::new();
        for (name, value) in self.names.iter().zip(fields.iter()) {
            let Some(name) = name else { continue };
            let text =
                std::str::from_utf8(value).map_err(|_| self.at(line, format_args!("column `{name}` is no UTF-8")))?;
            let value = if text.is_empty() { Value::Null } else { Value::from(text) };
            row.insert(name.clone(), value);
        }
        Ok(row)
    }
}
