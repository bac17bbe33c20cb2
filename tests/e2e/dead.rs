//! The dead-letter desk: what was given up is listed, shown with its history, replayed and dropped.
use crate::{
    cli::jetbatch,
    support::{Answer, Ask, LONG, Plan, Stand, answer, assert_counts, jsonl, message_count},
};
use domain::JobId;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::wait_for;
use wire::stream;

const CHUNK: u32 = 4;
const CAUSE: &str = "fail_containing = 'boom', ";

async fn dead(stand: &Stand, count: usize) -> Vec<Value> {
    wait_for("entries in DEAD", LONG, || async {
        let entries = stand.http.get("/dead").await.body["data"].as_array().cloned().unwrap_or_default();
        (entries.len() == count).then_some(entries)
    })
    .await
}

async fn replay(stand: &Stand, entry: &Value) -> Answer {
    answer(stand.http.post(entry["links"]["replay"].as_str().unwrap())).await
}

/// The same set-up with an engine that fails no more.
async fn mend(stand: &mut Stand) {
    let config = std::fs::read_to_string(stand.config()).unwrap();
    assert!(config.contains(CAUSE));
    std::fs::write(stand.config(), config.replace(CAUSE, "")).unwrap();
    stand.workers[0].kill9().await;
    stand.add_worker();
}

