//! Files that lie elsewhere: read in ranges, as an object of a store is. What was read is kept in blocks, so that the pages of
//! a few columns, which are read in turn, are not fetched for each page anew.
use bytes::{Bytes, BytesMut};
use std::{
    fmt,
    io::{self, Read},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

/// Fetched at once.
const BLOCK_BYTES: u64 = 1 << 20;
/// Kept of one open file: with [`BLOCK_BYTES`] all the memory that it takes.
const BLOCKS: usize = 32;

/// Some bytes that stay as they are while they are read.
pub trait Source: Send + Sync {
    fn bytes(&self) -> u64;

    /// All of the range, which lies within the file. It blocks.
    fn read(&self, range: Range<u64>) -> io::Result<Bytes>;
}

/// A source among the files of an input. Cheap to clone.
#[derive(Clone)]
pub struct Remote(pub Arc<dyn Source>);

impl PartialEq for Remote {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Remote {}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes elsewhere", self.0.bytes())
    }
}

/// An open source.
pub struct Blocks {
    source: Arc<dyn Source>,
    /// The latest last.
    kept: Mutex<Vec<(u64, Bytes)>>,
}

impl Blocks {
    pub fn of(remote: &Remote) -> Arc<Self> {
        Arc::new(Self { source: remote.0.clone(), kept: Mutex::default() })
    }

    pub fn bytes(&self) -> u64 {
        self.source.bytes()
    }

    pub fn range(self: &Arc<Self>, range: Range<u64>) -> io::Result<Bytes> {
        let bytes = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
        let mut all = BytesMut::zeroed(bytes);
        Cursor::at(self, range.start).read_exact(&mut all)?;
        Ok(all.freeze())
    }

    fn block(&self, number: u64) -> io::Result<Bytes> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = kept.iter().position(|(kept, _)| *kept == number) {
            let found = kept.remove(at);
            kept.push(found);
            return Ok(kept[kept.len() - 1].1.clone());
        }
        let start = number * BLOCK_BYTES;
        let block = self.source.read(start..self.bytes().min(start + BLOCK_BYTES))?;
        if kept.len() == BLOCKS {
            kept.remove(0);
        }
        kept.push((number, block.clone()));
        Ok(block)
    }
}

/// A source from some place on.
pub struct Cursor {
    blocks: Arc<Blocks>,
    at: u64,
}

impl Cursor {
    pub fn at(blocks: &Arc<Blocks>, at: u64) -> Self {
        Self { blocks: blocks.clone(), at }
    }
}

impl Read for Cursor {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.blocks.bytes() || to.is_empty() {
            return Ok(0);
        }
        let block = self.blocks.block(self.at / BLOCK_BYTES)?;
        let within = usize::try_from(self.at % BLOCK_BYTES).map_err(io::Error::other)?;
        let rest = block.get(within..).unwrap_or_default();
        let bytes = rest.len().min(to.len());
        to[..bytes].copy_from_slice(&rest[..bytes]);
        self.at += bytes as u64;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Zeros(AtomicUsize);

    impl Source for Zeros {
        fn bytes(&self) -> u64 {
            40 * BLOCK_BYTES + 7
        }

        fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(vec![u8::try_from(range.start / BLOCK_BYTES).unwrap(); (range.end - range.start) as usize].into())
        }
    }

    #[test]
    fn what_is_read_in_turn_is_fetched_once_and_no_more_is_kept_than_so_much() {
        let source = Arc::new(Zeros(AtomicUsize::new(0)));
        let blocks = Blocks::of(&Remote(source.clone()));
        for turn in 0..100 {
            for column in 0..8 {
                let at = column * 2 * BLOCK_BYTES + turn * 100;
                assert_eq!(blocks.range(at..at + 100).unwrap()[0], (column * 2) as u8);
            }
        }
        assert_eq!(source.0.load(Ordering::Relaxed), 8);
        let mut all = Vec::new();
        Cursor::at(&blocks, 0).read_to_end(&mut all).unwrap();
        assert_eq!((all.len() as u64, all.last()), (source.bytes(), Some(&40)));
        assert_eq!(blocks.kept.lock().unwrap().len(), BLOCKS);
        assert!(blocks.range(source.bytes() - 1..source.bytes() + 1).is_err());
    }
}
