//! Cuts an input into segments and chunks while it streams by. The same lines and the same [`Packing`] give the same
//! cut, so an intake that crashed repeats itself and its facts deduplicate.
use crate::{
    Pool,
    event::{ChunkPlan, SegmentPlan},
    limits::{CHUNK_BYTES_MAX, CHUNK_REQUESTS_MAX, SEGMENT_BYTES_MAX, SEGMENT_REQUESTS_MAX},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packing {
    pub segment_requests: u32,
    pub segment_bytes: u64,
    pub chunk_bytes: u32,
    /// Requests a chunk may hold, by pool; other pools take [`CHUNK_REQUESTS_MAX`].
    pub chunk_requests: BTreeMap<Pool, u32>,
}

impl Default for Packing {
    fn default() -> Self {
        Self {
            segment_requests: SEGMENT_REQUESTS_MAX,
            segment_bytes: SEGMENT_BYTES_MAX,
            chunk_bytes: CHUNK_BYTES_MAX,
            chunk_requests: BTreeMap::new(),
        }
    }
}

/// The open segment and its open chunk per pool.
#[derive(Debug)]
pub struct Packer {
    packing: Packing,
    next: u32,
    requests: u64,
    open: SegmentPlan,
    /// The open chunk of each of the open segment's pools, by the pool's index.
    last: Vec<Option<usize>>,
}

impl Packer {
    pub fn new(packing: Packing) -> Self {
        Self { packing, next: 0, requests: 0, open: empty(0, 0, 0), last: Vec::new() }
    }

    /// Requests taken so far.
    pub const fn requests(&self) -> u64 {
        self.requests
    }

    /// Segments closed so far, the one that [`Packer::finish`] gives included.
    pub const fn segments(&self) -> u32 {
        self.next
    }

    /// Takes the request whose line (with its line end) is at `offset .. offset + bytes`. Gives the segment before
    /// it when that one is full.
    pub fn push(&mut self, offset: u64, bytes: u32, pool: &Pool) -> Option<SegmentPlan> {
        let full = self.open.requests >= self.packing.segment_requests
            || offset + u64::from(bytes) - self.open.offset > self.packing.segment_bytes;
        let closed = if full && self.open.requests > 0 { self.finish() } else { None };
        if self.open.requests == 0 {
            self.open.offset = offset;
        }
        self.place(offset, bytes, pool);
        closed
    }

    /// Closes the open segment, if it holds anything.
    pub fn finish(&mut self) -> Option<SegmentPlan> {
        if self.open.requests == 0 {
            return None;
        }
        self.next += 1;
        self.last.clear();
        Some(std::mem::replace(&mut self.open, empty(self.next, 0, self.requests)))
    }

    fn place(&mut self, offset: u64, bytes: u32, pool: &Pool) {
        let pool = self.pool(pool);
        let index = self.open.requests;
        let at = match self.last[pool].filter(|&at| self.has_room(at, bytes)) {
            Some(at) => at,
            None => self.new_chunk(pool),
        };
        let chunk = &mut self.open.chunks[at];
        match chunk.runs.last_mut() {
            Some((first, count)) if *first + *count == index => *count += 1,
            _ => chunk.runs.push((index, 1)),
        }
        chunk.bytes += bytes;
        self.open.requests += 1;
        self.open.bytes = offset + u64::from(bytes) - self.open.offset;
        self.requests += 1;
    }

    fn has_room(&self, at: usize, bytes: u32) -> bool {
        let chunk = &self.open.chunks[at];
        let pool = &self.open.pools[usize::from(chunk.pool)];
        let most = self.packing.chunk_requests.get(pool).copied().unwrap_or(CHUNK_REQUESTS_MAX);
        chunk.requests() < most.clamp(1, CHUNK_REQUESTS_MAX) && chunk.bytes + bytes <= self.packing.chunk_bytes
    }

    fn new_chunk(&mut self, pool: usize) -> usize {
        let at = self.open.chunks.len();
        self.open.chunks.push(ChunkPlan { pool: pool as u16, runs: Vec::new(), bytes: 0 });
        self.last[pool] = Some(at);
        at
    }

    fn pool(&mut self, pool: &Pool) -> usize {
        if let Some(at) = self.open.pools.iter().position(|p| p == pool) {
            return at;
        }
        self.open.pools.push(pool.clone());
        self.last.push(None);
        self.open.pools.len() - 1
    }
}

fn empty(segment: u32, offset: u64, first: u64) -> SegmentPlan {
    SegmentPlan { segment, offset, bytes: 0, first, requests: 0, pools: Vec::new(), chunks: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pool(name: &str) -> Pool {
        name.parse().unwrap()
    }

    fn cut(lines: &[(u32, u8)], packing: &Packing) -> Vec<SegmentPlan> {
        let mut packer = Packer::new(packing.clone());
        let mut out = Vec::new();
        let mut offset = 0;
        for &(bytes, p) in lines {
            out.extend(packer.push(offset, bytes, &pool(["a", "b", "c"][usize::from(p)])));
            offset += u64::from(bytes);
        }
        out.extend(packer.finish());
        out
    }

    #[test]
    fn a_small_file_is_one_segment() {
        let packing = Packing { chunk_requests: [(pool("a"), 2)].into(), ..Packing::default() };
        let plan = cut(&[(10, 0), (10, 0), (10, 0)], &packing);
        assert_eq!(plan.len(), 1);
        assert_eq!(plan[0].chunks.iter().map(|c| c.runs.clone()).collect::<Vec<_>>(), [[(0, 2)], [(2, 1)]]);
    }

    #[test]
    fn pools_alternate_and_each_keeps_its_chunk() {
        let plan = cut(&[(10, 0), (10, 1), (10, 0)], &Packing::default());
        assert_eq!(plan[0].chunks[0].runs, [(0, 1), (2, 1)]);
        assert_eq!(plan[0].chunks[1].runs, [(1, 1)]);
    }

    proptest! {
        #[test]
        fn every_request_stands_in_exactly_one_chunk(
            lines in prop::collection::vec((1u32..400, 0u8..3), 1..300),
            segment_requests in 1u32..50, segment_bytes in 100u64..3000, chunk_bytes in 10u32..900, most in 1u32..20,
        ) {
            let chunk_requests = [(pool("a"), most), (pool("b"), 3)].into();
            let packing = Packing { segment_requests, segment_bytes, chunk_bytes, chunk_requests };
            let plan = cut(&lines, &packing);
            let (mut offset, mut first) = (0, 0);
            for (n, segment) in plan.iter().enumerate() {
                prop_assert_eq!(segment.segment as usize, n);
                prop_assert_eq!((segment.offset, segment.first), (offset, first));
                prop_assert!(segment.requests <= segment_requests);
                prop_assert!(segment.bytes <= segment_bytes || segment.requests == 1);
                let mut seen: Vec<u32> = segment.chunks.iter().flat_map(|c| c.indices().collect::<Vec<_>>()).collect();
                seen.sort_unstable();
                prop_assert_eq!(seen, (0..segment.requests).collect::<Vec<_>>());
                for chunk in &segment.chunks {
                    prop_assert!(chunk.bytes <= chunk_bytes || chunk.requests() == 1);
                    let name = segment.pools[usize::from(chunk.pool)].as_str();
                    for index in chunk.indices() {
                        prop_assert_eq!(name, ["a", "b", "c"][usize::from(lines[(first + u64::from(index)) as usize].1)]);
                    }
                }
                offset += segment.bytes;
                first += u64::from(segment.requests);
            }
            prop_assert_eq!(first as usize, lines.len());
        }
    }
}
