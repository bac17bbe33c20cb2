//! A job's end is told to the URL that it, or its tenant, names: signed, once, and again until it is taken.
use crate::{
    support::{Ask, Http, LONG, Plan, answer, echoes, jsonl, subjects},
    tenants::{AUTH, door},
};
use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use domain::{
    JobId,
    trouble::{Kind, Scope},
};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};
use testkit::{
    process::{Start, binary},
    wait_for,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use wire::{Message, Subject, stream};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const BLUE: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5";
/// Anybody may be called.
const OPEN: &str = "allow_private = true\nallow_http = true\nfirst_ms = 300";

/// A hook as it was received.
#[derive(Debug, Clone)]
struct Got {
    headers: HashMap<String, String>,
    body: String,
}

impl Got {
    fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn topic(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    fn is_of(&self, job: JobId) -> bool {
        self.json()["data"]["id"] == format!("batch_{}", job.uuid().simple())
    }

    /// As a receiver does it, who has the standard and the secret.
    fn is_signed_with(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let content = format!("{}.{}.{}", self.id(), self.headers["webhook-timestamp"], self.body);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), content.as_bytes());
        self.headers["webhook-signature"] == format!("v1,{}", STANDARD.encode(tag))
    }
}

/// One who receives hooks, and answers with these statuses first, and then with 200.
struct Receiver {
    url: String,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Receiver {
    async fn start(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://127.0.0.1:{}/hooks?k=v", listener.local_addr().unwrap().port());
        let (got, statuses) = (Arc::<Mutex<Vec<Got>>>::default(), VecDeque::from(statuses.to_vec()));
        let (kept, statuses) = (got.clone(), Arc::new(Mutex::new(statuses)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(receive(stream, kept.clone(), statuses.clone()));
            }
        });
        Self { url, got }
    }

