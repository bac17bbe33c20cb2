//! Plain text: a row a line that is not blank, with the one column `text`.
use super::{Column, Grouped, Opened, Row, TEXT, at};
use crate::{
    lines::{self, Line},
    open::Bytes,
};
use serde_json::Value;
use std::path::Path;

pub fn open(path: &Path, mut bytes: Bytes) -> Opened {
    let columns = vec![Column { name: TEXT.to_owned(), kind: "string".to_owned() }];
    let (path, mut line, mut number) = (path.to_owned(), Vec::new(), 0u64);
    let rows = Grouped(Some(move || {
        loop {
            number += 1;
            let at = |why: &dyn std::fmt::Display| at(&path, format_args!("line {number}"), why);
            match lines::next(&mut bytes, &mut line) {
                Ok(Line::End) => return Ok(None),
                Ok(Line::Text) if line.trim_ascii().is_empty() => {}
                Ok(Line::Text) => return Ok(Some(row(&line, number).ok_or_else(|| at(&"no UTF-8")))),
                Ok(Line::TooLong) => return Ok(Some(Err(at(&"longer than 16 MiB")))),
                Err(error) => return Err(at(&error)),
            }
        }
    }));
    Opened::untyped(columns, rows)
}

fn row(line: &[u8], number: u64) -> Option<Row> {
    let mark = if number == 1 { &b"\xef\xbb\xbf"[..] } else { b"" };
    let text = std::str::from_utf8(line.strip_prefix(mark).unwrap_or(line)).ok()?;
    Some(Row::from_iter([(TEXT.to_owned(), Value::from(text))]))
}
