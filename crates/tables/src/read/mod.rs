//! Rows of one file, a batch at a time.
mod arrow;
mod csv;
mod json;
mod parquet;
mod text;

use crate::{
    Error, Files, Format, Named, Packing, open as unpack,
    parts::{self, Parts},
    value,
};
use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use serde_json::{Map, Value};
use std::{collections::BTreeSet, path::Path};

/// Rows read at once.
pub(crate) const BATCH_ROWS: usize = 1_024;
/// The column of plain text.
pub const TEXT: &str = "text";

/// The values of a row, by column.
pub type Row = Map<String, Value>;

/// A column, and its type as people read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub kind: String,
}

/// What the user says of files, where they do not tell it themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Said {
    /// None: a file's name and its first bytes tell.
    pub format: Option<Format>,
    /// Between the values of CSV and TSV. None: a comma, a tab.
    pub delimiter: Option<u8>,
}

/// How a file is read.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub said: Said,
    /// Only these columns, where the format can leave out others. None: all.
    pub columns: Option<BTreeSet<String>>,
}

impl Options {
    fn wants(&self, column: &str) -> bool {
        self.columns.as_ref().is_none_or(|columns| columns.contains(column))
    }

    /// The numbers of those that are read.
    fn places(&self, schema: &Schema) -> Vec<usize> {
        let fields = schema.fields().iter().enumerate();
        fields.filter(|(_, field)| self.wants(field.name())).map(|(at, _)| at).collect()
    }
}

/// Some rows of a file.
#[derive(Debug, Clone)]
pub enum Rows {
    /// Of a format that has types.
    Table(RecordBatch),
    /// Of one that has none; a row that cannot be read has the reason.
    Objects(Vec<Result<Row, String>>),
    /// So many rows that cannot be read, for this reason.
    Lost { rows: usize, reason: String },
}

impl Rows {
    pub fn count(&self) -> usize {
        match self {
            Self::Table(batch) => batch.num_rows(),
            Self::Objects(rows) => rows.len(),
            Self::Lost { rows, .. } => *rows,
        }
    }

    /// One value of row `at`.
    pub fn field(&self, at: usize, column: &str) -> Result<Option<Value>, String> {
        match self {
            Self::Table(batch) => {
                let column = batch.column_by_name(column).map(|values| value::of(values, at));
                column.transpose()
            }
            Self::Objects(rows) => rows[at].as_ref().map(|row| row.get(column).cloned()).map_err(Clone::clone),
            Self::Lost { reason, .. } => Err(reason.clone()),
        }
    }

    /// Row `at` of these, of the columns that were read; or why there is none.
    pub fn row(&self, at: usize) -> Result<Row, String> {
        match self {
            Self::Table(batch) => value::row(batch, at),
            Self::Objects(rows) => rows[at].clone(),
            Self::Lost { reason, .. } => Err(reason.clone()),
        }
    }
}

/// An open file.
pub struct Reader {
    pub format: Format,
    pub packing: Option<Packing>,
    /// All of the file's, in its order. Of JSONL those of its first rows.
    pub columns: Vec<Column>,
    /// Rows, where the file says so.
    pub total: Option<u64>,
    /// Rows of each row group, where the format has such.
    pub groups: Vec<u64>,
    /// The types of all columns, where the format has types.
    pub schema: Option<SchemaRef>,
    /// It has neither columns nor rows that name some.
    pub is_empty: bool,
    rows: Box<dyn Iterator<Item = Rows> + Send>,
}

impl Reader {
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }
}

impl Iterator for Reader {
    type Item = Rows;

    fn next(&mut self) -> Option<Rows> {
        self.rows.next()
    }
}

/// The columns of a file.
pub fn columns_of(path: &Path, options: &Options) -> Result<Vec<Column>, Error> {
    open(path, options).map(|reader| reader.columns)
}

/// Opens a file of this machine.
pub fn open(path: &Path, options: &Options) -> Result<Reader, Error> {
    named(&path.into(), options)
}

/// The first file that names columns, and which it is: tools leave files without rows among others. None does: the last.
pub fn first(files: &Files, options: &Options) -> Result<(usize, Reader), Error> {
    let last = files.all().len() - 1;
    for (at, file) in files.all()[..last].iter().enumerate() {
        let reader = named(file, options)?;
        if !reader.is_empty {
            return Ok((at, reader));
        }
    }
    Ok((last, named(&files.all()[last], options)?))
}

