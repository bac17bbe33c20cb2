//! `jetbatch demo`: every room in one process, a sample of prompts, and every answer held against the right one.
mod check;
mod sample;

use super::{error::Error, job::Job, local::Local, meter::Meter, text, watch::verdict};
use crate::telemetry;
use check::Check;
use clap::{Args, ValueEnum};
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
    println!(
        "jetbatch demo: {}, engine {}",
        text::plural(sample.len() as u64, "prompt"),
        engine_name(args.engine, &sample)
    );
    let mut local = Local::start(&args.data, sample::POOL, spec).await?;
    println!("every room is up in this process after {}", text::span(begun.elapsed().as_millis() as u64));
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
    let mut meter = Meter::job(false);
    let job = local.run(&sample.file, Some(sample::POOL), &mut meter).await;
    meter.done();
    let job = job?;
    verdict(&job)?;
    let client = local.client.clone();
    let checked = local.beside(check::read(&client, &job.id, sample)).await?;
    report(&local.data, sample, &job, &checked, begun);
    checked.verdict()
}

fn report(data: &Path, sample: &Sample, job: &Job, checked: &Check, begun: Instant) {
    println!();
    for (question, answer) in checked.first.iter().take(SHOWN) {
        println!("  {question}  ->  {answer}");
    }
    println!("  ... and {} more\n", text::count(sample.len().saturating_sub(SHOWN) as u64));
    println!("{}", checked.summary());
    println!(
        "tokens    {} prompt, {} completion",
        text::count(job.usage.prompt_tokens),
        text::count(job.usage.completion_tokens)
    );
    println!("speed     {}", job.rates().unwrap_or_default());
    println!("all of it {}", text::span(begun.elapsed().as_millis() as u64));
    files(data, job);
    println!("\nNext:\n  jetbatch serve --config config/jetbatch.toml");
    println!("  jetbatch submit {} --watch", sample.file.display());
}

fn files(data: &Path, job: &Job) {
    let store = data.join("store");
    for (name, file) in [("answers", &job.output), ("errors", &job.error_file)] {
        match file {
            Some(file) => println!("{name:<9} {} ({})", store.join(&file.path).display(), text::bytes(file.bytes)),
            None => println!("{name:<9} none"),
        }
    }
    println!("log       {}", data.join("nats").display());
}
