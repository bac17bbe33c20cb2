//! A job's answers beside the rows that it was made of: every row of the input once, in its order.
use crate::{
    Answer, Error, Files, Format, Ids, Options, Pick, Reader, Rows, Said,
    answer::Told,
    lines::{self, Line},
    map::{listed, unknown},
    read,
    resume::{Plan, Planned},
    walk::{Piece, Taken, Walk},
    write::{ANSWER, Fields, Found, Writer},
};
use arrow_schema::DataType;
use std::{collections::BTreeSet, io::BufRead, path::Path};

/// The input that a job was made of, as it was submitted.
#[derive(Debug, Clone)]
pub struct Input {
    pub files: Files,
    pub said: Said,
    pub id_column: Option<String>,
    pub pick: Pick,
}

/// What is written beside it.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The input's columns. None: all.
    pub keep: Option<Vec<String>>,
    /// Before the names of the answers' columns.
    pub prefix: String,
    /// The fields of the answers that are columns of their own.
    pub fields: Fields,
    /// What is said of a row that has no line in the job's files.
    pub missing: String,
}

/// What became of the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub rows: u64,
    pub failed: u64,
    /// Rows without a line in the job's files.
    pub missing: u64,
}

/// The lines of one of a job's files.
pub(crate) struct Lines<R> {
    from: R,
    line: Vec<u8>,
    next: Option<Told>,
}

impl<R: BufRead> Lines<R> {
    pub fn new(from: R) -> Result<Self, Error> {
        let mut lines = Self { from, line: Vec::new(), next: None };
        lines.step()?;
        Ok(lines)
    }

    fn step(&mut self) -> Result<Option<Told>, Error> {
        let broken = |why: String| Error::Asked(format!("the job's answers cannot be read: {why}"));
        let next = match lines::next(&mut self.from, &mut self.line).map_err(|error| broken(error.to_string()))? {
            Line::End => None,
            Line::TooLong => return Err(broken("a line is longer than 16 MiB".to_owned())),
            Line::Text => Some(Answer::read(&self.line).map_err(|error| broken(error.to_string()))?),
        };
        Ok(std::mem::replace(&mut self.next, next))
    }

    /// The next line's answer, where it is of this request.
    pub fn of(&mut self, id: &str) -> Result<Option<Answer>, Error> {
        match &self.next {
            Some(told) if told.custom_id == id => Ok(self.step()?.map(|told| told.answer)),
            _ => Ok(None),
        }
    }

    /// Whatever is left is of another input.
    pub fn end(&self) -> Result<(), Error> {
        self.next.as_ref().map_or(Ok(()), |told| Err(foreign(&told.custom_id)))
    }

    fn number(&self) -> u64 {
        self.next.as_ref().map_or(u64::MAX, |told| told.number)
    }
}

/// Both of a job's files, each in the input's order.
struct Both<R> {
    good: Lines<R>,
    bad: Lines<R>,
}

impl<R: BufRead> Both<R> {
    fn of(&mut self, id: &str) -> Result<Option<Answer>, Error> {
        match self.good.of(id)? {
            None => self.bad.of(id),
            found => Ok(found),
        }
    }

    fn next(&mut self) -> Result<Option<Told>, Error> {
        if self.good.number() <= self.bad.number() { self.good.step() } else { self.bad.step() }
    }

    fn end(&self) -> Result<(), Error> {
        self.good.end().and(self.bad.end())
    }
}

fn foreign(id: &str) -> Error {
    Error::Asked(format!(
        "the answer of `{id}` belongs to no row here: give the files, and the --id-column, --limit or --sample, that the \
         job was submitted with"
    ))
}

/// What is known of each row: by what was decided of it before, and by the job's lines.
struct Known<R> {
    plan: Option<Plan>,
    job: Both<R>,
}

impl<R: BufRead> Known<R> {
    fn of(&mut self, id: &str) -> Result<(Option<Answer>, Option<String>), Error> {
        let planned = self.plan.as_mut().map(|plan| plan.of(id)).transpose()?.flatten();
        match planned {
            Some(Planned { answer: Some(answer), hash, .. }) => Ok((Some(answer), hash)),
            planned => Ok((self.job.of(id)?, planned.and_then(|planned| planned.hash))),
        }
    }

    fn end(&self) -> Result<(), Error> {
        self.job.end()?;
        match self.plan.as_ref().and_then(Plan::left) {
            None => Ok(()),
            Some(id) => Err(foreign(id)),
        }
    }
}

impl Counts {
    fn add(&mut self, (answer, request_hash): (Option<Answer>, Option<String>), missing: &str) -> Answer {
        self.rows += 1;
        self.missing += u64::from(answer.is_none());
        let answer = answer.unwrap_or_else(|| Answer::missing(missing));
        self.failed += u64::from(answer.error.is_some());
        Answer { request_hash, ..answer }
    }
}

