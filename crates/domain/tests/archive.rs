//! What an archiver begins, and when again.
#![allow(clippy::unwrap_used)]
use domain::{
    ChunkId, Event, Job, JobId, Pool, Timestamp,
    archive::{Archiver, Finish, Leftover, Piece, REST_MS},
    event::{
        Cause, ChunkDone, ChunkLost, ChunkPlan, Closing, Ended, Input, Outcome, OutputWritten, Planned,
        SegmentArchived, SegmentPlan, Submitted, Tally,
    },
    schedule::Moment,
};

const AT: Timestamp = Timestamp::new(1_000);
/// Of input, a segment.
const LARGE: u64 = 100_000;
const SMALL: u64 = 100;

fn moment(ms: u64) -> Moment {
    Moment::new(ms)
}

fn submitted() -> Event {
    Event::JobSubmitted(Submitted { fingerprint: "f".into(), ..Submitted::new(AT, Input::Inline, 60_000) })
}

fn plan(segment: u32, bytes: u64) -> Event {
    let pools = vec!["small".parse::<Pool>().unwrap()];
    let chunks = vec![ChunkPlan { pool: 0, runs: vec![(0, 1)], bytes: bytes as u32, load: None }];
    let (offset, first) = (u64::from(segment) * bytes, u64::from(segment));
    Event::SegmentPlanned(SegmentPlan { segment, offset, bytes, first, requests: 1, pools, chunks })
}

fn done(segment: u32) -> Event {
    let tally = Tally { completed: 1, ..Tally::default() };
    let chunk = ChunkId::new(segment, 0);
    Event::ChunkDone(ChunkDone { at: AT, chunk, attempt: 1, delivered: 1, worker: "w".into(), started: AT, tally })
}

fn archived(segment: u32) -> Event {
    let tally = Tally { completed: 1, ..Tally::default() };
    Event::SegmentArchived(SegmentArchived { at: AT, segment, tally, output_bytes: 10, error_bytes: 0, losses: 0 })
}

const fn written() -> Event {
    Event::OutputWritten(OutputWritten { at: AT, output: None, errors: None, losses: 0 })
}

/// A job, and an archiver that folds what it does.
struct Rig {
    id: JobId,
    job: Option<Job>,
    archiver: Archiver,
}

impl Rig {
    fn new(segments: u32, most: usize) -> Self {
        Self::of(segments, LARGE, most)
    }

    fn of(segments: u32, bytes: u64, most: usize) -> Self {
        let id = JobId::keyed("default", "a");
        let mut rig = Self { id, job: Job::begin(id, &submitted()), archiver: Archiver::new(most) };
        (0..segments).for_each(|segment| rig.fold(&plan(segment, bytes)));
        let (input, requests, bytes) = ("in".into(), u64::from(segments), u64::from(segments) * bytes);
        rig.fold(&Event::JobPlanned(Planned { at: AT, input, requests, segments, bytes, warnings: Vec::new() }));
        rig
    }

    fn fold(&mut self, event: &Event) {
        if let Some(job) = &mut self.job {
            job.evolve(event);
        }
        self.job = self.job.take().filter(|job| !job.is_terminal());
        self.archiver.folded(self.id, event, self.job.as_ref());
    }

    fn leftover(&self, event: &Event, job: Option<&Job>) -> Option<Leftover> {
        self.archiver.leftover(self.id, event, job)
    }

    fn begin(&mut self, at: u64) -> Vec<Option<u32>> {
        self.archiver.begin(moment(at), |_| true).into_iter().map(|piece| piece.segment).collect()
    }

    fn finish(&mut self, segment: Option<u32>, has_failed: bool, at: u64) -> Finish {
        let piece = Piece { job: self.id, segment };
        self.archiver.finish(piece, has_failed, self.job.as_ref(), moment(at))
    }
}

