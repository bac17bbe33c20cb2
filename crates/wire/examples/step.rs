//! Steps a saved log through the scheduler: `cargo run -p jetbatch-wire --example step -- LOG`
//! prints, for each event, what is decided after it, and why. `jetbatch log > LOG` saves a log ([`wire::saved`]).
//!
//! The clock goes on to each event's own time, and on its way stands still where a deadline passes or a chunk that failed
//! may be sent again. What is sent is taken at once, and what is decided for a job as a whole is not appended: the log
//! says what became of it.
use domain::{
    ChunkId, Event, Job, JobId, Pool, Timestamp,
    event::Planned,
    schedule::{Effect, Folded, Input, Jobs, Moment, Now, Scheduler, next_due},
};
use std::{collections::BTreeMap, process::ExitCode};
use wire::saved;

const AHEAD_S: f64 = 5.0;

#[derive(Debug, thiserror::Error)]
#[error("line {line}: {source}")]
pub struct Error {
    line: usize,
    source: saved::Error,
}

#[derive(Default)]
struct Fold(BTreeMap<JobId, Job>);

impl Jobs for Fold {
    fn job(&self, id: JobId) -> Option<&Job> {
        self.0.get(&id)
    }

    fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.0.values()
    }
}

impl Fold {
    fn fold(&mut self, id: JobId, event: &Event) {
        match self.0.get_mut(&id) {
            Some(job) => job.evolve(event),
            None => self.0.extend(Job::begin(id, event).map(|job| (id, job))),
        }
        if self.0.get(&id).is_some_and(Job::is_terminal) {
            self.0.remove(&id);
        }
    }
}

/// A line for each event, and under it one for each decision. What time alone decides stands under a line of its own.
pub fn step(log: &str) -> Result<String, Error> {
    let events: Vec<_> = log.lines().zip(1..).map(read).collect::<Result<_, _>>()?;
    let mut run = Run::new(&events);
    for (seq, (job, event)) in (1..).zip(&events) {
        let at = at(event).unwrap_or(run.clock);
        run.pass(at);
        run.event(seq, *job, event, at);
    }
    Ok(run.told)
}

struct Run {
    fold: Fold,
    scheduler: Scheduler,
    clock: Timestamp,
    told: String,
}

impl Run {
    fn new(events: &[(JobId, Event)]) -> Self {
        let scheduler = Scheduler::new(pools(events), AHEAD_S);
        Self { fold: Fold::default(), scheduler, clock: Timestamp::default(), told: String::new() }
    }

    fn pass(&mut self, until: Timestamp) {
        while let Some(due) = next_due(self.fold.jobs(), self.clock).filter(|due| *due <= until) {
            self.clock = due;
            let decided = self.decide(now(due));
            if !decided.is_empty() {
                self.told += &format!("  {} it is time\n{decided}", due.get());
            }
        }
        self.clock = self.clock.max(until);
    }

    fn event(&mut self, seq: u64, job: JobId, event: &Event, at: Timestamp) {
        self.fold.fold(job, event);
        let folded = Folded { job, event, seq, stored: at, trace: None };
        self.scheduler.input(&self.fold, Input::Folded(folded), now(at));
        let decided = self.decide(now(at));
        self.told += &format!("{seq} {} {job} {}\n{decided}", at.get(), event.name());
    }

    fn decide(&mut self, now: Now) -> String {
        let mut decided = String::new();
        for effect in self.scheduler.outstanding(&self.fold, now) {
            decided += &format!("    {}\n", why(&self.fold, &effect));
            hear(&mut self.scheduler, &self.fold, &effect, now);
        }
        decided
    }
}

const fn now(at: Timestamp) -> Now {
    Now { at, moment: Moment::new(at.get()) }
}

/// All goes well.
fn hear(scheduler: &mut Scheduler, fold: &Fold, effect: &Effect, now: Now) {
    let input = match effect {
        Effect::DeadLetter { job, until, .. } => Input::DeadLettered(*job, *until),
        Effect::Append(job, _) => Input::Appended(*job),
        Effect::Withdraw(job) => Input::Withdrawn(*job),
        Effect::Send(send) => Input::Sent(send),
    };
    scheduler.input(fold, input, now);
}

fn why(fold: &Fold, effect: &Effect) -> String {
    match effect {
        Effect::DeadLetter { job, from, until } => {
            format!("dead letters of {job}: chunks were given up by events {from} to {until}")
        }
        Effect::Append(job, command) => format!("append {command:?} to {job}: it is due"),
        Effect::Withdraw(job) => format!("withdraw {job} from WORK: it wants none of it run"),
        Effect::Send(send) => {
            let (chunk, pool, requests) = (send.chunk, &send.pool, send.requests);
            format!("send {} {chunk} to {pool}: {requests} requests, {}", send.job, urgency(fold, send.job, chunk))
        }
    }
}

fn urgency(fold: &Fold, id: JobId, chunk: ChunkId) -> String {
    let Some(job) = fold.job(id) else { return "of an unknown job".to_owned() };
    let place = domain::schedule::order(fold.jobs()).iter().position(|other| other.id == id).map_or(0, |at| at + 1);
    let state = job.chunk(chunk);
    format!("{:?}, deadline {}, number {place} in the order; {state:?}", job.priority, job.deadline.get())
}

fn read((text, line): (&str, usize)) -> Result<(JobId, Event), Error> {
    saved::read(text).map_err(|source| Error { line, source })
}

fn pools(events: &[(JobId, Event)]) -> Vec<Pool> {
    let of = |event: &Event| match event {
        Event::SegmentPlanned(plan) => plan.pools.clone(),
        _ => Vec::new(),
    };
    let mut pools: Vec<_> = events.iter().flat_map(|(_, event)| of(event)).collect();
    pools.sort_unstable();
    pools.dedup();
    pools
}

/// When an event was told. A plan of a segment does not say.
fn at(event: &Event) -> Option<Timestamp> {
    Some(match event {
        Event::JobSubmitted(event) => event.at,
        Event::JobRejected(event) => event.at,
        Event::JobPlanned(Planned { at, .. }) => *at,
        Event::JobPaused(event) | Event::JobResumed(event) | Event::JobDeleted(event) => event.at,
        Event::DeadlineMoved(event) => event.at,
        Event::PriorityChanged(event) => event.at,
        Event::JobClosing(event) => event.at,
        Event::JobEnded(event) => event.at,
        Event::ChunkDone(event) => event.at,
        Event::ChunkFailed(event) => event.at,
        Event::ChunkLost(event) => event.at,
        Event::SegmentArchived(event) => event.at,
        Event::OutputWritten(event) => event.at,
        Event::SegmentPlanned(_) => return None,
    })
}

#[allow(dead_code)] // the test takes the file as a module
fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("use: step <log>");
        return ExitCode::FAILURE;
    };
    match std::fs::read_to_string(&path)
        .map_err(|error| error.to_string())
        .and_then(|log| step(&log).map_err(|error| error.to_string()))
    {
        Ok(told) => print!("{told}"),
        Err(error) => {
            eprintln!("{path}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
