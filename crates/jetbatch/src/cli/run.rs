//! `jetbatch run`: a file in, its answers out as they come. The job itself needs nobody who watches: whoever goes away
//! leaves it running.
mod whole;

use super::{
    client::Client,
    error::Error,
    job,
    meter::Meter,
    out,
    remote::{Server, save},
    submit::Batch,
    table::{results::Beside, resume::Resume},
    watch::{AWAY_MAX, Watch, errors, verdict, watch},
};
use crate::clock;
use api::{Accepted, Job, Route};
use clap::Args;
use domain::{JobId, command::CommandKind, status::State};
use reqwest::{StatusCode, header::RANGE};
use std::{
    io::{IsTerminal, stdin, stdout},
    path::{Path, PathBuf},
    pin::pin,
    time::{Duration, Instant},
};
use tokio::{fs::File, io::AsyncWriteExt, signal::ctrl_c, time::sleep};

#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    batch: Batch,
    /// Write the error lines of requests that fail to this file
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
    /// Write a table of the input's rows, each with its answer, to this file instead: .parquet, .csv, .tsv or .jsonl; or to a
    /// store: s3://bucket/answers.parquet, with the keys in the environment
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Run every row, whatever answers the file of -o has already
    #[arg(long, requires = "output", conflicts_with = "resume", help_heading = "Tables")]
    fresh: bool,
    #[command(flatten)]
    resume: Resume,
    #[command(flatten)]
    beside: Beside,
    #[command(flatten)]
    server: Server,
}

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The server lists what is archived each time.
const COPY_EVERY: Duration = Duration::from_secs(1);
const OUTPUT: &str = "standard output";

pub async fn run(args: Run) -> Result<(), Error> {
    let client = args.server.client()?;
    if let Some(path) = &args.output {
        return whole::run(&client, &args, path).await;
    }
    if args.resume.is_asked() {
        return Err(Error::Usage("--resume puts all answers together in a file: name it with -o".to_owned()));
    }
    let accepted = args.batch.send(&client, args.server.json).await?;
    let Accepted { id, .. } = client.read(&accepted)?;
    out::note(format_args!("job {id}"));
    let job = answers(&client, id, args.server.json).await?;
    if job.state == State::Failed {
        errors(&job).iter().for_each(out::note);
        return verdict(&job);
    }
    if let Some(path) = &args.errors {
        save(&client, client.file(id, Route::Errors).await?, path, true).await?;
    }
    if !args.server.json {
        out::ask(job::page(&job, clock::now().get()));
    }
    if job.requests.failed > 0 && args.errors.is_none() {
        out::note(format_args!("the error lines: `jetbatch errors {id}`"));
    }
    verdict(&job)
}

/// Prints the answers until the last one.
async fn answers(client: &Client, id: JobId, is_quiet: bool) -> Result<Job, Error> {
    to_the_end(client, id, copy(client, id, is_quiet)).await
}

/// Waits for the last answer.
async fn unprinted(client: &Client, id: JobId, is_quiet: bool) -> Result<Job, Error> {
    let mut meter = Meter::job(is_quiet);
    let watched = async {
        let (_, job) = watch(client, id, &mut meter).await?;
        meter.done();
        Ok(job)
    };
    to_the_end(client, id, watched).await
}

async fn to_the_end(
    client: &Client,
    id: JobId,
    watched: impl Future<Output = Result<Job, Error>>,
) -> Result<Job, Error> {
    let mut watched = pin!(watched);
    loop {
        tokio::select! {
            job = &mut watched => return job,
            _ = ctrl_c() => leave_or_cancel(client, id).await?,
        }
    }
}

/// Where nobody can be asked, the job runs on.
async fn leave_or_cancel(client: &Client, id: JobId) -> Result<(), Error> {
    if stdin().is_terminal() {
        out::ask(format_args!("\ncancel job {id}? What is answered is kept. [y: cancel; Enter: it runs on] "));
        let told = tokio::select! {
            told = tokio::task::spawn_blocking(|| stdin().lines().next()) => told.ok().flatten(),
            _ = ctrl_c() => None,
        };
        if told.is_some_and(|told| told.is_ok_and(|told| told.trim().eq_ignore_ascii_case("y"))) {
            return client.send(client.request_of(Route::command(CommandKind::Cancel), id)).await.map(drop);
        }
    }
    Err(Error::Left { id })
}

async fn copy(client: &Client, id: JobId, is_quiet: bool) -> Result<Job, Error> {
    let mut answers = Answers { client, id, to: out::sink()?, taken: 0 };
    let mut meter = Meter::beside(is_quiet, stdout().is_terminal());
    let mut watch = Watch::new(client, id, &mut meter);
    let mut copied_at = Instant::now();
    let job = loop {
        let (_, job) = watch.look().await?;
        if job.state.is_terminal() {
            break job;
        }
        if job.answered() > 0 && copied_at.elapsed() >= COPY_EVERY {
            answers.more().await.or_else(|error| if error.is_passing() { Ok(()) } else { Err(error) })?;
            copied_at = Instant::now();
        }
        sleep(LOOK_EVERY).await;
    };
    answers.rest().await?;
    meter.done();
    Ok(job)
}

struct Answers<'a> {
    client: &'a Client,
    id: JobId,
    to: File,
    /// Bytes.
    taken: u64,
}

impl Answers<'_> {
    /// What was archived since the last look.
    async fn more(&mut self) -> Result<(), Error> {
        let request = self.client.request_of(Route::Results, self.id).header(RANGE, format!("bytes={}-", self.taken));
        let mut response = match self.client.send(request).await {
            Err(Error::Refused { status: 416, .. }) => return Ok(()),
            response => response?,
        };
        // What gives no part gives all from the beginning.
        let mut known = if response.status() == StatusCode::PARTIAL_CONTENT { 0 } else { self.taken };
        while let Some(piece) = self.client.piece(&mut response).await? {
            let new = piece.get(usize::try_from(known).unwrap_or(usize::MAX)..).unwrap_or_default();
            known = known.saturating_sub(piece.len() as u64);
            self.to.write_all(new).await.map_err(Error::file("write to", Path::new(OUTPUT)))?;
            self.taken += new.len() as u64;
        }
        self.to.flush().await.map_err(Error::file("write to", Path::new(OUTPUT)))
    }

    /// What is missing of a job that has ended, also over a restart of the server.
    async fn rest(&mut self) -> Result<(), Error> {
        let since = Instant::now();
        loop {
            match self.more().await {
                Err(error) if error.is_passing() && since.elapsed() < AWAY_MAX => sleep(LOOK_EVERY).await,
                done => return done,
            }
        }
    }
}
