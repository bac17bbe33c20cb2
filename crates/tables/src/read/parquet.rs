//! Parquet, a row group after the other. What is left of a broken row group is told row by row.
use super::{BATCH_ROWS, Opened, Options, Rows, at};
use crate::{
    Error, Named, Packing,
    open::Bytes,
    source::{Blocks, Cursor},
};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{
            ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
        },
    },
    errors::ParquetError,
    file::reader::{ChunkReader, Length},
};
use std::{
    fs::File,
    io::{BufReader, Read},
    path::PathBuf,
    sync::Arc,
};

/// What is read in pieces from anywhere.
#[derive(Clone)]
enum Chunks {
    Here(Arc<File>),
    Elsewhere(Arc<Blocks>),
}

impl Chunks {
    fn open(Named { path, remote, .. }: &Named) -> Result<Self, Error> {
        if let Some(remote) = remote {
            return Ok(Self::Elsewhere(Blocks::of(remote)));
        }
        let file = File::open(path).map_err(Error::file("read", path))?;
        if !file.metadata().map_err(Error::file("read", path))?.is_file() {
            return Err(Error::broken(
                path,
                "Parquet is read from its end, so a pipe cannot give it; save it as a file",
            ));
        }
        Ok(Self::Here(file.into()))
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        match self {
            Self::Here(file) => file.len(),
            Self::Elsewhere(blocks) => blocks.bytes(),
        }
    }
}

impl ChunkReader for Chunks {
    type T = Box<dyn Read + Send>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(match self {
            Self::Here(file) => Box::new(file.get_read(start)?),
            Self::Elsewhere(blocks) => Box::new(BufReader::new(Cursor::at(blocks, start))),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<bytes::Bytes, ParquetError> {
        match self {
            Self::Here(file) => file.get_bytes(start, length),
            Self::Elsewhere(blocks) => Ok(blocks.range(start..start + length as u64)?),
        }
    }
}

pub fn open(file: &Named, bytes: Bytes, packing: Option<Packing>, options: &Options) -> Result<Opened, Error> {
    drop(bytes);
    let path = &file.path;
    if packing.is_some() {
        return Err(Error::broken(path, "a Parquet file is packed inside; unpack this one and give it as it was"));
    }
    let chunks = Chunks::open(file)?;
    let about = ArrowReaderMetadata::load(&chunks, ArrowReaderOptions::new())
        .map_err(|error| Error::broken(path, format!("no whole Parquet file: {error}")))?;
    let schema = about.schema().clone();
    let sizes =
        about.metadata().row_groups().iter().map(|group| u64::try_from(group.num_rows()).unwrap_or(0)).collect();
    let groups = about.metadata().num_row_groups();
    let total = about.metadata().file_metadata().num_rows().try_into().ok();
    let wanted = options.places(&schema);
    let groups = Groups { path: path.to_owned(), chunks, about, wanted, groups, group: 0, left: 0, open: None };
    Ok(Opened { groups: sizes, ..Opened::typed(schema, total, groups) })
}

struct Groups {
    path: PathBuf,
    chunks: Chunks,
    about: ArrowReaderMetadata,
    /// Columns, by number.
    wanted: Vec<usize>,
    groups: usize,
    /// The next one.
    group: usize,
    /// Rows of the open one.
    left: usize,
    open: Option<ParquetRecordBatchReader>,
}

impl Groups {
    fn begin(&mut self) -> Result<(), ParquetError> {
        let rows = self.about.metadata().row_group(self.group).num_rows();
        self.left = usize::try_from(rows).unwrap_or(0);
        self.group += 1;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.chunks.clone(), self.about.clone());
        let mask = ProjectionMask::roots(builder.parquet_schema(), self.wanted.iter().copied());
        let builder = builder.with_row_groups(vec![self.group - 1]).with_projection(mask);
        self.open = Some(builder.with_batch_size(BATCH_ROWS).build()?);
        Ok(())
    }

    /// The rest of the open row group, as rows that cannot be read.
    fn lost(&mut self, why: impl std::fmt::Display) -> Rows {
        let (rows, group) = (std::mem::take(&mut self.left), self.group - 1);
        self.open = None;
        Rows::Lost { rows, reason: at(&self.path, format_args!("row group {group}"), why) }
    }
}

impl Iterator for Groups {
    type Item = Rows;

    fn next(&mut self) -> Option<Rows> {
        loop {
            if let Some(open) = &mut self.open {
                match open.next() {
                    Some(Ok(batch)) => {
                        self.left = self.left.saturating_sub(batch.num_rows());
                        return Some(Rows::Table(batch));
                    }
                    Some(Err(error)) => return Some(self.lost(error)),
                    None if self.left > 0 => return Some(self.lost("it holds fewer rows than the file says")),
                    None => self.open = None,
                }
            }
            if self.group == self.groups {
                return None;
            }
            if let Err(error) = self.begin() {
                return Some(self.lost(error));
            }
        }
    }
}
