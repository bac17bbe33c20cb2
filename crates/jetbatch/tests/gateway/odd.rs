//! Requests as odd clients make them, after public bug reports of other servers.
use super::*;
use domain::event::File;
use jetbatch::paths::{self, Kind};
use reqwest::multipart;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A frame of zstd with one block as it is.
fn frame(text: &str) -> Vec<u8> {
    let (bytes, head) = (u8::try_from(text.len()).unwrap(), (text.len() as u32) << 3 | 1);
    [b"\x28\xb5\x2f\xfd\x20", &[bytes][..], &head.to_le_bytes()[..3], text.as_bytes()].concat()
}

#[tokio::test]
async fn a_file_of_many_frames_is_stored_whole() {
    let stand = stand().await;
    let skipped = b"\x50\x2a\x4d\x18\x02\0\0\0xx".to_vec();
    let send = |body: Vec<u8>| {
        let request = stand.request(Method::POST, "/jobs").header("Content-Type", "application/x-ndjson");
        request.header("Content-Encoding", "zstd").body(body).send()
    };
    assert_eq!(send([skipped, frame("{1}\n"), frame("{2}\n")].concat()).await.unwrap().status(), 202);
    let (submission, _) = stand.submitted().await.pop().unwrap();
    let path = format!("uploads/{}.jsonl", submission.input.unwrap().url().strip_prefix("upload://").unwrap());
    assert_eq!(stand.read(&path).await, "{1}\n{2}\n");
    let torn = refusal(send([frame("{1}\n"), b"and more".to_vec()].concat()).await.unwrap()).await;
    assert_eq!((torn.0, torn.1.as_str()), (400, "incomplete_body"));
}

#[tokio::test]
async fn a_part_is_of_the_file_that_is_meant_and_a_known_file_is_not_sent() {
    let stand = stand().await;
    let path = paths::file(job("a"), Kind::Output, 0);
    stand.store.put(&path, Bytes::from_static(b"0123456789")).await.unwrap();
    stand.put(Status { output: Some(File { path, bytes: 10 }), ..status(job("a"), State::Completed) }).await;
    let results = format!("/jobs/{}/results", job("a"));
    let tag = stand.get(&results).await.headers()["etag"].clone();
    let part = |condition: reqwest::header::HeaderValue| {
        stand.request(Method::GET, &results).header("Range", "bytes=4-").header("If-Range", condition).send()
    };
    let same = part(tag.clone()).await.unwrap();
    assert_eq!((same.status().as_u16(), same.text().await.unwrap().as_str()), (206, "456789"));
    let other = part("\"other\"".parse().unwrap()).await.unwrap();
    assert_eq!((other.status().as_u16(), other.text().await.unwrap().as_str()), (200, "0123456789"));
    for method in [Method::GET, Method::HEAD] {
        let known = stand.request(method, &results).header("If-None-Match", tag.clone()).send().await.unwrap();
        assert_eq!((known.status().as_u16(), &known.headers()["etag"]), (304, &tag));
        assert_eq!(known.text().await.unwrap(), "");
    }
    for (meant, status) in [(tag.to_str().unwrap(), 200), ("*", 200), ("\"other\"", 412)] {
        let got = stand.request(Method::GET, &results).header("If-Match", meant).send().await.unwrap();
        assert_eq!(got.status().as_u16(), status, "{meant}");
    }
}

#[tokio::test]
async fn a_download_of_what_is_deleted_meanwhile_breaks_off_and_is_not_taken_for_whole() {
    let stand = stand().await;
    let (path, bytes) = (paths::file(job("a"), Kind::Output, 0), 64 << 20);
    stand.store.put(&path, Bytes::from(vec![b'x'; bytes])).await.unwrap();
    let output = Some(File { path: path.clone(), bytes: bytes as u64 });
    stand.put(Status { output, ..status(job("a"), State::Completed) }).await;
    let mut got = stand.get(&format!("/jobs/{}/results", job("a"))).await;
    assert_eq!(got.content_length(), Some(bytes as u64));
    let mut read = got.chunk().await.unwrap().unwrap().len();
    stand.store.delete(&path).await.unwrap();
    let broken = loop {
        match got.chunk().await {
            Ok(Some(piece)) => read += piece.len(),
            end => break end,
        }
    };
    assert!(broken.is_err() && read < bytes, "{read} bytes, then {broken:?}");
}

#[tokio::test]
async fn a_head_of_an_event_stream_ends_at_once() {
    let stand = stand().await;
    stand.put(status(job("a"), State::InProgress)).await;
    let head = stand.request(Method::HEAD, &format!("/jobs/{}/events", job("a"))).send().await.unwrap();
    assert_eq!((head.status().as_u16(), &head.headers()["content-type"]), (200, &"text/event-stream".parse().unwrap()));
    let text = tokio::time::timeout(WAIT, head.text()).await.expect("it ends").unwrap();
    assert_eq!(text, "");
}

