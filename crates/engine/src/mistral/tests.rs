//! What happens when mistral.rs's thread dies, and to sequences that nobody waits for.

use std::path::PathBuf;

use bytes::Bytes;
use futures::future::join_all;
use mistralrs::{NormalRequest, Request, RequestMessage, SamplingParams};
use serde_json::json;
use tokio::sync::mpsc::channel;

use super::*;
use crate::{Endpoint, Key, Spec};

async fn tiny() -> Mistral {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny");
    load(&Spec::folder(folder.to_string_lossy())).await.expect("the bundled model loads")
}

fn call(tokens: usize) -> Call {
    let body = json!({"messages": [{"role": "user", "content": "What is the capital of France?"}],
        "max_tokens": tokens, "temperature": 0, "logit_bias": {"2": if tokens > 16 { -100 } else { 0 }}});
    Call { endpoint: Endpoint::Chat, body: Bytes::from(body.to_string()), key: Key::seeded(0) }
}

/// A request that nobody listens to: mistral.rs panics when it has the answer.
async fn poison(mistral: &Mistral) {
    let (sender, receiver) = channel(1);
    drop(receiver);
    let queue = mistral.lanes.model(0).inner().get_sender(None).expect("a queue");
    let params = SamplingParams { max_len: Some(4), ..SamplingParams::deterministic() };
    let request =
        NormalRequest::new_simple(RequestMessage::CompletionTokens(vec![1, 5]), params, sender, 0, None, None);
    let request = Request::Normal(Box::new(request));
    queue.send(request).await.expect("a living thread");
}

#[tokio::test(flavor = "multi_thread")]
async fn death_is_a_fault_and_not_the_end() {
    let mistral = tiny().await;
    let mut seen = 0;
    // A thread that dies before it took a call takes nobody along, so a round may see no fault.
    for round in 0..20 {
        let calls = join_all((0..4).map(|_| mistral.run(call(200))));
        let (answers, ()) = tokio::join!(calls, poison(&mistral));
        let faults: Vec<&Fault> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
        assert!(faults.iter().all(|fault| fault.class() == "died"), "round {round}: {faults:?}");
        let answer = mistral.run(call(16)).await.expect("a new thread");
        assert!(answer.body.contains("Paris"), "{}", answer.body);
        seen += faults.len();
        if seen > 2 {
            return;
        }
    }
    panic!("no fault in twenty deaths");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_that_nobody_waits_for_ends() {
    let mistral = tiny().await;
    let long = mistral.run(call(200));
    let begun = async {
        while mistral.beats() < 5 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = begun => {}
        _ = long => panic!("200 tokens came before 5"),
    }
    // There is one slot: the next answer comes when that sequence is over.
    let answer = mistral.run(call(16)).await.expect("an answer");
    assert!(answer.body.contains("Paris"), "{}", answer.body);
    assert!(mistral.beats() < 100, "{} tokens", mistral.beats());
}
