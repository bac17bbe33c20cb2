//! `jetbatch dead`: requests that were given up.
use super::{client::Raw, error::Error, out, remote::Server, text};
use crate::clock;
use api::{Accepted, DeadFailure, DeadPage, DeadQuery, DeadWhole, Route};
use clap::{Args, Subcommand};
use domain::{JobId, Pool, event::FaultClass};
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
    let client = args.server.client()?;
    let List { job, pool, reason, limit, after, server } = args;
    let query = DeadQuery { job, pool, reason, after, limit: Some(limit) };
    let answer: Raw = client.json(client.request(Route::DeadList).query(&query)).await?;
    if server.json {
        return out::line(answer);
    }
    table(&client.read(&answer)?)
}

fn table(page: &DeadPage) -> Result<(), Error> {
    if page.data.is_empty() {
        return out::line("nothing was given up");
    }
    let now = clock::now().get();
    let heading = ["entry", "job", "chunk", "pool", "class", "attempts", "requests", "custom_id", "given up"];
    let rows = page.data.iter().map(|entry| {
        vec![
            entry.id.to_string(),
            entry.job.to_string(),
            entry.chunk.clone(),
            entry.pool.to_string(),
            entry.class.as_str().to_owned(),
            text::count(entry.attempts),
            text::count(entry.requests.into()),
            entry.custom_ids.first().cloned().unwrap_or_default(),
            text::moment(entry.died_at.ms(), now),
        ]
    });
    let heading = heading.map(str::to_owned).to_vec();
    out::line(text::table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>()))?;
    page.next.map_or(Ok(()), |next| out::line(format!("older ones: --after {next}")))
}

async fn show(args: One) -> Result<(), Error> {
    let client = args.server.client()?;
    let answer: Raw = client.json(client.request_of(Route::Dead, args.entry)).await?;
    if args.server.json {
        return out::line(answer);
    }
    out::page(page(&client.read(&answer)?, clock::now().get()))
}

async fn replay(args: Many) -> Result<(), Error> {
    let client = args.server.client()?;
    for entry in args.entries {
        let request = client.request_of(Route::Replay, entry);
        let answer: Raw = client.json(request).await?;
        match args.server.json {
            true => out::line(answer)?,
            false => out::line(client.read::<Accepted>(&answer)?.id)?,
        }
    }
    Ok(())
}

async fn remove(args: Many) -> Result<(), Error> {
    let client = args.server.client()?;
    for entry in args.entries {
        let answer: Raw = client.json(client.request_of(Route::DropDead, entry)).await?;
        match args.server.json {
            true => out::line(answer)?,
            false => out::line(format!("entry {entry} is dropped"))?,
        }
    }
    Ok(())
}

fn page(whole: &DeadWhole, now: u64) -> String {
    let (mut page, entry) = (String::new(), &whole.entry);
    let rows = [
        ("entry", entry.id.to_string()),
        ("job", entry.job.to_string()),
        ("chunk", entry.chunk.clone()),
        ("pool", entry.pool.to_string()),
        ("given up", text::moment(entry.died_at.ms(), now)),
        ("reason", format!("{}: {}", entry.class.as_str(), entry.reason)),
        ("requests", text::count(entry.requests.into())),
    ];
    for (name, value) in rows {
        let _ = writeln!(page, "{name:<10} {value}");
    }
    for failure in &whole.history {
        let DeadFailure { at, chunk, worker, class, reason, .. } = failure;
        let (at, class) = (text::moment(at.ms(), now), class.as_str());
        let _ = writeln!(page, "failure    {at} chunk {chunk} on {worker}: {class}: {reason}");
    }
    for line in &whole.lines {
        let _ = writeln!(page, "request    {line}");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_reads_well() {
        let json = r#"{"id":7,"object":"dead","job":"9fdf038c-1ccd-52b8-9915-fe5dcd8ee62a","chunk":"0-3","pool":"tiny","class":"internal",
            "reason":"no luck","attempts":1,"requests":1,"custom_ids":["a"],"died_at":"1970-01-01T00:00:01.000Z",
            "links":{"self":"/dead/7","replay":"/dead/7/replay","job":"/jobs/j"},"model":null,"endpoint":null,
            "history":[{"at":"1970-01-01T00:00:01.000Z","chunk":"0-1","attempt":1,"worker":"w1","class":"timeout",
            "reason":"late"}],"lines":[{"custom_id":"a"}]}"#;
        let page = page(&serde_json::from_str(json).unwrap(), 2_000);
        assert!(page.contains("reason     internal: no luck\n"), "{page}");
        assert!(page.contains("(1.0 s ago) chunk 0-1 on w1: timeout: late\n"), "{page}");
        assert!(page.ends_with("request    {\"custom_id\":\"a\"}\n"), "{page}");
    }
}
