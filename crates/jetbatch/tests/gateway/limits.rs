//! What a tenant may have, and what it is told when it has it.
use super::*;
use domain::quota::{Limit, Most};
use serde_json::json;

async fn limited(limit: Limit, most: u64) -> Stand {
    stand_with(|config| config.limits.set(limit, Most::Of(most))).await
}

/// The limit that an answer names, and after how many seconds to try again.
async fn refused(response: Response) -> (String, u64) {
    let wait = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    let error = refusal(response).await;
    assert_eq!((error.0, &*error.1), (429, "rate_limit_exceeded"));
    (error.2.unwrap(), wait)
}

fn requests(n: usize) -> Value {
    let requests: Vec<_> = (0..n).map(|n| json!({"custom_id": n.to_string(), "body": {"messages": []}})).collect();
    json!({"requests": requests, "model": "tiny"})
}

#[tokio::test]
async fn one_job_too_many_is_refused_until_one_ends() {
    let stand = limited(Limit::RunningJobs, 2).await;
    let submit = async || stand.post("/jobs", &requests(1)).await;
    let first: JobId = json(submit().await).await["id"].as_str().unwrap().parse().unwrap();
    // Counted from the 202 on, whether the list of jobs has them or not.
    assert_eq!(submit().await.status(), 202);
    assert_eq!(refused(submit().await).await, ("running_jobs".into(), 10));
    let file = stand.request(Method::POST, "/jobs").header("Content-Type", "application/x-ndjson").body("{}");
    assert_eq!(refused(file.send().await.unwrap()).await.0, "running_jobs");
    assert!(stand.files().await.is_empty(), "it is said before the file is read");
    let batch =
        json!({"endpoint": "/v1/chat/completions", "completion_window": "24h", "requests": requests(1)["requests"]});
    assert_eq!(refused(stand.post("/v1/batches", &batch).await).await.0, "running_jobs");
    assert_eq!(stand.submitted().await.len(), 2);
    stand.put(status(first, State::Completed)).await;
    let again = || async { (submit().await.status() == 202).then_some(()) };
    testkit::wait_for("a job to be let in", WAIT, again).await;
    let text = stand.get("/metrics").await.text().await.unwrap();
    assert!(text.contains("jetbatch_http_limited_total{limit=\"running_jobs\"}"), "{text}");
}

#[tokio::test]
async fn a_job_that_was_taken_is_no_further_one() {
    let stand = limited(Limit::RunningJobs, 1).await;
    let keyed =
        |key: &str| stand.request(Method::POST, "/jobs").header("Idempotency-Key", key).json(&requests(1)).send();
    assert_eq!(keyed("monday").await.unwrap().status(), 202);
    let fingerprint = stand.submitted().await[0].0.fingerprint.clone().unwrap();
    stand.put(Status { fingerprint, ..status(JobId::keyed("default", "monday"), State::InProgress) }).await;
    assert_eq!(keyed("monday").await.unwrap().status(), 200);
    assert_eq!(refused(keyed("tuesday").await.unwrap()).await.0, "running_jobs");
}

