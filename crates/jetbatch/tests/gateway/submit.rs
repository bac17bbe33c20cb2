use super::*;
use domain::event::Priority;
use serde_json::json;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn one_request() -> Value {
    json!({"requests": [{"custom_id": "a", "body": {"messages": []}}], "model": "tiny", "completion_window": "2h"})
}

#[tokio::test]
async fn a_submission_goes_out_as_one_message() {
    let stand = stand().await;
    let sent = stand.request(Method::POST, "/jobs").json(&one_request()).header("traceparent", PARENT);
    let response = sent.send().await.unwrap();
    assert_eq!(response.status(), 202);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let body = json(response).await;
    let id = body["id"].as_str().unwrap();
    assert_eq!(location, format!("/jobs/{id}"));
    assert_eq!(body["state"], "validating");
    assert_eq!(body["status_url"], location);
    assert!(body["deadline"].as_str().unwrap().ends_with('Z'));

    let submitted = stand.submitted().await;
    let [(submission, raw)] = &submitted[..] else { panic!("{submitted:?}") };
    assert_eq!(submission.id.unwrap().to_string(), id);
    assert_eq!(submission.clone().check().unwrap().window_ms(), 7_200_000);
    assert_eq!(requests(submission)[0]["custom_id"], "a");
    assert_eq!(raw.header("Content-Type"), Some("application/msgpack"));
    assert_eq!(raw.header("traceparent"), Some(PARENT));
    assert_eq!(raw.id(), Some(&*format!("{id}:{}", submission.fingerprint.as_ref().unwrap())));
}

fn requests(submission: &Submission) -> Vec<Value> {
    submission.requests.iter().flatten().map(|raw| serde_json::from_str(raw.as_str()).unwrap()).collect()
}

