//! Uploads that mean no good, or whose sender broke off: each gets a clear 4xx, or becomes a job that fails and names what
//! is wrong; none is a 5xx, and none makes the head grow.
use crate::support::{Answer, Http, LONG, MODEL, Plan, Stand, answer, completed};
use domain::JobId;
use reqwest::{Body, RequestBuilder};
use serde_json::{Value, json};
use std::{iter, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// What the head may grow by over all of them, in MiB.
const GROWTH_MAX: u64 = 64;
const BIG: usize = 256 << 20;
const KIB: usize = 1 << 10;

/// Two requests, their fields in an order that stays.
fn good() -> String {
    let line = |id| {
        let message = format!(r#"{{"content":"say {id}","role":"user"}}"#);
        let body = format!(r#"{{"max_tokens":16,"messages":[{message}],"model":"{MODEL}","temperature":0}}"#);
        format!(r#"{{"body":{body},"custom_id":"{id}","method":"POST","url":"/v1/chat/completions"}}"#) + "\n"
    };
    line("a") + &line("b")
}

/// The second line of a good file, changed.
fn line(from: &str, to: &str) -> Vec<u8> {
    let file = good();
    let at = file.find('\n').unwrap() + 1;
    let changed = file[at..].replacen(from, to, 1);
    assert_ne!(changed, file[at..], "{from}");
    format!("{}{changed}", &file[..at]).into_bytes()
}

fn wide(encode: impl Fn(u16) -> [u8; 2]) -> Vec<u8> {
    good().encode_utf16().flat_map(encode).collect()
}

/// Files of which nothing may be run.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let content = "\"content\":\"say b\"";
    let body = |text: &str| line("\"temperature\":0", text);
    let utf8 = |bytes: &[u8]| {
        let file = good().into_bytes();
        let at = file.windows(5).position(|part| part == b"say b").unwrap();
        [&file[..at], bytes, &file[at..]].concat()
    };
    vec![
        ("nothing", Vec::new()),
        ("blanks", b" \t\r\n\n  ".to_vec()),
        ("a byte order mark alone", b"\xef\xbb\xbf".to_vec()),
        ("two byte order marks", [b"\xef\xbb\xbf\xef\xbb\xbf", good().as_bytes()].concat()),
        ("a mark in the middle", line("{", "\u{feff}{")),
        ("NUL bytes", vec![0; 64 * KIB]),
        ("a NUL in a text", utf8(b"\0")),
        ("a NUL for a line", [good().as_bytes(), b"\0\n"].concat()),
        ("a raw control character", utf8(b"\x1b[2J")),
        ("a raw tab in an id", line("\"b\"", "\"b\t\"")),
        ("half a character", utf8(b"\xe2\x82")),
        ("an overlong character", utf8(b"\xc0\xaf")),
        ("a surrogate in UTF-8", utf8(b"\xed\xa0\x80")),
        ("beyond the last character", utf8(b"\xf5\x80\x80\x80")),
        ("Latin-1", utf8(b"\xe9")),
        ("UTF-16, little", [b"\xff\xfe".to_vec(), wide(u16::to_le_bytes)].concat()),
        ("UTF-16, big", [b"\xfe\xff".to_vec(), wide(u16::to_be_bytes)].concat()),
        ("UTF-16 without a mark", wide(u16::to_le_bytes)),
        ("UTF-32", good().chars().flat_map(|c| u32::from(c).to_le_bytes()).collect()),
        ("half an escape", body("\"user\":\"\\u12\"")),
        ("half a pair", body("\"user\":\"\\ud83d\"")),
        ("the other half", body("\"user\":\"\\ude00\"")),
        ("no such escape", body("\"user\":\"\\x41\"")),
        ("cut off", good().as_bytes()[..good().len() - 9].to_vec()),
        ("CR alone", good().replace('\n', "\r").into_bytes()),
        ("brackets that never close", body(&format!("\"user\":{}", "[".repeat(200_000)))),
        ("a line of brackets", b"[".repeat(500_000)),
        ("a line of braces", b"{\"a\":".repeat(100_000)),
        ("a field twice", body("\"temperature\":0,\"temperature\":1")),
        ("a field twice, once escaped", body("\"temperature\":0,\"t\\u0065mperature\":1")),
        ("an id twice", line("\"custom_id\":\"b\"", "\"custom_id\":\"b\",\"custom_id\":\"c\"")),
        ("the same id again", line("\"b\"", "\"a\"")),
        ("the same id, spelled otherwise", line("\"b\"", "\"\\u0061\"")),
        ("the body twice", line("\"body\":", "\"body\":{},\"body\":")),
        ("a number without bound", body("\"temperature\":1e400")),
        ("a number below all bounds", body("\"temperature\":-1e400")),
        ("a whole number of 400 digits", body(&format!("\"max_tokens\":{}", "9".repeat(400)))),
        ("a fraction of a million digits", body(&format!("\"temperature\":0.{}x", "1".repeat(1_000_000)))),
        ("an exponent of a million digits", body(&format!("\"temperature\":1e{}", "9".repeat(900_000)))),
        ("NaN", body("\"temperature\":NaN")),
        ("Infinity", body("\"temperature\":-Infinity")),
        ("hexadecimal", body("\"max_tokens\":0x10")),
        ("a leading zero", body("\"max_tokens\":016")),
        ("a comment", line("{", "/* */{")),
        ("single quotes", line(content, "'content':'say b'")),
        ("a comma too many", line("completions\"}", "completions\",}")),
        ("two objects on a line", line("{", "{}{")),
        ("words after the object", line("completions\"}", "completions\"} and more")),
        ("HTML", b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>\n".to_vec()),
        ("a PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n".to_vec()),
        ("a program", b"\x7fELF\x02\x01\x01\0\0\0".to_vec()),
        ("a zip", b"PK\x03\x04\x14\0\0\0\x08\0".to_vec()),
        ("gzip inside", b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec()),
        ("a JSON string", b"\"hello\"\n".to_vec()),
        ("null", b"null\n".to_vec()),
        ("a number", b"17\n".to_vec()),
        (
            "the body null",
            b"{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":null}\n".to_vec(),
        ),
        ("the body a text", line("\"body\":{", "\"body\":\"x\",\"other\":{")),
        ("no id", line("\"custom_id\":\"b\",", "")),
        ("an id that is a number", line("\"custom_id\":\"b\"", "\"custom_id\":7")),
        ("an id that is null", line("\"custom_id\":\"b\"", "\"custom_id\":null")),
        ("an id that is a list", line("\"custom_id\":\"b\"", "\"custom_id\":[\"b\"]")),
        ("an id of 600 KB", line("\"b\"", &format!("\"{}\"", "i".repeat(600_000)))),
        ("a url that climbs", line("/v1/chat/completions", "/v1/../../etc/passwd")),
        ("a url elsewhere", line("/v1/chat/completions", "http://169.254.169.254/latest/meta-data")),
        ("a method that deletes", line("\"POST\"", "\"DELETE\"")),
        ("a model that climbs", line("\"tiny\"", "\"../../tiny\"")),
        ("a model with a NUL", line("\"tiny\"", "\"tiny\\u0000\"")),
        ("messages that are a text", line("\"messages\":[", "\"messages\":\"x\",\"other\":[")),
        ("a role that is nobody's", line("\"user\"", "17")),
        ("a line of 2 MB", line("say b", &"x".repeat(2 << 20))),
        ("a hundred thousand fields", body(&(0..100_000).map(|n| format!("\"f{n}\":0")).collect::<Vec<_>>().join(","))),
    ]
}

/// Odd, and right: they are answered.
fn odd_and_right() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a byte order mark", [b"\xef\xbb\xbf", good().as_bytes()].concat()),
        ("CRLF", good().replace('\n', "\r\n").into_bytes()),
        ("no end of the last line", good().trim_end().as_bytes().to_vec()),
        ("blank lines", good().replace('\n', "\n\n \n").into_bytes()),
        (
            "brackets, deep, in a field that is passed over",
            line("\"temperature\":0", &format!("\"user\":{}1{}", "[".repeat(100_000), "]".repeat(100_000))),
        ),
        ("an id like a path", line("\"b\"", "\"../../../etc/passwd\"")),
        ("an id of control characters", line("\"b\"", "\"\\u0000\\u001b[2J\\u007f\"")),
        ("an id that turns the text around", line("\"b\"", "\"\u{202e}b\"")),
        ("an id like a script", line("\"b\"", "\"<script>alert(1)</script>\"")),
        ("an id like a formula", line("\"b\"", "\"=cmd|' /C calc'!A0\"")),
        ("separators of lines in a text", line("say b", "say\u{2028}b\u{2029}")),
    ]
}

/// How a test ends: refused at once, or a job that failed and names what is wrong.
async fn refused(stand: &Stand, name: &str, got: Answer) -> Option<String> {
    if got.status == 202 { failed(stand, name, got.accepted()).await } else { unclear(name, &got) }
}

/// What is wrong with a refusal, if anything is.
fn unclear(name: &str, got: &Answer) -> Option<String> {
    let is_clear = (400..500).contains(&got.status) && is_sentence(&got.body["error"]["message"]);
    (!is_clear).then(|| cut(format!("{name}: {got:?}")))
}

fn is_sentence(message: &Value) -> bool {
    message.as_str().is_some_and(|text| (10..2_000).contains(&text.len()))
}

fn cut(text: String) -> String {
    text.chars().take(1_500).collect()
}

#[track_caller]
fn all_well(wrong: Vec<Option<String>>) {
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

async fn failed(stand: &Stand, name: &str, id: JobId) -> Option<String> {
    let status = stand.end(id).await;
    let error = &status["errors"][0];
    let whole = ["empty_file", "input_not_allowed", "input_not_found", "invalid_submission"];
    let of_file = error["message"].as_str().is_some_and(|text| text.contains("the file"));
    let is_named = error["line"].is_u64() || of_file || whole.iter().any(|code| error["code"] == *code);
    if completed(&status) == 1 {
        return own_error(stand, name, id).await;
    }
    let is_clear = status["state"] == "failed" && is_named && is_sentence(&error["message"]);
    (!is_clear).then(|| cut(format!("{name}: {} {error}", status["state"])))
}

/// A value that an engine refuses is the error of its request alone.
async fn own_error(stand: &Stand, name: &str, id: JobId) -> Option<String> {
    let lines = crate::support::lines(&stand.http.text(&format!("/jobs/{id}/errors")).await);
    let is_clear = lines.len() == 1 && is_sentence(&lines[0]["response"]["body"]["error"]["message"]);
    (!is_clear).then(|| cut(format!("{name}: {lines:?}")))
}

#[tokio::test]
async fn hostile_files_are_refused_by_name() {
    let stand = Plan::echo("", 8).start().await;
    let before = warm(&stand).await;
    let mut wrong = Vec::new();
    for (name, file) in files() {
        let got = answer(stand.http.ndjson("", file)).await;
        wrong.push(refused(&stand, name, got).await);
    }
    all_well(wrong);
    for (name, file) in odd_and_right() {
        let id = stand.http.submit("", file).await;
        let status = stand.end(id).await;
        assert_eq!((&status["state"], &status["requests"]["completed"]), (&json!("completed"), &json!(2)), "{name}");
    }
    stands(&stand, before).await;
}

/// The same files at OpenAI's door.
#[tokio::test]
async fn hostile_files_fail_their_batches() {
    let stand = Plan::echo("", 8).start().await;
    let before = warm(&stand).await;
    let mut wrong = Vec::new();
    for (name, file) in files() {
        wrong.push(batch(&stand, name, file).await);
    }
    all_well(wrong);
    stands(&stand, before).await;
}

async fn batch(stand: &Stand, name: &str, file: Vec<u8>) -> Option<String> {
    let file = answer(stand.http.post("/v1/files").multipart(form(file))).await;
    if file.status != 200 {
        return unclear(name, &file);
    }
    let ask = json!({"input_file_id": file.body["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"});
    let made = answer(stand.http.post("/v1/batches").json(&ask)).await;
    if made.status != 200 {
        return unclear(name, &made);
    }
    let path = format!("/v1/batches/{}", made.body["id"].as_str().unwrap());
    let ended = testkit::wait_for(name, LONG, || async {
        let batch = stand.http.get(&path).await.body;
        (batch["status"] == "failed" || batch["status"] == "completed").then_some(batch)
    })
    .await;
    let is_told = is_sentence(&ended["errors"]["data"][0]["message"]);
    let is_clear = (ended["status"] == "failed" && is_told) || ended["request_counts"]["failed"] == 1;
    (!is_clear).then(|| cut(format!("{name}: {ended}")))
}

fn form(file: Vec<u8>) -> reqwest::multipart::Form {
    let file = reqwest::multipart::Part::bytes(file).file_name("requests.jsonl");
    reqwest::multipart::Form::new().text("purpose", "batch").part("file", file)
}

/// Blocks of one byte over and over, as zstd packs them: each 128 KiB.
fn zstd_bomb(bytes: usize) -> Vec<u8> {
    let blocks = bytes / (128 * KIB);
    let block = |n| {
        let head = (128 * KIB as u32) << 3 | 1 << 1 | u32::from(n + 1 == blocks);
        [&head.to_le_bytes()[..3], b"x"].concat()
    };
    iter::once(b"\x28\xb5\x2f\xfd\x00\x58".to_vec()).chain((0..blocks).map(block)).flatten().collect()
}

fn gzip(script: &str) -> Vec<u8> {
    let packed = std::process::Command::new("sh").args(["-c", &format!("{script} | gzip -1")]).output().unwrap();
    assert!(packed.status.success(), "{packed:?}");
    packed.stdout
}

/// Packed bodies, and what is packed far smaller than it is.
#[tokio::test]
async fn bombs_and_torn_bodies_take_no_memory() {
    let stand = Plan::echo("", 8).start().await;
    warm(&stand).await;
    // What any large file takes.
    let large = answer(stand.http.ndjson("", good().repeat(BIG / 4 / good().len()))).await;
    assert_eq!(stand.end(large.accepted()).await["state"], "failed", "ids stand twice");
    let before = stand.peak();
    let mut wrong = Vec::new();
    let packed = gzip("printf 'not a request\\n'");
    let bomb = gzip(&format!("head -c {BIG} /dev/zero"));
    let twice = gzip(&format!("head -c {BIG} /dev/zero | gzip -1"));
    let torn = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    let mut spoilt = bomb.clone();
    let middle = spoilt.len() / 2;
    spoilt[middle..middle + 64].fill(0xa5);
    for (name, encoding, body) in [
        ("what is packed is no request", "gzip", packed.clone()),
        ("a bomb", "gzip", bomb.clone()),
        ("a bomb in a bomb", "gzip", twice),
        ("a bomb of zstd", "zstd", zstd_bomb(BIG)),
        ("half a file of zstd", "zstd", torn(&zstd_bomb(1 << 20))),
        ("half a file of gzip", "gzip", torn(&packed)),
        ("half a bomb", "gzip", torn(&bomb)),
        ("a spoilt file", "gzip", spoilt),
        ("zstd that calls itself gzip", "gzip", zstd_bomb(1 << 20)),
        ("plain that calls itself gzip", "gzip", good().into_bytes()),
        ("plain that calls itself zstd", "zstd", good().into_bytes()),
        ("nothing, packed", "gzip", Vec::new()),
        ("an encoding that nobody has", "br", good().into_bytes()),
        ("two encodings", "gzip, gzip", packed.clone()),
        ("an encoding of control characters", "gzip\t", torn(&packed)),
    ] {
        let got = answer(stand.http.ndjson("", body).header("Content-Encoding", encoding)).await;
        wrong.push(refused(&stand, name, got).await);
    }
    let got = answer(stand.http.ndjson("", endless(BIG))).await;
    wrong.push(refused(&stand, "a line without an end", got).await);
    all_well(wrong);
    stands(&stand, before).await;
    assert_eq!(
        stand.http.get("/v1/files?purpose=batch").await.body["data"],
        json!([]),
        "what is broken leaves nothing"
    );
}

/// One line of so many bytes, as they come.
fn endless(bytes: usize) -> Body {
    let block = bytes::Bytes::from(vec![b'x'; 64 * KIB]);
    Body::wrap_stream(futures::stream::iter(
        (0..bytes / block.len()).map(move |_| Ok::<_, std::io::Error>(block.clone())),
    ))
}

/// Bodies of `POST /v1/files` as no client makes them: `B` is the boundary.
fn forms() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let file = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n{}\r\n";
    let purpose = "--B\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n";
    let part = |head: &str, body: &str| format!("--B\r\n{head}\r\n\r\n{body}\r\n");
    let field = |name: &str, body: &str| part(&format!("Content-Disposition: form-data; name=\"{name}\""), body);
    let whole = |parts: &str| format!("{parts}--B--\r\n").into_bytes();
    let usual = "multipart/form-data; boundary=B";
    let mut forms = vec![
        ("no boundary", "multipart/form-data", whole(&format!("{purpose}{file}"))),
        ("an empty boundary", "multipart/form-data; boundary=", whole(&format!("{purpose}{file}"))),
        ("another boundary", "multipart/form-data; boundary=C", whole(&format!("{purpose}{file}"))),
        ("no form", "multipart/form-data; boundary=B", b"hello".to_vec()),
        ("another type", "application/xml", whole(&format!("{purpose}{file}"))),
        ("JSON", "application/json", b"{\"purpose\":\"batch\"}".to_vec()),
        ("nothing", usual, Vec::new()),
        ("an end alone", usual, b"--B--\r\n".to_vec()),
        ("no end", usual, format!("{purpose}{file}").into_bytes()),
        ("cut off in a head", usual, format!("{purpose}--B\r\nContent-Disp").into_bytes()),
        (
            "cut off in a body",
            usual,
            format!("{purpose}--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n{{\"cus")
                .into_bytes(),
        ),
        ("line feeds alone", usual, whole(&format!("{purpose}{file}").replace("\r\n", "\n"))),
        ("no file", usual, whole(purpose)),
        ("no purpose", usual, whole(file)),
        ("two purposes that differ", usual, whole(&format!("{purpose}{}{file}", field("purpose", "vision")))),
        ("two files", usual, whole(&format!("{purpose}{file}{file}"))),
        ("no such purpose", usual, whole(&format!("{}{file}", field("purpose", "world domination")))),
        ("a purpose of 100 KB", usual, whole(&format!("{}{file}", field("purpose", &"b".repeat(100 * KIB))))),
        (
            "a purpose that is no text",
            usual,
            [whole(&field("purpose", "X")).as_slice()]
                .concat()
                .iter()
                .map(|b| if *b == b'X' { 0xff } else { *b })
                .collect(),
        ),
        (
            "a part without a name",
            usual,
            whole(&format!("{purpose}{}", part("Content-Disposition: form-data; filename=\"a\"", "{}"))),
        ),
        ("a part without a head", usual, whole(&format!("{purpose}{}", part("X-Nothing: 1", "{}")))),
        ("a head without a colon", usual, whole(&format!("{purpose}{}", part("hello world", "{}")))),
        (
            "a head of 3 MB",
            usual,
            whole(&format!("{purpose}{}", part(&format!("X-Long: {}", "y".repeat(3 << 20)), "{}"))),
        ),
    ];
    let expiry = |anchor: &str, seconds: &str| {
        whole(&format!(
            "{purpose}{}{}{file}",
            field("expires_after[anchor]", anchor),
            field("expires_after[seconds]", seconds)
        ))
    };
    let expiries = [
        ("created_at", "soon"),
        ("created_at", "-1"),
        ("created_at", "0"),
        ("created_at", "1e99"),
        ("created_at", "99999999999999999999"),
        ("yesterday", "3600"),
        ("created_at", ""),
        ("created_at", "NaN"),
    ];
    forms.extend(expiries.map(|(anchor, seconds)| ("an expiry that is none", usual, expiry(anchor, seconds))));
    forms
}

/// Names that lead elsewhere, and what they are here: names, and nothing else.
const NAMES: [(&str, &str); 8] = [
    ("../../../../etc/passwd", "passwd"),
    ("..\\..\\windows\\system32\\config", "config"),
    ("/etc/passwd", "passwd"),
    ("file:///etc/passwd", "passwd"),
    ("C:\\requests.jsonl", "requests.jsonl"),
    ("..", "upload"),
    ("requests.jsonl; rm -rf *", "requests.jsonl; rm -rf *"),
    ("<img src=x onerror=alert(1)>.jsonl", "<img src=x onerror=alert(1)>.jsonl"),
];

#[tokio::test]
async fn hostile_forms_are_refused() {
    let stand = Plan::echo("", 8).start().await;
    let before = warm(&stand).await;
    let mut wrong = Vec::new();
    for (name, kind, body) in forms() {
        let got = answer(stand.http.post("/v1/files").header("Content-Type", kind).body(body)).await;
        wrong.push(unclear(name, &got));
    }
    all_well(wrong);
    for (told, name) in NAMES {
        let file = reqwest::multipart::Part::text(good()).file_name(told);
        let form = reqwest::multipart::Form::new().text("purpose", "batch").part("file", file);
        let got = answer(stand.http.post("/v1/files").multipart(form)).await;
        assert_eq!((got.status, &got.body["filename"]), (200, &json!(name)), "{got:?}");
    }
    let listed = stand.http.get("/v1/files?limit=100&purpose=batch").await.body;
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(NAMES.len()), "what is refused leaves nothing: {listed}");
    stands(&stand, before).await;
}

/// Fields of the wrong kind, at each door that takes JSON.
#[tokio::test]
async fn hostile_fields_are_refused_by_name() {
    let stand = Plan::echo("", 8).start().await;
    let before = warm(&stand).await;
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let long = "x".repeat(300 * KIB);
    let odd = ["17", "true", "[]", "{}", "\"\"", "\"\\u0000\"", "-1e308", deep.as_str(), &format!("\"{long}\"")];
    let doors = [
        ("/jobs", "input", ""),
        ("/jobs", "requests", ""),
        ("/jobs", "completion_window", "\"requests\":[{}]"),
        ("/jobs", "priority", "\"requests\":[{}]"),
        ("/jobs", "metadata", "\"requests\":[{}]"),
        ("/v1/batches", "input_file_id", "\"endpoint\":\"/v1/chat/completions\",\"completion_window\":\"24h\""),
        (
            "/v1/batches",
            "endpoint",
            "\"input_file_id\":\"file-018f4e2a7c1b70008000012345678901\",\"completion_window\":\"24h\"",
        ),
        ("/v1/uploads", "bytes", "\"filename\":\"a\",\"purpose\":\"batch\",\"mime_type\":\"text/jsonl\""),
        ("/v1/uploads", "filename", "\"bytes\":1,\"purpose\":\"batch\",\"mime_type\":\"text/jsonl\""),
        ("/v1/chat/completions", "messages", "\"model\":\"tiny\""),
        ("/start", "prompts", ""),
    ];
    let mut wrong = Vec::new();
    for (door, field, rest) in doors {
        for value in odd {
            // A job may be of any name and have no metadata; these are right.
            if (field, value) == ("metadata", "{}") || (field, value) == ("bytes", "17") {
                continue;
            }
            if field == "filename" && value.starts_with('"') {
                continue;
            }
            let comma = if rest.is_empty() { "" } else { "," };
            let body = format!("{{{rest}{comma}\"{field}\":{value}}}");
            let got = answer(json_to(&stand.http, door, body)).await;
            let name = format!("{door} {field} {}", &value[..value.len().min(20)]);
            wrong.push(refused(&stand, &name, got).await);
        }
    }
    all_well(wrong);
    stands(&stand, before).await;
}

fn json_to(http: &Http, door: &str, body: String) -> RequestBuilder {
    http.post(door).header("Content-Type", "application/json").body(body)
}

/// What is no HTTP, or breaks off: a 4xx, or the connection is closed, and whoever comes next is served.
#[tokio::test]
async fn hostile_connections_hurt_nobody() {
    let stand = Plan::echo("", 8).start().await;
    let before = warm(&stand).await;
    let post = |head: &str, body: &str| {
        format!("POST /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-ndjson\r\n{head}\r\n{body}")
    };
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    let many: String = (0..5_000).map(|n| format!("X-{n}: 1\r\n")).collect();
    let requests = [
        ("no HTTP", "\x16\x03\x01\x02\0\x01\0".to_owned()),
        ("words", "hello\r\n\r\n".to_owned()),
        ("HTTP/0.9", "GET /\r\n".to_owned()),
        ("HTTP/3", "GET / HTTP/3.0\r\nHost: a\r\n\r\n".to_owned()),
        ("a length below nothing", post("Content-Length: -1\r\n", "x")),
        ("a length of words", post("Content-Length: many\r\n", "x")),
        ("a length without bound", post("Content-Length: 99999999999999999999999\r\n", "x")),
        ("two lengths", post("Content-Length: 1\r\nContent-Length: 2\r\n", "xx")),
        ("a length that is not kept", post("Content-Length: 1000\r\n", "{\"custom_id\"")),
        ("a piece of no size", post("Transfer-Encoding: chunked\r\n", "zz\r\nhello\r\n0\r\n\r\n")),
        ("a piece without bound", post("Transfer-Encoding: chunked\r\n", "ffffffffffffffffff\r\nhello")),
        ("pieces that break off", post("Transfer-Encoding: chunked\r\n", "5\r\nhel")),
        ("pieces without an end", post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n")),
        ("a length and pieces that break off", post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "5\r\nhel")),
        ("no such encoding", post("Transfer-Encoding: gzip\r\n", "x")),
        ("five thousand heads", format!("GET / HTTP/1.1\r\n{many}\r\n")),
        ("a head of 1 MB", format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(1 << 20))),
        ("a path of 1 MB", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "y".repeat(1 << 20))),
        ("a NUL in a head", get("/").replace("close", "cl\0se")),
        ("a head in two lines", get("/").replace("Host", "Host\r\n ")),
        ("no host that it has", get("/jobs").replace("127.0.0.1", "evil.example")),
        ("a path that climbs", get("/v1/files/..%2f..%2f..%2fetc%2fpasswd/content")),
        ("a path that climbs, plainly", get("/jobs/../../../../etc/passwd")),
        ("an id with a NUL", get("/jobs/%00")),
        ("an id of control characters", get("/v1/batches/batch_%1b%5b2J")),
        ("an id that is no UTF-8", get("/jobs/%ff%fe")),
        ("an id of a wildcard", get("/jobs/*")),
        ("an id of a subject", get("/dead/%3E")),
        (
            "a range without sense",
            get("/v1/files/file-018f4e2a7c1b70008000012345678901/content")
                .replace("Connection", "Range: bytes=9-1,x\r\nConnection"),
        ),
        ("no such method", "SUMMON /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".to_owned()),
    ];
    for (name, request) in requests {
        let (status, _) = raw(&stand.http.base, request.as_bytes()).await;
        assert!(status.is_none_or(|status| (400..500).contains(&status)), "{name}: {status:?}");
        assert_eq!(stand.http.get("/healthz").await.status, 200, "{name}");
    }
    let files = walk(&stand.objects);
    let uploads = files.iter().filter(|file| file.contains("/uploads/")).count();
    assert_eq!(uploads, 1, "what breaks off leaves nothing: {files:?}");
    stands(&stand, before).await;
}