#[tokio::test]
async fn what_was_given_up_is_replayed_when_its_cause_is_gone() {
    let mut stand = Plan::echo(&format!("{CAUSE}delay_ms = 0"), CHUNK).start().await;
    let question = |n: usize| if n % 10 == 5 { format!("a boom \u{1f600} {n}") } else { format!("say {n}") };
    let asks: Vec<Ask> = (0..20).map(|n| Ask::echo(format!("r{n}"), question(n))).collect();
    // The lines' own model and url are the job's: a replay must know them too.
    let input = jsonl(&asks).replace(r#""model":"tiny","#, "").replace(r#""url":"/v1/chat/completions""#, r#""x":1"#);
    assert!(!input.contains("model") && !input.contains("url"), "{input}");
    let id = stand.http.submit("?model=tiny&endpoint=/v1/chat/completions", input).await;
    let status = stand.end(id).await;
    assert_counts(&status, [20, 18, 2, 0]);

    let entries = dead(&stand, 2).await;
    let newest = |entry: &Value| entry["id"].as_u64().unwrap();
    assert!(newest(&entries[0]) > newest(&entries[1]), "{entries:?}");
    for entry in &entries {
        assert_eq!((&entry["job"], &entry["pool"], &entry["class"]), (&json!(id), &json!("tiny"), &json!("internal")));
        assert_eq!((&entry["requests"], &entry["attempts"]), (&json!(1), &json!(5)), "{entry}");
    }
    assert_pages(&stand, id, &entries).await;
    let bad = |entry: &Value| asks.iter().find(|ask| entry["custom_ids"] == json!([ask.id])).unwrap().clone();
    let shown = stand.http.get(entries[0]["links"]["self"].as_str().unwrap()).await.body;
    assert_eq!(shown["history"].as_array().unwrap().len(), 5, "{shown}");
    assert_eq!(shown["history"][4]["reason"], shown["reason"]);
    let line = &shown["lines"][0]["body"]["messages"][0]["content"];
    assert_eq!((shown["lines"].as_array().unwrap().len(), line), (1, &json!(bad(&entries[0]).question)), "{shown}");

    mend(&mut stand).await;
    let first = replay(&stand, &entries[0]).await;
    let again = replay(&stand, &entries[0]).await;
    let job = first.accepted();
    assert_eq!((again.status, &again.body["id"]), (200, &first.body["id"]), "replayed twice it is one job: {again:?}");
    let status = stand.answered(job, &[bad(&entries[0])]).await;
    assert_eq!(status["metadata"]["replay_of"], format!("{id}/{}", entries[0]["chunk"].as_str().unwrap()));

    let dropped = entries[0]["links"]["self"].as_str().unwrap();
    assert_eq!(
        stand.http.remove(dropped).await.body,
        json!({"id": entries[0]["id"], "object": "dead", "deleted": true})
    );
    for gone in [stand.http.remove(dropped).await, stand.http.get(dropped).await, replay(&stand, &entries[0]).await] {
        assert_eq!((gone.status, &gone.body["error"]["code"]), (404, &json!("dead_not_found")), "{gone:?}");
    }
    by_command(&stand, &entries[1], &bad(&entries[1])).await;
}

/// One at a time, the same come; a filter that fits none shows none.
async fn assert_pages(stand: &Stand, id: JobId, entries: &[Value]) {
    let first = stand.http.get(&format!("/dead?job={id}&pool=tiny&reason=internal&limit=1")).await.body;
    assert_eq!((&first["data"], &first["next"]), (&json!([entries[0]]), &entries[0]["id"]), "{first}");
    let second = stand.http.get(&format!("/dead?limit=1&after={}", first["next"])).await.body;
    assert_eq!((&second["data"], &second["has_more"]), (&json!([entries[1]]), &json!(false)), "{second}");
    for none in [format!("job={}", JobId::keyed("no", "job")), "pool=huge".into(), "reason=timeout".into()] {
        assert_eq!(stand.http.get(&format!("/dead?{none}")).await.body["data"], json!([]), "{none}");
    }
    for (path, param) in [("/dead?reason=bad", "reason"), ("/dead/x", "id"), ("/dead?after=0", "after")] {
        let refused = stand.http.get(path).await;
        assert_eq!((refused.status, &refused.body["error"]["param"]), (400, &json!(param)), "{refused:?}");
    }
}

async fn by_command(stand: &Stand, entry: &Value, ask: &Ask) {
    let (url, id) = (stand.http.base.as_str(), entry["id"].to_string());
    let listed = jetbatch(&["dead", "list", "--url", url], 0).await;
    assert!(listed.stdout().contains(&ask.id) && listed.stdout().contains("internal"), "{}", listed.story());
    let shown = jetbatch(&["dead", "show", &id, "--url", url], 0).await;
    assert_eq!(shown.stdout().matches("failure  ").count(), 5, "{}", shown.story());
    let json = jetbatch(&["dead", "show", &id, "--url", url, "--json"], 0).await;
    assert_eq!(serde_json::from_str::<Value>(&json.stdout()).unwrap()["id"], entry["id"]);
    let job = jetbatch(&["dead", "replay", &id, "--url", url], 0).await.stdout().trim().parse().unwrap();
    stand.answered(job, std::slice::from_ref(ask)).await;
    jetbatch(&["dead", "drop", &id, "--url", url], 0).await;
    jetbatch(&["dead", "drop", &id, "--url", url], 5).await;
    let none = jetbatch(&["dead", "list", "--url", url], 0).await;
    assert!(none.stdout().contains("nothing was given up"), "{}", none.story());
    assert_eq!(message_count(&stand.log().await.js, stream::DEAD).await, 0);
}

/// A request longer than a message is kept whole, and leaves nothing when it is dropped.
#[tokio::test]
async fn a_long_request_is_kept_whole() {
    let mut stand = Plan::echo(&format!("{CAUSE}delay_ms = 0"), CHUNK).start().await;
    let asks = [Ask::echo("long", format!("boom {}", "x".repeat(900_000)))];
    let id = stand.http.submit("", jsonl(&asks)).await;
    assert_counts(&stand.end(id).await, [1, 0, 1, 0]);
    let entries = dead(&stand, 1).await;
    assert!(message_count(&stand.log().await.js, stream::DEAD).await > 1);
    mend(&mut stand).await;
    stand.answered(replay(&stand, &entries[0]).await.accepted(), &asks).await;
    assert_eq!(stand.http.remove(entries[0]["links"]["self"].as_str().unwrap()).await.status, 200);
    assert_eq!(message_count(&stand.log().await.js, stream::DEAD).await, 0);
}

const FEW: usize = 5_000;
const MANY: usize = 20_000;
/// As many as are sent to all workers at first.
const GOOD: usize = 64;

/// Answers little of a job, and gives the time until each of its bad requests has an entry in DEAD. One of which nothing is
/// answered would hold.
async fn storm(stand: &Stand, bad: usize, entries: usize) -> Duration {
    let question = |n| if n < GOOD { format!("say {n}") } else { format!("a boom {n}") };
    let requests = GOOD + bad;
    let asks: Vec<Ask> = (0..requests).map(|n| Ask::echo(format!("r{n}"), question(n))).collect();
    let began = Instant::now();
    let id = stand.http.submit("", jsonl(&asks)).await;
    assert_counts(&stand.end(id).await, [requests, GOOD, bad, 0]);
    let js = stand.log().await.js;
    wait_for("an entry for each", LONG, || async {
        (message_count(&js, stream::DEAD).await == entries as u64).then_some(())
    })
    .await;
    let elapsed = began.elapsed();
    let errors = stand.http.text(&format!("/jobs/{id}/errors")).await;
    assert_eq!(errors.lines().count(), bad);
    elapsed
}

/// A broken model over a large job, on one worker, who is believed at once: four times the requests take about four times
/// as long, and little more memory.
#[tokio::test]
async fn a_storm_of_failures_costs_no_more_than_its_length() {
    let once = "[retry]\ninternal = { max = 1, split_from = 1 }";
    let pools = "[pools.tiny]\nchunk_requests = 1\n[pools.tiny.engine]\nkind = 'echo'\nslots = 64\n\
                 echo = { fail_containing = 'boom' }\n";
    let stand = Plan::pools(pools.to_owned()).with(once).workers(1).start().await;
    let few = storm(&stand, FEW, FEW).await;
    let before = stand.peak();
    let many = storm(&stand, MANY, FEW + MANY).await;
    let after = stand.peak();
    println!("{FEW}: {few:?}, {before:?} MiB; {MANY}: {many:?}, {after:?} MiB");
    // What grows with the square would be sixteen times as long.
    assert!(many < few * 8 + Duration::from_secs(2), "{FEW} took {few:?}, {MANY} {many:?}");
    if let (Some(before), Some(after)) = (before, after) {
        assert!(after < 2 * before + 64, "the head used {before} MiB, and then {after} MiB");
    }
}
