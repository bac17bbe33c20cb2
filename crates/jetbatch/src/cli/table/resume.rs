//! Answers that are there already: in the table that is to be written anew, in others, and with jobs.
use super::apart;
use crate::cli::{client::Client, error::Error, meter::Meter, out, text, watch::watch};
use api::{Job, Route};
use clap::Args;
use domain::{JobId, limits::METADATA_VALUE_CHARS_MAX};
use reqwest::Response;
use std::{
    collections::{BTreeSet, VecDeque},
    convert::Infallible,
    io::{BufReader, Seek, Write},
    path::{Path, PathBuf},
    str::FromStr,
};
use tables::resume::{Defaults, Earlier, Gather};

/// The metadata that names the jobs whose answers a job was spared.
pub const OF: &str = "resume_of";

#[derive(Debug, Args)]
#[command(next_help_heading = "Tables")]
pub struct Resume {
    /// Take over the good answers of an earlier job (its id), or of a table that has them; only rows without one run. May be
    /// given several times
    #[arg(long, value_name = "EARLIER")]
    resume: Vec<Source>,
}

/// Where answers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Job(JobId),
    Table(PathBuf),
}

impl FromStr for Source {
    type Err = Infallible;

    /// A file that is there is meant, whatever its name.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let path = PathBuf::from(text);
        match text.parse() {
            Ok(job) if !path.exists() => Ok(Self::Job(job)),
            _ => Ok(Self::Table(path)),
        }
    }
}

impl Resume {
    pub const fn is_asked(&self) -> bool {
        !self.resume.is_empty()
    }

    pub fn sources(&self) -> impl Iterator<Item = Source> {
        self.resume.iter().cloned()
    }
}

/// A table that is there already, where it says what its answers answer.
pub fn table(path: &Path) -> Option<Source> {
    match tables::resume::has_answers(path) {
        Ok(true) => Some(Source::Table(path.to_owned())),
        Ok(false) => {
            out::note(format_args!(
                "{} is no table of answers that can be taken over: it will be written anew",
                path.display()
            ));
            None
        }
        Err(error) => {
            out::note(format_args!("nothing can be taken over: {error}"));
            None
        }
    }
}

/// What is kept with a job that is spared the answers of these: the jobs among them, as many as a value holds.
pub fn metadata(sources: &[Source]) -> Option<String> {
    const JOBS_MAX: usize = METADATA_VALUE_CHARS_MAX / 37;
    let jobs = sources.iter().filter_map(|source| match source {
        Source::Job(id) => Some(id.to_string()),
        Source::Table(_) => None,
    });
    let jobs: Vec<String> = jobs.take(JOBS_MAX).collect();
    (!jobs.is_empty()).then(|| jobs.join(","))
}

/// What is done about an earlier job that still runs: nobody else can know what it will answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    Refuse,
    Await { quiet: bool },
}

/// The answers of these sources. A job brings those that spared it.
pub async fn gather(client: &Client, sources: &[Source], running: Running, dir: &Path) -> Result<Earlier, Error> {
    let mut gather = Gather::new(dir)?;
    let (mut queue, mut seen) = (VecDeque::from(sources.to_vec()), BTreeSet::new());
    while let Some(source) = queue.pop_front() {
        gather = match source {
            Source::Table(path) => apart(move || gather.table(&path).map(|_| gather)).await?,
            Source::Job(id) if !seen.insert(id) => gather,
            Source::Job(id) => {
                let job = ended(client, id, running).await?;
                queue.extend(before(&job).map(Source::Job));
                from_job(client, &job, gather, dir).await?
            }
        };
    }
    apart(move || gather.finish()).await
}

/// The jobs that a job goes back to.
fn before(job: &Job) -> impl Iterator<Item = JobId> {
    let named = [OF, domain::resubmit::OF].into_iter().filter_map(|name| job.metadata.get(name));
    named.flat_map(|ids| ids.split(',')).filter_map(|id| id.parse().ok())
}

async fn ended(client: &Client, id: JobId, running: Running) -> Result<Job, Error> {
    let job = client.job(id).await.map_err(|error| unknown(id, error))?;
    match running {
        _ if job.state.is_terminal() => Ok(job),
        Running::Refuse => Err(Error::Usage(format!(
            "job {id} is {}: wait for its end, or cancel it, and resume it then",
            job.state.as_str()
        ))),
        Running::Await { quiet } => {
            out::note(format_args!("job {id}, which was begun before, is {}", job.state.as_str()));
            let mut meter = Meter::job(quiet);
            let (_, job) = watch(client, id, &mut meter).await?;
            meter.done();
            Ok(job)
        }
    }
}

fn unknown(id: JobId, error: Error) -> Error {
    match error {
        Error::Refused { status, message } => {
            let message = format!(
                "nothing can be taken over from job {id}: {message}; name another source with --resume, or give none; \
                 `run --fresh` runs every row"
            );
            Error::Refused { status, message }
        }
        other => other,
    }
}

async fn from_job(client: &Client, job: &Job, mut gather: Gather, dir: &Path) -> Result<Gather, Error> {
    if job.requests.completed == 0 {
        return Ok(gather);
    }
    let id = job.id;
    let lost =
        |error| Error::Failed(format!("the input of job {id}, which tells what it answered, cannot be read: {error}"));
    let input = input(client, id, dir).await.map_err(lost)?;
    let good = unnamed(client, client.file(id, Route::Results).await?, dir).await?;
    let defaults = defaults(job);
    apart(move || gather.job(input, good, &defaults).map(|_| gather)).await
}

/// What a job gave to requests that did not say it themselves.
pub fn defaults(job: &Job) -> Defaults {
    Defaults { model: job.model.clone(), endpoint: job.endpoint.clone() }
}

type Lines = BufReader<std::fs::File>;

/// A job's requests, as they were submitted.
pub async fn input(client: &Client, id: JobId, dir: &Path) -> Result<Lines, Error> {
    #[derive(serde::Deserialize)]
    struct Batch {
        input_file_id: String,
    }
    let batch = api::openai::BatchId(id);
    let Batch { input_file_id } = client.json(client.request_of(Route::Batch, batch)).await?;
    unnamed(client, client.file(input_file_id, Route::FileContent).await?, dir).await
}

/// What a server gives, in a file without a name.
pub async fn unnamed(client: &Client, mut response: Response, dir: &Path) -> Result<Lines, Error> {
    let mut file = tables::resume::unnamed(dir)?;
    let failed = || Error::file("write a file into", dir);
    while let Some(piece) = client.piece(&mut response).await? {
        file.write_all(&piece).map_err(failed())?;
    }
    file.rewind().map_err(failed())?;
    Ok(BufReader::new(file))
}

/// What is said once the rows are sorted.
pub fn tell(sorted: tables::resume::Sorted) {
    let told = |count: u64, what: &str| (count > 0).then(|| format!("{} {what}", text::plural(count, "row")));
    let said = [
        told(sorted.taken, "taken over"),
        told(sorted.refused, "with an error that is known"),
        told(sorted.asked, "to run"),
    ];
    let said: Vec<String> = said.into_iter().flatten().collect();
    out::note(if said.is_empty() { "no rows".to_owned() } else { said.join(", ") });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_job_or_a_file() {
        let id = JobId::keyed("t", "x");
        assert_eq!(id.to_string().parse(), Ok(Source::Job(id)));
        assert_eq!("a.csv".parse(), Ok(Source::Table("a.csv".into())));
    }
}
