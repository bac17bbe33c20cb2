use super::*;
use async_compression::tokio::write::{GzipEncoder, ZstdEncoder};
use domain::event::{Cause, Closing, Ended, Outcome};
use reqwest::{StatusCode, multipart};
use serde_json::json;
use tokio::io::AsyncWriteExt;

const LINES: &str = "{\"custom_id\":\"a\"}\n{\"custom_id\":\"b\"}\n";

fn file(bytes: impl Into<std::borrow::Cow<'static, [u8]>>) -> multipart::Part {
    multipart::Part::bytes(bytes).file_name("../asked.jsonl")
}

fn form() -> multipart::Form {
    multipart::Form::new()
}

async fn upload(stand: &Stand, form: multipart::Form) -> Result<Value, (u16, String, Option<String>)> {
    let response = stand.request(Method::POST, "/v1/files").multipart(form).send().await.unwrap();
    match response.status() {
        StatusCode::OK => Ok(response.json().await.unwrap()),
        _ => Err(refusal(response).await),
    }
}

async fn get(stand: &Stand, path: &str) -> Value {
    stand.request(Method::GET, path).send().await.unwrap().json().await.unwrap()
}

fn ids(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_form_is_taken_in_any_order_and_kept_with_its_name() {
    let stand = stand().await;
    let days = |form: multipart::Form| {
        form.text("expires_after[anchor]", "created_at").text("expires_after[seconds]", "86400")
    };
    for form in [days(form().text("purpose", "batch").part("file", file(LINES.as_bytes()))), {
        days(form().part("file", file(LINES.as_bytes()))).text("purpose", "batch")
    }] {
        let made = upload(&stand, form).await.unwrap();
        assert_eq!((&made["filename"], &made["bytes"]), (&"asked.jsonl".into(), &LINES.len().into()));
        assert_eq!(made["expires_at"].as_u64(), made["created_at"].as_u64().map(|at| at + 86_400));
        let path = format!("/v1/files/{}/content", made["id"].as_str().unwrap());
        let read = stand.request(Method::GET, &path).send().await.unwrap();
        assert!(read.headers().contains_key("etag") && read.headers().contains_key("x-request-id"));
        assert_eq!(read.text().await.unwrap(), LINES);
        let end = stand.request(Method::GET, &path).header("Range", "bytes=-4").send().await.unwrap();
        assert_eq!((end.status(), end.text().await.unwrap().as_str()), (StatusCode::PARTIAL_CONTENT, "b\"}\n"));
    }
}

#[tokio::test]
async fn what_is_refused_leaves_nothing() {
    let stand = stand().await;
    for (form, param) in [
        (form().text("purpose", "batch"), "file"),
        (form().part("file", file(LINES.as_bytes())), "purpose"),
        (form().text("purpose", "vision").part("file", file(LINES.as_bytes())), "purpose"),
        (form().part("file", file(LINES.as_bytes())).text("purpose", "batch_output"), "purpose"),
        (
            form().text("purpose", "batch").part("file", file(LINES.as_bytes())).part("file", file(LINES.as_bytes())),
            "file",
        ),
        (
            form().part("file", file(LINES.as_bytes())).text("purpose", "batch").text("expires_after[seconds]", "7"),
            "expires_after",
        ),
    ] {
        let (status, _, named) = upload(&stand, form).await.unwrap_err();
        assert_eq!((status, named.as_deref()), (400, Some(param)));
    }
    testkit::wait_for("the files to go", WAIT, || async { stand.files().await.is_empty().then_some(()) }).await;
    assert_eq!(get(&stand, "/v1/files").await["data"], json!([]));
}

async fn packed(encoding: &str) -> Vec<u8> {
    let text = LINES.as_bytes();
    if encoding == "gzip" {
        let mut encoder = GzipEncoder::new(Vec::new());
        encoder.write_all(text).await.unwrap();
        encoder.shutdown().await.unwrap();
        return encoder.into_inner();
    }
    let mut encoder = ZstdEncoder::new(Vec::new());
    encoder.write_all(text).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

#[tokio::test]
async fn a_compressed_body_is_kept_as_it_was_before() {
    let stand = stand().await;
    for encoding in ["gzip", "zstd"] {
        let send = |body: Vec<u8>| {
            let request = stand.request(Method::POST, "/files").header("Content-Encoding", encoding);
            request.header("Content-Type", "application/x-ndjson").body(body).send()
        };
        let whole = packed(encoding).await;
        let made: Value = send(whole.clone()).await.unwrap().json().await.unwrap();
        assert_eq!(made["bytes"], LINES.len());
        assert_eq!(stand.read(&format!("uploads/{}.jsonl", made["id"].as_str().unwrap())).await, LINES.as_bytes());
        for broken in [whole[..whole.len() - 9].to_vec(), LINES.as_bytes().to_vec()] {
            assert_eq!(refusal(send(broken).await.unwrap()).await.0, 400, "{encoding}");
        }
    }
    testkit::wait_for("what was broken to go", WAIT, || async { (stand.files().await.len() == 2).then_some(()) }).await;
}

#[tokio::test]
async fn both_doors_and_every_head_know_the_same_files() {
    let stand = stand().await;
    let made = upload(&stand, form().text("purpose", "batch").part("file", file(LINES.as_bytes()))).await.unwrap();
    let id = made["id"].as_str().unwrap().to_owned();
    let other = stand.other_door().await;
    let at_other = |path: String| stand.at(&other, Method::GET, &path).send();
    let shown: Value = at_other(format!("/v1/files/{id}")).await.unwrap().json().await.unwrap();
    assert_eq!(shown, made);
    let listed = || async {
        let page: Value = at_other("/v1/files".to_owned()).await.ok()?.json().await.ok()?;
        (page["data"] == json!([made])).then_some(())
    };
    testkit::wait_for("the list of the other door", WAIT, listed).await;

    let submission = json!({"input": id});
    assert_eq!(stand.post("/jobs", &submission).await.status(), 202);
    let removed: Value =
        stand.request(Method::DELETE, &format!("/v1/files/{id}")).send().await.unwrap().json().await.unwrap();
    assert_eq!(removed, json!({"id": id, "object": "file", "deleted": true}));
    assert_eq!(at_other(format!("/v1/files/{id}")).await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(stand.request(Method::DELETE, &format!("/v1/files/{id}")).send().await.unwrap().status(), 404);
    assert_eq!(get(&stand, "/v1/files").await["data"], json!([]));
}

#[tokio::test]
async fn a_batch_is_the_job_that_it_says() {
    let stand = stand().await;
    let made = upload(&stand, form().text("purpose", "batch").part("file", file(LINES.as_bytes()))).await.unwrap();
    let id = &made["id"];
    let asked = json!({"input_file_id": id, "endpoint": "/v1/chat/completions", "completion_window": "90m",
        "metadata": {"team": "a"}, "priority": "low"});
    let response = stand.post("/v1/batches", &asked).await;
    assert_eq!(response.status(), 200);
    let batch: Value = response.json().await.unwrap();
    assert_eq!((&batch["status"], &batch["input_file_id"]), (&"validating".into(), id));
    assert_eq!((&batch["completion_window"], &batch["metadata"]), (&"90m".into(), &json!({"team": "a"})));
    let (submission, _) = stand.submitted().await.pop().unwrap();
    let job = submission.id.unwrap();
    assert_eq!(batch["id"], format!("batch_{}", job.uuid().simple()));
    assert_eq!(submission.priority, Some(Priority::Low));
    for path in [format!("/v1/batches/{job}"), format!("/v1/batches/{}", batch["id"].as_str().unwrap())] {
        assert_eq!(get(&stand, &path).await["created_at"], batch["created_at"]);
    }
    let ours = get(&stand, &format!("/jobs/{}", batch["id"].as_str().unwrap())).await;
    assert_eq!((&ours["id"], &ours["state"]), (&job.to_string().into(), &"validating".into()));
}

#[tokio::test]
async fn times_come_from_the_log() {
    let stand = stand().await;
    let id = JobId::keyed("t", "cancelled");
    stand.begin(id).await;
    let closing = Closing { at: Timestamp::new(1_700_000_050_000), cause: Cause::Cancelled, late: false, reason: None };
    stand.append(id, &Event::JobClosing(closing)).await;
    let ended = Ended::of(Timestamp::new(1_700_000_060_000), Outcome::Cancelled);
    stand.append(id, &Event::JobEnded(ended)).await;
    let ended_at = Some(Timestamp::new(1_700_000_060_000));
    stand.put(Status { ended_at, ..status(id, State::Cancelled) }).await;
    let batch = get(&stand, &format!("/v1/batches/{id}")).await;
    let times = ["cancelling_at", "cancelled_at", "completed_at", "finalizing_at"].map(|name| batch[name].clone());
    assert_eq!(times, [json!(1_700_000_050_u64), json!(1_700_000_060_u64), Value::Null, Value::Null]);
}

#[tokio::test]
async fn batches_come_in_pages() {
    let stand = stand().await;
    for n in 0..5u64 {
        let id = JobId::keyed("t", &n.to_string());
        let submitted_at = Timestamp::new(1_700_000_000_000 + n * 1_000);
        stand.put(Status { submitted_at, ..status(id, State::InProgress) }).await;
    }
    let whole = || async { Some(get(&stand, "/v1/batches").await).filter(|page| ids(page).len() == 5) };
    let whole = testkit::wait_for("all of them", WAIT, whole).await;
    assert_eq!((&whole["object"], &whole["has_more"]), (&"list".into(), &false.into()));
    let first = get(&stand, "/v1/batches?limit=2").await;
    assert_eq!((&first["last_id"], &first["has_more"]), (&whole["data"][1]["id"], &true.into()));
    let next = get(&stand, &format!("/v1/batches?limit=3&after={}", first["last_id"].as_str().unwrap())).await;
    assert_eq!((ids(&next), &next["has_more"]), (ids(&whole)[2..].to_vec(), &false.into()));
    let none = stand.request(Method::GET, "/v1/batches?after=batch_none").send().await.unwrap();
    assert_eq!(refusal(none).await, (400, "invalid_request".to_owned(), Some("after".to_owned())));
}

/// Nobody answers here: what waits is told where to look, and what is not waited for any more is cancelled.
#[tokio::test]
async fn a_request_that_takes_too_long_goes_on_and_one_that_nobody_waits_for_does_not() {
    let stand = stand_with(|config| {
        config.http.answer_s = 1;
        config.pools.insert("tiny".parse().unwrap(), jetbatch::config::PoolConfig::of(engine::Spec::echo()));
    })
    .await;
    let wrong = stand.post("/v1/chat/completions", &json!({"model": "tiny", "messages": 7})).await;
    assert_eq!(refusal(wrong).await, (400, "invalid_request".to_owned(), Some("messages".to_owned())));
    let body = json!({"model": "tiny", "messages": [{"role": "user", "content": "hi"}]});
    let late = stand.post("/v1/chat/completions", &body).await;
    let (status, id) = (late.status(), late.headers()["x-batch-id"].to_str().unwrap().to_owned());
    let refusal: Value = late.json().await.unwrap();
    assert_eq!((status, &refusal["error"]["code"]), (StatusCode::GATEWAY_TIMEOUT, &"answer_pending".into()));
    assert!(refusal["error"]["message"].as_str().unwrap().contains(&id), "{refusal}");
    let (submission, _) = stand.submitted().await.pop().unwrap();
    assert_eq!(id, format!("batch_{}", submission.id.unwrap().uuid().simple()));
    assert!(stand.commands().await.is_empty());

    let gone = stand.request(Method::POST, "/v1/chat/completions").json(&body).timeout(Duration::from_millis(300));
    assert!(gone.send().await.unwrap_err().is_timeout());
    let cancelled = || async { stand.commands().await.pop() };
    let command = testkit::wait_for("the cancel", WAIT, cancelled).await;
    assert_ne!(Some(command.job), submission.id);
}
