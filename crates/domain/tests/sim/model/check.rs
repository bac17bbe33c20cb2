//! The invariants: of a job after each event, of its files at its end, and of all that is left when all is done.
use super::{
    answers::{Kind, Line, Said, bytes},
    env::{Env, Number},
    lifecycle::TABLE,
    log::{Fold, millis},
    projector::{Projector, statuses},
    spec::{Nature, POOLS, pool},
    world::Requests,
};
use domain::{
    Event, Job,
    event::{Cause, Tally},
    job::{Chunk, Phase, Segment},
    status::State,
};
use std::collections::BTreeMap;

/// What was seen of each job before.
#[derive(Default)]
pub struct Seen(BTreeMap<Number, (State, Option<Phase>)>);

impl Seen {
    /// The jobs of which something was stored since the last look.
    pub fn look(&mut self, env: &mut Env) {
        while let Some(number) = env.log.touched.pop() {
            let Some(job) = env.log.job(number).map(|folded| folded.job.clone()) else { continue };
            if let Err(what) = job_holds(env, number, &job) {
                env.wrong(what, || format!("job {number}"));
            }
            self.step(env, number, &job);
        }
    }

    /// What was seen of events that the log has lost never happened.
    pub fn cut(&mut self, env: &Env) {
        let seen = |job: &Job| (State::of(job), job.is_terminal().then(|| job.phase.clone()));
        self.0 = env.log.heads.iter().map(|(number, head)| (*number, seen(&head.folded.job))).collect();
    }

    fn step(&mut self, env: &mut Env, number: Number, job: &Job) {
        let state = State::of(job);
        let (before, end) = self.0.remove(&number).unwrap_or((State::Validating, None));
        let is_legal = before == state || TABLE.iter().any(|(from, _, to)| (*from, *to) == (before, state));
        env.expect(is_legal, "a job goes by the table", || {
            format!("job {number} went from {} to {}", before.as_str(), state.as_str())
        });
        let is_kept = end.as_ref().is_none_or(|end| *end == job.phase);
        env.expect(is_kept, "the first terminal state wins", || format!("job {number} is {}", state.as_str()));
        if job.is_terminal() && end.is_none() {
            self::end(env, number, job);
        }
        self.0.insert(number, (state, job.is_terminal().then(|| job.phase.clone())));
    }
}

fn holds(holds: bool, what: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(what) }
}

fn job_holds(env: &Env, number: Number, job: &Job) -> Result<(), &'static str> {
    // A result from before the log was cut may be of as many other requests, until the archiver looks at it.
    let is_known = !env.is_cut || job.is_terminal();
    holds(!is_known || job.tally.requests() + job.remaining() == job.total(), "counts are conserved")?;
    let sendable = (0..POOLS.len()).any(|at| job.sendable(&pool(at), millis(u64::MAX)).next().is_some());
    holds(job.is_wanted() || !sendable, "only what is wanted is sendable")?;
    for segment in job.open.values() {
        segment_holds(segment, is_known)?;
    }
    if job.planned.is_none() || job.is_terminal() || !is_known {
        return Ok(());
    }
    let first = job.open.keys().next().copied().unwrap_or(job.segments());
    holds(job.archived == 0 || job.archived_prefix == first, "no segment below the archived prefix is open")?;
    holds(job.archived as usize + job.open.len() == job.segments() as usize, "a segment is open or archived")?;
    let plans = env.specs[number].plans.iter().filter(|_| job.total() > 0);
    let closed = plans.filter(|plan| !job.open.contains_key(&plan.segment)).map(|plan| u64::from(plan.requests));
    let open = job.open.values().map(|segment| segment.tally.requests());
    holds(closed.sum::<u64>() + open.sum::<u64>() == job.tally.requests(), "the tally is that of the segments")
}

fn segment_holds(segment: &Segment, is_known: bool) -> Result<(), &'static str> {
    let owed = segment.chunks.iter().filter(|chunk| matches!(chunk, Chunk::Owed { .. })).count();
    holds(owed == segment.left as usize, "what is left is what is owed")?;
    holds(segment.chunks.len() == segment.plan.chunks.len(), "each chunk has a plan")?;
    let mut seen = vec![0; segment.plan.requests as usize];
    segment.whole().flat_map(|(_, plan)| plan.indices()).for_each(|index| seen[index as usize] += 1);
    holds(seen.iter().all(|count| *count == 1), "each request is in one chunk")?;
    let settled = segment.chunks.iter().zip(&segment.plan.chunks).filter(|(chunk, _)| match chunk {
        Chunk::Done | Chunk::GivenUp(_) => true,
        Chunk::Owed { .. } | Chunk::Split | Chunk::Unanswered => false,
    });
    let requests: u64 = settled.map(|(_, plan)| u64::from(plan.requests())).sum();
    holds(!is_known || requests == segment.tally.requests(), "a segment's tally is that of its settled chunks")
}