#[tokio::test]
async fn a_parameter_that_is_given_twice_is_refused() {
    let stand = stand().await;
    for path in ["/jobs", "/dead", "/audit", "/v1/files", "/v1/batches"] {
        let twice = refusal(stand.get(&format!("{path}?limit=1&limit=2")).await).await;
        assert_eq!(twice, (400, "invalid_request".into(), Some("limit".into())), "{path}");
    }
    assert_eq!(stand.get("/v1/files?include[]=a&include[]=b").await.status(), 200, "a list may go on");
}

#[tokio::test]
async fn records_behind_the_last_are_none_and_nobody_waits_for_them() {
    let stand = stand().await;
    for after in ["1", "100", "9223372036854775807"] {
        let page = json(stand.get(&format!("/audit?after={after}")).await).await;
        assert_eq!(page["data"], json!([]), "{page}");
    }
    for path in ["/audit", "/dead"] {
        assert_eq!(refusal(stand.get(&format!("{path}?after=9223372036854775808")).await).await.0, 400, "{path}");
    }
}

#[tokio::test]
async fn pages_of_listed_origins_may_call_the_door_and_no_others() {
    let stand = stand_with(|config| config.http.cors_origins = vec!["https://app.example".into()]).await;
    let ask = async |method: Method, origin: &str| {
        let asked = stand.request(method, "/jobs").header("Origin", origin);
        asked.header("Access-Control-Request-Method", "POST").send().await.unwrap()
    };
    let may = ask(Method::OPTIONS, "https://app.example").await;
    let told = may.headers();
    assert_eq!(
        (may.status().as_u16(), &told["access-control-allow-origin"]),
        (204, &"https://app.example".parse().unwrap())
    );
    assert!(told["access-control-allow-headers"].to_str().unwrap().contains("authorization"));
    assert!(!told.contains_key("access-control-allow-credentials"), "a cookie is no page's of another site");
    assert_eq!(ask(Method::POST, "https://app.example").await.status(), 415, "it is read as any other");
    let read = ask(Method::GET, "https://app.example").await;
    assert_eq!((&read.headers()["vary"], read.status().as_u16()), (&"origin".parse().unwrap(), 200));
    for (method, status) in [(Method::OPTIONS, 405), (Method::POST, 403), (Method::GET, 200)] {
        let other = ask(method, "https://evil.example").await;
        assert_eq!(other.status().as_u16(), status);
        assert!(!other.headers().contains_key("access-control-allow-origin"));
    }
}

/// An idle connection is a place, and there are few.
#[tokio::test]
async fn an_address_has_so_many_connections() {
    let stand = stand_with(|config| config.http.connections_per_address = 2).await;
    let connect = || tokio::net::TcpStream::connect(&stand.address);
    let held = [connect().await.unwrap(), connect().await.unwrap()];
    let told = || async {
        let refused = stand.get("/jobs").await;
        (refused.status() == 429).then_some(refused)
    };
    let refused = testkit::wait_for("the address to have its own", WAIT, told).await;
    assert_eq!(refused.headers()["connection"], "close");
    assert_eq!(refusal(refused).await.2.as_deref(), Some("connections_per_address"));
    assert_eq!(stand.get("/healthz").await.status(), 200, "a probe is answered");
    drop(held);
    let free = || async { (stand.get("/jobs").await.status() == 200).then_some(()) };
    testkit::wait_for("a place to be free again", WAIT, free).await;
}

