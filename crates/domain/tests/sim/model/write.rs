//! One piece of an archiver's work, a step at a time: a segment's lines in input order, or a job's output.
use super::{
    answers::{Answers, Kind, Line, Said, bytes},
    env::{Bug, Env, Number},
    log::{self, Id},
};
use domain::{
    ChunkId, Event, Job,
    archive::{Piece, is_in_place},
    event::{Cause, File, OutputWritten, SegmentArchived, Tally},
    job::{Chunk, Phase, Segment},
    loss::Told,
};
use std::collections::BTreeMap;

pub struct Task {
    pub number: Number,
    pub piece: Piece,
    /// The job as it stood when the piece was begun.
    job: Job,
    stage: Stage,
}

enum Stage {
    Read(BTreeMap<u32, Result<Answers, Said>>),
    Output(Vec<Line>, Tally),
    Errors(Vec<Line>, Tally, u64),
    Fact(SegmentArchived),
    /// Of a segment that lies in its place.
    Facts(SegmentArchived),
    Compose,
    Whole(Vec<Line>, Vec<Line>),
    Written(u64, u64),
}

pub enum Now {
    More,
    Done,
    /// It is tried again.
    Failed,
}

impl Task {
    pub fn new(number: Number, piece: Piece, job: &Job) -> Self {
        let stage = if piece.segment.is_some() { Stage::Read(BTreeMap::new()) } else { Stage::Compose };
        Self { number, piece, job: piece.of(job), stage }
    }

    pub fn step(&mut self, env: &mut Env) -> Now {
        let stage = std::mem::replace(&mut self.stage, Stage::Compose);
        match self.next(env, stage) {
            Ok(Some(stage)) => {
                self.stage = stage;
                Now::More
            }
            Ok(None) => Now::Done,
            Err(()) => Now::Failed,
        }
    }

