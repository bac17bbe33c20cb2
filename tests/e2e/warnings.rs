//! Requests that will be answered with an error: told before anything runs, refused where the job is strict.
use crate::{
    cli::jetbatch,
    support::{Ask, Plan, Stand, answer, assert_counts, echoes, jsonl},
};
use domain::JobId;
use serde_json::{Value, json};
use std::path::Path;
use wire::{Message, Subject, stream};

/// Twenty requests, of which lines 5, 9 and 17 ask for a stream and line 7 for what nobody knows.
fn mixed() -> String {
    let with = |number: usize, line: &str| match number {
        5 | 9 | 17 => line.replace("\"temperature\":0", "\"temperature\":0,\"stream\":true"),
        7 => line.replace("\"role\":\"user\"", "\"role\":\"user\",\"id\":\"m1\""),
        _ => line.to_owned(),
    };
    jsonl(&echoes(20)).lines().enumerate().map(|(at, line)| with(at + 1, line) + "\n").collect()
}

fn told() -> Value {
    json!([
        {"code": "unsupported_parameter", "param": "body.stream", "count": 3, "line": 5,
            "message": "Unsupported parameter: `stream`: a batch has one answer for each request"},
        {"code": "unknown_parameter", "param": "body.messages[0].id", "count": 1, "line": 7,
            "message": "Unrecognized request argument supplied: `messages[0].id`"},
    ])
}

