//! What an archiver begins: a segment that owes nothing, then, when all are archived, the job's output. A pure state
//! machine, run by the room and by the simulation; how a piece is written, and which of several archivers writes it, is
//! theirs.
//!
//! What is owed follows from the job alone; an event only says where to look again, so that no event costs a walk over
//! the jobs. A piece that was begun is settled by its fact, by whomever that was told, and not by its task's end: so it
//! is not begun twice. One that failed is owed again after a rest.
use crate::{
    Event, Job, JobId,
    job::{Chunk, Segment},
    schedule::Moment,
};
use std::collections::{BTreeMap, BTreeSet};

/// What failed rests so long.
pub const REST_MS: u64 = 1_000;

/// Small pieces under way beside the others. What they hold together is about as much as one large segment.
const SMALL_AT_ONCE: usize = 32;
/// A segment of so few bytes of input and so few requests is small.
const SMALL_BYTES_MAX: u64 = 64 << 10;
const SMALL_REQUESTS_MAX: u64 = 16;
/// An output of so few bytes is put together at once.
const SMALL_OUTPUT_BYTES_MAX: u64 = 1 << 20;

/// A piece of work: one segment of a job, or (none) its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Piece {
    pub job: JobId,
    pub segment: Option<u32>,
}

#[derive(Debug)]
pub struct Archiver {
    large: Lane,
    small: Lane,
    /// What is owed or begun, until its fact settles it.
    pieces: BTreeMap<Piece, Standing>,
    /// What failed, and until when it rests.
    rests: BTreeMap<Piece, Moment>,
    /// Jobs whose one segment is their output: who begins the segment has begun the output.
    in_place: BTreeSet<JobId>,
    /// Of pieces that came to be owed.
    count: u64,
}

#[derive(Debug, Clone, Copy)]
enum Standing {
    /// Not begun, or begun and failed; and its turn.
    Owed(u64),
    /// Begun, and neither failed nor settled.
    Begun,
}

/// Pieces of one size, so many at once.
#[derive(Debug)]
struct Lane {
    most: usize,
    /// Their tasks run.
    under_way: BTreeSet<Piece>,
    owed: BTreeMap<u64, Piece>,
}

/// What the end of a piece's task comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// Its fact is stored, and settles it when it is folded.
    Told,
    /// It is tried again.
    Failed,
    /// Its job had ended by another archiver's work: what was written came after the cleaning.
    Late,
}

/// What nobody needs any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftover {
    /// What an ended job has beside its files: parts and results.
    Rest,
    /// The same of a job that was written in its place: its results.
    Results,
    /// Results of a segment that is archived.
    Segment(u32),
}

impl Archiver {
    /// So many pieces at once, and some small ones more.
    pub fn new(most: usize) -> Self {
        let (pieces, rests, in_place, count) = Default::default();
        Self { large: Lane::new(most.max(1)), small: Lane::new(SMALL_AT_ONCE), pieces, rests, in_place, count }
    }

    /// Looks at all of a job: one that was folded before.
    pub fn look(&mut self, job: &Job) {
        let segments = job.archivable().map(|segment| Some(segment.plan.segment));
        segments.chain([None]).for_each(|segment| self.look_at(job, segment));
    }

    /// An event was folded. `job` is what it left of the job: nothing, if that has ended or never was.
    pub fn folded(&mut self, id: JobId, event: &Event, job: Option<&Job>) {
        let Some(job) = job else { return self.forget(id) };
        match event {
            Event::ChunkDone(done) => self.look_at(job, Some(done.chunk.segment)),
            Event::ChunkFailed(failed) => self.look_at(job, Some(failed.chunk.segment)),
            Event::ChunkLost(lost) => self.look_again(job, lost.chunk.segment),
            Event::SegmentArchived(archived) => {
                self.settle(Piece { job: id, segment: Some(archived.segment) });
                // Where a result of it was lost since, the fact changes nothing.
                self.look_at(job, Some(archived.segment));
                self.look_at(job, None);
            }
            Event::OutputWritten(_) => {
                self.settle(Piece { job: id, segment: None });
                self.look_at(job, None);
            }
            Event::JobPlanned(_) | Event::JobClosing(_) => self.look(job),
            Event::JobSubmitted(_)
            | Event::JobRejected(_)
            | Event::JobPaused(_)
            | Event::JobResumed(_)
            | Event::DeadlineMoved(_)
            | Event::PriorityChanged(_)
            | Event::JobEnded(_)
            | Event::JobDeleted(_)
            | Event::SegmentPlanned(_) => {}
        }
    }

