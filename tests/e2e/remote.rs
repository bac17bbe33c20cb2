//! Servers that speak OpenAI's HTTP as engines: llama.cpp's own, with the bundled model.
use crate::support::{Ask, Fault, LONG, Llama, Odd, Plan, Stand, asks, completed, jsonl, lines, root};
use domain::Event;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use testkit::wait_for;

/// Each of the bundled facts.
const FACTS: usize = 778;

/// No call takes longer than its time, so that one which a server forgets is soon made again.
fn plan(urls: &[&str], settings: &str) -> Plan {
    let seconds = if settings.contains("call_seconds_max") { "" } else { "call_seconds_max = 20" };
    Plan::pools(format!("[pools.tiny.engine]\nkind = 'openai'\nbase_urls = {urls:?}\n{settings}\n{seconds}\n"))
}

/// In this suite the echo engine may stand in for the model; here the answers are the model's.
fn facts(count: usize) -> Vec<Ask> {
    let answers = std::fs::read_to_string(root().join("models/expected.json")).unwrap();
    let answers: serde_json::Map<String, Value> = serde_json::from_str(&answers).unwrap();
    let fact = |id: &str| answers[id.split("-again-").next().unwrap()].as_str().unwrap().to_owned();
    asks(count).into_iter().map(|ask| Ask { answer: fact(&ask.id), ..ask }).collect()
}

async fn all_right(stand: &Stand, count: usize) -> Value {
    let asks = facts(count);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.answered(id, &asks).await
}

async fn server(stand: &Stand) -> Value {
    let workers = stand.http.get("/workers").await.body;
    workers["data"][0]["servers"][0].clone()
}

#[tokio::test]
async fn every_answer_of_llama_cpp_is_right_at_any_number_of_slots() {
    const TEST: &str = "every_answer_of_llama_cpp_is_right_at_any_number_of_slots";
    for slots in [1, 8, 32] {
        let Some(llama) = Llama::start(TEST, slots).await else { return };
        let stand = plan(&[&llama.url], &format!("slots = {slots}")).start().await;
        all_right(&stand, FACTS).await;
        let up = |server: &Value| server["state"] == "up";
        wait_for("the heartbeat", LONG, || async { Some(server(&stand).await).filter(up) }).await;
    }
}

#[tokio::test]
async fn the_number_of_slots_is_found_out() {
    let Some(llama) = Llama::start("the_number_of_slots_is_found_out", 8).await else { return };
    let stand = plan(&[&llama.url], "slots_max = 64").start().await;
    all_right(&stand, 2 * FACTS).await;
    let slots = server(&stand).await["slots"].as_u64().unwrap();
    assert!((1..=64).contains(&slots), "{slots}");
}

#[tokio::test]
async fn a_server_that_is_killed_costs_no_request() {
    let Some(mut llama) = Llama::start("a_server_that_is_killed_costs_no_request", 8).await else { return };
    let stand = plan(&[&llama.url], "slots = 8").start().await;
    let asks = facts(2 * FACTS);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.midway(id, 100).await;
    llama.kill9().await;
    let says = |status: &Value| status["stalled"]["cause"].as_str().is_some_and(|cause| cause.contains(&llama.url));
    let status = stand.until(id, "the reason", says).await;
    assert_eq!(status["eta"], Value::Null, "{status}");
    llama.again().await;
    stand.answered(id, &asks).await;
}

#[tokio::test]
async fn a_second_server_takes_over() {
    const TEST: &str = "a_second_server_takes_over";
    let (Some(mut one), Some(other)) = (Llama::start(TEST, 8).await, Llama::start(TEST, 8).await) else { return };
    let stand = plan(&[&one.url, &other.url], "slots = 8").start().await;
    let asks = facts(2 * FACTS);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.midway(id, 100).await;
    one.kill9().await;
    stand.answered(id, &asks).await;
    // It could not be reached, or broke its calls off.
    let is_told = |server: &Value| ["away", "broken"].contains(&server["state"].as_str().unwrap_or_default());
    wait_for("the loss to be told", LONG, || async { Some(server(&stand).await).filter(is_told) }).await;
}