/// Writes the input's rows with their answers. `good` and `bad` are the job's output and error file, `plan` what was asked.
pub fn join<R: BufRead>(
    input: Input,
    wanted: &Wanted,
    plan: Option<Plan>,
    [good, bad]: [R; 2],
    to: &Path,
) -> Result<Counts, Error> {
    let (_, first) = read::first(&input.files, &Options { said: input.said, columns: None })?;
    let id_column = input.id_column.clone().or_else(|| own_id(&first));
    let kept = kept(wanted, &first)?;
    let ids = Ids::new(id_column);
    let mut columns: BTreeSet<String> = kept.iter().cloned().collect();
    columns.extend(ids.column().map(str::to_owned));
    let options = Options { said: input.said, columns: Some(columns) };
    let target = target(&input.files, &options, &kept, &first)?;
    let picked = Walk::pick(input.pick, &input.files, &ids, &options)?;
    let mut known = Known { plan, job: Both { good: Lines::new(good)?, bad: Lines::new(bad)? } };
    let mut writer = Writer::create(to, target, &wanted.fields, &wanted.prefix)?;
    let mut counts = Counts::default();
    for piece in Walk::new(input.files, ids, picked, options, None) {
        let piece = piece?;
        let mut answers = Vec::with_capacity(piece.taken.len());
        for taken in &piece.taken {
            answers.push(counts.add(known.of(&taken.id)?, &wanted.missing));
        }
        writer.write(&piece, &answers)?;
    }
    known.end()?;
    writer.finish()?;
    Ok(counts)
}

/// Request lines have ids of their own.
fn own_id(first: &Reader) -> Option<String> {
    let has = |name| first.format == Format::Jsonl && first.names().any(|column| column == name);
    (has("custom_id") && has("body")).then(|| "custom_id".to_owned())
}

fn kept(wanted: &Wanted, first: &Reader) -> Result<Vec<String>, Error> {
    let columns: Vec<&str> = first.names().collect();
    let kept = wanted.keep.clone().unwrap_or_else(|| columns.iter().map(|name| (*name).to_owned()).collect());
    if let Some(name) = kept.iter().find(|name| !columns.contains(&name.as_str())) {
        return Err(unknown(name, &columns));
    }
    let is_own = |name: &str| ANSWER.contains(&name) || wanted.fields.has(name);
    let is_answer = |name: &str| name.strip_prefix(wanted.prefix.as_str()).is_some_and(is_own);
    let both: Vec<&str> = kept.iter().map(String::as_str).filter(|name| is_answer(name)).collect();
    if both.is_empty() {
        return Ok(kept);
    }
    let names = listed(both.into_iter());
    Err(Error::Asked(format!(
        "{names}: the input has a column of this name, too; name the answers otherwise with --prefix answer_, or the columns to keep with --keep"
    )))
}

/// The types of what is kept; where the format has none, a pass over the input finds them.
fn target(files: &Files, options: &Options, kept: &[String], first: &Reader) -> Result<Vec<(String, DataType)>, Error> {
    let kind = |name: &String| {
        let field = first.schema.as_ref()?.field_with_name(name).ok()?;
        Some((name.clone(), field.data_type().clone()))
    };
    if first.schema.is_some() {
        return Ok(kept.iter().filter_map(kind).collect());
    }
    if first.format != Format::Jsonl {
        return Ok(kept.iter().map(|name| (name.clone(), DataType::Utf8)).collect());
    }
    let mut found = Found::new(kept);
    for file in files.all() {
        read::named(file, options)?.for_each(|rows| found.look(&rows));
    }
    Ok(found.target())
}

/// Rows of answers at once.
const ROWS: usize = 1_024;

/// Writes the answers without an input, each with its `custom_id`.
pub fn answers<R: BufRead>(
    wanted: &Wanted,
    mut plan: Option<Plan>,
    [good, bad]: [R; 2],
    to: &Path,
) -> Result<Counts, Error> {
    const ID: &str = "custom_id";
    let mut both = Both { good: Lines::new(good)?, bad: Lines::new(bad)? };
    let mut writer = Writer::create(to, vec![(ID.to_owned(), DataType::Utf8)], &wanted.fields, &wanted.prefix)?;
    let mut counts = Counts::default();
    loop {
        let (mut rows, mut answers) = (Vec::new(), Vec::new());
        while rows.len() < ROWS
            && let Some(told) = both.next()?
        {
            let hash = plan.as_mut().map(|plan| plan.skip_to(&told.custom_id)).transpose()?.flatten();
            rows.push(Ok(crate::Row::from_iter([(ID.to_owned(), told.custom_id.into())])));
            answers.push(counts.add((Some(told.answer), hash), ""));
        }
        if rows.is_empty() {
            break;
        }
        let taken = (0..rows.len()).map(|at| Taken { at, number: 0, id: String::new(), bad: None }).collect();
        writer.write(&Piece { rows: Rows::Objects(rows), file: 0, taken }, &answers)?;
    }
    writer.finish()?;
    Ok(counts)
}