fn ids(page: &Value) -> Vec<String> {
    page["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

/// `for file in client.files.list(): client.files.delete(file.id)`.
#[tokio::test]
async fn a_list_goes_on_behind_what_was_deleted() {
    let stand = stand().await;
    for n in 0..7 {
        let file = multipart::Part::text("{}").file_name(format!("{n}.jsonl"));
        let form = multipart::Form::new().text("purpose", "batch").part("file", file);
        assert_eq!(stand.request(Method::POST, "/v1/files").multipart(form).send().await.unwrap().status(), 200);
    }
    let deleted = async |id: &str| {
        assert_eq!(stand.request(Method::DELETE, &format!("/v1/files/{id}")).send().await.unwrap().status(), 200);
    };
    let mut left = 7;
    for order in ["desc", "asc"] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        for _ in 0..2 {
            let page = json(stand.get(&format!("/v1/files?order={order}&limit=1{after}")).await).await;
            seen.extend(ids(&page));
            after = format!("&after={}", seen.last().unwrap());
            deleted(seen.last().unwrap()).await;
        }
        left -= 2;
        assert_ne!(seen[0], seen[1]);
        let rest = json(stand.get(&format!("/v1/files?order={order}{after}")).await).await;
        assert_eq!(ids(&rest).len(), left, "{order}: {rest}");
        // A door that saw nothing of it goes by the id.
        let other = stand.other_door().await;
        testkit::wait_for("the other door", WAIT, || async {
            let got = stand.at(&other, Method::GET, &format!("/v1/files?order={order}{after}")).send().await.unwrap();
            let page = if got.status() == 200 { json(got).await } else { return None };
            (page == rest).then_some(())
        })
        .await;
    }
    let never = format!("/v1/files?after=file-{}", uuid(&job("never")));
    assert_eq!(refusal(stand.get(&never).await).await.0, 400);
}

fn uuid(id: &JobId) -> String {
    id.uuid().simple().to_string()
}

#[tokio::test]
async fn jobs_are_listed_behind_one_that_was_deleted() {
    let stand = stand().await;
    for n in 0..5_u64 {
        let (id, at) = (job(&n.to_string()), Timestamp::new(1_700_000_000_000 + n));
        stand.begin_with(id, |submitted| submitted.at = at).await;
        stand.put(Status { submitted_at: at, ..status(id, State::Completed) }).await;
    }
    let gone = job("3");
    let listed = async |path: String| ids(&json(stand.get(&path).await).await);
    testkit::wait_for("all jobs", WAIT, || async { (listed("/jobs".into()).await.len() == 5).then_some(()) }).await;
    stand.tombstone(gone).await;
    stand.bus.bucket(bucket::STATUS).delete(&gone.to_string()).await.unwrap();
    testkit::wait_for("it to go", WAIT, || async { (listed("/jobs".into()).await.len() == 4).then_some(()) }).await;
    let next = listed(format!("/jobs?limit=2&after={gone}")).await;
    assert_eq!(next, [job("2"), job("1")].map(|id| id.to_string()));
    let next = listed(format!("/v1/batches?limit=2&after=batch_{}", uuid(&gone))).await;
    assert_eq!(next, [job("2"), job("1")].map(|id| format!("batch_{}", uuid(&id))));
    assert_eq!(refusal(stand.get(&format!("/jobs?after={}", job("never"))).await).await.0, 400);
}

#[tokio::test]
async fn a_name_that_is_not_ascii_is_kept() {
    let stand = stand().await;
    let head = "Content-Disposition: form-data; name=\"file\"; filename=\"x\"; filename*=UTF-8''%E3%83%95.jsonl";
    let purpose = "--B\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n";
    let body = format!("{purpose}--B\r\n{head}\r\n\r\n{{}}\r\n--B--\r\n");
    let request = stand.request(Method::POST, "/v1/files").header("Content-Type", "multipart/form-data; boundary=B");
    assert_eq!(json(request.body(body).send().await.unwrap()).await["filename"], "フ.jsonl");
}

#[tokio::test]
async fn files_are_listed_by_any_purpose() {
    let stand = stand().await;
    for purpose in ["batch", "user_data"] {
        let form = multipart::Form::new().text("purpose", purpose).part("file", multipart::Part::text("{}"));
        let file = json(stand.request(Method::POST, "/v1/files").multipart(form).send().await.unwrap()).await;
        let page = json(stand.get(&format!("/v1/files?purpose={purpose}")).await).await;
        assert_eq!(ids(&page), [file["id"].as_str().unwrap()], "{purpose}");
    }
    let none = json(stand.get("/v1/files?purpose=batch_output").await).await;
    assert_eq!(none["data"], json!([]));
}

/// What stands once in a request, twice: a proxy may have looked at the other one.
#[tokio::test]
async fn what_is_told_twice_is_refused() {
    let stand = stand().await;
    let body = json!({"requests": [{"custom_id": "a"}]}).to_string();
    for heads in
        ["Host: localhost\r\nHost: evil.example", "Host: localhost\r\nIdempotency-Key: a\r\nIdempotency-Key: b"]
    {
        let mut socket = TcpStream::connect(&stand.address).await.unwrap();
        let length = body.len();
        let head = format!(
            "POST /jobs HTTP/1.1\r\n{heads}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        socket.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let mut got = String::new();
        socket.read_to_string(&mut got).await.unwrap();
        assert!(got.starts_with("HTTP/1.1 400") && got.contains("given twice"), "{heads}: {got}");
    }
    let twice = r#"{"requests":[{"custom_id":"a"}],"metadata":{"k":"a","k":"b"}}"#;
    let request = stand.request(Method::POST, "/jobs").header("Content-Type", "application/json");
    assert_eq!(refusal(request.body(twice).send().await.unwrap()).await.0, 400);
    assert!(stand.submitted().await.is_empty());
}
