//! `jetbatch bench`: the numbers that README states, by the command that gives them.
mod delay;
#[cfg(feature = "mistralrs")]
mod engine;
mod input;
mod memory;
mod process;
mod scratch;
mod throughput;
mod verify;

use super::{error::Error, out};
use clap::{Args, Subcommand};
use serde::Serialize;

#[derive(Debug, Args)]
pub struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// From a JSONL file to the complete output file: requests/s, phases, peak memory (echo engine)
    Throughput(throughput::Throughput),
    /// Peak memory at 100,000 and at 1,000,000 requests, each in a process of its own, and their ratio
    Memory(memory::Memory),
    /// Tokens/s of the bundled model: mistral.rs alone and through jetbatch, in turns, in one run
    #[cfg(feature = "mistralrs")]
    Engine(engine::Bench),
}

pub async fn bench(args: Bench) -> Result<(), Error> {
    let _telemetry = crate::telemetry::init(&super::local::quiet(), "bench").map_err(Error::failed)?;
    match args.what {
        What::Throughput(args) => throughput::throughput(args).await,
        What::Memory(args) => memory::memory(args).await,
        #[cfg(feature = "mistralrs")]
        What::Engine(args) => engine::bench(args).await,
    }
}

/// The report as JSON on one line, or as text.
fn print(is_json: bool, report: &(impl Serialize + std::fmt::Display)) -> Result<(), Error> {
    if is_json { out::line(serde_json::to_string(report).map_err(Error::failed)?) } else { out::page(report) }
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
