//! The HTTP door while a large job runs: how fast a status is read, and what keys cost. Before it, how fast a file comes in.
use super::{
    cpus, input,
    latency::Latency,
    process::{self, Cpu},
    scratch::Scratch,
};
use crate::cli::{
    client::{Client, Upload},
    error::Error,
    local::Local,
    submit::upload,
    text,
};
use bytes::Bytes;
use clap::Args;
use domain::JobId;
use futures::{future::try_join_all, stream};
use reqwest::{
    Body,
    multipart::{Form, Part},
};
use serde::Serialize;
use serde_json::Value;
use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

const LINE_BYTES: usize = 350;
const MB: u64 = 1_000_000;
/// Turns without keys, and as many with them.
const ROUNDS: u32 = 5;

#[derive(Debug, Args)]
pub struct Http {
    /// Requests of the job that runs meanwhile
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    requests: u64,
    /// The file that is uploaded before it, in MB
    #[arg(long, value_name = "MB", default_value_t = 1_024, value_parser = clap::value_parser!(u64).range(1..))]
    upload_mb: u64,
    /// Connections that read, each one read after the other
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Seconds of reads, half of them with a key
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
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
    connections: u32,
    cpus: usize,
    upload: Uploaded,
    /// Whether the job still ran when the last read was answered.
    is_running: bool,
    reads: Latency,
    /// At a door that asks for a key.
    keyed_reads: Latency,
    /// Reads/s with keys over those without.
    keys_ratio: f64,
    /// Cores used during the reads; absent where the system does not tell.
    jetbatch_cores: Option<f64>,
    nats_server_cores: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Uploaded {
    bytes: u64,
    seconds: f64,
    mb_per_s: f64,
    /// The peak of memory over what was used before, in bytes; absent where the system does not tell.
    grown_bytes: Option<u64>,
}

pub async fn http(args: Http) -> Result<(), Error> {
    let scratch = Scratch::new(args.scratch.as_deref())?;
    let (file, _) = input::write(scratch.path(), args.requests, LINE_BYTES)?;
    let mut local = Local::start(scratch.path(), input::POOL, engine::Spec::echo()).await?;
    let report = doors(&mut local, &file, &args).await;
    let stopped = local.stop().await;
    super::print(args.json, &report?)?;
    stopped
}

async fn doors(local: &mut Local, file: &Path, args: &Http) -> Result<Report, Error> {
    let keyed = local.keyed().await?;
    let report = measure(local, &keyed.client, file, args).await;
    let stopped = keyed.stop().await;
    report.and_then(|report| stopped.map(|()| report))
}

async fn measure(local: &mut Local, keyed: &Client, file: &Path, args: &Http) -> Result<Report, Error> {
    let (open, server) = (local.client.clone(), local.server_pid());
    let uploaded = local.beside(send(&open, args.upload_mb * MB)).await?;
    let id = local.beside(upload(&open, file, None)).await?;
    let before = (Cpu::own(), server.and_then(Cpu::of));
    let begun = Instant::now();
    let (reads, keyed_reads) = local.beside(turns(&open, keyed, id, args)).await?;
    let spent = |after: Option<Cpu>, before: Option<Cpu>| {
        Some(after?.since(before?).as_secs_f64() / begun.elapsed().as_secs_f64())
    };
    Ok(Report {
        requests: args.requests,
        connections: args.connections,
        cpus: cpus(),
        upload: uploaded,
        jetbatch_cores: spent(Cpu::own(), before.0),
        nats_server_cores: spent(server.and_then(Cpu::of), before.1),
        is_running: !open.job(id).await?.state.is_terminal(),
        keys_ratio: keyed_reads.per_s / reads.per_s,
        reads,
        keyed_reads,
    })
}

/// In turns, so that what else the machine does is the same for both.
async fn turns(open: &Client, keyed: &Client, id: JobId, args: &Http) -> Result<(Latency, Latency), Error> {
    let length = Duration::from_secs(args.seconds.into()) / (2 * ROUNDS);
    let (mut reads, mut keyed_reads) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        reads.extend(turn(open, id, args.connections, length).await?);
        keyed_reads.extend(turn(keyed, id, args.connections, length).await?);
    }
    Ok((Latency::of(reads, length * ROUNDS), Latency::of(keyed_reads, length * ROUNDS)))
}

