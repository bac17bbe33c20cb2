//! What happens when mistral.rs's thread dies, and to sequences that nobody waits for.

use std::{path::PathBuf, sync::Mutex};

use bytes::Bytes;
use futures::future::join_all;
use mistralrs::{CustomLogitsProcessor, Device, NormalRequest, Request, RequestMessage, SamplingParams, Tensor};
use serde_json::json;
use tokio::sync::mpsc::channel;

use super::{
    hook::{Draft, lock},
    *,
};
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

/// An answer that ends otherwise than the model would is ended by a token that is not in it. mistral.rs can ask once more
/// after that, before the answer is read.
#[tokio::test]
async fn a_look_after_the_end_spoils_no_answer() {
    const STOP: u32 = 27;
    let Mistral { kit, .. } = &tiny().await;
    let body = json!({"messages": [{"role": "user", "content": "2"}], "temperature": 0, "stop_token_ids": [STOP]});
    let body = Body::read(Endpoint::Chat, body.to_string().as_bytes()).expect("a body");
    let prompt = kit.prompts(&body).expect("a prompt").remove(0);
    let task = Task::new(kit, body, Key::seeded(0)).await.ok().expect("a task");
    let generation = task.generation(kit, &prompt, 16, 0).expect("no grammar");
    let draft = Arc::new(Mutex::new(Draft { generation, broken: None, strayed: false }));
    let (beats, left) = Default::default();
    let hook = hook::Hook { kit: kit.clone(), draft: draft.clone(), prompt: prompt.tokens.len(), beats, left };
    let mut logits = vec![0_f32; kit.vocabulary.size()];
    logits[STOP as usize] = 1.0;
    let logits = Tensor::from_vec(logits, kit.vocabulary.size(), &Device::Cpu).expect("a row");
    let mut context = prompt.tokens;
    for _ in 0..2 {
        let told = hook.apply(&logits, &context).and_then(|told| told.to_vec1::<f32>()).expect("a row");
        context.push(crate::sampler::argmax(&told).expect("a token"));
    }
    let draft = lock(&draft);
    assert!(draft.generation.is_over() && !draft.strayed);
    assert_eq!(context[context.len() - 2..], [kit.vocabulary.ends()[0]; 2]);
}
