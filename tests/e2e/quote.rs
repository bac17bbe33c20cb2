//! What a file would come to, asked before it is submitted: nothing is, and nothing is left.
use crate::{
    cli::jetbatch,
    support::{Ask, LONG, Plan, answer, echoes, jsonl},
};
use domain::{JobId, foresight::Sum, load::Kind};
use serde_json::{Value, json};
use std::fs;
use testkit::wait_for;
use uuid::Uuid;
use wire::{Message, Quotes, Subject};

#[tokio::test]
async fn a_quote_says_when_a_file_would_be_done_and_submits_nothing() {
    let stand = Plan::echo("delay_ms = 20", 8).start().await;
    let asks: Vec<Ask> = echoes(400);
    let dry = |query: &'static str, lines: String| answer(stand.http.ndjson(query, lines));

    // Nobody has seen the pool at work.
    let first = dry("?dry_run=true", jsonl(&asks)).await;
    assert_eq!(
        (first.status, &first.body["valid"], &first.body["requests"]),
        (200, &true.into(), &400.into()),
        "{first:?}"
    );
    assert_eq!((&first.body["finish"], &first.body["unknown"]), (&Value::Null, &json!(["tiny"])), "{first:?}");

    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.answered(id, &asks).await;
    let quote = dry("?dry_run=true&completion_window=1h", jsonl(&asks)).await.body;
    assert_eq!((&quote["holds"], &quote["endangered"]), (&true.into(), &json!([])), "{quote}");
    assert!(quote["completion_tokens"].as_u64() > Some(100), "{quote}");
    let shortest = quote["shortest_window"].as_str().unwrap();
    assert!(shortest.ends_with('s') || shortest.ends_with('m'), "{quote}");
    let late = dry("?dry_run=true&completion_window=1s", jsonl(&echoes(4_000))).await.body;
    assert_eq!(late["holds"], false, "{late}");

    let wrong = dry("?dry_run=true", format!("{}no json\n", jsonl(&asks[..3]))).await.body;
    assert_eq!((&wrong["valid"], &wrong["errors"][0]["line"]), (&false.into(), &4.into()), "{wrong}");
    let body = json!({"requests": [{"custom_id": "a", "body": {"messages": [{"role": "user", "content": "x"}]}}]});
    let inline = answer(stand.http.post("/jobs?dry_run=true").json(&body)).await;
    assert_eq!((inline.status, &inline.body["requests"]), (200, &1.into()), "{inline:?}");
    assert_eq!(dry("?dry_run=maybe", jsonl(&asks)).await.status, 400);

    let jobs = stand.http.get("/jobs").await.body;
    assert_eq!(jobs["data"].as_array().unwrap().len(), 1, "{jobs}");
    let uploads = || fs::read_dir(stand.objects.join("uploads")).map_or(0, Iterator::count);
    wait_for("the uploads to be gone", LONG, || async { (uploads() == 1).then_some(()) }).await;

    let file = stand.path("asks.jsonl");
    fs::write(&file, jsonl(&asks)).unwrap();
    let args = ["quote", file.to_str().unwrap(), "--window", "8h", "--url", &stand.http.base];
    let told = jetbatch(&args, 0).await.stdout();
    assert!(told.contains("requests   400") && told.contains("8h holds"), "{told}");
}

#[tokio::test]
async fn a_pool_refuses_what_it_cannot_do_in_time() {
    let stand = Plan::echo("delay_ms = 20", 8).env("JETBATCH__POOLS__TINY__ADMISSION", "refuse").start().await;
    let asks: Vec<Ask> = echoes(400);
    // Nobody has seen the pool at work: that is no reason to refuse a job.
    let id = stand.http.submit("?completion_window=5m", jsonl(&asks)).await;
    stand.answered(id, &asks).await;
    let status = stand.http.find(id).await.unwrap();
    assert_eq!(status["warnings"][0]["code"], "window_too_short", "{status}");

    let many = jsonl(&echoes(4_000));
    let refused = answer(stand.http.ndjson("?completion_window=1s", many.clone())).await;
    assert_eq!((refused.status, &refused.body["error"]["code"]), (422, &"window_too_short".into()), "{refused:?}");
    let said = refused.body["error"]["message"].as_str().unwrap();
    assert!(said.contains("the shortest that holds is"), "{said}");
    let taken = answer(stand.http.ndjson("?completion_window=1h", jsonl(&asks))).await;
    assert_eq!(taken.status, 202, "{taken:?}");

    // Past the doors, intake says it.
    let id = JobId::new(Uuid::now_v7());
    let requests: Vec<Value> = echoes(4_000).iter().map(Ask::json).collect();
    let body = json!({"id": id, "requests": requests, "completion_window": "5s"}).to_string();
    stand.log().await.publish(Message::new(Subject::Submit, body)).await;
    let status = stand.until(id, "its end", |status| status["state"] == "failed").await;
    assert_eq!(status["errors"][0]["code"], "window_too_short", "{status}");
}

/// What the doors ask, anyone with NATS may ask.
#[tokio::test]
async fn a_quote_is_asked_over_nats() {
    let stand = Plan::echo("delay_ms = 20", 8).start().await;
    let asks: Vec<Ask> = echoes(100);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.answered(id, &asks).await;
    let sum = Sum { chunks: 10, requests: 80, prompt_bytes: 800, caps: 1_280, uncapped: 0 };
    let part = json!({"pool": "tiny", "kind": Kind::new(0, 10), "sum": sum});
    let asked = json!({"priority": "urgent", "window_ms": 3_600_000, "requests": 80, "parts": [part], "last": [part]});
    let client = stand.nats.client().await;
    let ask = |body: String| {
        let client = client.clone();
        async move {
            let reply = client.request(Quotes.to_string(), body.into()).await.unwrap();
            serde_json::from_slice::<Value>(&reply.payload).unwrap()
        }
    };
    let quoted = ask(asked.to_string()).await;
    assert!(quoted["finish"]["p90"].is_number() && quoted["shortest_ms"].is_number(), "{quoted}");
    assert!(ask("{}".into()).await["error"].is_string());
}

/// As all doors and the command line tell it.
#[tokio::test]
async fn a_pool_tells_how_many_workers_its_promises_need() {
    let stand = Plan::echo("delay_ms = 20", 8).start().await;
    let pool = async || stand.http.get("/workers").await.body["pools"][0].clone();
    wait_for("the pool that was never seen at work", LONG, || async {
        let told = pool().await;
        (told["requests_owed"] == 0 && told["workers"] == 1 && told["workers_needed"].is_null()).then_some(())
    })
    .await;
    let asks: Vec<Ask> = echoes(400);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.answered(id, &asks).await;
    // 8 slots of 20 ms: 4,000 requests take ten seconds, and one worker is too few for five.
    let long = stand.http.submit("?completion_window=5s", jsonl(&echoes(4_000))).await;
    let needed = wait_for("more workers to be needed", LONG, || async {
        let told = pool().await;
        let needed = told["workers_needed"].as_u64().filter(|needed| *needed >= 2)?;
        (told["requests_owed"].as_u64()? > 1_000).then_some(needed)
    })
    .await;
    assert!(needed < 100, "{needed}");
    let listed = jetbatch(&["workers", "--url", &stand.http.base], 0).await.stdout();
    assert!(listed.contains("requests owed"), "{listed}");
    stand.until(long, "its end", |status| status["state"] == "expired").await;
    wait_for("nothing to be owed", LONG, || async {
        let told = pool().await;
        (told["requests_owed"] == 0 && told["workers_needed"] == 0).then_some(())
    })
    .await;
}
