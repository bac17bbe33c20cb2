//! The log itself: every job's events once more from the start, with jetbatch's own fold.
use super::Complaints;
use domain::{
    ChunkId, Event, Job, JobId,
    event::{Cause, Closing},
    schedule,
    stall::Progress,
    status::{Counts, State, Status},
};
use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hasher as _},
};

/// A chunk may have begun this long after a cancel or a pause was stored: between the worker's last look and the
/// beginning.
const BEGUN_LATE_MS: u64 = 1_000;

/// What the log says of all jobs. It keeps a job's chunks only until the job's end.
#[derive(Debug, Default)]
pub struct Log {
    pub stories: HashMap<JobId, Story>,
    /// When each chunk's fact was stored.
    pub done_ms: Vec<u64>,
    /// When each chunk's run ended, and how long it took.
    pub runs: Vec<(u64, u64)>,
    pub complaints: Complaints,
    pub worked_late: u64,
    /// When an input was last seen to be validated, and an output to be written.
    validated_ms: u64,
    archived_ms: u64,
    /// Sequence and hash of every event, in the order in which they came.
    prints: Vec<(u64, u64)>,
}

#[derive(Debug, Clone, Default)]
pub struct Story {
    pub(super) job: Option<Job>,
    pub submitted_ms: u64,
    /// When nothing was owed any more: the last chunk, or the close.
    pub settled_ms: Option<u64>,
    /// When it wanted no work: from, and to, if it ever wanted work again.
    pub(super) idle: Vec<(u64, Option<u64>)>,
    pub was_paused: bool,
    pub ended: bool,
    pub(super) done: HashSet<ChunkId>,
    pub chunks: u64,
    /// Deliveries of its chunks beyond the first.
    pub again: u64,
    /// The same in requests.
    pub requests_again: u64,
    /// Attempts at its chunks that failed.
    pub failed: u64,
    pub(super) lifecycle: HashMap<&'static str, u32>,
    pub(super) progress: Option<Progress>,
    /// When it last came further.
    pub(super) moved_ms: u64,
}

/// A message of EVENTS.
pub struct Entry<'a> {
    pub seq: u64,
    pub at_ms: u64,
    pub job: JobId,
    pub event: &'a Event,
    pub payload: &'a [u8],
}

impl Log {
    pub fn fold(&mut self, entry: &Entry<'_>) {
        let (seq, last) = (entry.seq, self.last_seq());
        if seq != last + 1 {
            self.complaints.add(|| format!("event {seq} came after event {last}"));
        }
        self.prints.push((seq, print(entry)));
        if let Event::ChunkDone(done) = entry.event {
            self.done_ms.push(entry.at_ms);
            self.runs.push((entry.at_ms, done.at.since(done.started)));
        }
        self.rooms(entry);
        let story = self.stories.entry(entry.job).or_default();
        self.worked_late += u64::from(story.fold(entry, &mut self.complaints));
    }

    fn rooms(&mut self, Entry { event, at_ms, .. }: &Entry<'_>) {
        match event {
            Event::JobSubmitted(_) | Event::SegmentPlanned(_) | Event::JobPlanned(_) | Event::JobRejected(_) => {
                self.validated_ms = *at_ms;
            }
            Event::SegmentArchived(_) | Event::OutputWritten(_) | Event::JobEnded(_) => self.archived_ms = *at_ms,
            _ => {}
        }
    }

    /// Jobs that run, and since when they, and whoever has its turn before them, came no further.
    pub fn still(&self) -> Vec<(JobId, u64)> {
        let jobs = || self.stories.values().filter(|story| !story.ended).filter_map(|story| story.job.as_ref());
        let first = schedule::order(jobs()).into_iter().find(|job| job.remaining() > 0).map(|job| job.id);
        let of = |job: &Job| {
            let moved = self.stories.get(&job.id)?.moved_ms;
            let since = match State::of(job) {
                State::Validating => moved.max(self.validated_ms),
                State::InProgress if first == Some(job.id) => moved,
                State::Finalizing | State::Cancelling => moved.max(self.archived_ms),
                _ => return None,
            };
            Some((job.id, since))
        };
        jobs().filter_map(of).collect()
    }

    pub fn last_seq(&self) -> u64 {
        self.prints.last().map_or(0, |(seq, _)| *seq)
    }

