//! Tables out: what is kept of the rows, and the answers beside them. A file bears its name when it is whole.
mod columns;
mod fields;
mod place;
mod sheet;

use crate::{Answer, Error, Format, walk::Piece};
pub(crate) use columns::Found;
use columns::Target;
pub use fields::Fields;
pub use place::place;
use sheet::Sheet;
use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

/// What is said beside each row, in this order.
pub const ANSWER: [&str; 8] =
    ["response", "error", "finish_reason", "prompt_tokens", "completion_tokens", "model", "request_id", HASH];
/// The column that tells what was asked.
pub const HASH: &str = "request_hash";

/// Under another name until it is whole.
pub struct Writer {
    path: PathBuf,
    part: Part,
    sheet: Sheet,
}

/// A file that is not whole yet: it goes with who writes it.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Writer {
    /// By the name's end. `kept` are the input's columns, `fields` those of the answers' schema.
    pub fn create(path: &Path, kept: Target, fields: &Fields, prefix: &str) -> Result<Self, Error> {
        let format = format(path)?;
        let whole = place(path).map_err(Error::file("write", path))?;
        let path = whole
            .ok_or_else(|| Error::broken(path, "no file that can be replaced: a table is written to a new one"))?;
        let part = PathBuf::from(format!("{}.part", path.display()));
        let file = File::create(&part).map_err(Error::file("create", &part))?;
        let sheet = Sheet::new(format, BufWriter::new(file), kept, fields.clone(), prefix)
            .map_err(|why| Error::broken(&part, why))?;
        Ok(Self { path, part: Part(part), sheet })
    }

    pub(crate) fn write(&mut self, piece: &Piece, answers: &[Answer]) -> Result<(), Error> {
        self.sheet.write(piece, answers).map_err(|why| Error::broken(&self.path, why))
    }

    pub fn finish(self) -> Result<(), Error> {
        let Self { path, part, sheet } = self;
        let mut file = sheet.finish().map_err(|why| Error::broken(&path, why))?;
        file.flush().map_err(Error::file("write", &path))?;
        file.get_ref().sync_all().map_err(Error::file("write", &path))?;
        fs::rename(&part.0, &path).map_err(Error::file("write", &path))
    }
}

/// The formats that tables are written in.
pub fn format(path: &Path) -> Result<Format, Error> {
    match Format::of_name(path).filter(|_| crate::Packing::of_name(path).is_none()) {
        Some(format @ (Format::Parquet | Format::Csv | Format::Tsv | Format::Jsonl)) => Ok(format),
        _ => {
            Err(Error::Asked(format!("{} has no name of a table; use .parquet, .csv, .tsv or .jsonl", path.display())))
        }
    }
}
