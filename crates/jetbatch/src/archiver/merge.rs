//! Puts the lines of a segment's chunks back into input order, holding the chunks that are open and no more. Pure.
use super::answers::Why;
use domain::{
    event::{ChunkPlan, Tally},
    job::Segment,
};
use wire::Results;

/// The two files of a segment, as far as they are built.
#[derive(Debug, Default)]
pub struct Files {
    pub output: Vec<u8>,
    pub errors: Vec<u8>,
    pub tally: Tally,
}

/// A chunk being written: the position of its next line, and where that begins.
pub struct Open {
    results: Results,
    next: usize,
    at: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Misfit;

impl Open {
    /// Fits the chunk's plan, or it would shift other requests' answers.
    pub fn new(results: Results, requests: u32) -> Result<Self, Misfit> {
        let bytes: usize = results.sizes.iter().map(|size| *size as usize).sum();
        if results.sizes.len() != requests as usize || bytes != results.lines.bytes().len() {
            return Err(Misfit);
        }
        Ok(Self { results, next: 0, at: 0 })
    }

    /// Tokens of the whole chunk; its requests are counted line by line.
    pub fn usage(&self) -> Tally {
        Tally { usage: self.results.tally.usage, ..Tally::default() }
    }

    /// Appends the next `count` lines to the files.
    pub fn take(&mut self, count: usize, files: &mut Files) {
        if self.results.errors.is_empty() {
            let bytes: usize = self.results.sizes[self.next..self.next + count].iter().map(|size| *size as usize).sum();
            files.output.extend_from_slice(&self.results.lines.bytes()[self.at..self.at + bytes]);
            files.tally.completed += count as u64;
            self.next += count;
            self.at += bytes;
            return;
        }
        for _ in 0..count {
            self.line(files);
        }
    }

    fn line(&mut self, files: &mut Files) {
        let bytes = self.results.sizes[self.next] as usize;
        let line = &self.results.lines.bytes()[self.at..self.at + bytes];
        if self.results.errors.binary_search(&(self.next as u32)).is_ok() {
            files.errors.extend_from_slice(line);
            files.tally.failed += 1;
        } else {
            files.output.extend_from_slice(line);
            files.tally.completed += 1;
        }
        self.next += 1;
        self.at += bytes;
    }

    pub fn is_done(&self) -> bool {
        self.next == self.results.sizes.len()
    }
}

/// The segment's requests in input order, as runs `(chunk, first, count)` of neighbours in one chunk.
pub fn runs(segment: &Segment) -> Vec<(usize, u32, u32)> {
    let of_chunk = |(chunk, plan): (u32, &ChunkPlan)| {
        plan.runs.iter().map(move |&(first, count)| (chunk as usize, first, count)).collect::<Vec<_>>()
    };
    let mut runs: Vec<_> = segment.whole().flat_map(of_chunk).collect();
    runs.sort_unstable_by_key(|&(_, first, _)| first);
    runs
}

/// Counts a request that has no answer.
pub fn unanswered(why: Why, tally: &mut Tally) {
    match why {
        Why::GivenUp(_) => tally.failed += 1,
        Why::Expired | Why::Cancelled => tally.unanswered += 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Lines;

    fn results(lines: &[&str], errors: &[u32]) -> Results {
        Results {
            sizes: lines.iter().map(|line| line.len() as u32).collect(),
            errors: errors.to_vec(),
            lines: Lines::Plain(lines.concat().into_bytes().into()),
            ..Results::default()
        }
    }

    #[test]
    fn lines_go_to_their_files_in_order() {
        let mut files = Files::default();
        let mut good = Open::new(results(&["a\n", "bb\n"], &[]), 2).ok().unwrap();
        let mut mixed = Open::new(results(&["c\n", "bad\n", "d\n"], &[1]), 3).ok().unwrap();
        good.take(1, &mut files);
        mixed.take(2, &mut files);
        good.take(1, &mut files);
        mixed.take(1, &mut files);
        assert!(good.is_done() && mixed.is_done());
        assert_eq!((files.output, files.errors), (b"a\nc\nbb\nd\n".to_vec(), b"bad\n".to_vec()));
        assert_eq!((files.tally.completed, files.tally.failed), (4, 1));
    }

    #[test]
    fn a_result_that_does_not_fit_is_refused() {
        assert!(Open::new(results(&["a\n"], &[]), 2).is_err());
        let mut short = results(&["a\n", "b\n"], &[]);
        short.lines = Lines::Plain(short.lines.bytes().slice(..3));
        assert!(Open::new(short, 2).is_err());
    }
}