/// The order of a schema's keys is the order in which the answer has them, whatever this binary was built with.
#[tokio::test]
async fn an_inline_request_goes_out_as_it_was_written() {
    let stand = stand().await;
    let schema = r#"{"type":"object","properties":{"zip":{"type":"string"},"age":{"type":"integer","maximum":1e2}}}"#;
    let request = format!(r#"{{"custom_id":"a","body":{{"messages":[],"guided_json":{schema},"a":1.10}}}}"#);
    let body = format!("{{\"requests\": [{}]}}", request.replace("\"body\":", "\r\n \"body\" : "));
    let sent = stand.request(Method::POST, "/jobs").header("Content-Type", "application/json").body(body.clone());
    assert_eq!(sent.send().await.unwrap().status(), 202);
    let (submission, _) = stand.submitted().await.pop().unwrap();
    assert_eq!(submission.requests.unwrap()[0].as_str(), request);
    assert_eq!(submission.fingerprint.unwrap(), blake3::hash(body.as_bytes()).to_hex().to_string());
}

#[tokio::test]
async fn one_key_names_one_job() {
    let stand = stand().await;
    let send =
        |body: Value| stand.request(Method::POST, "/jobs").header("Idempotency-Key", "monday").json(&body).send();
    let first = send(one_request()).await.unwrap();
    assert_eq!(first.status(), 202);
    let id = JobId::keyed("default", "monday");
    assert_eq!(json(first).await["id"], id.to_string());
    // Before intake has seen the first, the server's deduplication holds.
    assert_eq!(send(one_request()).await.unwrap().status(), 202);
    let submitted = stand.submitted().await;
    assert_eq!(submitted.len(), 1);

    let fingerprint = submitted[0].0.fingerprint.clone().unwrap();
    stand.put(Status { fingerprint, ..status(id, State::InProgress) }).await;
    let again = send(one_request()).await.unwrap();
    assert_eq!(again.status(), 200);
    assert_eq!(json(again).await["state"], "in_progress");
    let other = send(json!({"requests": [{"custom_id": "b"}]})).await.unwrap();
    assert_eq!(refusal(other).await, (409, "conflict".into(), Some("Idempotency-Key".into())));
    assert_eq!(stand.submitted().await.len(), 1);
}

/// A key's id, a retry's and a replay's are nobody's to choose.
#[tokio::test]
async fn nobody_claims_an_id_that_another_derives() {
    let stand = stand().await;
    let monday = JobId::keyed("default", "monday");
    for id in [monday, JobId::retry(monday), JobId::replay(monday, domain::ChunkId::new(0, 1))] {
        let request = json!({"requests": [{"custom_id": "a"}], "id": id});
        assert_eq!(refusal(stand.post("/jobs", &request).await).await.2.as_deref(), Some("id"));
        let short = json!({"prompts": ["a"], "id": id});
        assert_eq!(refusal(stand.post("/start", &short).await).await.0, 400);
        let file =
            stand.request(Method::POST, &format!("/jobs?id={id}")).header("Content-Type", "application/x-ndjson");
        assert_eq!(refusal(file.body("{}").send().await.unwrap()).await.2.as_deref(), Some("id"));
    }
    assert!(stand.submitted().await.is_empty() && stand.files().await.is_empty());
    let own = json!({"requests": [{"custom_id": "a"}], "id": monday});
    let sent = stand.request(Method::POST, "/jobs").header("Idempotency-Key", "monday").json(&own).send();
    assert_eq!(sent.await.unwrap().status(), 202);
}

/// From the 202 on, without intake and projector: at the door that took it, and at any other.
#[tokio::test]
async fn what_was_acknowledged_is_known() {
    let stand = stand().await;
    let other = stand.other_door().await;
    let answer = json(stand.post("/jobs", &one_request()).await).await;
    for door in [&stand.address, &other] {
        let job = json(stand.at(door, Method::GET, answer["status_url"].as_str().unwrap()).send().await.unwrap()).await;
        assert_eq!((&job["state"], &job["id"]), (&Value::from("validating"), &answer["id"]));
        assert_eq!((&job["deadline"], &job["model"]), (&answer["deadline"], &Value::from("tiny")));
        let results = stand.at(door, Method::GET, answer["results_url"].as_str().unwrap()).send().await.unwrap();
        assert_eq!((results.status().as_u16(), results.text().await.unwrap()), (200, String::new()));
    }
    let (submission, raw) = stand.submitted().await.pop().unwrap();
    let deadline = Timestamp::new(raw.time_ms + submission.clone().check().unwrap().window_ms()).get();
    let said: jiff::Timestamp = answer["deadline"].as_str().unwrap().parse().unwrap();
    assert_eq!(said.as_millisecond() as u64, deadline);
}

/// The submission left SUBMIT, and no status is there yet.
#[tokio::test]
async fn what_has_begun_is_known_and_what_was_deleted_is_not() {
    let stand = stand().await;
    let id = JobId::new(uuid::Uuid::now_v7());
    stand.begin(id).await;
    let path = format!("/jobs/{id}");
    assert_eq!(json(stand.get(&path).await).await["state"], "validating");
    stand.tombstone(id).await;
    assert_eq!(refusal(stand.get(&path).await).await.0, 404);
}

#[tokio::test]
async fn the_loser_of_a_race_for_a_key_is_told() {
    let stand = stand().await;
    let id = JobId::new(uuid::Uuid::now_v7());
    let body = json!({"requests": [{"custom_id": "a"}], "id": id});
    let posted = tokio::spawn(stand.request(Method::POST, "/jobs").json(&body).send());
    testkit::wait_for("the submission", WAIT, || async { stand.submitted().await.pop() }).await;
    stand.put(Status { fingerprint: "of another".into(), ..status(id, State::Validating) }).await;
    assert_eq!(refusal(posted.await.unwrap().unwrap()).await.0, 409);
}

#[tokio::test]
async fn requests_too_large_for_a_message_go_by_the_store() {
    let stand = stand().await;
    let requests: Vec<Value> =
        (0..3_000).map(|n| json!({"custom_id": n.to_string(), "body": {"x": "y".repeat(200)}})).collect();
    assert_eq!(stand.post("/jobs", &json!({"requests": requests, "priority": "high"})).await.status(), 202);
    let (submission, raw) = stand.submitted().await.pop().unwrap();
    assert!(raw.payload.len() < 1_000);
    assert_eq!((submission.requests, submission.priority), (None, Some(Priority::High)));
    let input = submission.input.unwrap();
    let text = stand.read(&format!("uploads/{}.jsonl", input.url().strip_prefix("upload://").unwrap())).await;
    let lines: Vec<Value> =
        text.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect();
    assert_eq!(lines, requests);
}

#[tokio::test]
async fn start_makes_requests_of_prompts() {
    let stand = stand().await;
    let response = stand.post("/start", &json!({"prompts": ["hi", "ho"], "max_tokens": 3, "temperature": 0.0})).await;
    assert_eq!(response.status(), 202);
    let (submission, _) = stand.submitted().await.pop().unwrap();
    assert!(submission.clone().check().is_ok());
    let wanted = json!({"custom_id": "prompt-2",
        "body": {"messages": [{"role": "user", "content": "ho"}], "max_tokens": 3, "temperature": 0.0}});
    assert_eq!(requests(&submission)[1], wanted);
}

#[tokio::test]
async fn mistakes_are_refused_and_nothing_goes_out() {
    let stand = stand_with(|config| config.http.json_bytes_max = 2_000).await;
    let text = |media: &'static str, text: &'static str| {
        stand.request(Method::POST, "/jobs").header("Content-Type", media).body(text)
    };
    let some = |s: &str| Some(s.to_owned());
    for (request, wanted) in [
        (text("application/json", "{"), (400, "invalid_json".to_owned(), None)),
        (
            text("application/json", r#"{"requests":[{}],"modle":"x"}"#),
            (400, "invalid_request".to_owned(), some("modle")),
        ),
        (text("application/json", r#"{"requests":[]}"#), (400, "invalid_request".to_owned(), some("requests"))),
        (text("application/json", r#"{"requests":[{}],"id":"7"}"#), (400, "invalid_request".to_owned(), some("id"))),
        (text("text/plain", "x"), (415, "unsupported_media_type".to_owned(), some("Content-Type"))),
        (
            text("application/x-ndjson", "x").query(&[("modle", "x")]),
            (400, "invalid_request".to_owned(), some("modle")),
        ),
        (
            text("application/json", "{}").header("Idempotency-Key", "two words"),
            (400, "invalid_request".to_owned(), some("Idempotency-Key")),
        ),
        (
            text("application/json", "{}").header("Content-Encoding", "gzip"),
            (415, "unsupported_media_type".to_owned(), some("Content-Encoding")),
        ),
        (
            text("application/json", "{}").header("Origin", "http://evil.example"),
            (403, "foreign_origin".to_owned(), some("Origin")),
        ),
    ] {
        assert_eq!(refusal(request.send().await.unwrap()).await, wanted);
    }
    let large = json!({"requests": ["x".repeat(2_000)]});
    assert_eq!(refusal(stand.post("/jobs", &large).await).await.0, 413);
    assert_eq!(refusal(stand.post("/start", &json!({"prompts": []})).await).await.0, 400);
    assert!(stand.submitted().await.is_empty() && stand.files().await.is_empty());
}
