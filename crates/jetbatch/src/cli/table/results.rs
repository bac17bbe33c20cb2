//! `jetbatch results`: a job's answers, as it keeps them, or as a table beside the rows that it was made of.
use super::{apart, args::PickArgs};
use crate::cli::{
    client::Client,
    error::Error,
    remote::{self, Download, Server, save},
    text,
};
use api::{Job, Route};
use clap::Args;
use domain::{JobId, status::State};
use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};
use tables::{
    Files, Format,
    join::{self, Counts, Wanted},
};

#[derive(Debug, Args)]
pub struct Results {
    /// The job's id
    id: JobId,
    /// Write to this file instead of standard output; as a table where its name ends in .parquet, .csv or .tsv, or --input is
    /// given
    #[arg(long, short)]
    output: Option<PathBuf>,
    /// The files that the job was made of: each of their rows is written with its answer, in their order
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "output", help_heading = "Tables")]
    input: Vec<PathBuf>,
    /// As they were submitted: what the files are
    #[arg(long, requires = "input", help_heading = "Tables")]
    format: Option<Format>,
    /// As they were submitted: the column of request ids
    #[arg(long, value_name = "COLUMN", requires = "input", help_heading = "Tables")]
    id_column: Option<String>,
    #[command(flatten)]
    pick: PickArgs,
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
    let Results { id, output, input, format, id_column, pick, beside, server } = args;
    let pick = pick.pick();
    match output {
        Some(path) if !input.is_empty() => {
            let input = join::Input { files: Files::find(&input)?, format, id_column, pick };
            let client = server.client()?;
            table(&client, id, Some(input), &beside, &path).await
        }
        Some(path) if tables::write::format(&path).is_ok_and(|format| format != Format::Jsonl) => {
            table(&server.client()?, id, None, &beside, &path).await
        }
        output => remote::download(Download::new(id, output, server), Route::Results).await,
    }
}

/// Writes a table of a job's answers, beside its input where that is given.
pub async fn table(
    client: &Client,
    id: JobId,
    input: Option<join::Input>,
    beside: &Beside,
    path: &Path,
) -> Result<(), Error> {
    tables::write::format(path)?;
    let job = client.job(id).await?;
    if job.state == State::Failed {
        return remote::never_ran(client, id).await;
    }
    let [good, bad] = ["answers", "errors"].map(|what| PathBuf::from(format!("{}.{what}", path.display())));
    save(client, client.file(id, Route::Results).await?, &good, true).await?;
    save(client, client.file(id, Route::Errors).await?, &bad, true).await?;
    let wanted = wanted(beside, &job);
    let (to, from) = (path.to_owned(), [good.clone(), bad.clone()]);
    let written = apart(move || write(input, &wanted, &from, &to)).await;
    for file in [good, bad] {
        tokio::fs::remove_file(&file).await.map_err(Error::file("remove", &file))?;
    }
    tell(&job, written?);
    Ok(())
}

fn wanted(beside: &Beside, job: &Job) -> Wanted {
    let missing = match job.state.is_terminal() {
        true => "the job has no answer to this row".to_owned(),
        false => format!("the job was {} when this was written, and had not answered this row", job.state.as_str()),
    };
    Wanted { keep: beside.keep.clone(), prefix: beside.prefix.clone(), missing }
}

fn write(input: Option<join::Input>, wanted: &Wanted, from: &[PathBuf; 2], to: &Path) -> Result<Counts, tables::Error> {
    let open = |path: &PathBuf| {
        let read = |source| tables::Error::File { verb: "read", path: path.clone(), source };
        File::open(path).map(BufReader::new).map_err(read)
    };
    let (good, bad) = (open(&from[0])?, open(&from[1])?);
    match input {
        Some(input) => join::join(input, wanted, good, bad, to),
        None => join::answers(&wanted.prefix, good, bad, to),
    }
}

fn tell(job: &Job, counts: Counts) {
    let mut said = text::plural(counts.rows, "row");
    if counts.failed > 0 {
        said += &format!(", {} of them with an error", text::count(counts.failed));
    }
    eprintln!("{said}");
    if !job.state.is_terminal() {
        eprintln!("the job is {}: {} had no answer yet", job.state.as_str(), text::plural(counts.missing, "row"));
    }
}