    /// Whether work was done since then, or none is owed.
    pub fn went_on(&self, since_ms: u64) -> bool {
        self.done_ms.last().is_some_and(|at| *at > since_ms) || self.stories.values().all(|story| story.ended)
    }

    /// Events that were read here, and are others, or are not there, in a later read.
    pub fn changed(&self, later: &Self) -> Complaints {
        let then: HashMap<u64, u64> = later.prints.iter().copied().collect();
        let mut found = self.complaints.clone();
        for (seq, print) in &self.prints {
            match then.get(seq) {
                Some(other) if other == print => {}
                Some(_) => found.add(|| format!("event {seq} was another one when it was first read")),
                None => found.add(|| format!("event {seq} was read, and is not there any more")),
            }
        }
        found
    }
}

fn print(entry: &Entry<'_>) -> u64 {
    let mut hash = DefaultHasher::new();
    hash.write(entry.job.uuid().as_bytes());
    hash.write(entry.payload);
    hash.finish()
}

impl Story {
    /// Whether the event tells of work that began while the job wanted none.
    fn fold(&mut self, entry: &Entry<'_>, complaints: &mut Complaints) -> bool {
        let Entry { at_ms, job: id, event, .. } = *entry;
        if event.is_lifecycle() {
            let times = self.lifecycle.entry(event.name()).or_default();
            *times += 1;
            if *times > 1 && is_once(event) {
                complaints.add(|| format!("job {id} has a second {}", event.name()));
            }
        }
        if self.ended && event.is_lifecycle() {
            complaints.add(|| format!("job {id} ended, and then came {}", event.name()));
        }
        match &mut self.job {
            Some(job) => job.evolve(event),
            none => *none = Job::begin(id, event),
        }
        let progress = self.job.as_ref().map(Progress::of);
        if progress != self.progress {
            (self.progress, self.moved_ms) = (progress, at_ms);
        }
        self.note(at_ms, event);
        self.late(event)
    }

    fn note(&mut self, at_ms: u64, event: &Event) {
        match event.name() {
            "JobPaused" => {
                self.was_paused = true;
                self.idle.push((at_ms, None));
            }
            "JobResumed" => self.idle.iter_mut().for_each(|(_, to)| *to = to.or(Some(at_ms))),
            _ => {}
        }
        match event {
            Event::JobSubmitted(_) => self.submitted_ms = at_ms,
            Event::JobClosing(closing) => {
                self.settled_ms = Some(at_ms);
                if closing.cause == Cause::Cancelled {
                    self.idle.push((closing.at.get(), None));
                }
            }
            Event::ChunkDone(done) if !self.ended && self.done.insert(done.chunk) => {
                self.chunks += 1;
                let again = u64::from(done.delivered.saturating_sub(1));
                self.again += again;
                self.requests_again += again * done.tally.requests();
                self.settle(at_ms);
            }
            Event::ChunkFailed(_) if !self.ended => {
                self.failed += 1;
                self.settle(at_ms);
            }
            // It is to come again, once.
            Event::ChunkLost(lost) if !self.ended => {
                self.done.remove(&lost.chunk);
                self.settled_ms = None;
            }
            Event::JobEnded(_) | Event::JobRejected(_) => {
                self.settled_ms.get_or_insert(at_ms);
                self.ended = true;
                self.done = HashSet::new();
            }
            _ => {}
        }
    }

    /// A chunk's fact after the close settles nothing.
    fn settle(&mut self, at_ms: u64) {
        let is_running = self.job.as_ref().is_some_and(|job| job.remaining() == 0);
        if is_running && self.settled_ms.is_none() {
            self.settled_ms = Some(at_ms);
        }
    }

    fn late(&self, event: &Event) -> bool {
        let Event::ChunkDone(done) = event else { return false };
        let began = done.started.get();
        self.idle.iter().any(|(from, to)| began > from + BEGUN_LATE_MS && to.is_none_or(|to| began < to))
    }

    /// Requests that have their line so far.
    pub fn answered(&self) -> u64 {
        self.job.as_ref().map_or(0, |job| job.tally.requests())
    }

    fn status(&self) -> Option<Status> {
        self.job.as_ref().map(Status::of)
    }

    pub fn state(&self) -> Option<State> {
        self.status().map(|status| status.state)
    }

    pub fn counts(&self) -> Option<Counts> {
        self.status().map(|status| status.requests)
    }
}

