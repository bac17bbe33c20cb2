//! The main job by both doors: every request exactly one line, the right answer, in input order.
use crate::support::{Ask, LONG, Plan, Stand, asks, jsonl};
use domain::JobId;
use serde_json::{Value, json};
use testkit::wait_for;
use uuid::Uuid;
use wire::{Message, Subject, envelope, stream};

#[tokio::test]
async fn a_thousand_requests_by_http() {
    let stand = Plan::tiny().start().await;
    let asks = asks(1_000);
    let query = "?model=tiny&endpoint=/v1/chat/completions&completion_window=2h&priority=high&metadata.team=a";
    let id = stand.http.submit(query, jsonl(&asks)).await;
    let running = stand.until(id, "an ETA", |status| status["eta"].is_object() || status["state"] == "completed").await;
    assert_running(&running);
    let status = stand.answered(id, &asks).await;
    assert_ended(&status);
    assert_eq!(status["priority"], "high");
    assert_eq!(status["metadata"], json!({"team": "a"}));
    let jobs = stand.http.get("/jobs?limit=5").await.body;
    assert_eq!(jobs["data"][0]["id"], id.to_string(), "{jobs}");
}

/// Times are RFC 3339 in UTC with milliseconds, so that text compares as time does.
fn assert_running(status: &Value) {
    let at = |value: &Value| value.as_str().unwrap().to_owned();
    assert_eq!(status["state"], "in_progress", "it never had an ETA: {status}");
    assert!(at(&status["eta"]["p50"]) <= at(&status["eta"]["p90"]), "{status}");
    assert!(at(&status["submitted_at"]) < at(&status["eta"]["p50"]), "{status}");
    assert_eq!(status["sla"], "on_track", "{status}");
    assert_eq!(status["output"], Value::Null, "a job names its files only when they are whole: {status}");
}

fn assert_ended(status: &Value) {
    let times = ["submitted_at", "validated_at", "started_at", "ended_at", "deadline"];
    let times = times.map(|key| status[key].as_str().unwrap_or_else(|| panic!("no {key}: {status}")));
    assert!(times.is_sorted(), "{status}");
    assert_eq!((&status["sla"], &status["eta"]), (&json!("met"), &Value::Null), "{status}");
    assert!(status["attempts"].as_u64().unwrap() > 0, "{status}");
    assert!(status["requests_per_s"].as_f64().unwrap() > 0.0, "{status}");
    assert!(status["tokens_per_s"].as_f64().unwrap() > 0.0, "{status}");
    assert_eq!((&status["errors"], &status["errors_total"]), (&json!([]), &json!(0)), "{status}");
}

#[tokio::test]
async fn a_thousand_requests_by_nats() {
    let stand = Plan::tiny().start().await;
    let asks = asks(1_000);
    let parts: Vec<&[Ask]> = asks.chunks(200).collect();
    let ids = [
        by_sequence(&stand, parts[0]).await,
        by_uuid(&stand, parts[1]).await,
        by_key(&stand, parts[2]).await,
        by_upload(&stand, parts[3]).await,
        by_file(&stand, parts[4]).await,
    ];
    for (id, part) in ids.into_iter().zip(parts) {
        stand.answered(id, part).await;
    }
}

/// JSON without id and key: the publish acknowledgement gives the id.
async fn by_sequence(stand: &Stand, asks: &[Ask]) -> JobId {
    let message = Message::new(Subject::Submit, json!({"requests": requests(asks)}).to_string());
    let ack = stand.log().await.publish(message).await;
    assert_eq!(ack.stream, stream::SUBMIT.as_str());
    JobId::sequenced(stream::SUBMIT.as_str(), ack.sequence)
}

/// MessagePack with the client's own UUID.
async fn by_uuid(stand: &Stand, asks: &[Ask]) -> JobId {
    let id = JobId::new(Uuid::now_v7());
    let message = Message::new(Subject::Submit, envelope::encode(&json!({"id": id, "requests": requests(asks)})));
    stand.log().await.publish(message.header(envelope::CONTENT_TYPE, envelope::MSGPACK)).await;
    id
}

async fn by_key(stand: &Stand, asks: &[Ask]) -> JobId {
    let message = Message::new(Subject::Submit, json!({"requests": requests(asks)}).to_string()).id("monday");
    stand.log().await.publish(message).await;
    JobId::keyed("default", "monday")
}