/// Sends it, closes its half of the connection, and gives the status, if there is an answer.
async fn raw(base: &str, request: &[u8]) -> (Option<u16>, Vec<u8>) {
    let mut socket = TcpStream::connect(base.strip_prefix("http://").unwrap()).await.unwrap();
    // A server that refuses may close before it has all.
    let _ = socket.write_all(request).await;
    let _ = socket.shutdown().await;
    let mut got = Vec::new();
    let _ =
        timeout(Duration::from_secs(40), socket.read_to_end(&mut got)).await.expect("it neither answers nor closes");
    let status = got.get(9..12).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
    (status, got)
}

fn walk(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let paths = entries.flat_map(|entry| {
        let path = entry.path();
        if path.is_dir() { walk(&path) } else { vec![path.display().to_string()] }
    });
    paths.collect()
}

/// One good job first; gives what the head has used until then.
async fn warm(stand: &Stand) -> Option<u64> {
    let id = stand.http.submit("", good()).await;
    assert_eq!(stand.end(id).await["state"], "completed");
    stand.peak()
}

/// A good job is still done, and the head has not grown.
async fn stands(stand: &Stand, before: Option<u64>) {
    let id = stand.http.submit("", good()).await;
    let status: Value = stand.end(id).await;
    assert_eq!(status["state"], "completed", "{status}");
    if let (Some(before), Some(after)) = (before, stand.peak()) {
        assert!(after < before + GROWTH_MAX, "the head used {before} MiB, and then {after} MiB");
    }
}
