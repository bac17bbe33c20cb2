//! The client commands: each asks a running jetbatch over HTTP.
use super::{
    client::{Client, Raw},
    error::Error,
    job,
    meter::Meter,
    out, text,
    watch::{errors, verdict, watch},
};
use crate::clock;
use api::{Change, JOB_STATE, Job, JobPage, JobQuery, Retried, Route};
use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use domain::{JobId, command::CommandKind, event, status::State};
use reqwest::Response;
use std::path::{Path, PathBuf};
use tokio::{
    fs::File,
    io::{AsyncWrite, AsyncWriteExt},
};

/// Where the server is, and how to answer.
#[derive(Debug, Args)]
pub struct Server {
    /// Address of a running jetbatch
    #[arg(long, env = "JETBATCH_URL", default_value = "http://127.0.0.1:8800")]
    pub url: String,
    /// The key that the server asks for. Better in the environment: a command line is seen by others
    #[arg(long, value_name = "KEY", env = "JETBATCH_API_KEY", hide_env_values = true)]
    api_key: Option<Secret>,
    /// Print JSON for scripts, and no progress
    #[arg(long)]
    pub json: bool,
}

impl Server {
    pub fn client(&self) -> Result<Client, Error> {
        Client::new(&self.url, self.api_key.as_ref().map(|Secret(key)| key.as_str()))
    }
}

/// A text that is sent, and printed nowhere.
#[derive(Clone)]
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl std::str::FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.trim().to_owned()))
    }
}

