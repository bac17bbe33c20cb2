//! The columns of a table that is written, with types.
use super::Fields;
use crate::{
    Answer, Rows, value,
    walk::{Piece, Taken},
};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, UInt32Array, new_null_array,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde_json::Value;
use std::sync::Arc;

/// The input's columns that are kept, each with its type.
pub type Target = Vec<(String, DataType)>;

/// What a column without a type was found to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Nothing,
    Boolean,
    Integer,
    Number,
    Text,
    /// Written as JSON text.
    Any,
}

/// The kinds of columns that have no types, found by looking at all their values.
#[derive(Debug, Default)]
pub struct Found(Vec<(String, Kind)>);

impl Kind {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Nothing,
            Value::Bool(_) => Self::Boolean,
            Value::Number(number) if number.is_i64() => Self::Integer,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::Text,
            Value::Array(_) | Value::Object(_) => Self::Any,
        }
    }

    const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, kind) | (kind, Self::Nothing) => kind,
            (Self::Boolean, Self::Boolean) => Self::Boolean,
            (Self::Integer, Self::Integer) => Self::Integer,
            (Self::Integer | Self::Number, Self::Integer | Self::Number) => Self::Number,
            (Self::Text, Self::Text) => Self::Text,
            _ => Self::Any,
        }
    }

    pub const fn data_type(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Integer => DataType::Int64,
            Self::Number => DataType::Float64,
            Self::Nothing | Self::Text | Self::Any => DataType::Utf8,
        }
    }
}

impl Found {
    pub fn new(names: &[String]) -> Self {
        Self(names.iter().map(|name| (name.clone(), Kind::Nothing)).collect())
    }

    pub fn look(&mut self, rows: &Rows) {
        let Rows::Objects(rows) = rows else { return };
        for row in rows.iter().filter_map(|row| row.as_ref().ok()) {
            for (name, kind) in &mut self.0 {
                *kind = kind.and(row.get(name).map_or(Kind::Nothing, Kind::of));
            }
        }
    }

    pub fn target(self) -> Target {
        self.0.into_iter().map(|(name, kind)| (name, kind.data_type())).collect()
    }
}

/// The schema of a table: what is kept, the answers, and their fields.
pub fn schema(kept: &Target, fields: &Fields, prefix: &str) -> SchemaRef {
    let kept = kept.iter().map(|(name, kind)| Field::new(name, kind.clone(), true));
    let answers = super::ANSWER.iter().map(|name| {
        let kind = if name.ends_with("_tokens") { DataType::Int64 } else { DataType::Utf8 };
        Field::new(format!("{prefix}{name}"), kind, true)
    });
    let fields = fields.iter().map(|(name, kind)| Field::new(format!("{prefix}{name}"), kind.clone(), true));
    Arc::new(Schema::new(kept.chain(answers).chain(fields).collect::<Vec<_>>()))
}

pub fn batch(
    schema: &SchemaRef,
    kept: &Target,
    fields: &Fields,
    piece: &Piece,
    answers: &[Answer],
) -> Result<RecordBatch, String> {
    let mut columns = Vec::new();
    for (name, kind) in kept {
        columns.push(column(piece, name, kind)?);
    }
    columns.extend(beside(answers));
    let said: Vec<Vec<Value>> = answers.iter().map(|answer| fields.values(answer)).collect();
    for (at, (name, kind)) in fields.iter().enumerate() {
        columns.push(built(said.iter().map(|row| Some(&row[at]).filter(|value| !value.is_null())), name, kind)?);
    }
    RecordBatch::try_new(schema.clone(), columns).map_err(|error| error.to_string())
}

fn beside(answers: &[Answer]) -> [ArrayRef; 8] {
    let texts =
        |of: fn(&Answer) -> Option<&str>| -> ArrayRef { Arc::new(StringArray::from_iter(answers.iter().map(of))) };
    let counts =
        |of: fn(&Answer) -> Option<i64>| -> ArrayRef { Arc::new(Int64Array::from_iter(answers.iter().map(of))) };
    [
        texts(|answer| answer.response.as_deref()),
        texts(|answer| answer.error.as_deref()),
        texts(|answer| answer.finish_reason.as_deref()),
        counts(|answer| answer.prompt_tokens),
        counts(|answer| answer.completion_tokens),
        texts(|answer| answer.model.as_deref()),
        texts(|answer| answer.request_id.as_deref()),
        texts(|answer| answer.request_hash.as_deref()),
    ]
}

/// One kept column of the rows that are taken.
fn column(piece: &Piece, name: &str, kind: &DataType) -> Result<ArrayRef, String> {
    let nulls = || new_null_array(kind, piece.taken.len());
    match &piece.rows {
        Rows::Lost { .. } => Ok(nulls()),
        Rows::Table(batch) => {
            batch.column_by_name(name).map_or_else(|| Ok(nulls()), |values| taken(values, &piece.taken, name, kind))
        }
        Rows::Objects(rows) => {
            let value = |taken: &Taken| {
                rows[taken.at].as_ref().ok().and_then(|row| row.get(name)).filter(|value| !value.is_null())
            };
            built(piece.taken.iter().map(value), name, kind)
        }
    }
}

fn taken(values: &ArrayRef, taken: &[Taken], name: &str, kind: &DataType) -> Result<ArrayRef, String> {
    if values.data_type() != kind {
        return as_text(values, taken)
            .filter(|_| *kind == DataType::Utf8)
            .ok_or_else(|| unlike(name, values.data_type(), kind));
    }
    if taken.len() == values.len() {
        return Ok(values.clone());
    }
    let places = UInt32Array::from_iter_values(taken.iter().map(|taken| taken.at as u32));
    arrow_select::take::take(values, &places, None).map_err(|error| error.to_string())
}

/// Of a file with types after one without: every column is text there.
fn as_text(values: &ArrayRef, taken: &[Taken]) -> Option<ArrayRef> {
    let values: Result<Vec<Value>, String> = taken.iter().map(|taken| value::of(values, taken.at)).collect();
    let texts = values.ok()?.into_iter().map(|value| (!value.is_null()).then(|| text(&value)));
    Some(Arc::new(StringArray::from_iter(texts)))
}

fn unlike(name: &str, found: &DataType, wanted: &DataType) -> String {
    format!("column `{name}` is {found} in one file and {wanted} in the first; leave it out with --keep")
}

fn built<'a>(values: impl Iterator<Item = Option<&'a Value>>, name: &str, kind: &DataType) -> Result<ArrayRef, String> {
    Ok(match kind {
        DataType::Boolean => Arc::new(BooleanArray::from_iter(values.map(|value| value?.as_bool()))),
        DataType::Int64 => Arc::new(Int64Array::from_iter(values.map(|value| value?.as_i64()))),
        DataType::Float64 => Arc::new(Float64Array::from_iter(values.map(|value| value?.as_f64()))),
        DataType::Utf8 => Arc::new(StringArray::from_iter(values.map(|value| value.map(text)))),
        other => return Err(unlike(name, &DataType::Utf8, other)),
    })
}

/// A value as text: JSON, unless it is one.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
