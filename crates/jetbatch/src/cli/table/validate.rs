//! `jetbatch validate`: what is in some files, and what requests their rows become, without a server.
use super::{Input, apart};
use crate::cli::{
    error::Error,
    job::{Row, lines},
    out, text,
};
use clap::Args;
use domain::{
    dedup::{Candidates, Seen},
    line::{Reader, check_for},
};
use serde::Serialize;
use std::{fmt::Write as _, io};
use tables::{Asked, Files, Format};
use tempfile::NamedTempFile;

/// Requests that are shown.
const SHOWN: usize = 3;
/// Bad rows that are told.
const TOLD: usize = 10;

#[derive(Debug, Args)]
pub struct Validate {
    #[command(flatten)]
    input: Input,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Default, Serialize)]
struct Found {
    files: Vec<String>,
    format: String,
    columns: Vec<Column>,
    /// The first requests.
    first: Vec<Box<serde_json::value::RawValue>>,
    rows: u64,
    /// Rows that would be answered with an error.
    bad: u64,
    /// Lines for which the whole input would be refused.
    wrong: u64,
    /// The first of both.
    errors: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Column {
    name: String,
    r#type: String,
}

pub async fn validate(args: Validate) -> Result<(), Error> {
    let kept = if args.input.is_stdin() { Some(apart(keep).await?) } else { None };
    let asked = || match &kept {
        Some(kept) => args.input.asked_of(Files::stdin(kept.path())),
        None => args.input.asked(),
    };
    let first = asked()?;
    let (mut found, twice) = apart(move || look(first)).await?;
    if !twice.is_empty() {
        let second = asked()?;
        found = apart(move || again(second, found, twice)).await?;
    }
    match args.json {
        true => out::line(serde_json::to_string(&found).map_err(Error::failed)?)?,
        false => out::page(page(&found))?,
    }
    match (found.wrong, found.bad) {
        (0, 0) => Ok(()),
        (0, _) if !args.input.strict => Ok(()),
        (0, bad) => Err(Error::Failed(format!("{} would be answered with an error", text::plural(bad, "row")))),
        (wrong, _) => {
            Err(Error::Failed(format!("the input would be refused: {} in it", text::plural(wrong, "wrong line"))))
        }
    }
}

/// What can be read once only, in a file of its own.
fn keep() -> Result<NamedTempFile, tables::Error> {
    let failed = |source| tables::Error::File { verb: "keep", path: "standard input".into(), source };
    let mut kept = NamedTempFile::new().map_err(failed)?;
    io::copy(&mut io::stdin().lock(), &mut kept).map_err(failed)?;
    Ok(kept)
}

fn look(asked: Asked) -> Result<(Found, Candidates), tables::Error> {
    let (mut found, mut seen) = (about(&asked), Seen::default());
    for request in asked.requests()? {
        let request = request?;
        found.rows += 1;
        if found.first.len() < SHOWN
            && request.bad.is_none()
            && let Ok(line) = serde_json::from_slice(&request.line)
        {
            found.first.push(line);
        }
        found.judge(&request, &mut seen);
    }
    Ok((found, seen.candidates()))
}

/// The second pass: which of the ids whose hashes repeat are the same.
fn again(asked: Asked, mut found: Found, mut twice: Candidates) -> Result<Found, tables::Error> {
    for (request, row) in asked.requests()?.zip(1..) {
        let line = request?.line;
        let Ok(read) = check_for(&line, row, None, |_| Reader::Server) else { continue };
        if let Some(first) = twice.check(&read.custom_id, row) {
            found.refused(format!("row {row}: its custom_id is row {first}'s, too; give each request its own"));
        }
    }
    Ok(found)
}

fn about(asked: &Asked) -> Found {
    let reader = asked.first();
    let columns = reader.columns.iter();
    let columns = columns.map(|column| Column { name: column.name.clone(), r#type: column.kind.clone() });
    let files = asked.files().all().iter().map(|file| file.name.clone()).collect();
    let what = if asked.is_plain() && reader.format == Format::Jsonl { "request lines" } else { reader.format.into() };
    Found { files, format: what.to_owned(), columns: columns.collect(), ..Found::default() }
}

impl Found {
    /// Who will read the body is not known here: what an engine will not take, `quote` tells.
    fn judge(&mut self, request: &tables::Request, seen: &mut Seen) {
        let read = check_for(&request.line, self.rows, None, |_| Reader::Server);
        if let Ok(read) = &read {
            seen.add(&read.custom_id);
        }
        let row = self.rows;
        match (&request.bad, read) {
            (Some(why), _) => self.bad(format!("row {row}: {why}")),
            (None, Err(error)) => self.refused(format!("row {row}: {}", error.message)),
            (None, Ok(read)) => {
                if let Err(refusal) = read.body {
                    self.bad(format!("row {row}: {}", refusal.message));
                }
            }
        }
    }

    fn bad(&mut self, why: String) {
        self.bad += 1;
        self.told(why);
    }

    fn refused(&mut self, why: String) {
        self.wrong += 1;
        self.told(why);
    }

    fn told(&mut self, why: String) {
        if self.errors.len() < TOLD {
            self.errors.push(why);
        }
    }
}

fn page(found: &Found) -> String {
    let files = match found.files.as_slice() {
        [one] => one.clone(),
        [first, .., last] => format!("{}, from {first} to {last}", text::count(found.files.len() as u64)),
        [] => String::new(),
    };
    let columns = found.columns.iter().map(|column| format!("{} ({})", column.name, column.r#type));
    let rows: [Row; 5] = [
        ("files", Some(files)),
        ("format", Some(found.format.clone())),
        ("columns", Some(columns.collect::<Vec<_>>().join(", "))),
        ("rows", Some(text::count(found.rows))),
        ("bad", (found.bad + found.wrong > 0).then(|| text::count(found.bad + found.wrong))),
    ];
    let mut page = lines(rows);
    for line in &found.first {
        let _ = writeln!(page, "request    {line}");
    }
    for error in &found.errors {
        let _ = writeln!(page, "error      {error}");
    }
    let hidden = (found.bad + found.wrong).saturating_sub(found.errors.len() as u64);
    if hidden > 0 {
        let _ = writeln!(page, "           and {}", text::plural(hidden, "more error"));
    }
    page
}
