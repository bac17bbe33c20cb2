//! What the scheduler is told, and what is outstanding then.
#![allow(clippy::unwrap_used)]
use domain::{
    ChunkId, Event, Job, JobId, Pool, Timestamp,
    command::Command,
    event::*,
    retry::{Override, Policies},
    schedule::{self, Crew, Effect, Folded, Held, Jobs, Moment, Now, Scheduler, Send},
};
use std::collections::{HashMap, VecDeque};

const HOUR: u64 = 3_600_000;

struct One(Job);

impl Jobs for One {
    fn job(&self, id: JobId) -> Option<&Job> {
        (self.0.id == id).then_some(&self.0)
    }

    fn jobs(&self) -> impl Iterator<Item = &Job> {
        std::iter::once(&self.0)
    }
}

struct Case {
    core: Scheduler,
    jobs: One,
    seq: u64,
    ms: u64,
}

fn pool() -> Pool {
    "tiny".parse().unwrap()
}

/// Two chunks of one request.
fn case() -> Case {
    case_of(2, 1, 5.0)
}

fn case_of(chunks: u32, each: u32, ahead_s: f64) -> Case {
    let requests = chunks * each;
    let id = JobId::keyed("default", "job");
    let once = Override { max: Some(1), split_from: Some(1), ..Override::default() };
    let submitted = Submitted {
        fingerprint: "f".into(),
        policies: Policies::new([(FaultClass::Internal, once.over(FaultClass::Internal.policy()))].into()),
        ..Submitted::new(Timestamp::new(0), Input::Inline, HOUR)
    };
    let mut job = Job::begin(id, &Event::JobSubmitted(submitted)).unwrap();
    let chunks =
        (0..chunks).map(|n| ChunkPlan { pool: 0, runs: vec![(n * each, each)], bytes: 10, load: None }).collect();
    let plan = SegmentPlan { segment: 0, offset: 0, bytes: 20, first: 0, requests, pools: vec![pool()], chunks };
    job.evolve(&Event::SegmentPlanned(plan));
    let planned = Planned {
        at: Timestamp::new(1),
        input: "in".into(),
        requests: requests.into(),
        segments: 1,
        bytes: 20,
        warnings: vec![],
    };
    job.evolve(&Event::JobPlanned(planned));
    let (mut core, jobs) = (Scheduler::new(vec![pool()], ahead_s), One(job));
    core.resume(&jobs);
    Case { core, jobs, seq: 0, ms: 1_000 }
}

impl Case {
    fn now(&self) -> Now {
        Now { at: Timestamp::new(self.ms), moment: Moment::new(self.ms) }
    }

    fn owed(&self) -> Vec<Effect> {
        self.core.outstanding(&self.jobs, self.now())
    }

    fn sends(&self) -> Vec<Send> {
        let send = |effect| if let Effect::Send(send) = effect { Some(send) } else { None };
        self.owed().into_iter().filter_map(send).collect()
    }

    fn hear(&mut self, input: schedule::Input<'_>) {
        self.core.input(&self.jobs, input, self.now());
    }

    fn fold(&mut self, event: Event) {
        self.seq += 1;
        self.jobs.0.evolve(&event);
        let (job, seq, stored) = (self.jobs.0.id, self.seq, Timestamp::new(self.ms));
        let trace = matches!(event, Event::ChunkFailed(_)).then_some("00-trace");
        self.hear(schedule::Input::Folded(Folded { job, event: &event, seq, stored, trace }));
    }

    fn send_all(&mut self) {
        for send in self.sends() {
            self.hear(schedule::Input::Sent(&send));
        }
    }

    fn done(&mut self, index: u32, started: u64, requests: u64) {
        let (at, chunk) = (Timestamp::new(self.ms), ChunkId::new(0, index));
        let (started, worker) = (Timestamp::new(started), "w".to_owned());
        let tally = Tally { completed: requests, ..Tally::default() };
        self.fold(Event::ChunkDone(ChunkDone { at, chunk, attempt: 1, delivered: 1, worker, started, tally }));
    }

    fn failed(&mut self, index: u32, class: FaultClass) {
        let (at, chunk) = (Timestamp::new(self.ms), ChunkId::new(0, index));
        let failed = ChunkFailed {
            at,
            chunk,
            attempt: 1,
            worker: "w".into(),
            class,
            reason: "no".into(),
            trust: None,
            others: 0,
        };
        self.fold(Event::ChunkFailed(failed));
    }
}

#[test]
fn what_work_has_taken_is_owed_no_more_until_it_is_lost() {
    let mut case = case();
    assert_eq!(
        case.sends().iter().map(|send| (send.chunk.index, send.generation)).collect::<Vec<_>>(),
        [(0, 0), (1, 0)]
    );
    case.send_all();
    assert_eq!(case.owed(), []);
    case.ms += 10;
    let chunks: HashMap<_, _> = [((case.jobs.0.id, ChunkId::new(0, 1)), pool())].into();
    let held = Held { chunks, at: Timestamp::new(case.ms), looked: Moment::new(case.ms) };
    assert_eq!(case.core.reconcile(&case.jobs, &held).lost, 1);
    assert_eq!(case.sends().iter().map(|send| (send.chunk.index, send.generation)).collect::<Vec<_>>(), [(0, 1)]);
}

