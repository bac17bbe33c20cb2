//! What the facts of one segment tell of its chunks, for who finds that a result is gone: a chunk's tally is not kept
//! in the job, so it is looked up in the log once it is needed.
use crate::{
    ChunkId, Event, Timestamp,
    event::{ChunkLost, Tally},
};
use std::collections::BTreeMap;

#[derive(Debug)]
pub struct Told {
    segment: u32,
    done: BTreeMap<u32, (u32, Tally)>,
    lost: BTreeMap<u32, u32>,
    losses: u32,
    is_archived: bool,
}

impl Told {
    pub const fn of(segment: u32) -> Self {
        Self { segment, done: BTreeMap::new(), lost: BTreeMap::new(), losses: 0, is_archived: false }
    }

    /// Takes in the job's facts in the order of the log, as [`crate::Job::evolve`] does: the first that tells of a chunk
    /// counts, until its result is lost.
    pub fn note(&mut self, event: &Event) {
        match event {
            Event::ChunkDone(done) if done.chunk.segment == self.segment => {
                let index = done.chunk.index;
                if self.lost.get(&index).is_none_or(|lost| done.attempt > *lost) {
                    self.done.entry(index).or_insert((done.attempt, done.tally));
                }
            }
            Event::ChunkLost(lost) if lost.chunk.segment == self.segment => self.lose(lost),
            Event::SegmentArchived(archived) if archived.segment == self.segment => {
                self.is_archived |= archived.losses == self.losses;
            }
            _ => {}
        }
    }

    fn lose(&mut self, lost: &ChunkLost) {
        let index = lost.chunk.index;
        let is_news = self.lost.get(&index).is_none_or(|known| lost.attempt > *known);
        if is_news && self.done.remove(&index).is_some() {
            self.lost.insert(index, lost.attempt);
            self.losses = self.losses.saturating_add(1);
        }
    }

    /// The fact that a chunk's result is gone. `found` is what lies in its place, if anything does: another attempt's may
    /// have come there. None, if its segment is archived: then its results are gone rightly; or if it was not told to be
    /// done.
    pub fn lost(&self, index: u32, found: Option<Tally>, at: Timestamp) -> Option<ChunkLost> {
        let &(attempt, tally) = self.done.get(&index).filter(|_| !self.is_archived)?;
        if found == Some(tally) {
            return None;
        }
        Some(ChunkLost { at, chunk: ChunkId::new(self.segment, index), attempt, tally })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ChunkDone, SegmentArchived};

    const AT: Timestamp = Timestamp::new(5);

    fn done(attempt: u32, completed: u64) -> Event {
        let (chunk, tally) = (ChunkId::new(3, 1), Tally { completed, ..Tally::default() });
        Event::ChunkDone(ChunkDone { at: AT, chunk, attempt, delivered: 1, worker: "w".into(), started: AT, tally })
    }

    fn told(events: &[Event]) -> Option<(u32, u64)> {
        let mut told = Told::of(3);
        events.iter().for_each(|event| told.note(event));
        told.lost(1, None, AT).map(|lost| (lost.attempt, lost.tally.completed))
    }

    fn lost(attempt: u32) -> Event {
        Event::ChunkLost(ChunkLost { at: AT, chunk: ChunkId::new(3, 1), attempt, tally: Tally::default() })
    }

    #[test]
    fn the_first_fact_counts_until_its_result_is_lost() {
        assert_eq!(told(&[]), None);
        assert_eq!(told(&[done(1, 7), done(2, 8)]), Some((1, 7)));
        assert_eq!(told(&[done(1, 7), lost(1)]), None);
        assert_eq!(told(&[done(1, 7), lost(1), done(1, 7)]), None, "it tells of what is lost");
        assert_eq!(told(&[done(1, 7), lost(1), done(2, 8), done(3, 9)]), Some((2, 8)));
    }

    #[test]
    fn another_result_in_its_place_is_not_the_one_that_was_told() {
        let mut told = Told::of(3);
        told.note(&done(1, 7));
        let tally = |completed| Some(Tally { completed, ..Tally::default() });
        assert_eq!(told.lost(1, tally(7), AT), None);
        assert!(told.lost(1, tally(8), AT).is_some());
    }

    #[test]
    fn an_archived_segment_has_lost_nothing() {
        let tally = Tally::default();
        let archived = SegmentArchived { at: AT, segment: 3, tally, output_bytes: 1, error_bytes: 0, losses: 0 };
        assert_eq!(told(&[done(1, 7), Event::SegmentArchived(archived.clone())]), None);
        let other = Event::SegmentArchived(SegmentArchived { segment: 2, ..archived.clone() });
        assert_eq!(told(&[done(1, 7), other]), Some((1, 7)));
        let late = Event::SegmentArchived(archived);
        assert_eq!(told(&[done(1, 7), lost(1), late, done(2, 8)]), Some((2, 8)), "it was written without the loss");
    }
}