/// A job has ended: its files are there, each request has one line, and the lines are what the counts say.
fn end(env: &mut Env, number: Number, job: &Job) {
    match &job.phase {
        Phase::Rejected(_) => return,
        Phase::Ended(ended) if ended.abandoned.is_some() => return abandoned(env, number, job),
        _ => {}
    }
    let file =
        |kind| env.files.whole.get(&(number, kind, job.written.as_ref().map_or(0, |written| written.losses))).cloned();
    let (Some(output), Some(errors)) = (file(Kind::Output), file(Kind::Errors)) else {
        return env.wrong("an ended job has its files", || format!("job {number}"));
    };
    if let Err(what) = files_hold(env, number, job, &output, &errors) {
        env.wrong(what, || format!("job {number}: {output:?} and {errors:?}"));
    }
}

/// It names no files, and counts no answer.
fn abandoned(env: &mut Env, number: Number, job: &Job) {
    let is_none = job.written.is_none() && job.tally.unanswered == job.total() && job.tally.requests() == job.total();
    env.expect(is_none, "an abandoned job has no answers", || format!("job {number}"));
}

fn files_hold(env: &Env, number: Number, job: &Job, output: &[Line], errors: &[Line]) -> Result<(), &'static str> {
    for file in [output, errors] {
        holds(file.is_sorted_by(|a, b| a.number < b.number), "lines are in input order")?;
    }
    let mut numbers: Vec<u64> = output.iter().chain(errors).map(|line| line.number).collect();
    numbers.sort_unstable();
    holds(numbers.iter().copied().eq(0..job.total()), "each request has one line")?;
    let written = job.written.as_ref();
    let sizes = written.map(|w| [&w.output, &w.errors].map(|file| file.as_ref().map_or(0, |file| file.bytes)));
    holds(sizes == Some([bytes(output), bytes(errors)]), "files are as long as the log says")?;
    let mut tally = Tally::default();
    for line in output.iter().chain(errors) {
        let nature = env.specs[number].natures[line.number as usize];
        holds(is_right(*line, nature, job), "each answer is the request's own")?;
        match line.said {
            Said::Good => tally.completed += 1,
            Said::Refused | Said::GivenUp(_) => tally.failed += 1,
            Said::Expired | Said::Cancelled => tally.unanswered += 1,
        }
        tally.usage.completion += if line.run > 0 { line.bytes() } else { 0 };
    }
    tally.usage.prompt = job.tally.usage.prompt;
    holds(tally == job.tally, "lines are what the counts say")
}

fn is_right(line: Line, nature: Nature, job: &Job) -> bool {
    let closing = job.tally.unanswered > 0;
    match line.said {
        Said::Good => nature == Nature::Good && line.run > 0,
        Said::Refused => nature == Nature::Refused && line.run > 0,
        Said::GivenUp(_) => line.run == 0,
        Said::Expired => closing && (job.cancelled || job_cause(job) == Some(Cause::Expired)),
        Said::Cancelled => closing && job_cause(job) == Some(Cause::Cancelled),
    }
}

const fn job_cause(job: &Job) -> Option<Cause> {
    use domain::event::Outcome;
    match &job.phase {
        Phase::Ended(ended) => match ended.outcome {
            Outcome::Expired => Some(Cause::Expired),
            Outcome::Cancelled => Some(Cause::Cancelled),
            Outcome::Completed => None,
        },
        _ => None,
    }
}

/// All statuses of a fold from the first event on. With `twice`, each fact comes twice.
fn fresh(env: &Env, twice: bool) -> Vec<Vec<u8>> {
    let mut fold = Fold::default();
    while let Some(entry) = fold.next(&env.log) {
        let is_fact = !entry.event.is_lifecycle();
        if let (true, Some(folded)) = (twice && is_fact, fold.jobs.get_mut(&entry.job)) {
            folded.job.evolve(&entry.event);
        }
    }
    statuses(&fold)
}

/// Whether a fresh fold comes to the same, byte for byte.
pub fn folds(env: &mut Env, projector: Option<&Projector>) {
    let kept = Fold { seq: 0, jobs: env.log.heads.iter().map(|(job, head)| (*job, head.folded.clone())).collect() };
    let kept = statuses(&kept);
    env.expect(kept == fresh(env, false), "a fresh fold comes to the same", String::new);
    env.expect(kept == fresh(env, true), "a fact that comes twice changes nothing", String::new);
    if let Some(projector) = projector {
        env.expect(kept == projector.statuses(), "a fold from a snapshot comes to the same", String::new);
    }
}