async fn turn(client: &Client, id: JobId, connections: u32, length: Duration) -> Result<Vec<Duration>, Error> {
    let until = Instant::now() + length;
    let readers = (0..connections).map(|_| tokio::spawn(read(client.clone(), id, until)));
    let took = try_join_all(readers).await.map_err(Error::failed)?;
    Ok(took.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
}

async fn read(client: Client, id: JobId, until: Instant) -> Result<Vec<Duration>, Error> {
    let (mut took, mut now) = (Vec::new(), Instant::now());
    while now < until {
        client.status(id).await?;
        let after = Instant::now();
        took.push(after - now);
        now = after;
    }
    Ok(took)
}

/// A file that is sent from memory and kept: no job is made of it.
async fn send(client: &Client, bytes: u64) -> Result<Uploaded, Error> {
    let lines: Bytes = (0..1_000).map(|number| input::line(number, LINE_BYTES)).collect::<String>().into();
    let before = process::reset_peak().then(process::peak).flatten();
    let begun = Instant::now();
    let taken = Arc::new(Notify::new());
    let part = Part::stream_with_length(pieces(lines, bytes, taken.clone()), bytes).file_name("input.jsonl");
    let request = client.file_upload().multipart(Form::new().text("purpose", "batch").part("file", part));
    client.upload::<Value>(Upload { request, taken }).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let grown_bytes = process::peak().zip(before).map(|(peak, before)| peak.saturating_sub(before));
    Ok(Uploaded { bytes, seconds, mb_per_s: (bytes / MB) as f64 / seconds, grown_bytes })
}

/// The same lines again and again, the last one cut.
fn pieces(lines: Bytes, bytes: u64, taken: Arc<Notify>) -> Body {
    let size = lines.len() as u64;
    Body::wrap_stream(stream::iter((0..bytes.div_ceil(size)).map(move |number| {
        taken.notify_one();
        Ok::<_, io::Error>(lines.slice(..size.min(bytes - number * size) as usize))
    })))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { upload, reads, keyed_reads, .. } = self;
        let (requests, cpus) = (text::count(self.requests), self.cpus);
        let grown = upload.grown_bytes.map_or_else(|| "unknown".to_owned(), text::bytes);
        let cores = |cores: Option<f64>| cores.map_or_else(|| "unknown".to_owned(), |cores| format!("{cores:.2}"));
        writeln!(f, "one job of {requests} requests, echo engine, own nats-server, {cpus} CPUs")?;
        writeln!(f, "upload    {} at {:.0} MB/s (goal: 200)", text::bytes(upload.bytes), upload.mb_per_s)?;
        writeln!(f, "          memory grew by {grown} at its peak (goal: 100 MB)")?;
        writeln!(f, "status    {} reads/s (goal: 2,000 on one core)", text::rate(reads.per_s))?;
        writeln!(f, "          {reads} (goal: 10 ms), {} connections", self.connections)?;
        writeln!(f, "with keys {} reads/s, {keyed_reads}", text::rate(keyed_reads.per_s))?;
        writeln!(f, "          {:.3} of those without (goal: 0.95)", self.keys_ratio)?;
        writeln!(f, "cpu       {} cores in jetbatch, its job and this benchmark", cores(self.jetbatch_cores))?;
        writeln!(f, "          {} in nats-server", cores(self.nats_server_cores))?;
        match self.is_running {
            true => writeln!(f, "job       ran all the while"),
            false => writeln!(f, "job       ended before the last read: take more --requests or fewer --seconds"),
        }
    }
}
