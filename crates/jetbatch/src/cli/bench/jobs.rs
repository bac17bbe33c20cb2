//! Many small jobs: how many a second come from their submission to `completed`, and what one of them costs.
mod phases;

use super::{cpus, input, process::Cpu, scratch::Scratch, verify::verify};
use crate::{
    bus::{Bus, Op},
    cli::{error::Error, local::Local, text},
};
use clap::Args;
use domain::{JobId, status::State};
use futures::{StreamExt, TryStreamExt, stream};
use phases::{Phases, Watch};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashSet,
    fmt,
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;
use wire::{Message, Subject, bucket, envelope};

/// Submissions that are not acknowledged, at most.
const IN_FLIGHT: usize = 256;
/// Outputs read at once, after the clock was stopped.
const READS_AT_ONCE: usize = 16;

#[derive(Debug, Args)]
pub struct Jobs {
    /// Jobs that are submitted over NATS
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: u64,
    /// Requests of each
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    requests: u64,
    /// Bytes of one request
    #[arg(long, default_value_t = 350)]
    bytes: usize,
    /// Submissions a second [default: as many as are taken]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// Also print how far the jobs were, five times a second
    #[arg(long)]
    phases: bool,
    /// Where the scratch folder is made, and removed again [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    jobs: u64,
    requests: u64,
    cpus: usize,
    /// From the first publish to the last one's acknowledgement.
    submitted_s: f64,
    /// From the first publish until the last job read `completed`.
    seconds: f64,
    jobs_per_s: f64,
    /// Microseconds of CPU a job; absent where the system does not tell.
    jetbatch_us: Option<u64>,
    nats_server_us: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    phases: Vec<Phases>,
}

/// A message in the bucket `status`, as far as it is read.
#[derive(Deserialize)]
struct Stored {
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    state: State,
}

pub async fn jobs(args: Jobs) -> Result<(), Error> {
    let scratch = Scratch::new(args.scratch.as_deref())?;
    let mut local = Local::start(scratch.path(), input::POOL, engine::Spec::echo()).await?;
    let report = measure(&mut local, &args).await;
    let stopped = local.stop().await;
    super::print(args.json, &report?)?;
    stopped
}

async fn measure(local: &mut Local, args: &Jobs) -> Result<Report, Error> {
    let (bus, server) = (local.bus("bench").await?, local.server_pid());
    let ids: Vec<JobId> = (0..args.jobs).map(|_| JobId::new(Uuid::now_v7())).collect();
    let watch = if args.phases { Some(Watch::begin(&bus).await?) } else { None };
    let mut statuses = bus.bucket(bucket::STATUS).watch(">").await.map_err(Error::failed)?;
    let before = (Cpu::own(), server.and_then(Cpu::of));
    let begun = Instant::now();
    let (submitted_s, seconds) = local
        .beside(async {
            let ended = async {
                let mut left: HashSet<JobId> = ids.iter().copied().collect();
                while !left.is_empty() {
                    let entry = statuses.next().await.map_err(Error::failed)?;
                    if let Some(id) = ended(&entry.key, entry.op, &entry.value)? {
                        left.remove(&id);
                    }
                }
                Ok(begun.elapsed().as_secs_f64())
            };
            tokio::try_join!(submit(&bus, &ids, args, begun), ended)
        })
        .await?;
    let spent = |after: Option<Cpu>, before: Option<Cpu>| Some(after?.since(before?).as_micros() as u64 / args.jobs);
    let jetbatch_us = spent(Cpu::own(), before.0);
    let nats_server_us = spent(server.and_then(Cpu::of), before.1);
    let phases = match watch {
        Some(watch) => watch.end().await?,
        None => Vec::new(),
    };
    check(local, &ids, args.requests).await?;
    let (jobs, requests, jobs_per_s) = (args.jobs, args.requests, args.jobs as f64 / seconds);
    Ok(Report { jobs, requests, cpus: cpus(), submitted_s, seconds, jobs_per_s, jetbatch_us, nats_server_us, phases })
}

/// The job that a status tells to be completed. One that ended otherwise ends the benchmark.
fn ended(key: &str, op: Op, value: &[u8]) -> Result<Option<JobId>, Error> {
    let (Ok(id), Op::Put) = (key.parse(), op) else { return Ok(None) };
    let stored: Stored = serde_json::from_slice(value).map_err(Error::failed)?;
    match stored.status.state {
        State::Completed => Ok(Some(id)),
        state if state.is_terminal() => Err(Error::Ended { id, state }),
        _ => Ok(None),
    }
}

async fn submit(bus: &Bus, ids: &[JobId], args: &Jobs, begun: Instant) -> Result<f64, Error> {
    let mut window = bus.window(IN_FLIGHT);
    let mut turn = args.rate.map(|rate| interval(Duration::from_secs_f64(1.0 / rate as f64)));
    for (number, &id) in (0..).zip(ids) {
        if let Some(turn) = &mut turn {
            turn.set_missed_tick_behavior(MissedTickBehavior::Burst);
            turn.tick().await;
        }
        window.push(message(id, number * args.requests, args)).await.map_err(Error::failed)?;
    }
    window.flush().await.map_err(Error::failed)?;
    Ok(begun.elapsed().as_secs_f64())
}

/// No two jobs ask the same, so that one's answer is known from another's.
fn message(id: JobId, first: u64, args: &Jobs) -> Message {
    let lines = (first..first + args.requests).map(|number| input::line(number, args.bytes));
    let lines: Vec<String> = lines.map(|line| line.trim_end().to_owned()).collect();
    let body = format!(r#"{{"id":"{id}","requests":[{}]}}"#, lines.join(","));
    Message::new(Subject::Submit, body).id(id).header(envelope::CONTENT_TYPE, envelope::JSON)
}

/// Every job's output is its own answers, whole and in order.
async fn check(local: &mut Local, ids: &[JobId], requests: u64) -> Result<(), Error> {
    let client = local.client.clone();
    let checks = (0..).zip(ids).map(|(number, &id)| {
        let (client, first) = (client.clone(), number * requests);
        async move { verify(&client, id, first..first + requests).await }
    });
    local.beside(stream::iter(checks).buffer_unordered(READS_AT_ONCE).try_collect::<()>()).await
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { jobs, requests, cpus, submitted_s, seconds, jobs_per_s, .. } = self;
        for phases in &self.phases {
            writeln!(f, "{phases}")?;
        }
        let (jobs, each) = (text::count(*jobs), text::plural(*requests, "request"));
        writeln!(f, "{jobs} jobs of {each} each, over NATS, echo engine, own nats-server, {cpus} CPUs")?;
        writeln!(f, "submitted {submitted_s:>8.3} s")?;
        writeln!(f, "completed {seconds:>8.3} s  {} jobs/s", text::rate(*jobs_per_s))?;
        let say = |us: Option<u64>| us.map_or_else(|| "unknown".to_owned(), |us| format!("{} us", text::count(us)));
        writeln!(f, "cpu       {} a job in jetbatch and this benchmark", say(self.jetbatch_us))?;
        writeln!(f, "          {} a job in nats-server", say(self.nats_server_us))?;
        writeln!(f, "checked   {jobs} outputs: each request exactly once, in order, its own answer")
    }
}