    fn next(&self, env: &mut Env, stage: Stage) -> Result<Option<Stage>, ()> {
        let job = self.number;
        if !env.stores() && !matches!(stage, Stage::Read(_)) {
            return Err(());
        }
        Ok(Some(match stage {
            Stage::Read(read) => self.read(env, read).map_err(|()| self.lost(env))?,
            Stage::Output(lines, tally) => {
                let (errors, output): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.is_error());
                let bytes = bytes(&output);
                if is_in_place(&self.job) {
                    return Ok(Some(self.in_place(env, output, errors, tally)));
                }
                self.part(env, Kind::Output, output);
                Stage::Errors(errors, tally, bytes)
            }
            Stage::Errors(errors, tally, output_bytes) => {
                let (error_bytes, segment) = (bytes(&errors), self.piece.segment.unwrap_or(0));
                self.part(env, Kind::Errors, errors);
                let losses = self.job.losses_of(segment);
                let fact = SegmentArchived { at: env.at(), segment, tally, output_bytes, error_bytes, losses };
                if env.has(Bug::PurgeBeforeFact) {
                    purge(env, job, segment);
                }
                Stage::Fact(fact)
            }
            Stage::Facts(fact) => {
                let (id, written) =
                    (Id::Archived(fact.segment, fact.losses), Stage::Written(fact.output_bytes, fact.error_bytes));
                if !log::fact(env, job, Event::SegmentArchived(fact), id) {
                    return Err(());
                }
                written
            }
            Stage::Fact(fact) => {
                let id = Id::Archived(fact.segment, fact.losses);
                return if log::fact(env, job, Event::SegmentArchived(fact), id) { Ok(None) } else { Err(()) };
            }
            Stage::Compose => self.compose(env)?,
            Stage::Whole(output, errors) => {
                let sizes = (bytes(&output), bytes(&errors));
                env.files.whole.insert((job, Kind::Output, self.losses()), output);
                env.files.whole.insert((job, Kind::Errors, self.losses()), errors);
                Stage::Written(sizes.0, sizes.1)
            }
            Stage::Written(output, errors) => {
                let file = |bytes: u64, path: &str| (bytes > 0).then(|| File { path: path.into(), bytes });
                let (output, errors) = (file(output, "output"), file(errors, "errors"));
                let losses = self.losses();
                let written = OutputWritten { at: env.at(), output, errors, losses };
                return if log::fact(env, job, Event::OutputWritten(written), Id::Written(losses)) {
                    Ok(None)
                } else {
                    Err(())
                };
            }
        }))
    }

    /// One chunk a step, until all are read.
    fn read(&self, env: &mut Env, mut read: BTreeMap<u32, Result<Answers, Said>>) -> Result<Stage, ()> {
        let Some(segment) = self.job.open.values().next() else { return Err(()) };
        let next = chunks(env, segment).find(|index| !read.contains_key(index));
        let Some(index) = next else { return merge(env, segment, &read) };
        let id = ChunkId::new(segment.plan.segment, index);
        let answers = match self.job.chunk(id) {
            Some(Chunk::GivenUp(class)) => Err(Said::GivenUp(class)),
            Some(Chunk::Unanswered) => Err(closing(&self.job).ok_or(())?),
            Some(Chunk::Done | Chunk::Split) => {
                let found = env.results.get(&(self.number, id));
                Ok(found.filter(|answers| is_of(env, segment, index, answers)).cloned().ok_or(())?)
            }
            Some(Chunk::Owed { .. }) | None => return Err(()),
        };
        read.insert(index, answers);
        Ok(Stage::Read(read))
    }

    /// What the log says is done and RESULTS does not hold is owed again, unless the segment is archived by now.
    fn lost(&self, env: &mut Env) {
        let Some(segment) = self.job.open.values().next() else { return };
        // Who ended it took its results away, too.
        if env.log.job(self.number).is_none_or(|folded| folded.job.is_terminal()) {
            return;
        }
        let mut told = Told::of(segment.plan.segment);
        env.log.entries.iter().filter(|entry| entry.job == self.number).for_each(|entry| told.note(&entry.event));
        let done = segment.chunks.iter().zip(0..).filter(|(chunk, _)| **chunk == Chunk::Done);
        for (_, index) in done {
            let chunk = ChunkId::new(segment.plan.segment, index);
            let key = (self.number, chunk);
            if !env.results.get(&key).is_some_and(|answers| is_of(env, segment, index, answers)) {
                env.results.remove(&key);
            }
            let found = env.results.get(&key).map(|answers| answers.tally);
            let Some(lost) = told.lost(index, found, env.at()) else { continue };
            log::fact(env, self.number, Event::ChunkLost(lost), Id::Lost(chunk, lost.attempt));
            if !env.is_cut && !env.lost.contains(&(self.number, chunk)) {
                env.wrong("no result is lost by nobody's fault", || format!("job {} chunk {chunk}", self.number));
            }
        }
    }

    fn part(&self, env: &mut Env, kind: Kind, lines: Vec<Line>) {
        let segment = self.piece.segment.unwrap_or(0);
        let key = (self.number, segment, kind, self.job.losses_of(segment));
        env.tell(|| format!("an archiver writes a part: job {} segment {} {kind:?}", key.0, key.1));
        if lines.is_empty() {
            env.files.parts.remove(&key);
        } else {
            env.files.parts.insert(key, lines);
        }
    }

    fn losses(&self) -> u32 {
        self.job.losses()
    }

    /// A small job's lines go to its files at once.
    fn in_place(&self, env: &mut Env, output: Vec<Line>, errors: Vec<Line>, tally: Tally) -> Stage {
        let (output_bytes, error_bytes) = (bytes(&output), bytes(&errors));
        env.files.whole.insert((self.number, Kind::Output, self.losses()), output);
        env.files.whole.insert((self.number, Kind::Errors, self.losses()), errors);
        let segment = self.piece.segment.unwrap_or(0);
        let losses = self.job.losses_of(segment);
        Stage::Facts(SegmentArchived { at: env.at(), segment, tally, output_bytes, error_bytes, losses })
    }

    /// The files are there where the segment was written in their place, or the log has lost that they were.
    fn compose(&self, env: &Env) -> Result<Stage, ()> {
        let Job { output_bytes, error_bytes, .. } = self.job;
        let parts = (self.parts(env, Kind::Output, output_bytes), self.parts(env, Kind::Errors, error_bytes));
        if let (Ok(output), Ok(errors)) = parts {
            return Ok(Stage::Whole(output, errors));
        }
        let held = |kind| env.files.whole.get(&(self.number, kind, self.losses())).map(|lines| bytes(lines));
        let are_there = (held(Kind::Output), held(Kind::Errors)) == (Some(output_bytes), Some(error_bytes));
        if are_there { Ok(Stage::Written(output_bytes, error_bytes)) } else { Err(()) }
    }

    fn parts(&self, env: &Env, kind: Kind, held: u64) -> Result<Vec<Line>, ()> {
        let segments = 0..self.job.segments();
        let parts = segments
            .filter_map(|segment| env.files.parts.get(&(self.number, segment, kind, self.job.losses_of(segment))));
        let lines: Vec<Line> = parts.flatten().copied().collect();
        if bytes(&lines) == held { Ok(lines) } else { Err(()) }
    }
}

