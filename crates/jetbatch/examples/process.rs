//! What a process of its own costs an engine that takes no time: calls a second, and processor time of both processes
//! a call (which a busy machine does not change much), here and there. For Linux.
//!
//! `cargo build -p jetbatch --no-default-features && cargo run -p jetbatch --no-default-features --example process`
//! (with `--release` both, for figures that mean something).
use bytes::Bytes;
use engine::{
    Call, Endpoint, Engine, Key, Spec,
    process::{Hosted, Program},
};
use futures::{StreamExt, TryStreamExt, stream};
use jetbatch::{config::Worker, serve, telemetry};
use std::{error::Error, time::Instant};

const CALLS: usize = 100_000;
const BODY: &[u8] = br#"{"model":"echo","messages":[{"role":"system","content":"Answer in one word."},{"role":"user","content":"What is the capital of France? Say it twice if you are sure."}],"max_tokens":16,"temperature":0}"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut settings = serve::apart(&Worker::default(), Spec::echo(), &telemetry::Settings::default());
    // Beside the folder of examples.
    let here = std::env::current_exe()?;
    settings.program = Program::at(here.ancestors().nth(2).ok_or("no folder")?.join("jetbatch"));
    let direct = engine::load(&Spec::echo()).await?;
    let hosted = Hosted::start(&"echo".parse()?, settings, || ()).await?;
    let engines: [(&str, &dyn Engine); 2] = [("here", &*direct), ("there", &hosted)];
    for at_once in [1, 16, 256] {
        for (name, engine) in engines {
            let (before, rate) = (used(&hosted)?, rate(engine, at_once).await?);
            let each = (used(&hosted)? - before) * 1e6 / rate.calls as f64;
            let calls = rate.calls as f64 / rate.seconds;
            println!("{at_once:3} at once, {name:5}: {calls:8.0} calls/s, {each:5.1} us of processor time a call");
        }
    }
    Ok(())
}

struct Rate {
    calls: usize,
    seconds: f64,
}

async fn rate(engine: &dyn Engine, at_once: usize) -> Result<Rate, engine::Fault> {
    let calls = if at_once == 1 { CALLS / 10 } else { CALLS };
    let call = || Call { endpoint: Endpoint::Chat, body: Bytes::from_static(BODY), key: Key::seeded(0) };
    let begun = Instant::now();
    let answers = stream::iter(0..calls).map(|_| engine.run(call())).buffer_unordered(at_once);
    answers.try_for_each(|_| async { Ok(()) }).await?;
    Ok(Rate { calls, seconds: begun.elapsed().as_secs_f64() })
}

/// Seconds of processor time of both processes.
fn used(hosted: &Hosted) -> Result<f64, Box<dyn Error>> {
    let mut ticks = 0;
    for pid in [std::process::id(), hosted.pid().ok_or("the engine is down")?] {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields = stat.rsplit(") ").next().ok_or("no fields")?;
        // utime and stime, counted from the state.
        ticks += fields.split(' ').skip(11).take(2).map(|n| n.parse().unwrap_or(0)).sum::<u64>();
    }
    Ok(ticks as f64 / 100.0)
}
