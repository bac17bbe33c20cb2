//! Which of several archivers begins a piece of work: its owner at once, the others only if it stays undone. Doing it
//! twice is harmless, because a piece's bytes follow from the log, and its fact has one id; it is only wasted.
use domain::{JobId, archive::Piece};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// An owner that dies is forgotten as a member within seconds, and its pieces are another's then. This is for one that
/// lives and cannot write, or has more to do than it can.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
pub struct Ownership {
    /// Pieces of others, and since when they are owed.
    waiting: HashMap<Piece, Instant>,
}

impl Ownership {
    pub fn may_begin(&mut self, piece: Piece, is_own: bool, now: Instant) -> bool {
        if is_own {
            self.waiting.remove(&piece);
            return true;
        }
        now.duration_since(*self.waiting.entry(piece).or_insert(now)) >= PATIENCE
    }

    pub fn settled(&mut self, piece: &Piece) {
        self.waiting.remove(piece);
    }

    pub fn forget_job(&mut self, job: JobId) {
        self.waiting.retain(|piece, _| piece.job != job);
    }

    /// Whether time alone may change an answer.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

/// What members rank a piece by.
pub fn name(Piece { job, segment }: Piece) -> String {
    match segment {
        Some(segment) => format!("{job}.{segment}"),
        None => job.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_another_is_begun_when_it_stays_undone() {
        let (mut ownership, start) = (Ownership::default(), Instant::now());
        let job = JobId::keyed("t", "a");
        let [own, other] = [1, 2].map(|number| Piece { job, segment: Some(number) });
        assert!(ownership.may_begin(own, true, start));
        assert!(!ownership.is_waiting());
        assert!(!ownership.may_begin(other, false, start));
        assert!(!ownership.may_begin(other, false, start + PATIENCE - Duration::from_millis(1)));
        assert!(ownership.may_begin(other, false, start + PATIENCE));
        ownership.settled(&other);
        assert!(!ownership.may_begin(other, false, start + PATIENCE), "owed anew");
        assert!(ownership.may_begin(other, true, start + PATIENCE), "its owner is gone");
        assert!(!ownership.may_begin(Piece { job, segment: None }, false, start));
        ownership.forget_job(job);
        assert!(!ownership.is_waiting());
    }
}
