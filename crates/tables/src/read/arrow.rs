//! Arrow IPC: a stream, and a file, which is a stream between two marks.
use super::{BATCH_ROWS, Opened, Options, Rows, at};
use crate::{Error, open::Bytes};
use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use std::{
    io::{BufRead, Read},
    path::{Path, PathBuf},
};

const MARK: &[u8] = b"ARROW1";
/// The mark, filled up to eight bytes.
const MARK_BYTES: u64 = 8;

pub fn open(path: &Path, mut bytes: Bytes, options: &Options) -> Result<Opened, Error> {
    if bytes.fill_buf().map_err(Error::file("read", path))?.starts_with(MARK) {
        let mark = std::io::copy(&mut bytes.by_ref().take(MARK_BYTES), &mut std::io::sink());
        mark.map_err(Error::file("read", path))?;
    }
    let broken = |error| Error::broken(path, format!("no whole Arrow file or stream: {error}"));
    let stream = StreamReader::try_new(bytes, None).map_err(broken)?;
    let schema = stream.schema();
    let wanted = options.places(&schema);
    let batches = Batches { path: path.to_owned(), stream: Some(stream), wanted, number: 0, open: None };
    Ok(Opened::typed(schema, None, batches))
}

struct Batches {
    path: PathBuf,
    /// None: it has ended.
    stream: Option<StreamReader<Bytes>>,
    wanted: Vec<usize>,
    number: usize,
    /// A batch that is larger than what is given at once, and how far it was given.
    open: Option<(RecordBatch, usize)>,
}

impl Batches {
    fn piece(&mut self) -> Option<Rows> {
        let (batch, from) = self.open.take()?;
        let rows = BATCH_ROWS.min(batch.num_rows() - from);
        let piece = batch.slice(from, rows);
        if from + rows < batch.num_rows() {
            self.open = Some((batch, from + rows));
        }
        (rows > 0).then_some(Rows::Table(piece))
    }
}

impl Iterator for Batches {
    type Item = Rows;

    fn next(&mut self) -> Option<Rows> {
        loop {
            if let Some(piece) = self.piece() {
                return Some(piece);
            }
            let batch = self.stream.as_mut()?.next()?;
            match batch.and_then(|batch| batch.project(&self.wanted)) {
                Ok(batch) => self.open = Some((batch, 0)),
                Err(error) => {
                    self.stream = None;
                    return Some(Rows::Lost {
                        rows: 1,
                        reason: at(&self.path, format_args!("batch {}", self.number), error),
                    });
                }
            }
            self.number += 1;
        }
    }
}
