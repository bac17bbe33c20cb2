//! Columns that stand in a file's path, as Spark and Hive lay out folders: `date=2024-01-01/lang=de/part-0.parquet`.
use crate::{Row, Rows};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray, new_null_array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Component, Path},
    sync::Arc,
};

/// What a null is written as in a path.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The values of a path by column. The last of a column that stands twice counts.
pub type Parts = BTreeMap<String, Option<String>>;

/// The components of a path that lead somewhere.
pub fn steps(path: &Path) -> impl Iterator<Item = Component<'_>> {
    path.components().filter(|step| *step != Component::CurDir)
}

/// What the folders of a path say, but for the first `above`.
pub fn of(path: &Path, above: usize) -> Parts {
    let folders = path.parent().into_iter().flat_map(steps);
    folders.skip(above).filter_map(|folder| part(&folder.as_os_str().to_string_lossy())).collect()
}

fn part(folder: &str) -> Option<(String, Option<String>)> {
    let (name, value) = folder.split_once('=').filter(|(name, _)| !name.is_empty())?;
    let plain = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
    Some((plain(name), (value != NULL).then(|| plain(value))))
}

/// The same columns for all files: null where a path has no such.
pub fn level<'a>(all: impl Iterator<Item = &'a Parts>) -> Parts {
    all.flat_map(Parts::keys).map(|name| (name.clone(), None)).collect()
}

/// The types of a file's columns with those of its path.
pub fn schema(of: &Schema, parts: &Parts) -> SchemaRef {
    let more = parts.keys().map(|name| Arc::new(Field::new(name, DataType::Utf8, true)));
    let fields: Vec<_> = of.fields().iter().cloned().chain(more).collect();
    Arc::new(Schema::new(fields))
}

/// Rows with the columns of their file's path beside their own.
pub fn beside(rows: Rows, parts: &Parts) -> Rows {
    match rows {
        Rows::Table(batch) => match table(&batch, parts) {
            Ok(batch) => Rows::Table(batch),
            Err(error) => Rows::Lost { rows: batch.num_rows(), reason: error.to_string() },
        },
        Rows::Objects(mut rows) => {
            rows.iter_mut().flatten().for_each(|row| fill(row, parts));
            Rows::Objects(rows)
        }
        lost @ Rows::Lost { .. } => lost,
    }
}

fn fill(row: &mut Row, parts: &Parts) {
    for (name, value) in parts {
        row.entry(name.clone()).or_insert_with(|| value.clone().map_or(Value::Null, Value::String));
    }
}

fn table(batch: &RecordBatch, parts: &Parts) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let rows = batch.num_rows();
    let column = |value: &Option<String>| -> ArrayRef {
        match value {
            Some(text) => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows))),
            None => new_null_array(&DataType::Utf8, rows),
        }
    };
    let columns = batch.columns().iter().cloned().chain(parts.values().map(column)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema(batch.schema_ref(), parts), columns, &options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_a_path_are_columns() {
        let path = Path::new("a/date=2024-01-01/lang=d%20e/lang=fr%2Fca/none=__HIVE_DEFAULT_PARTITION__/=x/k=v.csv");
        let said: Vec<_> = of(path, 1).into_iter().collect();
        let some = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        assert_eq!(said, [some("date", "2024-01-01"), some("lang", "fr/ca"), ("none".to_owned(), None)]);
        assert_eq!(of(path, 4), Parts::from([("none".to_owned(), None)]));
    }
}