    fn all(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    async fn until(&self, count: usize) -> Vec<Got> {
        wait_for("webhooks", LONG, || async { Some(self.all()).filter(|got| got.len() >= count) }).await
    }
}

/// One request, and the connection is closed.
async fn receive(mut stream: TcpStream, kept: Arc<Mutex<Vec<Got>>>, statuses: Arc<Mutex<VecDeque<u16>>>) -> Option<()> {
    let mut text = String::new();
    let (head, length) = loop {
        let mut piece = [0; 4_096];
        let read = stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        text.push_str(std::str::from_utf8(&piece[..read]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = headers(head)["content-length"].parse::<usize>().unwrap();
        if body.len() >= length {
            break (head.to_owned(), length);
        }
    };
    assert!(head.starts_with("POST /hooks?k=v HTTP/1.1"), "{head}");
    let body = text[text.len() - length..].to_owned();
    kept.lock().unwrap().push(Got { headers: headers(&head), body });
    let status = statuses.lock().unwrap().pop_front().unwrap_or(200);
    let answer = format!("HTTP/1.1 {status} Said\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.ok()
}

fn headers(head: &str) -> HashMap<String, String> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    lines.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect()
}

fn plan(settings: &str) -> Plan {
    Plan::echo("", 8).with(&format!("[webhooks]\nsecret = '{SECRET}'\n{settings}"))
}

async fn submit(door: &Http, url: &str) -> JobId {
    let input = answer(door.post("/files").body(jsonl(&echoes(3)))).await.body["input"].clone();
    answer(door.post("/jobs").json(&json!({"input": input, "webhook_url": url}))).await.accepted()
}

#[tokio::test]
async fn a_job_that_completes_tells_its_url_once() {
    let stand = plan(OPEN).start().await;
    let receiver = Receiver::start(&[]).await;
    let first = submit(&stand.http, &receiver.url).await;
    let one = receiver.until(1).await.remove(0);
    let body = one.json();
    let wanted = json!({
        "id": one.id(), "object": "event", "type": "batch.completed", "created_at": body["created_at"],
        "data": {"id": format!("batch_{}", first.uuid().simple())},
    });
    assert_eq!(body, wanted);
    assert!(one.is_signed_with(SECRET) && !one.is_signed_with(BLUE), "{one:?}");
    assert_eq!(one.headers["content-type"], "application/json");
    let shown = stand.http.text(&format!("/jobs/{first}")).await;
    assert!(shown.contains(r#""webhook_host":"127.0.0.1""#) && !shown.contains("k=v"), "{shown}");
    // In OpenAI's form, too. What came before it came once.
    let file = stand.http.post("/files").body(jsonl(&echoes(2)));
    let upload = answer(file).await.body["id"].as_str().unwrap().replace('-', "");
    let batch = json!({
        "input_file_id": format!("file-{upload}"), "endpoint": "/v1/chat/completions", "completion_window": "24h",
        "webhook_url": receiver.url,
    });
    let batch = answer(stand.http.post("/v1/batches").json(&batch)).await;
    let all = receiver.until(2).await;
    assert_eq!((all.len(), &all[1].json()["data"]["id"]), (2, &batch.body["id"]), "{batch:?}");
    assert_ne!(all[0].id(), all[1].id());
}

#[tokio::test]
async fn a_hook_is_sent_until_it_is_taken_whoever_dies() {
    let mut stand = plan(OPEN).start().await;
    let receiver = Receiver::start(&[500, 500]).await;
    let job = submit(&stand.http, &receiver.url).await;
    receiver.until(1).await;
    stand.replace_head().await;
    let all = receiver.until(3).await;
    assert!(all.iter().all(|got| got.id() == all[0].id() && got.is_of(job) && got.is_signed_with(SECRET)), "{all:?}");
    let delivered = "jetbatch_webhooks_total{result=\"delivered\"} 1";
    let told = || async { stand.http.text("/metrics").await.contains(delivered).then_some(()) };
    wait_for("the metric", LONG, told).await;
}

#[tokio::test]
async fn what_is_not_on_the_internet_is_not_called() {
    let stand = plan("allow_http = true").start().await;
    let receiver = Receiver::start(&[]).await;
    let odd = receiver.url.replace("127.0.0.1", "0x7f.1");
    for url in
        [receiver.url.as_str(), &odd, "http://169.254.169.254/", "http://[::ffff:10.0.0.1]/", "http://localhost/"]
    {
        let asked = json!({"requests": [{"custom_id": "a", "body": {}}], "webhook_url": url});
        let refused = answer(stand.http.post("/jobs").json(&asked)).await;
        assert_eq!((refused.status, &refused.body["error"]["param"]), (400, &json!("webhook_url")), "{refused:?}");
        let message = refused.body["error"]["message"].as_str().unwrap();
        assert!(message.contains("webhooks.allow_private"), "{message}");
    }
    let refused = answer(stand.http.ndjson(&format!("?webhook_url={odd}"), jsonl(&echoes(1)))).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    // Who publishes past the doors finds it in his job.
    let request = json!({"custom_id": "a", "body": {"messages": [{"role": "user", "content": "a"}]}});
    let message = json!({"requests": [request], "webhook_url": odd}).to_string();
    let seq = stand.log().await.publish(Message::new(Subject::Submit, message)).await.sequence;
    let job = stand.end(JobId::sequenced(stream::SUBMIT.as_str(), seq)).await;
    assert_eq!((&job["state"], &job["errors"][0]["param"]), (&json!("failed"), &json!("webhook_url")));
    assert!(receiver.all().is_empty());
}

#[tokio::test]
async fn a_tenant_has_a_url_and_a_secret_of_its_own() {
    let receiver = Receiver::start(&[]).await;
    let blue = format!("[tenants.blue]\nwebhook_url = '{}'\nwebhook_secret_env = 'BLUE_SECRET'", receiver.url);
    let stand = plan(OPEN).with(&blue).secret(AUTH.0, AUTH.1).secret("BLUE_SECRET", BLUE).start().await;
    let (red, blue) = (door(&stand, &["red"]).await, door(&stand, &["blue", "--tenant", "blue"]).await);
    let of_red = red.submit("", jsonl(&echoes(2))).await;
    let over = |job: &Value| job["state"] == "completed";
    wait_for("red's end", LONG, || async { red.find(of_red).await.filter(over) }).await;
    let of_blue = blue.submit("", jsonl(&echoes(2))).await;
    receiver.until(1).await;
    let wrong = blue.submit("", jsonl(&[Ask::echo("a", "x"), Ask::echo("a", "x")])).await;
    let all = receiver.until(2).await;
    assert!(all.len() == 2 && all[0].is_of(of_blue) && all[1].is_of(wrong), "{all:?}");
    assert_eq!([all[0].topic(), all[1].topic()], ["batch.completed", "batch.failed"]);
    assert!(all.iter().all(|got| got.is_signed_with(BLUE) && !got.is_signed_with(SECRET)), "{all:?}");
}

#[tokio::test]
async fn a_job_that_is_late_tells_that_it_missed_its_deadline() {
    let stand = plan(OPEN).workers(0).start().await;
    let receiver = Receiver::start(&[]).await;
    let query = format!("?completion_window=1s&webhook_url={}", receiver.url.replace("?", "%3F"));
    let job = stand.http.submit(&query, jsonl(&echoes(2))).await;
    let has = |topic: &str| receiver.all().into_iter().find(|got| got.topic() == topic && got.is_of(job));
    let expired = wait_for("batch.expired", LONG, || async { has("batch.expired") }).await;
    let missed = wait_for("sla.missed", LONG, || async { has("sla.missed") }).await;
    assert!(missed.is_signed_with(SECRET) && expired.is_signed_with(SECRET));
    assert_eq!(missed.json()["data"]["remaining"], 2, "{missed:?}");
}

#[tokio::test]
async fn a_url_that_is_gone_is_switched_off() {
    let stand = plan(OPEN).start().await;
    let receiver = Receiver::start(&[410]).await;
    submit(&stand.http, &receiver.url).await;
    receiver.until(1).await;
    let shows = async |line: &'static str| {
        let shown = || async { stand.http.text("/metrics").await.contains(line).then_some(()) };
        wait_for(line, LONG, shown).await;
    };
    shows("jetbatch_webhook_urls_off 1").await;
    submit(&stand.http, &receiver.url).await;
    shows("jetbatch_webhooks_total{result=\"off\"} 2").await;
    assert_eq!(receiver.all().len(), 1);
    let alert = Subject::TroubleAlert(Kind::Webhooks, Scope::Installation);
    let told = || async { subjects(&stand.log().await.js, stream::ALERTS).await.contains(&alert).then_some(()) };
    wait_for("the alert", LONG, told).await;
}

/// Webhooks are one room of many: without their stream the others go on, and with it they do, too.
#[tokio::test]
async fn a_stream_that_is_gone_ends_no_head() {
    let mut stand = plan(OPEN).start().await;
    let receiver = Receiver::start(&[]).await;
    stand.head.line("role=webhooks", LONG).await;
    stand.log().await.js.delete_stream(stream::HOOKS.as_str()).await.unwrap();
    stand.head.line("webhooks cannot be pulled", LONG).await;
    let job = submit(&stand.http, &receiver.url).await;
    stand.end(job).await;
    let mut apply = Start::new(binary()).args(["streams", "apply", "--config"]).arg(stand.config()).spawn();
    assert!(apply.exit(LONG).await.success(), "{}", apply.story());
    assert!(receiver.until(1).await[0].is_of(job));
}