/// A job can be submitted, planned, closed and ended once.
/// A late cancel may follow on one that came with the job's last answer, or on the deadline.
fn is_once(event: &Event) -> bool {
    matches!(
        event,
        Event::JobSubmitted(_)
            | Event::JobPlanned(_)
            | Event::JobRejected(_)
            | Event::JobClosing(Closing { late: false, .. })
            | Event::JobEnded(_)
    )
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use domain::{
        Timestamp,
        event::{ChunkDone, Ended, Input, Outcome, Submitted, Tally},
    };

    fn submitted() -> Event {
        Event::JobSubmitted(Submitted::new(Timestamp::new(1), Input::Inline, 1_000))
    }

    fn done(started: u64) -> Event {
        Event::ChunkDone(ChunkDone {
            at: Timestamp::new(started + 10),
            chunk: ChunkId::new(0, 0),
            attempt: 1,
            delivered: 2,
            worker: "w".into(),
            started: Timestamp::new(started),
            tally: Tally { completed: 3, ..Tally::default() },
        })
    }

    fn log(events: &[Event]) -> Log {
        let mut log = Log::default();
        let job = JobId::keyed("t", "a");
        for (event, seq) in events.iter().zip(1..) {
            log.fold(&Entry { seq, at_ms: seq * 10, job, event, payload: event.name().as_bytes() });
        }
        log
    }

    fn closing() -> Event {
        Event::JobClosing(Closing { at: Timestamp::new(100), cause: Cause::Cancelled, late: false, reason: None })
    }

    fn ended() -> Event {
        Event::JobEnded(Ended::of(Timestamp::new(200), Outcome::Cancelled))
    }

    #[test]
    fn work_after_a_cancel_is_found() {
        assert_eq!(log(&[submitted(), closing(), done(90), ended()]).worked_late, 0);
        assert_eq!(log(&[submitted(), closing(), done(1_200), ended()]).worked_late, 1);
    }

    #[test]
    fn a_second_end_is_found() {
        assert_eq!(log(&[submitted(), closing(), ended()]).complaints.count, 0);
        assert!(log(&[submitted(), closing(), ended(), ended()]).complaints.count > 0);
        assert!(log(&[submitted(), submitted()]).complaints.count > 0);
    }

    #[test]
    fn a_late_cancel_is_no_second_end() {
        let late = Closing { at: Timestamp::new(150), cause: Cause::Cancelled, late: true, reason: None };
        assert_eq!(log(&[submitted(), closing(), Event::JobClosing(late), ended()]).complaints.count, 0);
        assert!(log(&[submitted(), closing(), closing(), ended()]).complaints.count > 0);
    }

    #[test]
    fn a_log_that_changed_is_found() {
        let seen = log(&[submitted(), closing()]);
        assert_eq!(seen.changed(&log(&[submitted(), closing(), ended()])).count, 0);
        assert_eq!(seen.changed(&log(&[submitted()])).count, 1);
        assert_eq!(seen.changed(&log(&[submitted(), ended()])).count, 1);
    }

    #[test]
    fn a_gap_in_the_log_is_found() {
        let mut log = log(&[submitted()]);
        log.fold(&Entry { seq: 3, at_ms: 0, job: JobId::keyed("t", "a"), event: &closing(), payload: b"y" });
        assert_eq!(log.complaints.count, 1);
    }

    #[test]
    fn work_goes_on_with_the_next_chunk_or_with_nothing_owed() {
        let log_of_one = log(&[submitted(), done(5)]);
        assert!(log_of_one.went_on(19) && !log_of_one.went_on(20));
        assert!(log(&[submitted(), closing(), ended()]).went_on(1_000));
    }

    #[test]
    fn a_job_stands_still_since_its_last_progress() {
        let job = JobId::keyed("t", "a");
        assert_eq!(log(&[submitted()]).still(), [(job, 10)]);
        assert_eq!(log(&[submitted(), closing()]).still(), [(job, 20)]);
        assert_eq!(log(&[submitted(), closing(), ended()]).still(), []);
    }

    #[test]
    fn chunks_that_ran_again_are_counted_once() {
        let log = log(&[submitted(), done(5), done(5)]);
        let story = log.stories.values().next().unwrap();
        assert_eq!((story.chunks, story.again, story.requests_again), (1, 1, 3));
    }
}