#[tokio::test]
async fn they_are_told_before_anything_runs() {
    let stand = Plan::echo("", 8).workers(0).start().await;
    let id = stand.http.submit("", mixed()).await;
    let status = stand.until(id, "the plan", |status| status["state"] == "in_progress").await;
    assert_eq!(status["warnings"], told());
    assert_eq!((&status["requests"]["remaining"], &status["errors"]), (&json!(20), &json!([])));
    let url = stand.http.base.as_str();
    let shown = jetbatch(&["status", &id.to_string(), "--url", url], 0).await;
    assert!(
        shown.stdout().contains("warning    line 5 and 2 more: Unsupported parameter: `stream`"),
        "{}",
        shown.story()
    );

    let file = stand.path("mixed.jsonl");
    std::fs::write(&file, mixed()).unwrap();
    let submitted = jetbatch(&["submit", text(&file), "--url", url], 0).await;
    let said = submitted.stderr();
    assert!(said.contains("warning: 4 of 20 requests will be answered with an error"), "{said}");
    assert!(said.contains("line 7: Unrecognized request argument"), "{said}");
    assert!(submitted.stdout().trim().parse::<JobId>().is_ok(), "the id alone is on standard output");
    jetbatch(&["rebuild", "--compare", "--config", text(&stand.config())], 0).await;
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Whatever the door.
#[tokio::test]
async fn a_strict_job_is_refused_for_them() {
    let stand = Plan::echo("", 8).start().await;
    let requests: Vec<Value> = mixed().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let body = json!({"requests": requests, "strict": true});
    let by_query = stand.http.submit("?strict=true", mixed()).await;
    let by_json = answer(stand.http.post("/jobs").json(&body)).await.accepted();
    let ack = stand.log().await.publish(Message::new(Subject::Submit, body.to_string().into_bytes())).await;
    for id in [by_query, by_json, JobId::sequenced(stream::SUBMIT.as_str(), ack.sequence)] {
        refused(&stand, id).await;
    }
    let lenient = stand.http.submit("?strict=false", mixed()).await;
    assert_eq!(stand.end(lenient).await["state"], "completed");
    let asks: Vec<Ask> = echoes(20);
    let good = stand.http.submit("?strict=true", jsonl(&asks)).await;
    stand.answered(good, &asks).await;

    let file = stand.path("mixed.jsonl");
    std::fs::write(&file, mixed()).unwrap();
    let strict = jetbatch(&["submit", text(&file), "--strict", "--url", &stand.http.base], 3).await;
    assert!(strict.stderr().contains("line 5: 3 requests, the first of them here: Unsupported"), "{}", strict.story());
    let answer = answer(stand.http.ndjson("?strict=perhaps", mixed())).await;
    assert_eq!((answer.status, &answer.body["error"]["param"]), (400, &json!("strict")));
}

async fn refused(stand: &Stand, id: JobId) {
    let status = stand.end(id).await;
    assert_eq!((&status["state"], &status["errors_total"]), (&json!("failed"), &json!(4)), "{status}");
    assert_counts(&status, [0, 0, 0, 0]);
    let found: Vec<_> = status["errors"].as_array().unwrap().iter().map(|e| (&e["line"], &e["param"])).collect();
    assert_eq!(found, [(&json!(5), &json!("body.stream")), (&json!(7), &json!("body.messages[0].id"))]);
}

#[tokio::test]
async fn a_job_that_failed_validation_says_so_wherever_it_is_read() {
    let stand = Plan::echo("", 8).start().await;
    let url = stand.http.base.as_str();
    let (bad, out) = (stand.path("bad.jsonl"), stand.path("out.jsonl"));
    std::fs::write(&bad, jsonl(&echoes(30)).replace("\"temperature\":0", "\"temperature\":\"0\"")).unwrap();
    let submitted = jetbatch(&["submit", text(&bad), "--url", url], 3).await;
    let id = submitted.stdout().trim().to_owned();
    for args in [&["errors", &id][..], &["results", &id], &["errors", &id, "-o", text(&out)]] {
        let read = jetbatch(&[args, &["--url", url]].concat(), 3).await;
        let said = read.stderr();
        assert!(said.contains("failed validation, and nothing of it ran"), "{said}");
        assert!(said.contains("line 1: Invalid type for `temperature`: expected a number"), "{said}");
        assert!(said.contains("and 20 more errors"), "{said}");
        assert_eq!(read.stdout(), "");
    }
    assert!(!out.exists(), "an empty file looks like a job without errors");
}

#[tokio::test]
async fn a_job_whose_requests_all_failed_does_not_look_like_success() {
    let stand = Plan::echo("refuse_containing = 'rude'", 8).start().await;
    let url = stand.http.base.as_str();
    let file = stand.path("rude.jsonl");
    let asks: Vec<Ask> = (0..3).map(|n| Ask::echo(format!("r{n}"), "rude")).collect();
    std::fs::write(&file, jsonl(&asks)).unwrap();
    let watched = jetbatch(&["submit", text(&file), "--watch", "--url", url], 6).await;
    assert!(watched.stderr().contains("all 3 failed"), "{}", watched.story());
    assert!(watched.stderr().contains("without one good answer: its 3 requests failed"), "{}", watched.story());
    let asks = [asks, vec![Ask::echo("good", "polite")]].concat();
    std::fs::write(&file, jsonl(&asks)).unwrap();
    jetbatch(&["submit", text(&file), "--watch", "--url", url], 0).await;
}

#[tokio::test]
async fn null_is_as_good_as_absent_in_a_submission() {
    let stand = Plan::echo("", 8).start().await;
    let asks = echoes(3);
    let requests: Vec<Value> = asks.iter().map(Ask::json).collect();
    let body = json!({"requests": requests, "metadata": null, "model": null, "priority": null, "strict": null,
        "endpoint": null, "completion_window": null, "input": null, "id": null});
    let by_http = answer(stand.http.post("/jobs").json(&body)).await.accepted();
    let ack = stand.log().await.publish(Message::new(Subject::Submit, body.to_string().into_bytes())).await;
    stand.answered(by_http, &asks).await;
    stand.answered(JobId::sequenced(stream::SUBMIT.as_str(), ack.sequence), &asks).await;
    let start = json!({"prompts": ["hi"], "metadata": null, "seed": null, "model": null, "strict": null});
    let started = answer(stand.http.post("/start").json(&start)).await.accepted();
    assert_eq!(stand.end(started).await["state"], "completed");
}
