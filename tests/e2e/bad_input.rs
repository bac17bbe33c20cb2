//! Each mistake in an input gets its one clear error, and nothing of a bad input is run.
use crate::support::{Ask, Plan, Stand, jsonl};
use domain::JobId;
use serde_json::{Value, json};
use wire::{Message, Subject, stream};

/// A good input of twenty lines.
fn good() -> Vec<String> {
    let asks: Vec<Ask> = (1..=20).map(|n| Ask::echo(format!("r{n}"), format!("say {n}"))).collect();
    jsonl(&asks).lines().map(str::to_owned).collect()
}

/// The input with line `number` (1-based) changed.
fn with(number: usize, line: impl Into<Vec<u8>>) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = good().into_iter().map(String::into_bytes).collect();
    lines[number - 1] = line.into();
    lines.join(&b'\n')
}

/// An error as `(code, line, param, a part of the message)`.
type Want = (&'static str, Value, Value, &'static str);

fn cases() -> Vec<(Vec<u8>, Want)> {
    let field = |from: &str, to: &str| {
        let line = good()[16].replace(from, to);
        assert_ne!(line, good()[16]);
        with(17, line)
    };
    let long = good()[6].replace("say 7", &"x".repeat(2 << 20));
    let mut torn = good()[2].clone().into_bytes();
    let at = torn.windows(3).position(|w| w == b"say").unwrap();
    torn[at] = 0xff;
    vec![
        (
            with(17, "{\"custom_id\": \"r17\", "),
            ("invalid_json_line", json!(17), Value::Null, "column 20: the line is cut off"),
        ),
        (
            with(17, "hello"),
            ("invalid_json_line", json!(17), Value::Null, "not valid JSON at column 1: expected value"),
        ),
        (with(17, "[1, 2]"), ("invalid_json_line", json!(17), Value::Null, "one JSON object, and this one is a list")),
        (
            field("\"temperature\":0", "\"temperature\":NaN"),
            ("invalid_json_line", json!(17), Value::Null, "NaN is not JSON"),
        ),
        (
            field("\"temperature\":0", "\"user\":\"\\ud83d\""),
            ("invalid_json_line", json!(17), Value::Null, "half of a surrogate pair at column "),
        ),
        (
            field("\"temperature\":0", "\"temperature\":0,\"temperature\":1"),
            ("duplicate_parameter", json!(17), json!("body.temperature"), "`temperature` stands twice"),
        ),
        (
            field("\"custom_id\":\"r17\"", "\"custom_id\":\"r17\",\"custom_id\":\"x\""),
            ("duplicate_parameter", json!(17), json!("custom_id"), "`custom_id` stands twice"),
        ),
        (with(9, good()[4].as_str()), ("duplicate_custom_id", json!(9), json!("custom_id"), "line 5")),
        (field("\"tiny\"", "\"gpt-9\""), ("model_mismatch", json!(17), json!("body.model"), "'gpt-9'")),
        (Vec::new(), ("empty_file", Value::Null, Value::Null, "no request")),
        (b"\n \n\n".to_vec(), ("empty_file", Value::Null, Value::Null, "no request")),
        (with(7, long), ("line_too_long", json!(7), Value::Null, "1048576")),
        (with(3, torn), ("invalid_utf8", json!(3), Value::Null, "UTF-8")),
        (
            field("\"temperature\":0", "\"temperature\":\"hot\""),
            ("invalid_type", json!(17), json!("body.temperature"), "hot"),
        ),
        (
            field("\"max_tokens\":16", "\"max_tokens\":\"16\""),
            ("invalid_type", json!(17), json!("body.max_tokens"), "expected an integer, got the string \"16\""),
        ),
        (
            field("\"content\":\"say 17\"", "\"content\":17"),
            ("invalid_type", json!(17), json!("body.messages[0].content"), "expected a string or a list"),
        ),
        (field("\"custom_id\":\"r17\"", "\"custom_id\":17"), ("invalid_type", json!(17), json!("custom_id"), "17")),
        (field("/v1/chat/completions", "/v1/embeddings"), ("url_mismatch", json!(17), json!("url"), "/v1/embeddings")),
        (field("\"POST\"", "\"GET\""), ("invalid_method", json!(17), json!("method"), "GET")),
    ]
}

#[tokio::test]
async fn each_mistake_has_its_one_error() {
    let stand = Plan::echo("", 8).start().await;
    for (input, (code, line, param, words)) in cases() {
        let id = stand.http.submit("", input).await;
        let status = rejected(&stand, id).await;
        let errors = status["errors"].as_array().unwrap();
        assert_eq!((errors.len(), &status["errors_total"]), (1, &json!(1)), "{code}: {status}");
        let error = &errors[0];
        assert_eq!((&error["code"], &error["line"], &error["param"]), (&json!(code), &line, &param), "{error}");
        assert!(error["message"].as_str().unwrap().contains(words), "{words}: {error}");
    }
}

