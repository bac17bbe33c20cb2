use super::throughput::Report;
use crate::cli::{error::Error, out, text};
use clap::Args;
use serde::Serialize;
use std::{fmt, path::PathBuf, process::Stdio};
use tokio::process::Command;

#[derive(Debug, Args)]
pub struct Memory {
    /// Requests of the runs that are compared, the smallest first
    #[arg(long, value_delimiter = ',', default_value = "100000,1000000")]
    requests: Vec<u64>,
    /// Where the scratch folders are made, and removed again [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Comparison {
    runs: Vec<Report>,
    /// The last run's peak over the first's.
    ratio: Option<f64>,
}

/// Each run in a process of its own: memory that one run left behind cannot hide in the next one's peak.
pub async fn memory(args: Memory) -> Result<(), Error> {
    let mut runs = Vec::new();
    for requests in &args.requests {
        out::note(format_args!("running {}", text::plural(*requests, "request")));
        runs.push(run(*requests, &args).await?);
    }
    let peak = |run: Option<&Report>| run.and_then(|run| run.memory.jetbatch).map(|bytes| bytes as f64);
    let ratio = peak(runs.last()).zip(peak(runs.first())).map(|(last, first)| last / first);
    super::print(args.json, &Comparison { runs, ratio })
}

async fn run(requests: u64, args: &Memory) -> Result<Report, Error> {
    let program = std::env::current_exe().map_err(Error::failed)?;
    let mut command = Command::new(program);
    command.args(["bench", "throughput", "--json", "--requests", &requests.to_string()]);
    if let Some(scratch) = &args.scratch {
        command.arg("--scratch").arg(scratch);
    }
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true).output().await;
    let output = output.map_err(Error::failed)?;
    if !output.status.success() {
        return Err(Error::Failed(format!("the run of {requests} requests failed ({})", output.status)));
    }
    serde_json::from_slice(&output.stdout).map_err(Error::failed)
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heading = ["requests", "seconds", "requests/s", "jetbatch peak", "nats-server peak"];
        let say = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".to_owned(), text::bytes);
        let rows = self.runs.iter().map(|run| {
            vec![
                text::count(run.requests),
                format!("{:.2}", run.seconds),
                text::count(run.requests_per_s.round() as u64),
                say(run.memory.jetbatch),
                say(run.memory.nats_server),
            ]
        });
        let rows: Vec<_> = std::iter::once(heading.map(str::to_owned).to_vec()).chain(rows).collect();
        writeln!(f, "{}", text::table(&rows))?;
        match self.ratio {
            Some(ratio) => writeln!(f, "peak of the last run over the first: {ratio:.3}"),
            None => Ok(()),
        }
    }
}
