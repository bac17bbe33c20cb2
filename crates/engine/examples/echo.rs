//! How many calls the echo engine answers on one core.
//!
//! `cargo run --release -p jetbatch-engine --no-default-features --example echo`

use std::time::Instant;

use bytes::Bytes;
use engine::{Call, Endpoint, Key, Spec};

const CALLS: usize = 1_000_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = engine::load(&Spec::echo()).await?;
    let body = Bytes::from_static(
        br#"{"model":"echo","messages":[{"role":"system","content":"Answer in one word."},{"role":"user","content":"What is the capital of France? Say it twice if you are sure."}],"max_tokens":16,"temperature":0}"#,
    );
    let start = Instant::now();
    let mut bytes = 0;
    for _ in 0..CALLS {
        bytes +=
            engine.run(Call { endpoint: Endpoint::Chat, body: body.clone(), key: Key::seeded(0) }).await?.body.len();
    }
    let rate = CALLS as f64 / start.elapsed().as_secs_f64();
    println!("{rate:.0} calls/s, {} bytes an answer", bytes / CALLS);
    Ok(())
}