    /// What is begun now, as far as there is room, in the order in which it came to be owed. `may` says whether a piece
    /// is for this archiver.
    pub fn begin(&mut self, now: Moment, mut may: impl FnMut(Piece) -> bool) -> Vec<Piece> {
        let rests = &self.rests;
        let mut is_free = |piece: &Piece| rests.get(piece).is_none_or(|until| *until <= now) && may(*piece);
        let (small, large) = (self.small.begin(&mut is_free), self.large.begin(&mut is_free));
        for piece in small.iter().chain(&large) {
            self.rests.remove(piece);
            self.pieces.insert(*piece, Standing::Begun);
            if self.in_place.contains(&piece.job) {
                self.pieces.insert(Piece { segment: None, ..*piece }, Standing::Begun);
            }
        }
        small.into_iter().chain(large).collect()
    }

    /// A piece's task has come to its end. `job` is the piece's, unless that has ended.
    pub fn finish(&mut self, piece: Piece, has_failed: bool, job: Option<&Job>, now: Moment) -> Finish {
        [&mut self.small, &mut self.large].into_iter().for_each(|lane| _ = lane.under_way.remove(&piece));
        if !has_failed && job.is_some() {
            return Finish::Told;
        }
        self.pieces.remove(&piece);
        if self.in_place.remove(&piece.job) {
            self.pieces.remove(&Piece { segment: None, ..piece });
        }
        let Some(job) = job else { return Finish::Late };
        for segment in BTreeSet::from([piece.segment, None]) {
            self.look_at(job, segment);
        }
        if matches!(self.pieces.get(&piece), Some(Standing::Owed(_))) {
            self.rests.insert(piece, now.plus(REST_MS));
        }
        Finish::Failed
    }

    /// When the next of what failed may be begun.
    pub fn next_rested(&self) -> Option<Moment> {
        self.rests.values().min().copied()
    }

    /// What an event leaves behind. To be asked before the event is told of; `job` as there.
    pub fn leftover(&self, id: JobId, event: &Event, job: Option<&Job>) -> Option<Leftover> {
        match event {
            Event::JobEnded(_) if self.in_place.contains(&id) => Some(Leftover::Results),
            Event::JobEnded(_) => Some(Leftover::Rest),
            Event::ChunkDone(done) => {
                let segment = done.chunk.segment;
                job.is_none_or(|job| is_late(job, segment)).then_some(Leftover::Segment(segment))
            }
            // Whoever wrote it removes its results, once it stands: a fact that came too late changes nothing.
            Event::SegmentArchived(archived) if !self.in_place.contains(&id) => {
                let segment = archived.segment;
                let is_ours = self.pieces.contains_key(&Piece { job: id, segment: Some(segment) });
                let stands = job.is_some_and(|job| is_late(job, segment));
                (is_ours && stands).then_some(Leftover::Segment(segment))
            }
            _ => None,
        }
    }

