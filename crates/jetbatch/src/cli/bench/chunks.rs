//! Whether the size of a chunk costs anything: the same file of answers of many lengths, cut into chunks of several sizes,
//! on an echo engine that takes as long for each as a model would.
use super::{chance::Chance, cpus, engine::through, scratch::Scratch};
use crate::{
    cli::{error::Error, local::Local, out, text},
    config::PoolConfig,
};
use clap::Args;
use engine::{Behaviour, Echo};
use serde::Serialize;
use serde_json::json;
use std::{
    fmt,
    path::{Path, PathBuf},
};

const POOL: &str = "tiny";

#[derive(Debug, Args)]
pub struct Chunks {
    /// Requests in a chunk
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64, 512], value_parser = clap::value_parser!(u32).range(1..=512))]
    sizes: Vec<u32>,
    /// Requests of one turn
    #[arg(long, default_value_t = 6_000, value_parser = clap::value_parser!(u64).range(1..))]
    requests: u64,
    /// Answers that run together
    #[arg(long, default_value_t = 64)]
    slots: usize,
    /// Milliseconds for each token of an answer, of which there are fifty in the mean
    #[arg(long, default_value_t = 4.0)]
    token_ms: f64,
    /// Turns of each size
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Where the scratch folder is made, and removed again [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    requests: u64,
    slots: usize,
    token_ms: f64,
    cpus: usize,
    rows: Vec<Row>,
}

/// Tokens a second: the best of the rounds, and over that of the fastest size.
#[derive(Debug, Serialize)]
struct Row {
    chunk_requests: u32,
    tokens_per_s: f64,
    of_best: f64,
}

pub async fn chunks(args: Chunks) -> Result<(), Error> {
    let scratch = Scratch::new(args.scratch.as_deref())?;
    let file = scratch.path().join("input.jsonl");
    write(&file, args.requests)?;
    let mut rows: Vec<Row> = Vec::new();
    for round in 0..args.rounds {
        for (at, size) in args.sizes.iter().copied().enumerate() {
            let rate = turn(&args, size, &scratch.path().join(format!("{round}-{size}")), &file).await?;
            out::note(format_args!("{size} requests a chunk: {} tokens/s", text::rate(rate)));
            match rows.get_mut(at) {
                Some(row) => row.tokens_per_s = row.tokens_per_s.max(rate),
                None => rows.push(Row { chunk_requests: size, tokens_per_s: rate, of_best: 0.0 }),
            }
        }
    }
    let best = rows.iter().map(|row| row.tokens_per_s).fold(0.0, f64::max);
    rows.iter_mut().for_each(|row| row.of_best = row.tokens_per_s / best);
    let Chunks { requests, slots, token_ms, .. } = args;
    super::print(args.json, &Report { requests, slots, token_ms, cpus: cpus(), rows })
}

async fn turn(args: &Chunks, size: u32, data: &Path, file: &Path) -> Result<f64, Error> {
    let behaviour = Behaviour { token_ms: args.token_ms, ..Behaviour::default() };
    let engine = Echo { slots: Some(args.slots), echo: behaviour, ..Echo::default() }.into();
    let served = PoolConfig { chunk_requests: Some(size), order: None, ..PoolConfig::of(engine) };
    let mut local = Local::serve(data, POOL, served).await?;
    let rate = through(&mut local, file).await;
    let stopped = local.stop().await;
    let rate = rate?;
    stopped.map(|()| rate)
}

fn write(file: &Path, requests: u64) -> Result<(), Error> {
    let (mut lines, mut chance) = (String::new(), Chance::seeded(1));
    for number in 0..requests {
        let length = chance.length(150) as usize;
        let body = json!({"messages": [{"role": "user", "content": chance.words(length)}]});
        lines.push_str(&json!({"custom_id": format!("r{number}"), "body": body}).to_string());
        lines.push('\n');
    }
    std::fs::write(file, lines).map_err(Error::file("write", file))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (requests, slots) = (text::count(self.requests), self.slots);
        writeln!(f, "{requests} requests, {slots} slots, {} ms a token, {} CPUs", self.token_ms, self.cpus)?;
        let heading = ["requests a chunk", "tokens/s", "of the best"].map(str::to_owned).to_vec();
        let row = |row: &Row| {
            vec![row.chunk_requests.to_string(), text::rate(row.tokens_per_s), format!("{:.3}", row.of_best)]
        };
        let rows = std::iter::once(heading).chain(self.rows.iter().map(row));
        write!(f, "{}", text::table(&rows.collect::<Vec<_>>()))
    }
}
