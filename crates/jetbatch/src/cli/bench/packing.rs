//! What it gains that a chunk holds what belongs together: the same kind of file in input order and packed, in turns,
//! against a pool's real servers. No text is given twice, so that no cache is warm from an earlier turn.
use super::{chance::Chance, cpus, engine::through, scratch::Scratch};
use crate::{
    cli::{error::Error, local::Local, out, text},
    config::PoolConfig,
};
use clap::Args;
use domain::pack::Order;
use serde::Serialize;
use serde_json::json;
use std::{
    fmt,
    path::{Path, PathBuf},
};

const POOL: &str = "tiny";
/// Requests of the turn before the first.
const WARM: usize = 64;

#[derive(Debug, Args)]
pub struct Packing {
    /// A configuration whose single pool is measured
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Requests of one turn
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    requests: u64,
    /// Prefixes among them, one after the other in the input
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    groups: u64,
    /// The parts of a prompt that its group shares, percent
    #[arg(long, value_delimiter = ',', default_values_t = [0, 30, 90], value_parser = clap::value_parser!(u64).range(0..=100))]
    shares: Vec<u64>,
    /// Bytes of one prompt
    #[arg(long, default_value_t = 800)]
    bytes: usize,
    /// Tokens of an answer
    #[arg(long, default_value_t = 4)]
    tokens: u32,
    /// Turns of each kind
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How the second kind of turn is packed: prefix, length
    #[arg(long, default_value = "prefix")]
    order: Order,
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
    groups: u64,
    cpus: usize,
    order: Order,
    rows: Vec<Row>,
}

/// Completion tokens a second.
#[derive(Debug, Serialize)]
struct Row {
    shared_percent: u64,
    arrival: Vec<f64>,
    packed: Vec<f64>,
    /// The median over the rounds of the packed turn over the other.
    median_ratio: f64,
}

pub async fn packing(args: Packing) -> Result<(), Error> {
    let pool = super::only_pool(&args.config)?;
    let scratch = Scratch::new(args.scratch.as_deref())?;
    let start = async |order: Order| {
        let served = PoolConfig { models: Vec::new(), order: Some(order), ..pool.clone() };
        Local::serve(&scratch.path().join(order.as_str()), POOL, served).await
    };
    let (mut arrival, mut packed) = (start(Order::Arrival).await?, start(args.order).await?);
    let rows = measure(&mut arrival, &mut packed, &args, scratch.path()).await;
    let stopped = arrival.stop().await.and(packed.stop().await);
    let Packing { requests, groups, order, .. } = args;
    super::print(args.json, &Report { requests, groups, cpus: cpus(), order, rows: rows? })?;
    stopped
}

async fn measure(arrival: &mut Local, packed: &mut Local, args: &Packing, folder: &Path) -> Result<Vec<Row>, Error> {
    let (file, mut chance) = (folder.join("input.jsonl"), Chance::seeded(1));
    for local in [&mut *arrival, &mut *packed] {
        write(&file, WARM as u64, 0, args, &mut chance)?;
        through(local, &file).await?;
    }
    let mut rows = Vec::new();
    for shared_percent in args.shares.iter().copied() {
        let mut row = Row { shared_percent, arrival: Vec::new(), packed: Vec::new(), median_ratio: 0.0 };
        for round in 0..args.rounds {
            let mut turns = [(&mut *arrival, &mut row.arrival), (&mut *packed, &mut row.packed)];
            // A server gets slower the longer it runs: each kind is the first in turn.
            if round % 2 == 1 {
                turns.reverse();
            }
            for (local, rates) in turns {
                write(&file, args.requests, shared_percent, args, &mut chance)?;
                rates.push(through(local, &file).await?);
            }
        }
        row.median_ratio = median(row.arrival.iter().zip(&row.packed).map(|(a, p)| p / a).collect());
        out::note(format_args!("{shared_percent} % shared: {:.3}", row.median_ratio));
        rows.push(row);
    }
    Ok(rows)
}

/// Of an even number, between the two in the middle.
fn median(mut ratios: Vec<f64>) -> f64 {
    ratios.sort_by(f64::total_cmp);
    let middle = ratios.len() / 2;
    if ratios.len() % 2 == 1 { ratios[middle] } else { ratios[middle - 1].midpoint(ratios[middle]) }
}

fn write(file: &Path, requests: u64, shared: u64, args: &Packing, chance: &mut Chance) -> Result<(), Error> {
    let prefix_bytes = args.bytes * shared as usize / 100;
    let prefixes: Vec<String> = (0..args.groups).map(|_| chance.words(prefix_bytes)).collect();
    let mut lines = String::new();
    for (number, prefix) in (0..requests).zip(prefixes.iter().cycle()) {
        let prompt = format!("{prefix}{}", chance.words(args.bytes - prefix_bytes));
        let body = json!({"messages": [{"role": "user", "content": prompt}], "max_tokens": args.tokens,
            "temperature": 0, "ignore_eos": true});
        lines.push_str(&json!({"custom_id": format!("r{number}"), "body": body}).to_string());
        lines.push('\n');
    }
    std::fs::write(file, lines).map_err(Error::file("write", file))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (requests, groups) = (text::count(self.requests), text::count(self.groups));
        writeln!(f, "{requests} requests a turn, {groups} prefixes, {} CPUs; completion tokens/s", self.cpus)?;
        let heading = ["shared", "in input order", self.order.as_str(), "median ratio"].map(str::to_owned).to_vec();
        let rates = |rates: &[f64]| rates.iter().map(|rate| text::rate(*rate)).collect::<Vec<_>>().join(", ");
        let row = |row: &Row| {
            let shared = format!("{} %", row.shared_percent);
            vec![shared, rates(&row.arrival), rates(&row.packed), format!("{:.3}", row.median_ratio)]
        };
        let rows = std::iter::once(heading).chain(self.rows.iter().map(row));
        write!(f, "{}", text::table(&rows.collect::<Vec<_>>()))
    }
}