#[test]
fn a_retry_names_the_trace_of_the_attempt_that_failed() {
    let mut case = case();
    case.send_all();
    case.failed(0, FaultClass::Timeout);
    assert_eq!(case.owed(), [], "it waits for its delay");
    case.ms += HOUR / 2;
    assert_eq!(case.sends()[0].failed.as_deref(), Some("00-trace"));
}

#[test]
fn what_is_given_up_is_told_of_until_that_is_heard() {
    let mut case = case();
    case.send_all();
    case.failed(0, FaultClass::Internal);
    case.failed(1, FaultClass::Internal);
    let job = case.jobs.0.id;
    let told = Effect::DeadLetter { job, from: 1, until: 2 };
    assert_eq!(case.owed(), std::slice::from_ref(&told));
    case.hear(schedule::Input::DeadLettered(job, 1));
    assert_eq!(case.owed(), [told]);
    case.hear(schedule::Input::DeadLettered(job, 2));
    assert_eq!(case.owed(), []);
}

#[test]
fn full_streams_unreadable_inputs_and_failures_rest() {
    let job = case().jobs.0.id;
    for (input, rest) in
        [(schedule::Input::Full, 1_000), (schedule::Input::Unreadable(job), 5_000), (schedule::Input::Failed, 200)]
    {
        let mut case = case();
        case.hear(input);
        case.ms += rest - 1;
        assert_eq!(case.owed(), [], "{input:?}");
        case.ms += 1;
        assert_eq!(case.sends().len(), 2, "{input:?}");
    }
}

#[test]
fn a_job_expires_once_and_a_paused_one_is_withdrawn() {
    let mut case = case();
    let job = case.jobs.0.id;
    case.send_all();
    case.fold(Event::JobPaused(At { at: Timestamp::new(2_000) }));
    assert_eq!(case.owed(), [Effect::Withdraw(job)]);
    case.hear(schedule::Input::Withdrawn(job));
    assert_eq!(case.owed(), []);
    case.ms = HOUR;
    assert_eq!(case.owed(), [Effect::Append(job, Command::Expire { at: Timestamp::new(HOUR), reason: None })]);
    case.hear(schedule::Input::Appended(job));
    assert_eq!(case.owed(), []);
}

/// Looks `times` times, a second apart.
fn look(case: &mut Case, times: u32) -> bool {
    let is_abandoned = |case: &Case| {
        let abandons = |effect: &Effect| matches!(effect, Effect::Append(_, Command::Abandon { .. }));
        case.owed().iter().any(abandons)
    };
    for _ in 0..times {
        case.ms += 1_000;
        case.hear(schedule::Input::Tried);
    }
    is_abandoned(case)
}

#[test]
fn a_cancelled_job_is_given_up_when_nothing_of_it_is_written_for_long() {
    let mut case = case();
    assert!(!look(&mut case, 60), "it runs");
    let at = Timestamp::new(case.ms);
    case.fold(Event::JobClosing(Closing { at, cause: Cause::Cancelled, late: false, reason: None }));
    case.ms += 600_000;
    assert!(!look(&mut case, 10), "a head that slept knows nothing of that time");
    let tally = Tally { unanswered: 2, ..Tally::default() };
    let archived = SegmentArchived { at, segment: 0, tally, output_bytes: 0, error_bytes: 9, losses: 0 };
    case.fold(Event::SegmentArchived(archived));
    assert!(!look(&mut case, 14), "it came further");
    assert!(look(&mut case, 1));
    case.fold(Event::OutputWritten(OutputWritten { at, output: None, errors: None, losses: 0 }));
    assert!(!look(&mut case, 60), "its end is all that is missing");
}

/// A chunk ends with its longest answer, and most of its places are free before: they are filled by others meanwhile.
#[test]
fn long_answers_among_short_ones_leave_no_place_empty() {
    const SLOTS: usize = 64;
    const TICK: u64 = 10;
    for each in [1, 8, 32, 64, 128] {
        let chunks = 9_600 / each;
        let mut case = case_of(chunks, each, 2.0);
        let crew = Crew { workers: 1, slots: SLOTS as u64 };
        case.hear(schedule::Input::Crews(&[(pool(), crew)].into()));
        let (mut waiting, mut running) = (VecDeque::new(), Vec::new());
        let (mut left, mut begun) = (HashMap::new(), HashMap::new());
        let (mut places, mut taken, mut sent) = (0, 0, 0);
        while sent < chunks {
            case.ms += TICK;
            for send in case.sends() {
                let index = send.chunk.index;
                sent += 1;
                left.insert(index, each);
                waiting.extend(
                    (0..each).map(|n| (index, if (index * each + n).is_multiple_of(20) { 1_500 } else { 150 })),
                );
            }
            case.send_all();
            let (now, is_over) = (case.ms, |(_, end): &(u32, u64)| *end <= case.ms);
            let over: Vec<u32> = running.iter().filter(|run| is_over(run)).map(|(index, _)| *index).collect();
            running.retain(|(_, end)| *end > now);
            for index in over {
                let left = left.get_mut(&index).unwrap();
                *left -= 1;
                if *left == 0 {
                    case.done(index, begun[&index], each.into());
                }
            }
            while running.len() < SLOTS
                && let Some((index, ms)) = waiting.pop_front()
            {
                begun.entry(index).or_insert(now);
                running.push((index, now + ms));
            }
            // Until then nobody knows how long a chunk runs.
            if case.ms > 8_000 {
                (places, taken) = (places + SLOTS, taken + running.len());
            }
        }
        assert!(taken * 100 >= places * 97, "{each} requests a chunk: {taken} of {places} places");
    }
}
