//! `jetbatch validate`: what is in some files, and what requests their rows become, without a server.
use super::{Input, apart};
use crate::cli::{
    error::Error,
    job::{Row, lines},
    out, text,
};
use clap::Args;
use domain::line::{Reader, check_for};
use serde::Serialize;
use std::fmt::Write as _;
use tables::{Asked, Format};

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
    let asked = args.input.asked()?;
    let found = apart(move || look(asked)).await?;
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

fn look(asked: Asked) -> Result<Found, tables::Error> {
    let mut found = about(&asked);
    for request in asked.requests()? {
        let request = request?;
        found.rows += 1;
        if found.first.len() < SHOWN
            && request.bad.is_none()
            && let Ok(line) = serde_json::from_slice(&request.line)
        {
            found.first.push(line);
        }
        found.judge(&request);
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
    fn judge(&mut self, request: &tables::Request) {
        if let Some(why) = &request.bad {
            self.bad += 1;
            return self.told(why.clone());
        }
        match check_for(&request.line, self.rows, None, |_| Reader::Server) {
            Ok(read) => {
                if let Err(refusal) = read.body {
                    self.bad += 1;
                    self.told(refusal.message);
                }
            }
            Err(error) => {
                self.wrong += 1;
                self.told(error.message);
            }
        }
    }

    fn told(&mut self, why: String) {
        if self.errors.len() < TOLD {
            self.errors.push(format!("row {}: {why}", self.rows));
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