#[derive(Debug, Args)]
pub struct Status {
    /// The job's id
    id: JobId,
    /// Follow it to its end; exit code 3 unless it completes, 6 if each of its requests fails
    #[arg(long, short)]
    watch: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
pub struct Jobs {
    /// Only jobs in this state
    #[arg(long, value_parser = state)]
    state: Option<State>,
    /// How many, newest first
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// Those after this job: the last one of the page before
    #[arg(long)]
    after: Option<JobId>,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
pub struct Download {
    /// The job's id
    id: JobId,
    /// Write to this file instead of standard output
    #[arg(long, short)]
    output: Option<PathBuf>,
    #[command(flatten)]
    server: Server,
}

impl Download {
    pub const fn new(id: JobId, output: Option<PathBuf>, server: Server) -> Self {
        Self { id, output, server }
    }
}

#[derive(Debug, Args)]
pub struct One {
    /// The job's id
    id: JobId,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
pub struct Retry {
    /// The job's id
    id: JobId,
    /// Follow the new job to its end; exit code 3 unless it completes, 6 if each of its requests fails
    #[arg(long, short)]
    watch: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
pub struct Deadline {
    /// The job's id
    id: JobId,
    /// The new window, counted from the submission: 90s, 30m, 48h, 7d
    window: String,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
pub struct Priority {
    /// The job's id
    id: JobId,
    #[arg(value_parser = priority_word())]
    priority: event::Priority,
    #[command(flatten)]
    server: Server,
}

/// `high`, `normal` or `low`, by either name.
pub fn priority_word() -> impl TypedValueParser<Value = event::Priority> {
    PossibleValuesParser::new(["high", "normal", "low", "urgent", "standard", "background"])
        .map(|word| word.parse().unwrap_or_default())
}

fn state(text: &str) -> Result<State, String> {
    text.parse().map_err(|_| format!("use one of {}", text::words(State::ALL)))
}

pub async fn status(args: Status) -> Result<(), Error> {
    let client = args.server.client()?;
    if args.watch {
        return follow(&client, args.id, args.server.json).await;
    }
    let status = client.status(args.id).await?;
    show(&client, &status, args.server.json).map(drop)
}

/// Watches a job, shows its last status, and answers with what became of it.
pub async fn follow(client: &Client, id: JobId, is_json: bool) -> Result<(), Error> {
    let mut meter = Meter::job(is_json);
    let watched = watch(client, id, &mut meter).await;
    meter.done();
    let (status, job) = watched?;
    show(client, &status, is_json)?;
    verdict(&job)
}

fn show(client: &Client, status: &Raw, is_json: bool) -> Result<(), Error> {
    if is_json {
        return out::line(status);
    }
    let job: Job = client.read(status)?;
    out::page(job::page(&job, clock::now().get()))
}

pub async fn jobs(args: Jobs) -> Result<(), Error> {
    let client = args.server.client()?;
    let query = JobQuery { state: args.state, model: None, after: args.after, limit: Some(args.limit) };
    let answer: Raw = client.json(client.request(Route::Jobs).query(&query)).await?;
    if args.server.json {
        return out::line(answer);
    }
    list_jobs(&client.read(&answer)?)
}

fn list_jobs(page: &JobPage) -> Result<(), Error> {
    if page.data.is_empty() {
        return out::line("no jobs");
    }
    let now = clock::now().get();
    let heading = ["job", "state", "requests", "completed", "failed", "submitted"].map(str::to_owned).to_vec();
    let rows = page.data.iter().map(|job| {
        vec![
            job.id.to_string(),
            job.state.as_str().to_owned(),
            text::count(job.requests.total),
            text::count(job.requests.completed),
            text::count(job.requests.failed),
            text::moment(job.submitted_at.ms(), now),
        ]
    });
    out::line(text::table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>()))?;
    match &page.next {
        Some(next) => out::line(format!("older ones: --after {next}")),
        None => Ok(()),
    }
}

/// `cancel`, `pause` or `resume`.
pub async fn command(args: One, kind: CommandKind) -> Result<(), Error> {
    give(args.server, args.id, kind, Change::default()).await
}

pub async fn retry(args: Retry) -> Result<(), Error> {
    let client = args.server.client()?;
    let answer: Raw = client.json(client.request_of(Route::Retry, args.id)).await?;
    let retried: Retried = client.read(&answer)?;
    if args.watch {
        return follow(&client, retried.id(), args.server.json).await;
    }
    match retried {
        Retried::Accepted(accepted) if !args.server.json => out::page(job::accepted(&accepted, clock::now().get())),
        Retried::Job(_) | Retried::Accepted(_) => show(&client, &answer, args.server.json),
    }
}

pub async fn deadline(args: Deadline) -> Result<(), Error> {
    give(args.server, args.id, CommandKind::Deadline, Change { completion_window: Some(args.window), priority: None })
        .await
}

pub async fn priority(args: Priority) -> Result<(), Error> {
    give(args.server, args.id, CommandKind::Priority, Change { completion_window: None, priority: Some(args.priority) })
        .await
}

async fn give(server: Server, id: JobId, kind: CommandKind, change: Change) -> Result<(), Error> {
    let client = server.client()?;
    let request = client.request_of(Route::command(kind), id).json(&change);
    let answer: Raw = client.json(request).await?;
    show(&client, &answer, server.json)
}

pub async fn delete(args: One) -> Result<(), Error> {
    let client = args.server.client()?;
    let answer: Raw = client.json(client.request_of(Route::Delete, args.id)).await?;
    if args.server.json { out::line(answer) } else { out::line("what the job left is being removed") }
}

/// [`Route::Results`] or [`Route::Errors`].
pub async fn download(args: Download, which: Route) -> Result<(), Error> {
    let client = args.server.client()?;
    let id = args.id;
    let response = client.file(id, which).await?;
    let state = state_of(&response);
    if state == Some(State::Failed) {
        return never_ran(&client, id).await;
    }
    match &args.output {
        Some(path) => save(&client, response, path, args.server.json).await,
        None => copy(&client, response, &mut out::sink()?, &Meter::Quiet, Path::new("standard output")).await,
    }?;
    hint(&client, id, state).await
}

/// A job whose input failed validation has neither answers nor error lines, which must not look like none of either.
pub async fn never_ran(client: &Client, id: JobId) -> Result<(), Error> {
    let job = client.job(id).await?;
    errors(&job).iter().for_each(out::note);
    verdict(&job)
}

/// Under another name first: a file that bears its name is whole. A device or a pipe takes the bytes as they come.
pub async fn save(client: &Client, response: Response, path: &Path, is_quiet: bool) -> Result<(), Error> {
    let meter = Meter::bytes(is_quiet, "download", None);
    let Some(path) = tables::write::place(path).map_err(Error::file("write", path))? else {
        let mut device = File::options().write(true).open(path).await.map_err(Error::file("write", path))?;
        copy(client, response, &mut device, &meter, path).await?;
        meter.clear();
        return Ok(());
    };
    let part = PathBuf::from(format!("{}.part", path.display()));
    let mut file = File::create(&part).await.map_err(Error::file("create", &part))?;
    copy(client, response, &mut file, &meter, &part).await?;
    meter.clear();
    file.sync_all().await.map_err(Error::file("write", &part))?;
    tokio::fs::rename(&part, &path).await.map_err(Error::file("write", &path))
}

async fn copy(
    client: &Client,
    mut response: Response,
    to: &mut (impl AsyncWrite + Unpin),
    meter: &Meter,
    name: &Path,
) -> Result<(), Error> {
    let pulse = meter.pulse();
    while let Some(piece) = client.piece(&mut response).await? {
        to.write_all(&piece).await.map_err(Error::file("write", name))?;
        pulse.inc(piece.len() as u64);
    }
    to.flush().await.map_err(Error::file("write", name))
}

/// The state that the job was in when its lines were read.
fn state_of(response: &Response) -> Option<State> {
    state(response.headers().get(JOB_STATE)?.to_str().ok()?).ok()
}

/// Says that what was read is not all there is or will be. The job may have ended since it was read.
async fn hint(client: &Client, id: JobId, read_in: Option<State>) -> Result<(), Error> {
    if read_in.is_some_and(State::is_terminal) {
        return Ok(());
    }
    let job = client.job(id).await?;
    let state = read_in.unwrap_or(job.state);
    if !state.is_terminal() {
        let (done, total) = (text::count(job.answered()), text::count(job.requests.total));
        out::note(format_args!(
            "the job was {} when this was read: it is what was archived; {done} of {total} requests are answered now",
            state.as_str()
        ));
    }
    Ok(())
}
