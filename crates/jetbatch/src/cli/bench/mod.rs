//! `jetbatch bench`: the numbers that README states, by the command that gives them.
mod chance;
mod chunks;
mod delay;
mod engine;
mod foresight;
mod http;
mod input;
mod jobs;
mod latency;
mod memory;
mod packing;
mod process;
mod scratch;
mod throughput;
mod verify;

use super::{error::Error, out};
use crate::config::{Config, PoolConfig};
use clap::{Args, Subcommand};
use serde::Serialize;
use std::path::Path;

#[derive(Debug, Args)]
pub struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// From a JSONL file to the complete output file: requests/s, phases, peak memory (echo engine)
    Throughput(throughput::Throughput),
    /// From many small submissions over NATS to jobs that read completed: jobs/s, CPU a job (echo engine)
    Jobs(jobs::Jobs),
    /// The HTTP door: an upload, status reads while a large job runs, and what keys cost (echo engine)
    Http(http::Http),
    /// Peak memory at 100,000 and at 1,000,000 requests, each in a process of its own, and their ratio
    Memory(memory::Memory),
    /// Tokens/s of the bundled model, or of another pool: the engine alone and through jetbatch, in turns, in one run
    Engine(engine::Bench),
    /// What it gains that chunks hold prompts that begin alike: a pool's servers, in input order and packed, in turns
    Packing(packing::Packing),
    /// Whether the size of a chunk costs anything: answers of many lengths, in chunks of several sizes (echo engine)
    Chunks(chunks::Chunks),
    /// A pass of the forecast and of the scheduler over many jobs that run: ms
    Foresight(foresight::Foresight),
}

pub async fn bench(args: Bench) -> Result<(), Error> {
    let _telemetry = crate::telemetry::init(&super::local::quiet(), "bench").map_err(Error::failed)?;
    match args.what {
        What::Throughput(args) => throughput::throughput(args).await,
        What::Jobs(args) => jobs::jobs(args).await,
        What::Http(args) => http::http(args).await,
        What::Memory(args) => memory::memory(args).await,
        What::Engine(args) => engine::bench(args).await,
        What::Packing(args) => packing::packing(args).await,
        What::Chunks(args) => chunks::chunks(args).await,
        What::Foresight(args) => foresight::foresight(args),
    }
}

/// The report as JSON on one line, or as text.
fn print(is_json: bool, report: &(impl Serialize + std::fmt::Display)) -> Result<(), Error> {
    if is_json { out::line(serde_json::to_string(report).map_err(Error::failed)?) } else { out::page(report) }
}

/// The single pool of a configuration.
fn only_pool(config: &Path) -> Result<PoolConfig, Error> {
    let pools = Config::load(Some(config)).map_err(Error::failed)?.pools.into_values();
    let [pool] = <[PoolConfig; 1]>::try_from(pools.collect::<Vec<_>>())
        .map_err(|_| Error::Failed(format!("{} must hold exactly one pool", config.display())))?;
    Ok(pool)
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