/// Opens a file. What is broken in the middle of it is told as rows.
pub fn named(file: &Named, options: &Options) -> Result<Reader, Error> {
    let (bytes, format, packing) = unpack::open(file, options.said.format)?;
    let path = &file.path;
    let Opened { columns, total, groups, schema, rows } = match format {
        Format::Parquet => parquet::open(file, bytes, packing, options)?,
        Format::Arrow => arrow::open(path, bytes, options)?,
        Format::Csv => csv::open(path, bytes, options.said.delimiter.unwrap_or(b','), options)?,
        Format::Tsv => csv::open(path, bytes, options.said.delimiter.unwrap_or(b'\t'), options)?,
        Format::Jsonl => json::open(path, bytes),
        Format::Text => text::open(path, bytes),
    };
    let is_empty = columns.is_empty();
    let reader = Reader { format, packing, columns, total, groups, schema, is_empty, rows };
    Ok(with_parts(reader, &file.parts, options))
}

/// The file's own columns win over those of its path.
fn with_parts(reader: Reader, parts: &Parts, options: &Options) -> Reader {
    let mut parts = parts.clone();
    parts.retain(|name, _| !reader.names().any(|own| own == name));
    if parts.is_empty() {
        return reader;
    }
    let Reader { mut columns, schema, rows, .. } = reader;
    columns.extend(parts.keys().map(|name| Column { name: name.clone(), kind: "string".to_owned() }));
    let schema = schema.map(|schema| parts::schema(&schema, &parts));
    parts.retain(|name, _| options.wants(name));
    let rows = Box::new(rows.map(move |rows| parts::beside(rows, &parts)));
    Reader { columns, schema, rows, ..reader }
}

/// What a format's reader knows of a file.
struct Opened {
    columns: Vec<Column>,
    total: Option<u64>,
    groups: Vec<u64>,
    schema: Option<SchemaRef>,
    rows: Box<dyn Iterator<Item = Rows> + Send>,
}

impl Opened {
    fn untyped(columns: Vec<Column>, rows: impl Iterator<Item = Rows> + Send + 'static) -> Self {
        Self { columns, total: None, groups: Vec::new(), schema: None, rows: Box::new(rows) }
    }

    fn typed(schema: SchemaRef, total: Option<u64>, rows: impl Iterator<Item = Rows> + Send + 'static) -> Self {
        Self { columns: typed(&schema), total, groups: Vec::new(), schema: Some(schema), rows: Box::new(rows) }
    }
}

/// What is said of a place in a file.
fn at(path: &Path, place: impl std::fmt::Display, why: impl std::fmt::Display) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    format!("{name}, {place}: {why}")
}

fn typed(schema: &Schema) -> Vec<Column> {
    let fields = schema.fields().iter();
    fields.map(|field| Column { name: field.name().clone(), kind: value::kind(field.data_type()) }).collect()
}

/// Groups rows into batches; ends after the first piece of a file that cannot be read.
struct Grouped<F>(Option<F>);

/// The next row of a file; an error ends it.
type Next = Result<Option<Result<Row, String>>, String>;

impl<F: FnMut() -> Next> Iterator for Grouped<F> {
    type Item = Rows;

    fn next(&mut self) -> Option<Rows> {
        let next = self.0.as_mut()?;
        let mut rows = Vec::new();
        let mut bytes = 0;
        while rows.len() < BATCH_ROWS && bytes < BATCH_BYTES {
            match next() {
                Ok(Some(row)) => {
                    bytes += row.as_ref().map_or(0, weight);
                    rows.push(row);
                }
                end => {
                    self.0 = None;
                    // What is broken ends as a row that says so.
                    rows.extend(end.err().map(Err));
                    break;
                }
            }
        }
        (!rows.is_empty()).then_some(Rows::Objects(rows))
    }
}

/// Bytes of a batch's texts, nearly.
const BATCH_BYTES: usize = 8 << 20;

fn weight(row: &Row) -> usize {
    row.values().map(|value| value.as_str().map_or(16, str::len)).sum()
}

#[cfg(test)]
mod tests;
