//! The formats that rows are written in.
use super::{
    ANSWER, Fields,
    columns::{Target, batch, schema, text},
};
use crate::{Answer, Format, Row, walk::Piece};
use arrow_schema::SchemaRef;
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};
use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;
use std::{
    fs::File,
    io::{BufWriter, Write},
};

type Out = BufWriter<File>;

/// A row group is held in memory until it is written.
const GROUP_ROWS: usize = 128 << 10;
const GROUP_BYTES: usize = 32 << 20;

pub struct Sheet {
    form: Form,
    fields: Fields,
}

enum Form {
    Parquet { to: Box<ArrowWriter<Out>>, schema: SchemaRef, kept: Target },
    Csv { to: Box<csv::Writer<Out>>, kept: Vec<String> },
    Jsonl { to: Out, kept: Vec<String>, names: Vec<String> },
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Sheet {
    pub fn new(format: Format, to: Out, kept: Target, fields: Fields, prefix: &str) -> Result<Self, String> {
        Ok(Self { form: Form::new(format, to, kept, &fields, prefix)?, fields })
    }

    pub fn write(&mut self, piece: &Piece, answers: &[Answer]) -> Result<(), String> {
        if let Form::Parquet { to, schema, kept } = &mut self.form {
            return to.write(&batch(schema, kept, &self.fields, piece, answers)?).map_err(said);
        }
        for (taken, answer) in piece.taken.iter().zip(answers) {
            // A row that cannot be read has nothing to keep.
            let row = piece.rows.row(taken.at).unwrap_or_default();
            let answer: Vec<Value> = values(answer).into_iter().chain(self.fields.values(answer)).collect();
            self.form.row(&row, &answer)?;
        }
        Ok(())
    }

    pub fn finish(self) -> Result<Out, String> {
        match self.form {
            Form::Parquet { to, .. } => to.into_inner().map_err(said),
            Form::Csv { to, .. } => to.into_inner().map_err(said),
            Form::Jsonl { to, .. } => Ok(to),
        }
    }
}

impl Form {
    fn new(format: Format, to: Out, kept: Target, fields: &Fields, prefix: &str) -> Result<Self, String> {
        let names = ANSWER.into_iter().chain(fields.iter().map(|(name, _)| name));
        let names: Vec<String> = names.map(|name| format!("{prefix}{name}")).collect();
        let plain = || kept.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        match format {
            Format::Csv | Format::Tsv => {
                let delimiter = if format == Format::Tsv { b'\t' } else { b',' };
                let mut to = csv::WriterBuilder::new().delimiter(delimiter).from_writer(to);
                to.write_record(plain().iter().chain(&names)).map_err(said)?;
                Ok(Self::Csv { to: Box::new(to), kept: plain() })
            }
            Format::Jsonl => Ok(Self::Jsonl { to, kept: plain(), names }),
            _ => {
                let schema = schema(&kept, fields, prefix);
                let properties = WriterProperties::builder()
                    .set_compression(Compression::SNAPPY)
                    .set_max_row_group_row_count(Some(GROUP_ROWS))
                    .set_max_row_group_bytes(Some(GROUP_BYTES));
                let to = ArrowWriter::try_new(to, schema.clone(), Some(properties.build())).map_err(said)?;
                Ok(Self::Parquet { to: Box::new(to), schema, kept })
            }
        }
    }

    fn row(&mut self, row: &Row, answer: &[Value]) -> Result<(), String> {
        match self {
            Self::Parquet { .. } => Ok(()),
            Self::Csv { to, kept } => {
                let kept = kept.iter().map(|name| row.get(name).unwrap_or(&Value::Null));
                to.write_record(kept.chain(answer).map(text)).map_err(said)
            }
            Self::Jsonl { to, kept, names } => {
                let mut json = serde_json::Serializer::new(&mut *to);
                let mut line = json.serialize_map(None).map_err(said)?;
                for name in kept {
                    line.serialize_entry(name, row.get(name).unwrap_or(&Value::Null)).map_err(said)?;
                }
                for (name, value) in names.iter().zip(answer) {
                    line.serialize_entry(name, value).map_err(said)?;
                }
                line.end().map_err(said)?;
                to.write_all(b"\n").map_err(said)
            }
        }
    }
}

/// In the order of [`ANSWER`].
fn values(answer: &Answer) -> [Value; 8] {
    let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::from);
    let count = |count: Option<i64>| count.map_or(Value::Null, Value::from);
    [
        text(&answer.response),
        text(&answer.error),
        text(&answer.finish_reason),
        count(answer.prompt_tokens),
        count(answer.completion_tokens),
        text(&answer.model),
        text(&answer.request_id),
        text(&answer.request_hash),
    ]
}