#[test]
fn segments_that_owe_nothing_then_the_output() {
    let mut rig = Rig::new(2, 4);
    assert_eq!(rig.begin(0), []);
    rig.fold(&done(1));
    assert_eq!(rig.begin(0), [Some(1)]);
    assert_eq!(rig.finish(Some(1), false, 0), Finish::Told);
    assert_eq!(rig.begin(0), [], "its fact is not folded yet");
    rig.fold(&archived(1));
    rig.fold(&done(0));
    assert_eq!(rig.begin(0), [Some(0)]);
    rig.fold(&archived(0));
    assert_eq!(rig.begin(0), [None]);
    rig.fold(&written());
    assert_eq!(rig.begin(0), []);
}

#[test]
fn a_job_that_closes_owes_all_and_one_without_requests_its_output() {
    let mut rig = Rig::new(3, 2);
    rig.fold(&Event::JobClosing(Closing { at: AT, cause: Cause::Cancelled, late: false, reason: None }));
    assert_eq!(rig.begin(0), [Some(0), Some(1)], "no more at once");
    rig.finish(Some(1), false, 0);
    assert_eq!(rig.begin(0), [Some(2)]);
    assert_eq!(Rig::new(0, 2).begin(0), [None]);
}

#[test]
fn what_failed_rests_and_is_begun_again() {
    let mut rig = Rig::new(1, 1);
    rig.fold(&done(0));
    assert_eq!(rig.begin(0), [Some(0)]);
    assert_eq!(rig.finish(Some(0), true, 100), Finish::Failed);
    assert_eq!(rig.archiver.next_rested(), Some(moment(100 + REST_MS)));
    assert_eq!(rig.begin(100), []);
    assert_eq!(rig.begin(100 + REST_MS), [Some(0)]);
    rig.fold(&archived(0));
    assert_eq!(rig.finish(Some(0), true, 5_000), Finish::Failed, "another has written it meanwhile");
    assert_eq!((rig.archiver.next_rested(), rig.begin(99_000)), (None, vec![None]));
}

#[test]
fn what_is_for_another_archiver_stays_owed() {
    let mut rig = Rig::new(2, 1);
    rig.fold(&done(0));
    rig.fold(&done(1));
    let second = rig.archiver.begin(moment(0), |piece| piece.segment == Some(1));
    assert_eq!(second, [Piece { job: rig.id, segment: Some(1) }]);
    rig.finish(Some(1), false, 0);
    assert_eq!(rig.begin(0), [Some(0)]);
}

#[test]
fn a_job_that_ended_owes_nothing_and_what_is_written_for_it_is_too_late() {
    let mut rig = Rig::new(2, 4);
    rig.fold(&done(0));
    rig.fold(&done(1));
    assert_eq!(rig.archiver.begin(moment(0), |piece| piece.segment == Some(0)).len(), 1);
    rig.fold(&Event::JobEnded(Ended::of(AT, Outcome::Completed)));
    assert_eq!(rig.begin(0), []);
    assert_eq!(rig.finish(Some(0), false, 0), Finish::Late);
}

#[test]
fn one_that_begins_with_a_fold_finds_what_is_owed() {
    let mut rig = Rig::new(2, 4);
    rig.fold(&done(1));
    let mut other = Archiver::new(4);
    other.look(rig.job.as_ref().unwrap());
    assert_eq!(other.begin(moment(0), |_| true), rig.archiver.begin(moment(0), |_| true));
}

#[test]
fn what_comes_after_the_archiving_is_left_over() {
    let mut rig = Rig::new(2, 4);
    assert_eq!(rig.leftover(&done(0), rig.job.as_ref()), None);
    rig.fold(&done(0));
    rig.fold(&archived(0));
    assert_eq!(rig.leftover(&done(0), rig.job.as_ref()), Some(Leftover::Segment(0)));
    assert_eq!(rig.leftover(&done(1), rig.job.as_ref()), None);
    assert_eq!(rig.leftover(&done(1), None), Some(Leftover::Segment(1)));
    let ended = Event::JobEnded(Ended::of(AT, Outcome::Completed));
    assert_eq!(rig.leftover(&ended, None), Some(Leftover::Rest));
}

