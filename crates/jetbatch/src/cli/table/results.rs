//! `jetbatch results`: a job's answers, as it keeps them, or as a table beside the rows that it was made of.
use super::{
    apart,
    args::{PickArgs, SaidArgs, json},
    resume,
    target::{Target, url},
};
use crate::cli::{
    client::Client,
    error::Error,
    out,
    remote::{self, Download, Server},
    text,
};
use api::{Job, Route};
use clap::Args;
use domain::{JobId, status::State};
use std::{
    io::BufReader,
    path::{Path, PathBuf},
};
use tables::{
    Files, Format,
    join::{self, Counts, Wanted},
    resume::Plan,
    write::Fields,
};

#[derive(Debug, Args)]
pub struct Results {
    /// The job's id
    id: JobId,
    /// Write to this file instead of standard output; as a table where its name ends in .parquet, .csv or .tsv, or --input is
    /// given. A table may go to a store, too: s3://bucket/answers.parquet, with the keys in the environment
    #[arg(long, short)]
    output: Option<PathBuf>,
    /// The files that the job was made of: each of their rows is written with its answer, in their order
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "output", help_heading = "Tables")]
    input: Vec<PathBuf>,
    /// As they were submitted
    #[command(flatten)]
    said: SaidArgs,
    /// As they were submitted: the column of request ids
    #[arg(long, value_name = "COLUMN", requires = "input", help_heading = "Tables")]
    id_column: Option<String>,
    #[command(flatten)]
    pick: PickArgs,
    /// A file with the JSON schema of the answers: their top fields become columns, too
    #[arg(long, value_name = "FILE", requires = "output", help_heading = "Tables")]
    schema: Option<PathBuf>,
    #[command(flatten)]
    beside: Beside,
    #[command(flatten)]
    server: Server,
}

/// What stands beside the answers.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Tables")]
pub struct Beside {
    /// Only these of the input's columns: `--keep id,text`
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    keep: Option<Vec<String>>,
    /// Before the names of the answers' columns
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
}

pub async fn results(args: Results) -> Result<(), Error> {
    let Results { id, output, input, said, id_column, pick, schema, beside, server } = args;
    let (pick, wanted) = (pick.pick(), beside.wanted(schema.as_deref())?);
    match output {
        Some(path) if !input.is_empty() => {
            let input = join::Input { files: Files::find(&input)?, said: said.said(), id_column, pick };
            let client = server.client()?;
            table(&client, id, Some(input), wanted, &path).await
        }
        Some(path) if tables::write::format(&path).is_ok_and(|format| format != Format::Jsonl) => {
            table(&server.client()?, id, None, wanted, &path).await
        }
        output => remote::download(Download::new(id, output, server), Route::Results).await,
    }
}

/// Writes a table of a job's answers, beside its input where that is given.
async fn table(
    client: &Client,
    id: JobId,
    input: Option<join::Input>,
    wanted: Wanted,
    path: &Path,
) -> Result<(), Error> {
    tables::write::format(path)?;
    let job = client.job(id).await?;
    if job.state == State::Failed {
        return remote::never_ran(client, id).await;
    }
    let plan = asked(client, &job, &folder(path)).await?;
    whole(client, Some(&job), input, plan, wanted, path).await
}

/// What a job was asked, by its input. A table without it has all answers, and nothing can be taken over from it.
async fn asked(client: &Client, job: &Job, dir: &Path) -> Result<Option<Plan>, Error> {
    match resume::input(client, job.id, dir).await {
        Ok(input) => {
            let (defaults, dir) = (resume::defaults(job), dir.to_owned());
            apart(move || Plan::of_job(input, &defaults, &dir)).await.map(Some)
        }
        Err(error @ Error::Refused { .. }) => {
            out::note(format_args!(
                "the table will not say what was asked, since the job's input is not to be had: {error}"
            ));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Writes a table of answers: a job's, and those that the plan has already.
pub async fn whole(
    client: &Client,
    job: Option<&Job>,
    input: Option<join::Input>,
    plan: Option<Plan>,
    wanted: Wanted,
    path: &Path,
) -> Result<(), Error> {
    let dir = folder(path);
    let mut files = Vec::new();
    for which in [Route::Results, Route::Errors] {
        files.push(match job {
            Some(job) => resume::unnamed(client, client.file(job.id, which).await?, &dir).await?,
            None => BufReader::new(tables::resume::unnamed(&dir)?),
        });
    }
    let [good, bad] = files.try_into().expect("both files");
    let target = Target::of(path)?;
    let (wanted, to) = (Wanted { missing: missing(job), ..wanted }, target.file().to_owned());
    let written = apart(move || match input {
        Some(input) => join::join(input, &wanted, plan, [good, bad], &to),
        None => join::answers(&wanted, plan, [good, bad], &to),
    });
    let counts = written.await?;
    target.deliver().await?;
    tell(job, counts);
    Ok(())
}

/// Where files without a name lie, for a table.
pub fn folder(path: &Path) -> PathBuf {
    if url(path).is_some() {
        return std::env::temp_dir();
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new(".")).to_owned()
}

impl Beside {
    /// `schema` is the file of the answers' schema.
    pub fn wanted(&self, schema: Option<&Path>) -> Result<Wanted, Error> {
        let fields = schema.map(json).transpose()?.map(|schema| Fields::of(&schema)).unwrap_or_default();
        Ok(Wanted { keep: self.keep.clone(), prefix: self.prefix.clone(), fields, missing: String::new() })
    }
}

/// What is said of a row without a line.
fn missing(job: Option<&Job>) -> String {
    match job.filter(|job| !job.state.is_terminal()) {
        None => match job.is_some_and(|job| job.metadata.contains_key(resume::OF)) {
            true => "the job was not asked: an earlier one has the answer".to_owned(),
            false => "the job has no answer to this row".to_owned(),
        },
        Some(job) => {
            format!("the job was {} when this was written, and had not answered this row", job.state.as_str())
        }
    }
}

fn tell(job: Option<&Job>, counts: Counts) {
    let mut said = text::plural(counts.rows, "row");
    if counts.failed > 0 {
        said += &format!(", {} of them with an error", text::count(counts.failed));
    }
    out::note(said);
    if let Some(job) = job.filter(|job| !job.state.is_terminal()) {
        out::note(format_args!(
            "the job is {}: {} had no answer yet",
            job.state.as_str(),
            text::plural(counts.missing, "row")
        ));
    }
}
