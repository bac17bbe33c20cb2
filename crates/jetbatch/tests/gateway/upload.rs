use super::*;
use futures::{StreamExt, stream};
use reqwest::{Body, multipart};
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// Lines enough for several parts of the store.
fn lines() -> Vec<Bytes> {
    (0..40).map(|n| Bytes::from(format!("{{\"custom_id\":\"{n}\",\"x\":\"{}\"}}\n", "y".repeat(70_000)))).collect()
}

fn path(submission: &Submission) -> String {
    format!("uploads/{}.jsonl", submission.input.as_ref().unwrap().url().strip_prefix("upload://").unwrap())
}

#[tokio::test]
async fn a_streamed_file_is_stored_and_submitted() {
    let stand = stand().await;
    let send = |model: &'static str| {
        let body = Body::wrap_stream(stream::iter(lines()).map(Ok::<_, std::io::Error>));
        let query = [("model", model), ("metadata.team", "a")];
        let request = stand.request(Method::POST, "/jobs").query(&query).header("Idempotency-Key", "k");
        request.header("Content-Type", "application/x-ndjson").body(body).send()
    };
    assert_eq!(send("tiny").await.unwrap().status(), 202);
    let (submission, _) = stand.submitted().await.pop().unwrap();
    assert_eq!(stand.read(&path(&submission)).await, lines().concat());
    assert_eq!((submission.model.as_deref(), &*submission.metadata["team"]), (Some("tiny"), "a"));

    let fingerprint = submission.fingerprint.clone().unwrap();
    stand.put(Status { fingerprint, ..status(submission.id.unwrap(), State::InProgress) }).await;
    assert_eq!(send("tiny").await.unwrap().status(), 200);
    assert_eq!(send("other").await.unwrap().status(), 409);
    // The file of a submission that changed nothing is deleted.
    testkit::wait_for("the needless files to go", WAIT, || async { (stand.files().await.len() == 1).then_some(()) })
        .await;
}

#[tokio::test]
async fn a_form_is_stored_and_submitted() {
    let stand = stand().await;
    let part = || multipart::Part::stream(Body::wrap_stream(stream::iter(lines()).map(Ok::<_, std::io::Error>)));
    let form = multipart::Form::new().text("model", "tiny").text("metadata.team", "a").part("file", part());
    let response = stand.request(Method::POST, "/jobs").multipart(form).send().await.unwrap();
    assert_eq!(response.status(), 202);
    let (submission, _) = stand.submitted().await.pop().unwrap();
    assert_eq!(stand.read(&path(&submission)).await, lines().concat());
    assert_eq!(submission.model.as_deref(), Some("tiny"));

    for form in [
        multipart::Form::new().part("file", part()).text("model", "tiny"),
        multipart::Form::new().text("model", "tiny"),
        multipart::Form::new().text("modle", "tiny").part("file", part()),
        multipart::Form::new().text("completion_window", "soon").part("file", part()),
    ] {
        let response = stand.request(Method::POST, "/jobs").multipart(form).send().await.unwrap();
        assert_eq!(refusal(response).await.0, 400);
    }
    assert_eq!(stand.submitted().await.len(), 1);
    testkit::wait_for("the refused files to go", WAIT, || async { (stand.files().await.len() == 1).then_some(()) })
        .await;
}

#[tokio::test]
async fn an_interrupted_upload_leaves_nothing() {
    let stand = stand().await;
    for head in ["Content-Length: 99999999", "Transfer-Encoding: chunked"] {
        let mut socket = TcpStream::connect(&stand.address).await.unwrap();
        let head =
            format!("POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n{head}\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        let megabytes = "y".repeat(3 << 20);
        socket.write_all(format!("{:x}\r\n{megabytes}\r\n", megabytes.len()).as_bytes()).await.unwrap();
        let on_disk = || std::fs::read_dir(stand.store.local_path("uploads").unwrap()).map_or(0, Iterator::count);
        testkit::wait_for("the file to grow", WAIT, || async { (on_disk() == 1).then_some(()) }).await;
        drop(socket);
        testkit::wait_for("the file to go", WAIT, || async { (on_disk() == 0).then_some(()) }).await;
    }
    assert!(stand.submitted().await.is_empty() && stand.files().await.is_empty());
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused() {
    let stand = stand_with(|config| config.intake.input_bytes_max = 100_000).await;
    let streamed = || Body::wrap_stream(stream::iter(lines()).map(Ok::<_, std::io::Error>));
    let announced = || Body::from(lines().concat());
    for (path, body) in [("/jobs", streamed()), ("/jobs", announced()), ("/files", streamed()), ("/files", announced())]
    {
        let request = stand.request(Method::POST, path).header("Content-Type", "application/jsonl").body(body);
        match request.send().await {
            Ok(response) => assert_eq!(refusal(response).await.0, 413),
            // The door does not read on, and a client that does not listen while it sends sees its connection go.
            Err(error) => assert!(error.is_request(), "{error:?}"),
        }
    }
    assert!(stand.submitted().await.is_empty());
    testkit::wait_for("nothing to be left", WAIT, || async { stand.files().await.is_empty().then_some(()) }).await;
}

#[tokio::test]
async fn a_file_can_be_left_for_later() {
    let stand = stand().await;
    let raw = stand.request(Method::POST, "/files").body("line\n").send().await.unwrap();
    assert_eq!(raw.status(), 201);
    let raw = json(raw).await;
    assert_eq!(raw["bytes"], 5);
    assert_eq!(raw["input"], format!("upload://{}", raw["id"].as_str().unwrap()));
    assert_eq!(stand.read(&format!("uploads/{}.jsonl", raw["id"].as_str().unwrap())).await, "line\n");
    let form = multipart::Form::new().text("file", "line\n");
    let form = stand.request(Method::POST, "/files").multipart(form).send().await.unwrap();
    assert_eq!(form.status(), 201);
    assert_eq!(stand.post("/jobs", &json!({"input": raw["input"]})).await.status(), 202);
    assert_eq!(stand.submitted().await[0].0.input, raw["input"].as_str().map(Into::into));
}
