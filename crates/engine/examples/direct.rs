//! Throughput of a batch file through mistral.rs alone, and through this crate's `Engine`.
//!
//! `cargo run --release -p jetbatch-engine --example direct -- --folder models/tiny models/sample.jsonl --engine`

use std::{
    collections::BTreeMap,
    error::Error,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use clap::Parser;
use config::{Config, File, FileFormat};
use engine::{Call, Device, Endpoint, Engine, Spec};
use futures::{StreamExt, stream};
use mistralrs::{Model, ModelDType, RequestBuilder, TextMessageRole, TextModelBuilder};
use serde_json::{Value, value::RawValue};

type Fallible<T> = Result<T, Box<dyn Error>>;

#[derive(Parser)]
struct Args {
    /// An OpenAI batch file of chats: one JSON object a line.
    input: PathBuf,
    /// A model folder.
    #[arg(long, required_unless_present = "spec")]
    folder: Option<String>,
    /// A TOML file with a `Spec` whose model is a folder or a hub id, in place of `--folder`.
    #[arg(long)]
    spec: Option<PathBuf>,
    /// Sequences that run together. mistral.rs alone has one copy of the model, whatever this says.
    #[arg(long, default_value_t = 1)]
    slots: usize,
    /// Sequences whose cache is kept; 0 keeps none.
    #[arg(long, default_value_t = 0)]
    prefix_cache: usize,
    /// Calls in flight. Default: the slots and four more.
    #[arg(long)]
    in_flight: Option<usize>,
    /// Calls in flight for mistral.rs alone, of which more than one on a CPU gives wrong answers. Default: 1 on a CPU,
    /// else as `--in-flight`.
    #[arg(long)]
    raw_in_flight: Option<usize>,
    /// Also through `Engine`, turn by turn with mistral.rs alone.
    #[arg(long)]
    engine: bool,
    /// How often to run the file each way.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

#[derive(serde::Deserialize)]
struct Line<'a> {
    custom_id: String,
    #[serde(borrow)]
    body: &'a RawValue,
}

struct Request {
    id: String,
    body: Bytes,
}

struct Done {
    tokens: u64,
    text: String,
}

struct Round {
    took: Duration,
    tokens: u64,
    answers: BTreeMap<String, String>,
}

#[tokio::main]
async fn main() -> Fallible<()> {
    let args = Args::parse();
    let spec = spec(&args)?;
    let requests = requests(&std::fs::read_to_string(&args.input)?)?;
    let in_flight = args.in_flight.unwrap_or(args.slots + 4);
    let raw = Arc::new(raw_model(&spec).await?);
    let engine = if args.engine { Some(engine::load(&spec).await?) } else { None };
    let raw_in_flight = args.raw_in_flight.unwrap_or(if cpu(&spec) { 1 } else { in_flight });
    let mut before = None;
    for _ in 0..args.rounds {
        let round = run(&requests, raw_in_flight, |body| raw_call(raw.clone(), body)).await;
        report("mistral.rs", &round, &mut before);
        if let Some(engine) = &engine {
            let round = run(&requests, in_flight, |body| engine_call(engine.clone(), body)).await;
            report("engine", &round, &mut before);
        }
    }
    Ok(())
}

fn spec(args: &Args) -> Fallible<Spec> {
    let mut spec = match (&args.spec, &args.folder) {
        (Some(file), _) => {
            let source = File::from(file.as_path()).format(FileFormat::Toml);
            return Ok(Config::builder().add_source(source).build()?.try_deserialize()?);
        }
        (None, folder) => Spec::folder(folder.clone().ok_or("no folder")?),
    };
    spec.slots = Some(args.slots);
    spec.prefix_cache = Some(args.prefix_cache);
    Ok(spec)
}

fn requests(text: &str) -> Fallible<Vec<Request>> {
    text.lines()
        .map(|line| {
            let line: Line<'_> = serde_json::from_str(line)?;
            Ok(Request { id: line.custom_id, body: Bytes::copy_from_slice(line.body.get().as_bytes()) })
        })
        .collect()
}

async fn raw_model(spec: &Spec) -> Fallible<Model> {
    let source = spec.model.as_ref().ok_or("no model")?;
    let place = source.folder.as_ref().or(source.hub.as_ref()).ok_or("neither a folder nor a hub id")?;
    let cache = spec.prefix_cache.filter(|kept| *kept > 0);
    let mut builder = TextModelBuilder::new(place).with_prefix_cache_n(cache);
    builder = builder.with_max_num_seqs(spec.slots.unwrap_or(8));
    if cpu(spec) {
        builder = builder.with_dtype(ModelDType::F32).with_force_cpu();
    } else {
        let cache = mistralrs::PagedAttentionMetaBuilder::default();
        let memory = mistralrs::MemoryGpuConfig::Utilization(spec.paged_memory_share.unwrap_or(0.4));
        builder = builder.with_paged_attn(cache.with_gpu_memory(memory).build()?);
    }
    Ok(builder.build().await?)
}

fn cpu(spec: &Spec) -> bool {
    spec.device == Device::Cpu || !cfg!(feature = "cuda")
}

async fn raw_call(model: Arc<Model>, body: Bytes) -> Fallible<Done> {
    let body: Value = serde_json::from_slice(&body)?;
    let mut request = RequestBuilder::new();
    for message in body["messages"].as_array().ok_or("no messages")? {
        request = request.add_message(role(message), message["content"].as_str().unwrap_or_default());
    }
    request = request.set_sampler_temperature(body["temperature"].as_f64().unwrap_or(1.0));
    if let Some(tokens) = body["max_tokens"].as_u64() {
        request = request.set_sampler_max_len(usize::try_from(tokens)?);
    }
    let mut response = model.send_chat_request(request).await?;
    let choice = response.choices.pop().ok_or("no choice")?;
    let text = choice.message.content.unwrap_or_default();
    Ok(Done { tokens: response.usage.completion_tokens as u64, text })
}

fn role(message: &Value) -> TextMessageRole {
    match message["role"].as_str() {
        Some("system") => TextMessageRole::System,
        Some("assistant") => TextMessageRole::Assistant,
        _ => TextMessageRole::User,
    }
}

async fn engine_call(engine: Arc<dyn Engine>, body: Bytes) -> Fallible<Done> {
    let answer = engine.run(Call { endpoint: Endpoint::Chat, body }).await?;
    let body: Value = serde_json::from_str(&answer.body)?;
    let text = body["choices"][0]["message"]["content"].as_str().ok_or_else(|| answer.body.clone())?;
    Ok(Done { tokens: answer.usage.completion, text: text.to_owned() })
}

async fn run<F>(requests: &[Request], in_flight: usize, call: impl Fn(Bytes) -> F) -> Round
where
    F: Future<Output = Fallible<Done>>,
{
    let start = Instant::now();
    let calls = requests.iter().map(|request| {
        let answer = call(request.body.clone());
        async move { (request.id.clone(), answer.await) }
    });
    let mut round = Round { took: Duration::ZERO, tokens: 0, answers: BTreeMap::new() };
    let mut done = stream::iter(calls).buffer_unordered(in_flight);
    while let Some((id, answer)) = done.next().await {
        match answer {
            Ok(answer) => {
                round.tokens += answer.tokens;
                round.answers.insert(id, answer.text);
            }
            Err(error) => eprintln!("{id}: {error}"),
        }
    }
    round.took = start.elapsed();
    round
}

fn report(name: &str, round: &Round, before: &mut Option<BTreeMap<String, String>>) {
    let seconds = round.took.as_secs_f64();
    let answers = round.answers.len();
    let before = before.replace(round.answers.clone()).unwrap_or_else(|| round.answers.clone());
    let other = round.answers.iter().filter(|(id, text)| before.get(*id) != Some(*text)).count();
    println!(
        "{name:10} {answers} answers in {seconds:.2} s: {:.0} tokens/s, {:.0} requests/s, {other} answers unlike the round before",
        round.tokens as f64 / seconds,
        answers as f64 / seconds,
    );
}
