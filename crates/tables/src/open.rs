//! A file as a stream of plain bytes, whatever it is packed with.
use crate::{
    Error, Format, Named, Packing,
    source::{Blocks, Cursor},
};
use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

pub type Bytes = Box<dyn BufRead + Send>;

const BLOCK_BYTES: usize = 128 << 10;
/// What `-` stands for.
pub const STDIN: &str = "-";

/// The plain bytes of a file, its format, and whether it is packed.
pub fn open(file: &Named, said: Option<Format>) -> Result<(Bytes, Format, Option<Packing>), Error> {
    let path = &file.path;
    let read = Error::file("read", path);
    let opened = || -> io::Result<_> {
        let mut raw = source(file)?;
        let packing = Packing::of_bytes(raw.fill_buf()?);
        let mut bytes = unpacked(raw, packing)?;
        let seen = Format::of_bytes(bytes.fill_buf()?);
        Ok((bytes, packing, seen))
    };
    let (bytes, packing, seen) = opened().map_err(read)?;
    let format = format(path, said, seen)?;
    Ok((bytes, format, packing))
}

/// The user's word, else a mark that only one format has, else the name.
fn format(path: &Path, said: Option<Format>, seen: Option<Format>) -> Result<Format, Error> {
    let marked = seen.filter(|format| format.is_binary());
    said.or(marked).or_else(|| Format::of_name(path)).or(seen).ok_or_else(|| {
        Error::broken(
            path,
            "neither its name nor its first bytes tell the format; say --format csv, tsv, jsonl or text",
        )
    })
}

fn source(Named { path, remote, .. }: &Named) -> io::Result<Bytes> {
    if let Some(remote) = remote {
        return Ok(Box::new(BufReader::with_capacity(BLOCK_BYTES, Cursor::at(&Blocks::of(remote), 0))));
    }
    if path == Path::new(STDIN) {
        return Ok(Box::new(BufReader::with_capacity(BLOCK_BYTES, io::stdin())));
    }
    Ok(Box::new(BufReader::with_capacity(BLOCK_BYTES, File::open(path)?)))
}

fn unpacked(raw: Bytes, packing: Option<Packing>) -> io::Result<Bytes> {
    fn buffered(from: impl Read + Send + 'static) -> Bytes {
        Box::new(BufReader::with_capacity(BLOCK_BYTES, from))
    }
    Ok(match packing {
        None => raw,
        Some(Packing::Gzip) => buffered(MultiGzDecoder::new(raw)),
        Some(Packing::Zstd) => buffered(zstd::stream::read::Decoder::with_buffer(raw)?),
        Some(Packing::Bzip2) => buffered(MultiBzDecoder::new(raw)),
    })
}
