//! The invariants: of a job after each event, of its files at its end, and of all that is left when all is done.
use super::{
    answers::{Kind, Line, Said, bytes},
    env::{Env, Number},
    lifecycle::TABLE,
    log::{Fold, millis},
    projector::{Projector, statuses},
    spec::{Nature, POOLS, pool},
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
    holds(job.tally.requests() + job.remaining() == job.total(), "counts are conserved")?;
    let sendable = (0..POOLS.len()).any(|at| job.sendable(&pool(at), millis(u64::MAX)).next().is_some());
    holds(job.is_wanted() || !sendable, "only what is wanted is sendable")?;
    for segment in job.open.values() {
        segment_holds(segment)?;
    }
    if job.planned.is_none() || job.is_terminal() {
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

fn segment_holds(segment: &Segment) -> Result<(), &'static str> {
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
    holds(requests == segment.tally.requests(), "a segment's tally is that of its settled chunks")
}

/// A job has ended: its files are there, each request has one line, and the lines are what the counts say.
fn end(env: &mut Env, number: Number, job: &Job) {
    if let Phase::Rejected(_) = job.phase {
        return;
    }
    let file = |kind| env.files.whole.get(&(number, kind)).cloned();
    let (Some(output), Some(errors)) = (file(Kind::Output), file(Kind::Errors)) else {
        return env.wrong("an ended job has its files", || format!("job {number}"));
    };
    if let Err(what) = files_hold(env, number, job, &output, &errors) {
        env.wrong(what, || format!("job {number}: {output:?} and {errors:?}"));
    }
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
        Said::Expired => closing && job_cause(job) == Some(Cause::Expired),
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
        let has_ended = state.is_some_and(State::is_terminal);
        env.expect(has_ended, "every job ends", || format!("job {number} is {:?}", state.map(State::as_str)));
    }
    let results = env.results.keys().filter(|key| !env.late.contains(key)).count();
    let counts = [env.work.held.len(), results, env.files.parts.len(), env.submits.len()];
    env.expect(counts == [0; 4], "nothing is left", || format!("WORK, RESULTS, parts, SUBMIT: {counts:?}"));
}

/// Where nothing but poison failed: only poison has no answer, and only a job's end leaves requests unanswered.
pub fn neighbours(env: &mut Env) {
    for number in 0..env.specs.len() {
        let errors = env.files.whole.get(&(number, Kind::Errors)).into_iter().flatten();
        let given_up = errors.filter(|line| matches!(line.said, Said::GivenUp(_)));
        let good = given_up.filter(|line| env.specs[number].natures[line.number as usize] == Nature::Good);
        let good: Vec<u64> = good.map(|line| line.number).collect();
        env.expect(good.is_empty(), "neighbours of poison are answered", || format!("job {number}: {good:?}"));
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
