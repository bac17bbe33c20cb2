//! What the way through jetbatch costs: the same requests, the same model, in the same process, in turns.
use crate::cli::{demo::Sample, submit::upload};
use crate::cli::{
    error::Error,
    local::Local,
    meter::Meter,
    out, text,
    watch::{Pace, follow, verdict},
};
use crate::{clock, config::PoolConfig};
use api::{Job, Time};
use bytes::Bytes;
use clap::Args;
use engine::{Bare, Spec};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{cpus, scratch::Scratch};

const POOL: &str = "tiny";
/// Each look takes its part of the CPU that is measured, and none is needed to know when the job ended.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub struct Bench {
    /// Folder of the model and its sample.jsonl [default: models, here or above the program]
    #[arg(long, value_name = "DIR")]
    model_dir: Option<PathBuf>,
    /// A configuration whose single pool is measured in place of the bundled model
    #[arg(long, value_name = "FILE", requires = "input")]
    config: Option<PathBuf>,
    /// The requests to give, in place of the bundled model's sample
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// How many times the requests are given in one turn
    #[arg(long, default_value_t = 10)]
    repeat: usize,
    /// Turns of each kind
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Draw every answer at this temperature [default: as the requests say]
    #[arg(long)]
    temperature: Option<f64>,
    /// Sequences that run together [default: the engine's]
    #[arg(long)]
    slots: Option<usize>,
    /// Where the scratch folder is made, and removed again [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    requests: usize,
    cpus: usize,
    rounds: Vec<Round>,
    /// The median over the rounds of tokens/s through jetbatch over tokens/s of the engine alone.
    median_ratio: f64,
}

/// Completion tokens a second.
#[derive(Serialize)]
struct Round {
    alone: f64,
    jetbatch: f64,
}

pub async fn bench(args: Bench) -> Result<(), Error> {
    let (pool, requests) = subject(&args)?;
    let scratch = Scratch::new(args.scratch.as_deref())?;
    let (file, calls) = input(&requests, &args, scratch.path())?;
    let alone = Bare::load(&pool.engine).await.map_err(Error::failed)?;
    let mut local = Local::serve(scratch.path(), POOL, pool).await?;
    let outcome = rounds(&alone, &mut local, &file, &calls, &args).await;
    let stopped = local.stop().await;
    super::print(args.json, &outcome?)?;
    stopped
}

/// What is measured: how to run it, and its requests.
fn subject(args: &Bench) -> Result<(PoolConfig, PathBuf), Error> {
    let (pool, input) = match &args.config {
        Some(config) => (super::only_pool(config)?, args.input.clone()),
        None => {
            let sample = Sample::find(args.model_dir.as_deref(), true)?;
            let spec = Spec::folder(sample.model.to_string_lossy());
            (PoolConfig::of(spec), Some(args.input.clone().unwrap_or(sample.file)))
        }
    };
    let input = input.ok_or_else(|| Error::Failed("--config needs --input".to_owned()))?;
    let engine = slotted(pool.engine.clone(), args.slots);
    // The requests name the pool's model or none.
    Ok((PoolConfig { engine, models: Vec::new(), ..pool }, input))
}

fn slotted(spec: Spec, slots: Option<usize>) -> Spec {
    slots.map_or_else(|| spec.clone(), |slots| spec.clone().with_slots(slots))
}

async fn rounds(alone: &Bare, local: &mut Local, file: &Path, calls: &[Bytes], args: &Bench) -> Result<Report, Error> {
    // A short turn of each first: models are loaded, caches are warm, connections stand.
    directly(alone, &calls[..calls.len().min(64)]).await?;
    through(local, file).await?;
    let mut rounds = Vec::new();
    for number in 1..=args.rounds {
        let round = Round { alone: directly(alone, calls).await?, jetbatch: through(local, file).await? };
        out::note(format_args!(
            "round {number}: alone {}, jetbatch {} tokens/s",
            text::rate(round.alone),
            text::rate(round.jetbatch)
        ));
        rounds.push(round);
    }
    Ok(Report { requests: calls.len(), cpus: cpus(), median_ratio: median(&rounds), rounds })
}

fn median(rounds: &[Round]) -> f64 {
    let mut ratios: Vec<f64> = rounds.iter().map(|round| round.jetbatch / round.alone).collect();
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Tokens a second of the engine alone.
async fn directly(alone: &Bare, calls: &[Bytes]) -> Result<f64, Error> {
    let (begun, rest) = (Instant::now(), Mutex::new(calls.iter()));
    let next = || rest.lock().unwrap_or_else(PoisonError::into_inner).next();
    let lanes = (0..alone.in_flight()).map(async |lane| {
        let mut tokens = 0;
        while let Some(body) = next() {
            tokens += alone.chat(lane, body).await.map_err(Error::Failed)?;
        }
        Ok::<u64, Error>(tokens)
    });
    let tokens: u64 = try_join_all(lanes).await?.into_iter().sum();
    Ok(tokens as f64 / begun.elapsed().as_secs_f64())
}

/// Tokens a second of a whole job: from the first byte of its upload to its end, when its output file lies there.
pub(super) async fn through(local: &mut Local, file: &Path) -> Result<f64, Error> {
    let client = local.client.clone();
    let begun = clock::now();
    let job = local.beside(async {
        let id = upload(&client, file, None).await?;
        let pace = Pace { every: LOOK_EVERY, look: |_: &Job| {} };
        follow(&client, id, &mut Meter::Quiet, pace).await.map(|(_, job)| job)
    });
    let job = job.await?;
    verdict(&job)?;
    let ended = job.ended_at.map_or_else(clock::now, |Time(at)| at);
    Ok(job.usage.completion_tokens as f64 * 1_000.0 / ended.since(begun) as f64)
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    body: &'a RawValue,
}

/// The sample as often as is asked for, with ids of their own: as a file, and as the bodies alone.
fn input(sample: &Path, args: &Bench, folder: &Path) -> Result<(PathBuf, Vec<Bytes>), Error> {
    let text = std::fs::read_to_string(sample).map_err(Error::file("read", sample))?;
    let (mut lines, mut bodies) = (String::new(), Vec::new());
    for (number, line) in std::iter::repeat_n(&text, args.repeat).flat_map(|text| text.lines()).enumerate() {
        let mut value: Value = serde_json::from_str(line).map_err(Error::failed)?;
        value["custom_id"] = format!("request-{number}").into();
        if let Some(temperature) = args.temperature {
            value["body"]["temperature"] = temperature.into();
        }
        let line = value.to_string();
        lines.push_str(&line);
        lines.push('\n');
        let line: Line<'_> = serde_json::from_str(&line).map_err(Error::failed)?;
        bodies.push(Bytes::copy_from_slice(line.body.get().as_bytes()));
    }
    let path = folder.join("input.jsonl");
    std::fs::write(&path, lines).map_err(Error::file("write", &path))?;
    Ok((path, bodies))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requests = text::count(self.requests as u64);
        writeln!(f, "{requests} requests a turn, {} CPUs; completion tokens/s", self.cpus)?;
        let heading = ["round", "the engine alone", "through jetbatch", "ratio"].map(str::to_owned).to_vec();
        let rows = self.rounds.iter().enumerate().map(|(i, round)| {
            let ratio = format!("{:.3}", round.jetbatch / round.alone);
            vec![(i + 1).to_string(), text::rate(round.alone), text::rate(round.jetbatch), ratio]
        });
        writeln!(f, "{}", text::table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>()))?;
        writeln!(
            f,
            "median ratio {:.3} (a whole job, upload to output file, against the bare calls)",
            self.median_ratio
        )
    }
}