#[tokio::test]
async fn requests_that_wait_are_counted() {
    let stand = limited(Limit::QueuedRequests, 10).await;
    let submit = async |n| stand.post("/jobs", &requests(n)).await;
    let first: JobId = json(submit(8).await).await["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(refused(submit(3).await).await, ("queued_requests".into(), 10));
    let counts = Counts { total: 8, remaining: 5, completed: 3, ..Counts::default() };
    stand.put(Status { requests: counts, ..status(first, State::InProgress) }).await;
    let again = || async { (submit(5).await.status() == 202).then_some(()) };
    testkit::wait_for("room", WAIT, again).await;
    assert_eq!(refused(submit(1).await).await.0, "queued_requests");
}

#[tokio::test]
async fn what_is_kept_is_counted_and_what_is_refused_is_not() {
    let stand = limited(Limit::StoredBytes, 100).await;
    let keep = |bytes: usize| stand.request(Method::POST, "/files").body("x".repeat(bytes)).send();
    let kept = json(keep(60).await.unwrap()).await;
    assert_eq!(refused(keep(60).await.unwrap()).await, ("stored_bytes".into(), 60));
    assert_eq!(stand.files().await.len(), 1, "nothing is left of it");
    assert_eq!(keep(40).await.unwrap().status(), 201);
    assert_eq!(refused(keep(1).await.unwrap()).await.0, "stored_bytes");
    let used = json(stand.get("/limits/default").await).await;
    assert_eq!((&used["used"]["stored_bytes"], &used["limits"]), (&json!(100), &json!({"stored_bytes": 100})));
    // Files go by other ways, too.
    stand.store.delete(&format!("uploads/{}.jsonl", kept["id"].as_str().unwrap())).await.unwrap();
    let again = || async { (keep(10).await.unwrap().status() == 201).then_some(()) };
    testkit::wait_for("room", WAIT, again).await;
}

#[tokio::test]
async fn uploads_at_once_are_counted() {
    let stand = limited(Limit::Uploads, 1).await;
    let (tell, body) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let body = futures::stream::unfold(body, |mut body| async move { Some((body.recv().await?, body)) });
    let slow = stand.request(Method::POST, "/files").body(reqwest::Body::wrap_stream(body)).send();
    let slow = tokio::spawn(slow);
    tell.send(Ok(Bytes::from_static(b"a"))).await.unwrap();
    let keep = || stand.request(Method::POST, "/files").body("x").send();
    let full = || async { Some(keep().await.unwrap()).filter(|answer| answer.status() == 429) };
    assert_eq!(refused(testkit::wait_for("the first to begin", WAIT, full).await).await, ("uploads".into(), 2));
    drop(tell);
    assert_eq!(slow.await.unwrap().unwrap().status(), 201);
    assert_eq!(keep().await.unwrap().status(), 201);
}

/// Also in the words of OpenAI's, at every route but those of admins and of probes.
#[tokio::test]
async fn requests_a_second_are_counted() {
    let stand = limited(Limit::RequestsPerS, 0).await;
    for path in ["/jobs", "/v1/batches", "/v1/models", "/whoami"] {
        assert_eq!(refused(stand.get(path).await).await, ("requests_per_s".into(), 1), "{path}");
    }
    let body = json(stand.get("/v1/models").await).await;
    assert_eq!(body["error"]["type"], "rate_limit_error");
    for path in ["/healthz", "/openapi.json", "/limits", "/keys"] {
        assert_eq!(stand.get(path).await.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn a_limit_is_set_for_every_door_at_once() {
    let stand = limited(Limit::RequestsPerS, 0).await;
    let other = stand.other_door().await;
    let set = async |limits: Value| {
        let put = stand.request(Method::PUT, "/limits/default").json(&limits).send().await.unwrap();
        assert_eq!(put.status(), 200);
        json(put).await
    };
    let set_to = set(json!({"requests_per_s": "unlimited", "running_jobs": 0})).await;
    assert_eq!(set_to["limits"], json!({"requests_per_s": "unlimited", "running_jobs": 0}));
    for door in [&stand.address, &other] {
        let ask = || stand.at(door, Method::POST, "/jobs").json(&requests(1)).send();
        let told = || async {
            let answer = refusal(ask().await.unwrap()).await;
            (answer.2.as_deref() == Some("running_jobs")).then_some(())
        };
        testkit::wait_for("the door to know", WAIT, told).await;
    }
    set(json!({"requests_per_s": 1_000})).await;
    let ask = || async {
        (stand.at(&other, Method::POST, "/jobs").json(&requests(1)).send().await.unwrap().status() == 202).then_some(())
    };
    testkit::wait_for("the other door to let it in", WAIT, ask).await;
    let all = json(stand.get("/limits").await).await;
    assert_eq!((&all["default"], &all["data"][0]["tenant"]), (&json!({"requests_per_s": 0}), &json!("default")));
    for bad in [json!({"uploads": "few"}), json!({"upload": 1}), json!({"uploads": -1})] {
        let put = stand.request(Method::PUT, "/limits/default").json(&bad).send().await.unwrap();
        assert_eq!(refusal(put).await.0, 400, "{bad}");
    }
    let put = stand.request(Method::PUT, "/limits/A").json(&json!({})).send().await.unwrap();
    assert_eq!(refusal(put).await, (400, "invalid_request".into(), Some("id".into())));
}

/// The service on NATS is a door, too.
#[tokio::test]
async fn requests_over_nats_are_counted_alike() {
    let stand = limited(Limit::RequestsPerS, 0).await;
    let nats = async_nats::connect(stand.server.url()).await.unwrap();
    let asked = wire::Asks(Some(domain::Tenant::DEFAULT), wire::Ask::Status).to_string();
    let ask = || async { nats.request(asked.clone(), JobId::keyed("a", "b").to_string().into()).await.ok() };
    let answer = testkit::wait_for("the service", WAIT, ask).await;
    let headers = answer.headers.unwrap();
    assert_eq!(headers.get("Nats-Service-Error-Code").unwrap().as_str(), "429");
    assert!(headers.get("Nats-Service-Error").unwrap().as_str().contains("requests_per_s"), "{headers:?}");
}
