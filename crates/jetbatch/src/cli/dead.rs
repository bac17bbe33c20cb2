//! `jetbatch dead`: requests that were given up.
use super::{
    client::{Client, Raw},
    error::Error,
    job::When,
    out,
    remote::Server,
    text,
};
use crate::clock;
use clap::{Args, Subcommand};
use domain::{JobId, Pool, event::FaultClass};
use reqwest::Method;
use serde::Deserialize;
use std::fmt::Write as _;

#[derive(Debug, Args)]
pub struct Dead {
    #[command(subcommand)]
    what: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List entries, newest first
    List(List),
    /// Show an entry: its requests, and what they failed of
    Show(One),
    /// Submit the requests of entries once more, each as a job of its own; replayed twice it is one job
    Replay(Many),
    /// Remove entries; the error line in their job's files stays
    Drop(Many),
}

#[derive(Debug, Args)]
struct List {
    /// Only entries of this job
    #[arg(long)]
    job: Option<JobId>,
    /// Only entries of this pool
    #[arg(long)]
    pool: Option<Pool>,
    /// Only entries whose last failure is of this class
    #[arg(long, value_parser = class)]
    reason: Option<FaultClass>,
    /// How many, newest first
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// Those after this entry: the last one of the page before
    #[arg(long)]
    after: Option<u64>,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
struct One {
    /// The entry's id
    entry: u64,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
struct Many {
    /// The entries' ids
    #[arg(required = true)]
    entries: Vec<u64>,
    #[command(flatten)]
    server: Server,
}

/// What is read of an entry.
#[derive(Deserialize)]
struct Entry {
    id: u64,
    job: String,
    chunk: String,
    pool: String,
    class: String,
    reason: String,
    attempts: u64,
    requests: u64,
    #[serde(default)]
    custom_ids: Vec<String>,
    died_at: When,
    #[serde(default)]
    history: Vec<Failure>,
    #[serde(default)]
    lines: Vec<Raw>,
}

#[derive(Deserialize)]
struct Failure {
    at: When,
    chunk: String,
    worker: String,
    class: String,
    reason: String,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Entry>,
    next: Option<u64>,
}

#[derive(Deserialize)]
struct Replayed {
    id: String,
}

fn class(text: &str) -> Result<FaultClass, String> {
    text.parse().map_err(|_| format!("use one of {}", text::words(FaultClass::ALL)))
}

pub async fn dead(args: Dead) -> Result<(), Error> {
    match args.what {
        Verb::List(args) => list(args).await,
        Verb::Show(args) => show(args).await,
        Verb::Replay(args) => replay(args).await,
        Verb::Drop(args) => remove(args).await,
    }
}

async fn list(args: List) -> Result<(), Error> {
    let client = Client::new(&args.server.url)?;
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.job.map(|job| ("job", job.to_string())));
    query.extend(args.pool.map(|pool| ("pool", pool.to_string())));
    query.extend(args.reason.map(|reason| ("reason", reason.as_str().to_owned())));
    query.extend(args.after.map(|after| ("after", after.to_string())));
    let answer: Raw = client.json(client.request(Method::GET, &["dead"]).query(&query)).await?;
    if args.server.json {
        return out::line(answer);
    }
    table(&client.read(&answer)?)
}

fn table(page: &Page) -> Result<(), Error> {
    if page.data.is_empty() {
        return out::line("nothing was given up");
    }
    let now = clock::now().get();
    let heading = ["entry", "job", "chunk", "pool", "class", "attempts", "requests", "custom_id", "given up"];
    let rows = page.data.iter().map(|entry| {
        vec![
            entry.id.to_string(),
            entry.job.clone(),
            entry.chunk.clone(),
            entry.pool.clone(),
            entry.class.clone(),
            text::count(entry.attempts),
            text::count(entry.requests),
            entry.custom_ids.first().cloned().unwrap_or_default(),
            text::moment(entry.died_at.ms(), now),
        ]
    });
    let heading = heading.map(str::to_owned).to_vec();
    out::line(text::table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>()))?;
    page.next.map_or(Ok(()), |next| out::line(format!("older ones: --after {next}")))
}

async fn show(args: One) -> Result<(), Error> {
    let client = Client::new(&args.server.url)?;
    let answer: Raw = client.json(client.request(Method::GET, &["dead", &args.entry.to_string()])).await?;
    if args.server.json {
        return out::line(answer);
    }
    out::page(client.read::<Entry>(&answer)?.page(clock::now().get()))
}

async fn replay(args: Many) -> Result<(), Error> {
    let client = Client::new(&args.server.url)?;
    for entry in args.entries {
        let request = client.request(Method::POST, &["dead", &entry.to_string(), "replay"]);
        let answer: Raw = client.json(request).await?;
        match args.server.json {
            true => out::line(answer)?,
            false => out::line(client.read::<Replayed>(&answer)?.id)?,
        }
    }
    Ok(())
}

async fn remove(args: Many) -> Result<(), Error> {
    let client = Client::new(&args.server.url)?;
    for entry in args.entries {
        let answer: Raw = client.json(client.request(Method::DELETE, &["dead", &entry.to_string()])).await?;
        match args.server.json {
            true => out::line(answer)?,
            false => out::line(format!("entry {entry} is dropped"))?,
        }
    }
    Ok(())
}

impl Entry {
    fn page(&self, now: u64) -> String {
        let mut page = String::new();
        let rows = [
            ("entry", self.id.to_string()),
            ("job", self.job.clone()),
            ("chunk", self.chunk.clone()),
            ("pool", self.pool.clone()),
            ("given up", text::moment(self.died_at.ms(), now)),
            ("reason", format!("{}: {}", self.class, self.reason)),
            ("requests", text::count(self.requests)),
        ];
        for (name, value) in rows {
            let _ = writeln!(page, "{name:<10} {value}");
        }
        for failure in &self.history {
            let Failure { at, chunk, worker, class, reason } = failure;
            let at = text::moment(at.ms(), now);
            let _ = writeln!(page, "failure    {at} chunk {chunk} on {worker}: {class}: {reason}");
        }
        for line in &self.lines {
            let _ = writeln!(page, "request    {line}");
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_reads_well() {
        let json = r#"{"id":7,"object":"dead","job":"j","chunk":"0-3","pool":"tiny","class":"internal",
            "reason":"no luck","attempts":1,"requests":1,"custom_ids":["a"],"died_at":"1970-01-01T00:00:01.000Z",
            "history":[{"at":"1970-01-01T00:00:01.000Z","chunk":"0-1","attempt":1,"worker":"w1","class":"timeout",
            "reason":"late"}],"lines":[{"custom_id":"a"}]}"#;
        let page = serde_json::from_str::<Entry>(json).unwrap().page(2_000);
        assert!(page.contains("reason     internal: no luck\n"), "{page}");
        assert!(page.contains("(1.0 s ago) chunk 0-1 on w1: timeout: late\n"), "{page}");
        assert!(page.ends_with("request    {\"custom_id\":\"a\"}\n"), "{page}");
    }
}