#[tokio::test]
async fn many_workers_share_a_server() {
    let Some(llama) = Llama::start("many_workers_share_a_server", 8).await else { return };
    let stand = plan(&[&llama.url], "slots = 4").workers(3).start().await;
    let asks = facts(2 * FACTS);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.answered(id, &asks).await;
    let events = stand.log().await.events(id).await;
    let workers: BTreeSet<&str> = events
        .iter()
        .filter_map(|event| match event {
            Event::ChunkDone(done) => Some(done.worker.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(workers.len(), 3, "{workers:?}");
}

#[tokio::test]
async fn a_server_that_hangs_is_left_and_found_again() {
    let Some(llama) = Llama::start("a_server_that_hangs_is_left_and_found_again", 8).await else { return };
    let stand = plan(&[&llama.url], "slots = 8\ncall_seconds_max = 3").start().await;
    let asks = facts(2 * FACTS);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.midway(id, 100).await;
    llama.pause();
    stand.until(id, "the reason", |status| !status["stalled"].is_null()).await;
    llama.resume();
    stand.answered(id, &asks).await;
}

#[tokio::test]
async fn a_server_that_is_out_of_order_now_and_then_costs_no_request() {
    let Some(llama) = Llama::start("a_server_that_is_out_of_order_now_and_then_costs_no_request", 8).await else {
        return;
    };
    let odd = Odd::before(&llama.url).await;
    let loading = r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#;
    odd.now(&[
        (101, Fault::Says(503, "", loading)),
        (61, Fault::Says(429, "retry-after: 0.2\r\n", "{}")),
        (47, Fault::Says(500, "", "out of luck")),
        (31, Fault::Half),
        (23, Fault::Closes),
    ]);
    let stand = plan(&[&odd.url], "slots = 8").start().await;
    let status = all_right(&stand, FACTS).await;
    // A call is tried again, and its chunk only where the faults meet one call too often in a row.
    assert!(status["retries"].as_u64().unwrap() <= 2, "{status}");
    assert!(odd.calls() > FACTS + 50, "{}", odd.calls());
}

#[tokio::test]
async fn a_server_that_refuses_the_key_is_the_reason_that_its_jobs_tell() {
    let Some(llama) = Llama::start("a_server_that_refuses_the_key_is_the_reason_that_its_jobs_tell", 8).await else {
        return;
    };
    let odd = Odd::before(&llama.url).await;
    odd.now(&[(1, Fault::Says(401, "", r#"{"error":{"message":"Invalid API Key sesame"}}"#))]);
    let stand = plan(&[&odd.url], "slots = 8\napi_key_env = 'ENGINE_KEY'").env("ENGINE_KEY", "sesame").start().await;
    let asks = facts(200);
    let id = stand.http.submit("", jsonl(&asks)).await;
    let says = |status: &Value| status["stalled"]["cause"].as_str().is_some_and(|cause| cause.contains("401"));
    let told = || async { stand.http.find(id).await.filter(says) };
    let status = wait_for("the reason", Duration::from_secs(10), told).await;
    assert_eq!((completed(&status), &status["eta"]), (0, &Value::Null), "{status}");
    assert!(!status.to_string().contains("sesame"), "{status}");
    odd.now(&[]);
    stand.answered(id, &asks).await;
    assert!(!stand.workers[0].stderr().contains("sesame"));
}

#[tokio::test]
async fn a_job_that_is_cancelled_drops_its_calls() {
    let Some(llama) = Llama::start("a_job_that_is_cancelled_drops_its_calls", 8).await else { return };
    let stand = plan(&[&llama.url], "slots = 8").start().await;
    // Answers that never end by themselves before the context does.
    let asks: Vec<String> = (0..400)
        .map(|n| {
            let body = r#"{"messages":[{"role":"user","content":"Hi"}],"max_tokens":480,"ignore_eos":true}"#;
            format!("{{\"custom_id\":\"r{n}\",\"body\":{body}}}\n")
        })
        .collect();
    let id = stand.http.submit("", asks.concat()).await;
    let processing = || async {
        let text = reqwest::get(format!("{}/metrics", llama.url)).await.ok()?.text().await.ok()?;
        text.lines().find_map(|line| line.strip_prefix("llamacpp:requests_processing ")?.parse::<f64>().ok())
    };
    wait_for("the server to be busy", LONG, || async { processing().await.filter(|count| *count > 0.0) }).await;
    stand.http.post(&format!("/jobs/{id}/cancel")).send().await.unwrap();
    let begun = Instant::now();
    wait_for("the server to be idle", Duration::from_secs(10), || async {
        processing().await.filter(|count| *count == 0.0)
    })
    .await;
    println!("idle {} ms after the cancel", begun.elapsed().as_millis());
}

#[tokio::test]
async fn embeddings_go_through_a_server_and_nowhere_else() {
    let Some(llama) = Llama::embedding("embeddings_go_through_a_server_and_nowhere_else", 4).await else { return };
    let pools = format!(
        "[pools.tiny.engine]\nkind = 'openai'\nbase_urls = ['{}']\nslots = 4\n[pools.echo.engine]\nkind = 'echo'\n",
        llama.url
    );
    let stand = Plan::pools(pools).env("JETBATCH__DEFAULT_POOL", "tiny").start().await;
    let line = |id: &str, model: &str, body: &str| {
        format!("{{\"custom_id\":\"{id}\",\"url\":\"/v1/embeddings\",\"body\":{{\"model\":\"{model}\",{body}}}}}\n")
    };
    let asks = [
        line("one", "tiny", r#""input":"What is the capital of France?""#),
        line("two", "tiny", r#""input":["What","is"]"#),
        line("base64", "tiny", r#""input":"What","encoding_format":"base64""#),
    ];
    let id = stand.http.submit("?endpoint=/v1/embeddings", asks.concat()).await;
    let status = stand.end(id).await;
    assert_eq!((&status["state"], completed(&status)), (&"completed".into(), 3), "{status}");
    let output = stand.http.text(&format!("/jobs/{id}/results")).await;
    let data: Vec<Value> = lines(&output).iter().map(|line| line["response"]["body"]["data"].clone()).collect();
    assert_eq!(data[0][0]["embedding"].as_array().map(Vec::len), Some(128));
    assert_eq!(data[1].as_array().map(Vec::len), Some(2));
    assert!(data[2][0]["embedding"].is_string());
    assert!(status["usage"]["prompt_tokens"].as_u64().unwrap() > 10, "{status}");
    let refused = stand.http.submit("", line("x", "echo", r#""input":"a""#)).await;
    let status = stand.end(refused).await;
    assert_eq!(
        (&status["state"], &status["errors"][0]["code"]),
        (&"failed".into(), &"url_mismatch".into()),
        "{status}"
    );
}