/// All has been done: every job has ended and has left nothing.
pub fn rest(env: &mut Env) {
    let job_of = |env: &Env, number| env.log.job(number).map(|folded: &super::log::Folded| State::of(&folded.job));
    for number in 0..env.specs.len() {
        let state = job_of(env, number);
        // What the log has lost of a submission that was taken is gone.
        let has_ended = state.map_or(env.is_cut, State::is_terminal);
        env.expect(has_ended, "every job ends", || format!("job {number} is {:?}", state.map(State::as_str)));
    }
    // What events that the log has lost left behind, or an archiver that was away for long, a sweep removes.
    let swept = |left: usize| if env.is_cut || env.judged { 0 } else { left };
    let results = swept(env.results.keys().filter(|key| !env.late.contains(key)).count());
    let counts = [env.work.held.len(), results, swept(env.files.parts.len()), env.submits.len()];
    env.expect(counts == [0; 4], "nothing is left", || format!("WORK, RESULTS, parts, SUBMIT: {counts:?}"));
}

/// The lines of one file of a job that ended with its files.
fn lines(env: &Env, number: Number, kind: Kind) -> impl Iterator<Item = &Line> {
    let job = env.log.job(number).map(|folded| &folded.job).filter(|job| job.is_terminal());
    let losses = job.and_then(|job| job.written.as_ref()).map(|written| written.losses);
    let file = losses.and_then(|losses| env.files.whole.get(&(number, kind, losses)));
    file.into_iter().flatten()
}

pub fn requests(env: &Env) -> Requests {
    let mut sum = Requests::default();
    for number in 0..env.specs.len() {
        let Some(job) = env.log.job(number).map(|folded| &folded.job) else { continue };
        sum.all += job.total();
        sum.answered += job.tally.completed;
        sum.unanswered += job.tally.unanswered;
        for line in lines(env, number, Kind::Errors).filter(|line| matches!(line.said, Said::GivenUp(_))) {
            sum.given_up += 1;
            sum.good_given_up += u64::from(env.specs[number].natures[line.number as usize] == Nature::Good);
        }
    }
    sum
}

/// The failures that a request's chunks had: when, where, of what, and whether they counted.
fn failures(env: &Env, number: Number, request: u64) -> Vec<String> {
    let mut job: Option<Job> = None;
    let mut found = Vec::new();
    for entry in env.log.entries.iter().filter(|entry| entry.job == number) {
        if let (Some(job), Event::ChunkFailed(failed)) = (&job, &entry.event) {
            let plan = job.open.get(&failed.chunk.segment).map(|segment| &segment.plan);
            let holds = plan.is_some_and(|plan| {
                let chunk = plan.chunks.get(failed.chunk.index as usize);
                chunk.is_some_and(|chunk| chunk.indices().any(|index| plan.first + u64::from(index) == request))
            });
            let (worker, class, trust) = (&failed.worker, failed.class.as_str(), (failed.trust, failed.others));
            found.extend(
                holds.then(|| format!("{} {}: {class} on {worker}, {trust:?}", entry.at - 1_000_000, failed.chunk)),
            );
        }
        match &mut job {
            Some(job) => job.evolve(&entry.event),
            None => job = Job::begin(env.specs[number].id, &entry.event),
        }
    }
    found
}

/// Where nothing but poison failed: only poison has no answer, and only a job's end leaves requests unanswered.
pub fn neighbours(env: &mut Env) {
    for number in 0..env.specs.len() {
        let given_up = lines(env, number, Kind::Errors).filter(|line| matches!(line.said, Said::GivenUp(_)));
        let good = given_up.filter(|line| env.specs[number].natures[line.number as usize] == Nature::Good);
        let good: Vec<u64> = good.map(|line| line.number).collect();
        let why = good.first().map(|request| failures(env, number, *request));
        let detail = || format!("job {number}: {good:?}, the first after {why:?}");
        env.expect(good.is_empty(), "neighbours of poison are answered", detail);
    }
}

/// Nothing is tried in vain until the deadline: poison is given up before. A client may hold its job until then, or move it.
pub fn in_time(env: &mut Env) {
    let is_moved = |event: &Event| matches!(event, Event::JobPaused(_) | Event::DeadlineMoved(_));
    let moved: Vec<Number> =
        env.log.entries.iter().filter(|entry| is_moved(&entry.event)).map(|entry| entry.job).collect();
    let waits = |number: &Number| moved.contains(number) || env.refused.contains(number);
    let numbers: Vec<Number> = (0..env.specs.len()).filter(|number| !waits(number)).collect();
    for number in numbers {
        // Where the log lost its plan, nobody knows its requests any more.
        let job = env.log.job(number).map(|folded| &folded.job).filter(|job| !env.is_cut || job.total() > 0);
        let state = job.map(State::of);
        env.expect(state != Some(State::Expired), "no job expires", || format!("job {number}"));
    }
}

/// The log's bytes, as a number.
pub fn digest(env: &Env, mut digest: u64) -> u64 {
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for entry in &env.log.entries {
        add(&entry.at.to_le_bytes());
        add(&rmp_serde::to_vec::<Event>(&entry.event).expect("an event can be written"));
    }
    env.files.whole.values().flatten().for_each(|line| add(&[line.number as u8, line.run as u8]));
    digest
}