/// A file of another kind has one error, and not one for each line.
#[tokio::test]
async fn a_file_of_another_kind_has_one_hint() {
    let stand = Plan::echo("", 8).start().await;
    let lines = good();
    let utf16 = lines.join("\n").encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let pretty: Vec<String> =
        lines.iter().map(|line| line.replacen('{', "{\n  ", 1).replace("\"body\"", "\n  \"body\"")).collect();
    let noise = (0..50_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]);
    for (input, words) in [
        (format!("[{}]", lines.join(", ")).into_bytes(), "looks like a JSON array; write one object a line"),
        (format!("[\n{}\n]\n", lines.join(",\n")).into_bytes(), "looks like a JSON array"),
        (pretty.join("\n").into_bytes(), "looks like pretty-printed JSON"),
        (lines.join("").into_bytes(), "more than one object on its first line"),
        (lines.join(",\n").into_bytes(), "commas between its objects"),
        (lines.join("\r").into_bytes(), "CR line ends"),
        ([b"\xff\xfe".to_vec(), utf16].concat(), "looks like UTF-16; save it as UTF-8"),
        ([0x1f, 0x8b, 8, 0].into_iter().chain(noise.clone()).collect(), "looks like gzip; unpack it first"),
        ([0x28, 0xb5, 0x2f, 0xfd].into_iter().chain(noise).collect(), "looks like zstd; unpack it first"),
        (b"custom_id,prompt\n".iter().chain(b"a,hello\n".repeat(50_000).iter()).copied().collect(), "looks like CSV"),
    ] {
        let id = stand.http.submit("", input).await;
        let status = rejected(&stand, id).await;
        let errors = status["errors"].as_array().unwrap();
        assert_eq!((errors.len(), &status["errors_total"]), (1, &json!(1)), "{words}: {status}");
        assert!(errors[0]["message"].as_str().unwrap().contains(words), "{words}: {status}");
    }
}

/// A failed job has no requests, no files and no verdict on its deadline.
async fn rejected(stand: &Stand, id: JobId) -> Value {
    let status = stand.end(id).await;
    assert_eq!(status["state"], "failed", "{status}");
    crate::support::assert_counts(&status, [0, 0, 0, 0]);
    assert_eq!(
        [&status["output"], &status["error_file"], &status["sla"], &status["eta"]],
        [&Value::Null; 4],
        "{status}"
    );
    status
}

#[tokio::test]
async fn a_hundred_errors_are_named_and_all_are_counted() {
    let stand = Plan::echo("", 8).start().await;
    let asks: Vec<Ask> = (0..500).map(|n| Ask::echo(format!("r{n}"), "say")).collect();
    let input = jsonl(&asks).replace("\"temperature\":0", "\"temperature\":[]");
    let id = stand.http.submit("", input).await;
    let status = rejected(&stand, id).await;
    let errors = status["errors"].as_array().unwrap();
    assert_eq!((errors.len(), &status["errors_total"]), (100, &json!(500)));
    let numbers: Vec<u64> = errors.iter().map(|error| error["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=100).collect::<Vec<_>>());
}

/// Mistakes of different kinds in one file are all named, in the order of the file.
#[tokio::test]
async fn different_errors_come_in_order() {
    let stand = Plan::echo("", 8).start().await;
    let mut lines = good();
    lines[11] = lines[3].clone();
    lines[7] = "{".to_owned();
    lines[15] = lines[15].replace("tiny", "huge");
    let id = stand.http.submit("", lines.join("\r\n")).await;
    let status = rejected(&stand, id).await;
    let found: Vec<_> =
        status["errors"].as_array().unwrap().iter().map(|e| (e["line"].clone(), e["code"].clone())).collect();
    let want = [(8, "invalid_json_line"), (12, "duplicate_custom_id"), (16, "model_mismatch")];
    assert_eq!(found, want.map(|(line, code)| (json!(line), json!(code))));
}

/// On the NATS door nobody waits for an answer: what is no submission becomes a failed job that says why.
#[tokio::test]
async fn what_is_no_submission_becomes_a_failed_job() {
    let stand = Plan::echo("", 8).start().await;
    let log = stand.log().await;
    for (payload, code, words) in [
        (&b"not json at all"[..], "invalid_submission", "not valid JSON: expected ident at line 1 column 2"),
        (b"[1]", "invalid_submission", "a JSON array"),
        (b"{\"input\": 7}", "invalid_submission", "wrong in 'input': invalid type: integer `7`"),
        (b"{\"requests\": [", "invalid_submission", "not valid JSON"),
        (b"{}", "invalid_submission", "'requests' or 'input'"),
        (b"{\"requests\": [], \"modle\": \"x\"}", "invalid_submission", "modle"),
        (b"{\"input\": \"file:///etc/passwd\"}", "input_not_allowed", "file_roots"),
        (b"{\"input\": \"s3://other/x\"}", "input_not_allowed", "url_prefixes"),
        (b"{\"input\": \"upload://018f4e2a-7c1b-7000-8000-0123456789ab\"}", "input_not_found", "upload"),
    ] {
        let ack = log.publish(Message::new(Subject::Submit, payload)).await;
        let status = rejected(&stand, JobId::sequenced(stream::SUBMIT.as_str(), ack.sequence)).await;
        let error = &status["errors"][0];
        assert_eq!(error["code"], code, "{status}");
        assert!(error["message"].as_str().unwrap().contains(words), "{words}: {error}");
    }
}

/// What the HTTP door can see at once, it refuses at once.
#[tokio::test]
async fn the_http_door_refuses_at_once() {
    let stand = Plan::echo("", 8).start().await;
    for (body, param) in [
        (json!({}), "input"),
        (json!({"requests": []}), "requests"),
        (json!({"requests": [{}], "completion_window": "soon"}), "completion_window"),
        (json!({"requests": [{}], "endpoint": "/v1/images"}), "endpoint"),
    ] {
        let answer = crate::support::answer(stand.http.post("/jobs").json(&body)).await;
        assert_eq!((answer.status, &answer.body["error"]["param"]), (400, &json!(param)), "{answer:?}");
    }
    assert_eq!(stand.http.get("/jobs").await.body["data"], json!([]));
    assert_eq!(stand.http.get(&format!("/jobs/{}", JobId::keyed("no", "job"))).await.status, 404);
}