/// A file uploaded over HTTP, named over NATS.
async fn by_upload(stand: &Stand, asks: &[Ask]) -> JobId {
    let file = stand.http.post("/files").header("Content-Type", "application/x-ndjson").body(jsonl(asks));
    let file: Value = file.send().await.unwrap().json().await.unwrap();
    by_input(stand, file["input"].as_str().unwrap()).await
}

async fn by_file(stand: &Stand, asks: &[Ask]) -> JobId {
    let path = stand.path("inputs").join("batch.jsonl");
    std::fs::write(&path, jsonl(asks)).unwrap();
    by_input(stand, &format!("file://{}", path.display())).await
}

async fn by_input(stand: &Stand, input: &str) -> JobId {
    let id = JobId::new(Uuid::now_v7());
    let message = Message::new(Subject::Submit, json!({"id": id, "input": input, "model": "tiny"}).to_string());
    stand.log().await.publish(message.header(envelope::CONTENT_TYPE, envelope::JSON)).await;
    id
}

fn requests(asks: &[Ask]) -> Vec<Value> {
    asks.iter().map(Ask::json).collect()
}

#[tokio::test]
async fn json_forms_and_the_short_form() {
    let stand = Plan::echo("", 8).start().await;
    let asks: Vec<Ask> = (0..20).map(|n| Ask::echo(format!("r{n}"), format!("say {n}"))).collect();
    let answer = stand.http.post("/jobs").json(&json!({"requests": requests(&asks)})).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let body: Value = answer.json().await.unwrap();
    let id: JobId = body["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(body["status_url"], format!("/jobs/{id}"));
    assert!(body["deadline"].is_string(), "{body}");
    stand.answered(id, &asks).await;

    let file = reqwest_form(&stand, &asks).await;
    stand.answered(file, &asks).await;

    let prompts: Vec<Ask> = (1..=20).map(|n| Ask::echo(format!("prompt-{n}"), format!("prompt {n}"))).collect();
    let texts: Vec<&str> = prompts.iter().map(|ask| ask.question.as_str()).collect();
    let answer = stand.http.post("/start").json(&json!({"prompts": texts, "max_tokens": 8})).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let body: Value = answer.json().await.unwrap();
    stand.answered(body["id"].as_str().unwrap().parse().unwrap(), &prompts).await;
}

async fn reqwest_form(stand: &Stand, asks: &[Ask]) -> JobId {
    let file = reqwest::multipart::Part::text(jsonl(asks)).file_name("batch.jsonl");
    let form = reqwest::multipart::Form::new().text("completion_window", "1h").part("file", file);
    let answer = stand.http.post("/jobs").multipart(form).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let body: Value = answer.json().await.unwrap();
    body["id"].as_str().unwrap().parse().unwrap()
}

/// A request and its answer may each be longer than a message: they travel in parts.
#[tokio::test]
async fn long_lines_travel_in_parts() {
    let stand = Plan::echo("", 4).start().await;
    let long = |n: usize| if n.is_multiple_of(3) { "x".repeat(900_000) } else { format!("short {n}") };
    let asks: Vec<Ask> = (0..12).map(|n| Ask::echo(format!("r{n}"), long(n))).collect();
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.answered(id, &asks).await;
    let log = stand.log().await;
    wait_for("RESULTS to be empty", LONG, || async {
        (crate::support::message_count(&log.js, stream::RESULTS).await == 0).then_some(())
    })
    .await;
}

/// What is archived can be read while the job runs: a prefix of the input, in order.
#[tokio::test]
async fn results_can_be_read_meanwhile() {
    let stand = Plan::echo("delay_ms = 20", 64).start().await;
    let asks: Vec<Ask> = (0..12_000).map(|n| Ask::echo(format!("r{n}"), format!("say {n}"))).collect();
    let id = stand.http.submit("", jsonl(&asks)).await;
    let output = wait_for("some results", LONG, || async {
        let text = stand.http.text(&format!("/jobs/{id}/results")).await;
        (!text.is_empty()).then_some(text)
    })
    .await;
    crate::support::answers_in(&output, &asks[..output.lines().count()]);
    stand.answered(id, &asks).await;
}
