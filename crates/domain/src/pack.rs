//! Cuts an input into segments and chunks while it streams by. The same lines and the same [`Packing`] give the same
//! cut, so an intake that crashed repeats itself and its facts deduplicate.
//!
//! Where a pool's engine gains by what runs together, its chunks hold what belongs together: neighbours in a sorted block of
//! the input, not in the input. Answers come back into input order in any case.
use crate::{
    Pool,
    event::{ChunkPlan, SegmentPlan},
    limits::{CHUNK_BYTES_MAX, CHUNK_REQUESTS_MAX, SEGMENT_BYTES_MAX, SEGMENT_REQUESTS_MAX},
    load::{Ask, Gather, Kind},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};
use strum::{EnumString, IntoStaticStr};

/// Requests that are sorted at a time: whoever puts their answers in order holds as many.
pub const BLOCK_REQUESTS: usize = 2_048;
/// Of an input, for its place among others.
const KEY_BYTES: usize = 2_048;

/// What a pool's chunks hold together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, EnumString, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Order {
    /// What stands together in the input.
    #[default]
    Arrival,
    /// Inputs that begin alike, for engines that keep the cache of a prompt for the next one.
    Prefix,
    /// Inputs of about one length, for engines that run only such together.
    Length,
}

impl Order {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// By what an input is sorted.
    fn key(self, input: &[u8]) -> Box<[u8]> {
        match self {
            Self::Arrival => Box::default(),
            Self::Prefix => input[..input.len().min(KEY_BYTES)].into(),
            Self::Length => Box::new(u32::try_from(input.len()).unwrap_or(u32::MAX).to_be_bytes()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packing {
    pub segment_requests: u32,
    pub segment_bytes: u64,
    pub chunk_bytes: u32,
    /// Requests a chunk may hold, by pool; other pools take [`CHUNK_REQUESTS_MAX`].
    pub chunk_requests: BTreeMap<Pool, u32>,
    /// By pool; other pools take what stands together.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub order: BTreeMap<Pool, Order>,
}

impl Default for Packing {
    fn default() -> Self {
        Self {
            segment_requests: SEGMENT_REQUESTS_MAX,
            segment_bytes: SEGMENT_BYTES_MAX,
            chunk_bytes: CHUNK_BYTES_MAX,
            chunk_requests: BTreeMap::new(),
            order: BTreeMap::new(),
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
    /// What each of the open segment's chunks comes to.
    loads: Vec<Gather>,
    /// Of all segments so far.
    kinds: BTreeSet<Kind>,
    /// Requests of the open segment that are still to be sorted.
    block: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    index: u32,
    bytes: u32,
    pool: usize,
    key: Box<[u8]>,
    ask: Option<Ask>,
}

impl Packer {
    pub fn new(packing: Packing) -> Self {
        let (open, last, loads) = (empty(0, 0, 0), Vec::new(), Vec::new());
        Self { packing, next: 0, requests: 0, open, last, loads, kinds: BTreeSet::new(), block: Vec::new() }
    }

    /// Requests taken so far.
    pub const fn requests(&self) -> u64 {
        self.requests
    }

    /// Segments closed so far, the one that [`Packer::finish`] gives included.
    pub const fn segments(&self) -> u32 {
        self.next
    }

    /// Takes the request whose line (with its line end) is at `offset .. offset + bytes`; `input` is its prompt, or
    /// the texts of its messages, and `ask` what is known of it beside. Gives the segment before it when that one is full.
    pub fn push(
        &mut self,
        offset: u64,
        bytes: u32,
        pool: &Pool,
        input: &[u8],
        ask: Option<Ask>,
    ) -> Option<SegmentPlan> {
        let full = self.open.requests >= self.packing.segment_requests
            || offset + u64::from(bytes) - self.open.offset > self.packing.segment_bytes;
        let closed = if full && self.open.requests > 0 { self.finish() } else { None };
        if self.open.requests == 0 {
            self.open.offset = offset;
        }
        self.take(bytes, pool, input, ask);
        self.open.bytes = offset + u64::from(bytes) - self.open.offset;
        closed
    }

    /// Closes the open segment, if it holds anything.
    pub fn finish(&mut self) -> Option<SegmentPlan> {
        if self.open.requests == 0 {
            return None;
        }
        self.sort();
        self.next += 1;
        self.last.clear();
        for (chunk, gather) in self.open.chunks.iter_mut().zip(self.loads.drain(..)) {
            chunk.load = gather.load(&mut self.kinds);
        }
        Some(mem::replace(&mut self.open, empty(self.next, 0, self.requests)))
    }

    fn take(&mut self, bytes: u32, pool: &Pool, input: &[u8], ask: Option<Ask>) {
        let order = self.packing.order.get(pool).copied().unwrap_or_default();
        let (index, pool) = (self.open.requests, self.pool(pool));
        self.open.requests += 1;
        self.requests += 1;
        if order == Order::Arrival {
            return self.place(index, bytes, pool, ask);
        }
        self.block.push(Held { index, bytes, pool, key: order.key(input), ask });
        if self.block.len() == BLOCK_REQUESTS {
            self.sort();
        }
    }

    /// Places what is held. A chunk of it ends with its block, so that nobody waits for another block's answers.
    fn sort(&mut self) {
        if self.block.is_empty() {
            return;
        }
        let (mut block, from) = (mem::take(&mut self.block), self.open.chunks.len());
        block.sort_by(|a, b| (a.pool, &a.key).cmp(&(b.pool, &b.key)));
        for Held { index, bytes, pool, ask, .. } in &block {
            self.place(*index, *bytes, *pool, *ask);
        }
        block.iter().for_each(|held| self.last[held.pool] = None);
        self.open.chunks[from..].iter_mut().for_each(|chunk| chunk.runs = runs(chunk));
    }

    fn place(&mut self, index: u32, bytes: u32, pool: usize, ask: Option<Ask>) {
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
        self.loads[at].add(ask);
    }

    fn has_room(&self, at: usize, bytes: u32) -> bool {
        let chunk = &self.open.chunks[at];
        let pool = &self.open.pools[usize::from(chunk.pool)];
        let most = self.packing.chunk_requests.get(pool).copied().unwrap_or(CHUNK_REQUESTS_MAX);
        chunk.requests() < most.clamp(1, CHUNK_REQUESTS_MAX) && chunk.bytes + bytes <= self.packing.chunk_bytes
    }

    fn new_chunk(&mut self, pool: usize) -> usize {
        let at = self.open.chunks.len();
        self.open.chunks.push(ChunkPlan { pool: pool as u16, runs: Vec::new(), bytes: 0, load: None });
        self.loads.push(Gather::default());
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

/// A chunk's requests in input order.
fn runs(chunk: &ChunkPlan) -> Vec<(u32, u32)> {
    let mut indices: Vec<u32> = chunk.indices().collect();
    indices.sort_unstable();
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for index in indices {
        match runs.last_mut() {
            Some((first, count)) if *first + *count == index => *count += 1,
            _ => runs.push((index, 1)),
        }
    }
    runs
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
            // Lines of one length begin alike.
            let input = vec![(bytes % 5) as u8; bytes as usize];
            out.extend(packer.push(offset, bytes, &pool(["a", "b", "c"][usize::from(p)]), &input, None));
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
    fn what_belongs_together_runs_together() {
        let order = |order| [(pool("a"), order)].into();
        let packing = |order| Packing { chunk_requests: [(pool("a"), 2)].into(), order, ..Packing::default() };
        let mut packer = Packer::new(packing(order(Order::Prefix)));
        for (line, input) in (0..).zip(["be kind: x", "be short: y", "be kind: z", "be short: w", "be kind: v"]) {
            assert_eq!(packer.push(line * 10, 10, &pool("a"), input.as_bytes(), None), None);
        }
        let plan = packer.finish().unwrap();
        let runs: Vec<_> = plan.chunks.iter().map(|chunk| chunk.runs.clone()).collect();
        assert_eq!(runs, [vec![(0, 1), (4, 1)], vec![(2, 2)], vec![(1, 1)]], "kind, kind; kind, short; short");
        let lengths = cut(&[(30, 0), (10, 0), (30, 0), (10, 0)], &packing(order(Order::Length)));
        assert_eq!(
            lengths[0].chunks.iter().map(|c| c.runs.clone()).collect::<Vec<_>>(),
            [[(1, 1), (3, 1)], [(0, 1), (2, 1)]]
        );
    }

    #[test]
    fn what_is_alike_stays_in_input_order() {
        let order = [(pool("a"), Order::Prefix)].into();
        let packing = Packing { chunk_requests: [(pool("a"), 2)].into(), order, ..Packing::default() };
        let plan = cut(&[(10, 0), (10, 0), (10, 0)], &packing);
        assert_eq!(plan[0].chunks.iter().map(|c| c.runs.clone()).collect::<Vec<_>>(), [[(0, 2)], [(2, 1)]]);
    }

    #[test]
    fn no_chunk_reaches_over_a_block() {
        let order = [(pool("a"), Order::Prefix)].into();
        let packing = Packing { chunk_requests: [(pool("a"), 100)].into(), order, ..Packing::default() };
        let plan = cut(&vec![(10, 0); BLOCK_REQUESTS + 1], &packing);
        assert_eq!(plan[0].chunks.last().unwrap().runs, [(BLOCK_REQUESTS as u32, 1)]);
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
            sorted: bool,
        ) {
            let chunk_requests = [(pool("a"), most), (pool("b"), 3)].into();
            let order = if sorted { [(pool("a"), Order::Prefix), (pool("b"), Order::Length)].into() } else { BTreeMap::new() };
            let packing = Packing { segment_requests, segment_bytes, chunk_bytes, chunk_requests, order };
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
                    prop_assert!(chunk.indices().is_sorted());
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
