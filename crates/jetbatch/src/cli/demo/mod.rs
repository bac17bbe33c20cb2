//! `jetbatch demo`: every room in one process, a sample of prompts, and every answer held against the right one.
mod check;
mod sample;

use super::{error::Error, job::rates, local::Local, meter::Meter, out, serve::publish, text, watch::verdict};
use crate::telemetry;
use api::Job;
use check::Check;
use clap::{Args, ValueEnum};
use domain::event::File;
pub use sample::Sample;
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

/// Shown of all the answers.
const SHOWN: usize = 8;

#[derive(Debug, Args)]
pub struct Demo {
    /// Folder of the model and its sample.jsonl and expected.json [default: models, here or above the program]
    #[arg(long, value_name = "DIR")]
    model_dir: Option<PathBuf>,
    /// Where the demo's streams and files lie
    #[arg(long, value_name = "DIR", default_value = "jetbatch-data/demo")]
    data: PathBuf,
    /// `echo` answers each prompt with itself, for a quick try without a model
    #[arg(long, value_enum, default_value_t = Engine::Mistralrs)]
    engine: Engine,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Engine {
    Mistralrs,
    Echo,
}

pub async fn demo(args: Demo) -> Result<(), Error> {
    let _telemetry = telemetry::init(&super::local::quiet(), "demo").map_err(Error::failed)?;
    let sample = Sample::find(args.model_dir.as_deref(), args.engine == Engine::Echo)?;
    let spec = match args.engine {
        Engine::Mistralrs => engine::Spec::folder(sample.model.to_string_lossy()),
        Engine::Echo => engine::Spec::echo(),
    };
    let begun = Instant::now();
    let prompts = text::plural(sample.len() as u64, "prompt");
    out::line(format!("jetbatch demo: {prompts}, engine {}", engine_name(args.engine, &sample)))?;
    let mut local = Local::start(&args.data, sample::POOL, spec).await?;
    let outcome = answer(&mut local, &sample, begun).await;
    outcome.and(local.stop().await)
}

fn engine_name(engine: Engine, sample: &Sample) -> String {
    match engine {
        Engine::Mistralrs => format!("mistral.rs with {}", sample.model.display()),
        Engine::Echo => "echo".to_owned(),
    }
}

async fn answer(local: &mut Local, sample: &Sample, begun: Instant) -> Result<(), Error> {
    out::line(format!("every room is up in this process after {}", age(begun)))?;
    let mut meter = Meter::job(false);
    let job = local.run(&sample.file, Some(sample::POOL), &mut meter).await;
    meter.done();
    let job = job?;
    verdict(&job)?;
    let client = local.client.clone();
    let checked = local.beside(check::read(&client, job.id, sample)).await?;
    let shown = report(&local.data, sample, &job, &checked, begun);
    checked.verdict().and(shown)?;
    next(sample)
}

fn report(data: &Path, sample: &Sample, job: &Job, checked: &Check, begun: Instant) -> Result<(), Error> {
    out::line("")?;
    for (question, answer) in checked.first.iter().take(SHOWN) {
        out::line(format!("  {question}  ->  {answer}"))?;
    }
    out::line(format!("  ... and {} more\n", text::count(sample.len().saturating_sub(SHOWN) as u64)))?;
    out::line(checked.summary())?;
    let (prompt, completion) = (text::count(job.usage.prompt_tokens), text::count(job.usage.completion_tokens));
    out::line(format!("tokens    {prompt} prompt, {completion} completion"))?;
    out::line(format!("speed     {}", rates(job).unwrap_or_default()))?;
    out::line(format!("all of it {}", age(begun)))?;
    files(data, job)
}

/// The demo's own server ends with it; what is said is for the one that `serve` starts.
fn next(sample: &Sample) -> Result<(), Error> {
    let program = std::env::args().next().unwrap_or_else(|| "jetbatch".to_owned());
    out::line(format!("\nNext:\n  {program} serve --config config/jetbatch.toml"))?;
    out::line(format!("  {program} submit {} --watch", sample.file.display()))?;
    out::line(format!("  {program} nats context && {}", publish()))
}

fn files(data: &Path, job: &Job) -> Result<(), Error> {
    let store = data.join("store");
    for (name, file) in [("answers", &job.output), ("errors", &job.error_file)] {
        let shown = |file: &File| format!("{} ({})", store.join(&file.path).display(), text::bytes(file.bytes));
        out::line(format!("{name:<9} {}", file.as_ref().map_or_else(|| "none".to_owned(), shown)))?;
    }
    out::line(format!("log       {}", data.join("nats").display()))
}

fn age(begun: Instant) -> String {
    text::span(begun.elapsed().as_millis() as u64)
}
