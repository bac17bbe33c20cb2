//! What the scheduler is told, and what is outstanding then.
#![allow(clippy::unwrap_used)]
use domain::{
    ChunkId, Event, Job, JobId, Millis, Pool,
    decide::Command,
    event::*,
    pack::Packing,
    retry::{Override, Policies},
    schedule::{self, Effect, Folded, Held, Jobs, Moment, Now, Scheduler, Send},
};
use std::collections::HashMap;

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

/// Two chunks of two requests.
fn case() -> Case {
    let id = JobId::keyed("default", "job");
    let once = Override { max: Some(1), split_from: Some(1), ..Override::default() };
    let submitted = Submitted {
        at: Millis::new(0),
        fingerprint: "f".into(),
        input: Input::Inline,
        model: None,
        endpoint: None,
        window_ms: HOUR,
        metadata: Default::default(),
        priority: Priority::Normal,
        trace: None,
        packing: Packing::default(),
        retries: Policies::new([(FaultClass::Internal, once.over(FaultClass::Internal.policy()))].into()),
        strict: false,
    };
    let mut job = Job::begin(id, &Event::JobSubmitted(submitted)).unwrap();
    let chunks = (0..2).map(|n| ChunkPlan { pool: 0, runs: vec![(n, 1)], bytes: 10 }).collect();
    let plan = SegmentPlan { segment: 0, offset: 0, bytes: 20, first: 0, requests: 2, pools: vec![pool()], chunks };
    job.evolve(&Event::SegmentPlanned(plan));
    let planned =
        Planned { at: Millis::new(1), input: "in".into(), requests: 2, segments: 1, bytes: 20, warnings: vec![] };
    job.evolve(&Event::JobPlanned(planned));
    Case { core: Scheduler::new(vec![pool()], 5.0), jobs: One(job), seq: 0, ms: 1_000 }
}

impl Case {
    fn now(&self) -> Now {
        Now { at: Millis::new(self.ms), moment: Moment::new(self.ms) }
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
        let (job, seq, stored) = (self.jobs.0.id, self.seq, Millis::new(self.ms));
        let trace = matches!(event, Event::ChunkFailed(_)).then_some("00-trace");
        self.hear(schedule::Input::Folded(Folded { job, event: &event, seq, stored, trace }));
    }

    fn send_all(&mut self) {
        for send in self.sends() {
            self.hear(schedule::Input::Sent(&send));
        }
    }

    fn failed(&mut self, index: u32, class: FaultClass) {
        let (at, chunk) = (Millis::new(self.ms), ChunkId::new(0, index));
        let failed = ChunkFailed { at, chunk, attempt: 1, worker: "w".into(), class, reason: "no".into() };
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
    let held = Held { chunks, at: Millis::new(case.ms), looked: Moment::new(case.ms) };
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
    case.fold(Event::JobPaused(At { at: Millis::new(2_000) }));
    assert_eq!(case.owed(), [Effect::Withdraw(job)]);
    case.hear(schedule::Input::Withdrawn(job));
    assert_eq!(case.owed(), []);
    case.ms = HOUR;
    assert_eq!(case.owed(), [Effect::Append(job, Command::Expire { at: Millis::new(HOUR) })]);
    case.hear(schedule::Input::Appended(job));
    assert_eq!(case.owed(), []);
}