pub fn purge(env: &mut Env, job: Number, segment: u32) {
    env.results.retain(|(number, chunk), _| *number != job || chunk.segment != segment);
}

fn chunks<'a>(env: &Env, segment: &'a Segment) -> Box<dyn Iterator<Item = u32> + 'a> {
    if env.has(Bug::SplitTwice) {
        return Box::new(0..segment.plan.chunks.len() as u32);
    }
    Box::new(segment.whole().map(|(index, _)| index))
}

/// Whether a result is of the chunk's own requests.
fn is_of(env: &Env, segment: &Segment, index: u32, answers: &Answers) -> bool {
    let number = |place: usize| answers.lines.get(place).map(|line| line.number);
    let plan = &segment.plan;
    env.has(Bug::StaleResultTaken) || plan.chunks[index as usize].is_answered_by(plan.first, number)
}

/// The lines in input order, each chunk's in its places.
fn merge(env: &Env, segment: &Segment, read: &BTreeMap<u32, Result<Answers, Said>>) -> Result<Stage, ()> {
    let first = segment.plan.first;
    let mut lines = Vec::with_capacity(segment.plan.requests as usize);
    let mut tally = Tally::default();
    for (&index, answers) in read {
        let numbers = segment.plan.chunks[index as usize].indices().map(|index| first + u64::from(index));
        match answers {
            Ok(answers) => {
                tally.usage += answers.tally.usage;
                lines.extend(answers.lines.iter().copied());
            }
            Err(said) => lines.extend(numbers.map(|number| Line { number, said: *said, run: 0 })),
        }
    }
    lines.sort_by_key(|line| line.number);
    for line in &lines {
        match line.said {
            Said::Good => tally.completed += 1,
            Said::Refused | Said::GivenUp(_) => tally.failed += 1,
            Said::Expired | Said::Cancelled => tally.unanswered += 1,
        }
    }
    // What the log knows, or a result came late, into the room of one that another archiver has removed.
    let known = Tally { unanswered: tally.unanswered, ..segment.tally };
    let fits = match env.bug {
        Some(Bug::SplitTwice) => true,
        Some(Bug::LateResultTaken) => tally.requests() == u64::from(segment.plan.requests),
        _ => tally == known && tally.requests() == u64::from(segment.plan.requests),
    };
    if fits { Ok(Stage::Output(lines, tally)) } else { Err(()) }
}

const fn closing(job: &Job) -> Option<Said> {
    match &job.phase {
        Phase::Closing(closing) => Some(match closing.cause {
            Cause::Expired => Said::Expired,
            Cause::Cancelled => Said::Cancelled,
        }),
        _ => None,
    }
}