#[test]
fn small_pieces_do_not_wait_for_large_ones() {
    let mut archiver = Archiver::new(1);
    let [large, small] = [Rig::new(1, 1), Rig::of(40, SMALL, 1)].map(|mut rig| {
        (0..rig.job.as_ref().unwrap().segments()).for_each(|segment| rig.fold(&done(segment)));
        rig.job.map(|job| Job { id: JobId::keyed("default", &format!("{}", job.segments())), ..job }).unwrap()
    });
    archiver.look(&large);
    archiver.look(&small);
    let begun = archiver.begin(moment(0), |_| true);
    assert_eq!(begun.iter().filter(|piece| piece.job == large.id).count(), 1);
    let small = begun.iter().filter(|piece| piece.job == small.id).map(|piece| piece.segment.unwrap());
    assert_eq!(small.collect::<Vec<_>>(), (0..32).collect::<Vec<_>>(), "so many at once, as they came");
}

#[test]
fn who_begins_the_one_segment_of_a_small_job_has_begun_its_output() {
    let mut rig = Rig::of(1, SMALL, 4);
    rig.fold(&done(0));
    assert_eq!(rig.begin(0), [Some(0)]);
    rig.fold(&archived(0));
    assert_eq!(rig.begin(0), [], "the task that wrote it tells of the output, too");
    assert_eq!(rig.finish(Some(0), true, 0), Finish::Failed);
    assert_eq!(rig.begin(0), [None], "it told of the segment, and not of the output");
    rig.fold(&written());
    assert_eq!(rig.begin(9_000), []);
}

#[test]
fn a_job_that_was_written_in_its_place_leaves_its_results_alone() {
    let mut rig = Rig::of(1, SMALL, 4);
    rig.fold(&done(0));
    rig.begin(0);
    rig.fold(&archived(0));
    rig.fold(&written());
    let ended = Event::JobEnded(Ended::of(AT, Outcome::Completed));
    assert_eq!(rig.leftover(&ended, None), Some(Leftover::Results));
    rig.fold(&ended);
    assert_eq!(rig.leftover(&ended, None), Some(Leftover::Rest), "it is forgotten");
}

#[test]
fn what_has_requests_without_an_answer_is_not_written_in_its_place() {
    let mut rig = Rig::of(1, SMALL, 4);
    rig.fold(&Event::JobClosing(Closing { at: AT, cause: Cause::Cancelled, late: false, reason: None }));
    assert_eq!(rig.begin(0), [Some(0)]);
    rig.fold(&archived(0));
    assert_eq!(rig.begin(0), [None]);
}

/// A cancel of what is answered already, and then the answer is lost while what was to be written in its place rests.
#[test]
fn what_loses_its_answer_for_good_is_written_as_a_part_and_then_put_together() {
    let mut rig = Rig::of(1, SMALL, 4);
    rig.fold(&done(0));
    rig.fold(&Event::JobClosing(Closing { at: AT, cause: Cause::Cancelled, late: true, reason: None }));
    assert_eq!(rig.begin(0), [Some(0)]);
    assert_eq!(rig.finish(Some(0), true, 0), Finish::Failed);
    let tally = Tally { completed: 1, ..Tally::default() };
    rig.fold(&Event::ChunkLost(ChunkLost { at: AT, chunk: ChunkId::new(0, 0), attempt: 1, tally }));
    assert_eq!(rig.begin(REST_MS), [Some(0)]);
    let tally = Tally { unanswered: 1, ..Tally::default() };
    let archived = SegmentArchived { at: AT, segment: 0, tally, output_bytes: 0, error_bytes: 10, losses: 1 };
    rig.fold(&Event::SegmentArchived(archived));
    assert_eq!(rig.begin(REST_MS), [None], "nobody has begun its output");
}
