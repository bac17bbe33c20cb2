use super::{
    cpus,
    delay::{self, Delay},
    input, process,
    scratch::Scratch,
    verify::verify,
};
use crate::{
    cli::{
        error::Error,
        local::Local,
        meter::Meter,
        submit::upload,
        text,
        watch::{Pace, follow, verdict},
    },
    clock,
};
use api::{Job, Time};
use clap::Args;
use domain::status::State;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Finer than what is measured.
const LOOK_EVERY: Duration = Duration::from_millis(5);

#[derive(Debug, Args)]
pub struct Throughput {
    /// Requests in the input
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    requests: u64,
    /// Bytes of one input line
    #[arg(long, default_value_t = 350)]
    bytes: usize,
    /// Where the scratch folder is made, and removed again [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    pub requests: u64,
    pub input_bytes: u64,
    pub output_bytes: u64,
    pub cpus: usize,
    pub seconds: f64,
    pub requests_per_s: f64,
    pub phases: Phases,
    pub status_delay: Option<Delay>,
    pub memory: Memory,
}

/// Seconds, one after the other.
#[derive(Debug, Serialize, Deserialize)]
pub struct Phases {
    /// First byte of the upload to the job's submission.
    pub upload: f64,
    /// To its plan: every line is validated and every segment and chunk is cut.
    pub validate: f64,
    /// To the moment that it was seen without unanswered requests.
    pub run: f64,
    /// To its end: the output file is in its place.
    pub finalize: f64,
    /// Until a reader saw it.
    pub seen: f64,
}

/// Peaks in bytes, absent where the system does not tell.
#[derive(Debug, Serialize, Deserialize)]
pub struct Memory {
    /// This process: every room, and the benchmark itself.
    pub jetbatch: Option<u64>,
    pub nats_server: Option<u64>,
    /// Whether the peak began with the upload, or with the process.
    pub since_upload: bool,
}

pub async fn throughput(args: Throughput) -> Result<(), Error> {
    let scratch = Scratch::new(args.scratch.as_deref())?;
    let (file, bytes) = input::write(scratch.path(), args.requests, args.bytes)?;
    let mut local = Local::start(scratch.path(), input::POOL, engine::Spec::echo()).await?;
    let report = measure(&mut local, &file, args.requests, bytes, args.json).await;
    let stopped = local.stop().await;
    super::print(args.json, &report?)?;
    stopped
}

/// What the clock saw that the job's own times do not say.
struct Seen {
    begun: u64,
    answered: Option<u64>,
    completed: u64,
}

async fn measure(local: &mut Local, file: &Path, requests: u64, bytes: u64, is_quiet: bool) -> Result<Report, Error> {
    let client = local.client.clone();
    let since_upload = process::reset_peak();
    let mut meter = Meter::job(is_quiet);
    let mut seen = Seen { begun: clock::now().get(), answered: None, completed: 0 };
    let job = local
        .beside(async {
            let id = upload(&client, file, None).await?;
            let look = |job: &Job| seen.note(job);
            follow(&client, id, &mut meter, Pace { every: LOOK_EVERY, look }).await.map(|(_, job)| job)
        })
        .await;
    meter.clear();
    let job = job?;
    verdict(&job)?;
    local.beside(verify(&client, job.id, 0..requests)).await?;
    let memory =
        Memory { jetbatch: process::peak(), nats_server: local.server_pid().and_then(process::peak_of), since_upload };
    let status_delay = local.beside(delay::read(&client)).await?;
    Ok(Report { status_delay, ..report(&job, &seen, bytes, memory) })
}

impl Seen {
    fn note(&mut self, job: &Job) {
        self.completed = clock::now().get();
        if matches!(job.state, State::Finalizing | State::Completed) {
            self.answered.get_or_insert(self.completed);
        }
    }
}

fn report(job: &Job, seen: &Seen, input_bytes: u64, memory: Memory) -> Report {
    let requests = job.requests.total;
    let seconds = seconds(seen.begun, seen.completed);
    Report {
        requests,
        input_bytes,
        output_bytes: job.output.as_ref().map_or(0, |file| file.bytes),
        cpus: cpus(),
        seconds,
        requests_per_s: requests as f64 / seconds,
        phases: phases(job, seen),
        status_delay: None,
        memory,
    }
}

fn phases(job: &Job, seen: &Seen) -> Phases {
    let submitted = job.submitted_at.ms();
    let validated = job.validated_at.map_or(submitted, Time::ms);
    let ended = job.ended_at.map_or(seen.completed, Time::ms);
    let answered = seen.answered.unwrap_or(ended).min(ended);
    Phases {
        upload: seconds(seen.begun, submitted),
        validate: seconds(submitted, validated),
        run: seconds(validated, answered),
        finalize: seconds(answered, ended),
        seen: seconds(ended, seen.completed),
    }
}

fn seconds(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1e3
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (requests, per_s) = (text::count(self.requests), text::count(self.requests_per_s.round() as u64));
        writeln!(
            f,
            "{requests} requests/input lines, {} in, {} out, echo engine, own nats-server, {} CPUs",
            text::bytes(self.input_bytes),
            text::bytes(self.output_bytes),
            self.cpus
        )?;
        writeln!(f, "timed     first byte of the HTTP upload to the job reading completed, its output file whole")?;
        for (name, seconds) in self.phases.rows() {
            writeln!(f, "{name:<9} {seconds:>8.3} s")?;
        }
        writeln!(f, "all       {:>8.3} s  {per_s} requests/s", self.seconds)?;
        writeln!(f, "checked   {requests} lines: input order, every custom_id exactly once, its own answer")?;
        if let Some(Delay { p50_ms_max, p99_ms_max }) = self.status_delay {
            writeln!(f, "status    shows an event after at most {p50_ms_max} ms (p50), {p99_ms_max} ms (p99)")?;
        }
        write!(f, "{}", self.memory)
    }
}

impl Phases {
    fn rows(&self) -> [(&'static str, f64); 5] {
        let Self { upload, validate, run, finalize, seen } = *self;
        [("upload", upload), ("validate", validate), ("run", run), ("finalize", finalize), ("seen", seen)]
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let say = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".to_owned(), text::bytes);
        let from = if self.since_upload { "since the upload began" } else { "since the process began" };
        writeln!(f, "memory    peak {} {from}: all rooms and this benchmark", say(self.jetbatch))?;
        writeln!(f, "          nats-server: peak {}", say(self.nats_server))
    }
}
