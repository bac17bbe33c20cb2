//! What chance has a part in, through the real engine.

use std::{collections::HashSet, path::PathBuf, sync::Arc};

use bytes::Bytes;
use engine::{Call, Endpoint, Engine, Key, Mistralrs};
use futures::future::join_all;
use serde_json::{Value, json};

async fn tiny(slots: usize) -> Arc<dyn Engine> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny");
    let spec = Mistralrs { slots: Some(slots), ..Mistralrs::folder(folder.to_string_lossy()) }.into();
    engine::load(&spec).await.expect("the bundled model loads")
}

/// Twelve digits, which this model would never say by itself.
fn digits(extra: Value, key: Key) -> Call {
    let mut body = json!({"messages": [{"role": "user", "content": "Say digits"}], "temperature": 2.0,
        "grammar": {"type": "regex", "value": "[0-9]{12}"}});
    body.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
    Call { endpoint: Endpoint::Chat, body: Bytes::from(body.to_string()), key }
}

async fn texts(engine: &Arc<dyn Engine>, call: Call) -> Vec<String> {
    let answer = engine.run(call).await.expect("an answer");
    let body: Value = serde_json::from_str(&answer.body).expect("JSON");
    let choices = body["choices"].as_array().unwrap_or_else(|| panic!("{body}"));
    choices.iter().map(|choice| choice["message"]["content"].as_str().expect("content").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_gives_the_same_text_on_every_engine_and_slot() {
    let (one, two) = (tiny(1).await, tiny(2).await);
    let seeded = |seed: i64, place: u64| digits(json!({"seed": seed, "n": 3}), Key::placed(&[7; 16], place));
    let first = texts(&one, seeded(42, 0)).await;
    let beside = join_all((0..8).map(|place| texts(&two, seeded(42, place)))).await;
    assert!(beside.iter().all(|texts| *texts == first), "{first:?} {beside:?}");
    assert_eq!(first.iter().collect::<HashSet<_>>().len(), 3, "{first:?}");
    assert_ne!(first, texts(&one, seeded(43, 0)).await);
    assert_eq!(texts(&one, seeded(-1, 0)).await, texts(&two, seeded(-1, 5)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_one_a_line_draws_by_its_place() {
    let (one, two) = (tiny(1).await, tiny(2).await);
    let at = |job: u8, line: u64| digits(json!({"n": 2}), Key::placed(&[job; 16], line));
    let mut seen = HashSet::new();
    for (job, line) in [(1, 0), (1, 1), (2, 0), (2, 1)] {
        let texts_of = texts(&one, at(job, line)).await;
        assert_eq!(texts_of, texts(&two, at(job, line)).await, "a second run draws the same");
        seen.extend(texts_of);
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
}
