//! One piece of an archiver's work, a step at a time: a segment's lines in input order, or a job's output.
use super::{
    answers::{Answers, Kind, Line, Said, bytes},
    env::{Bug, Env, Number},
    log::{self, Id},
};
use domain::{
    ChunkId, Event, Job,
    event::{Cause, File, OutputWritten, SegmentArchived, Tally},
    job::{Chunk, Phase, Segment},
};
use std::collections::BTreeMap;

/// A segment of a job, or (none) its output.
pub type Piece = (Number, Option<u32>);

pub struct Task {
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
    Purge,
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
    pub fn new(piece: Piece, job: &Job) -> Self {
        let open = piece.1.and_then(|number| Some((number, job.open.get(&number)?.clone())));
        let job = Job { open: open.into_iter().collect(), ..job.clone_head() };
        let stage = if piece.1.is_some() { Stage::Read(BTreeMap::new()) } else { Stage::Compose };
        Self { piece, job, stage }
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
        let job = self.piece.0;
        Ok(Some(match stage {
            Stage::Read(read) => self.read(env, read)?,
            Stage::Output(lines, tally) => {
                let (errors, output): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.is_error());
                let bytes = bytes(&output);
                self.part(env, Kind::Output, output);
                Stage::Errors(errors, tally, bytes)
            }
            Stage::Errors(errors, tally, output_bytes) => {
                let (error_bytes, segment) = (bytes(&errors), self.piece.1.unwrap_or(0));
                self.part(env, Kind::Errors, errors);
                let fact = SegmentArchived { at: env.at(), segment, tally, output_bytes, error_bytes };
                if env.has(Bug::PurgeBeforeFact) {
                    purge(env, job, segment);
                }
                Stage::Fact(fact)
            }
            Stage::Fact(fact) => {
                let id = Id::Archived(fact.segment);
                if !log::fact(env, job, Event::SegmentArchived(fact), id) {
                    return Err(());
                }
                Stage::Purge
            }
            Stage::Purge => {
                purge(env, job, self.piece.1.unwrap_or(0));
                return Ok(None);
            }
            Stage::Compose => self.compose(env)?,
            Stage::Whole(output, errors) => {
                let sizes = (bytes(&output), bytes(&errors));
                env.files.whole.insert((job, Kind::Output), output);
                env.files.whole.insert((job, Kind::Errors), errors);
                Stage::Written(sizes.0, sizes.1)
            }
            Stage::Written(output, errors) => {
                let file = |bytes: u64, path: &str| (bytes > 0).then(|| File { path: path.into(), bytes });
                let (output, errors) = (file(output, "output"), file(errors, "errors"));
                let written = OutputWritten { at: env.at(), output, errors };
                return if log::fact(env, job, Event::OutputWritten(written), Id::Written) {
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
            Some(Chunk::Done | Chunk::Split) => Ok(env.results.get(&(self.piece.0, id)).cloned().ok_or(())?),
            Some(Chunk::Owed { .. }) | None => return Err(()),
        };
        read.insert(index, answers);
        Ok(Stage::Read(read))
    }

    fn part(&self, env: &mut Env, kind: Kind, lines: Vec<Line>) {
        let key = (self.piece.0, self.piece.1.unwrap_or(0), kind);
        env.tell(|| format!("an archiver writes a part: job {} segment {} {kind:?}", key.0, key.1));
        if lines.is_empty() {
            env.files.parts.remove(&key);
        } else {
            env.files.parts.insert(key, lines);
        }
    }

    fn compose(&self, env: &Env) -> Result<Stage, ()> {
        let output = self.parts(env, Kind::Output, self.job.output_bytes)?;
        Ok(Stage::Whole(output, self.parts(env, Kind::Errors, self.job.error_bytes)?))
    }

    fn parts(&self, env: &Env, kind: Kind, held: u64) -> Result<Vec<Line>, ()> {
        let segments = 0..self.job.segments();
        let parts = segments.filter_map(|segment| env.files.parts.get(&(self.piece.0, segment, kind)));
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