    fn look_at(&mut self, job: &Job, segment: Option<u32>) {
        let piece = Piece { job: job.id, segment };
        if !owes(job, segment) || self.pieces.contains_key(&piece) {
            return;
        }
        // It may have been before, and have lost an answer since.
        match segment.is_some() && is_in_place(job) {
            true => _ = self.in_place.insert(job.id),
            false if segment.is_some() => _ = self.in_place.remove(&job.id),
            false => {}
        }
        self.count += 1;
        self.pieces.insert(piece, Standing::Owed(self.count));
        let lane = if is_small(job, segment) { &mut self.small } else { &mut self.large };
        lane.owed.insert(self.count, piece);
    }

    /// What is owed by others again is not to be written yet, and what lost an answer for good not in its place.
    fn look_again(&mut self, job: &Job, segment: u32) {
        let piece = Piece { job: job.id, segment: Some(segment) };
        if matches!(self.pieces.get(&piece), Some(Standing::Owed(_))) {
            self.settle(piece);
        }
        self.look_at(job, Some(segment));
    }

    fn settle(&mut self, piece: Piece) {
        if let Some(Standing::Owed(turn)) = self.pieces.remove(&piece) {
            self.small.owed.remove(&turn);
            self.large.owed.remove(&turn);
        }
        self.rests.remove(&piece);
    }

    fn forget(&mut self, job: JobId) {
        let of_job = Piece { job, segment: None }..=Piece { job, segment: Some(u32::MAX) };
        let pieces: Vec<_> = self.pieces.range(of_job).map(|(piece, _)| *piece).collect();
        pieces.into_iter().for_each(|piece| self.settle(piece));
        self.in_place.remove(&job);
    }
}

impl Lane {
    fn new(most: usize) -> Self {
        let (under_way, owed) = Default::default();
        Self { most, under_way, owed }
    }

    fn begin(&mut self, mut is_free: impl FnMut(&Piece) -> bool) -> Vec<Piece> {
        let room = self.most.saturating_sub(self.under_way.len());
        let free = self.owed.iter().filter(|(_, piece)| is_free(piece)).take(room);
        let begun: Vec<_> = free.map(|(turn, piece)| (*turn, *piece)).collect();
        for (turn, piece) in &begun {
            self.owed.remove(turn);
            self.under_way.insert(*piece);
        }
        begun.into_iter().map(|(_, piece)| piece).collect()
    }
}

/// Whether the one segment of a job is its output: so small that it is written in its place, with both facts at once.
/// All of it was answered, so that whoever writes it writes the same, however late.
pub fn is_in_place(job: &Job) -> bool {
    let is_small = |bytes, requests| bytes <= SMALL_BYTES_MAX && requests <= SMALL_REQUESTS_MAX;
    let is_one = job.planned.as_ref().is_some_and(|plan| plan.segments == 1 && is_small(plan.bytes, plan.requests));
    let is_answered = |chunk: &Chunk| matches!(chunk, Chunk::Done | Chunk::Split);
    is_one && job.open.values().all(|segment| segment.chunks.iter().all(is_answered))
}

fn is_small(job: &Job, segment: Option<u32>) -> bool {
    match segment.and_then(|number| job.open.get(&number)) {
        Some(Segment { plan, .. }) => plan.bytes <= SMALL_BYTES_MAX && u64::from(plan.requests) <= SMALL_REQUESTS_MAX,
        None => job.output_bytes + job.error_bytes <= SMALL_OUTPUT_BYTES_MAX,
    }
}

/// Whether a piece of the job can be written now.
fn owes(job: &Job, segment: Option<u32>) -> bool {
    match segment {
        Some(number) => job.is_archivable(number),
        None => job.is_writing() && job.is_archived() && job.written.is_none(),
    }
}

/// Whether results of a segment are of no use any more.
pub fn is_late(job: &Job, segment: u32) -> bool {
    job.planned.is_some() && !job.open.contains_key(&segment)
}

impl Piece {
    /// What a task needs of a job: all but the other segments.
    pub fn of(self, job: &Job) -> Job {
        let open = self.segment.and_then(|number| Some((number, job.open.get(&number)?.clone())));
        Job { open: open.into_iter().collect(), ..job.clone_head() }
    }
}
