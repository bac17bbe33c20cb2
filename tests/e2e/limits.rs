//! What tenants may have: one is held to it, at every head, while the other is not, and it is changed while they run.
use crate::{
    support::{Http, LONG, Plan, Stand, answer, assert_counts, echoes, jsonl},
    tenants::{AUTH, door},
};
use reqwest::header::RETRY_AFTER;
use serde_json::json;
use testkit::{
    process::{Jetbatch, Start, binary},
    wait_for,
};

/// `jetbatch limits`, as a head is configured; its exit code must be this.
pub async fn limits(stand: &Stand, args: &[&str], code: i32) -> Jetbatch {
    let config = stand.config();
    let mut command = Start::new(binary()).arg("limits").args(args).arg("--config").arg(&config).spawn();
    assert_eq!(command.exit(LONG).await.code(), Some(code), "{}", command.story());
    command
}

/// The limit that one more job would reach; none: it was taken.
async fn refused(door: &Http) -> Option<String> {
    let response = door.ndjson("", jsonl(&echoes(3))).send().await.unwrap();
    if response.status() == 202 {
        return None;
    }
    assert_eq!(response.status(), 429);
    assert!(response.headers()[RETRY_AFTER].to_str().unwrap().parse::<u32>().unwrap() > 0);
    let body: serde_json::Value = response.json().await.unwrap();
    Some(body["error"]["param"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_tenant_is_held_to_its_limits_and_no_other_is() {
    let tables = "[tenants.blue.limits]\nrunning_jobs = 2\n";
    let mut stand = Plan::echo("", 8).workers(0).with(tables).secret(AUTH.0, AUTH.1).start().await;
    let red = door(&stand, &["red", "--role", "admin"]).await;
    let blue = door(&stand, &["blue", "--tenant", "blue"]).await;
    let first = blue.submit("", jsonl(&echoes(3))).await;
    assert_eq!(refused(&blue).await, None);
    assert_eq!(refused(&blue).await.as_deref(), Some("running_jobs"));
    for _ in 0..3 {
        assert_eq!(refused(&red).await, None);
    }
    // Raised while all run, and known to a head that comes later, too.
    limits(&stand, &["set", "blue", "running_jobs=3", "queued_requests=1000"], 0).await;
    wait_for("the limit to be raised", LONG, || async { refused(&blue).await.is_none().then_some(()) }).await;
    assert_eq!(refused(&blue).await.as_deref(), Some("running_jobs"));
    let (_other, second) = stand.second_head().await;
    let there = blue.at(&second.base);
    let known = || async { refused(&there).await.filter(|limit| limit == "running_jobs") };
    wait_for("the other head to hold it, too", LONG, known).await;
    let listed = limits(&stand, &["list"], 0).await.stdout();
    assert!(listed.lines().any(|line| line.starts_with("blue") && line.contains("1000")), "{listed}");
    limits(&stand, &["set", "blue", "jobs=1"], 2).await;
    // What ends makes room.
    stand.add_worker();
    let over = || async { blue.find(first).await.filter(|job| job["state"] == "completed") };
    assert_counts(&wait_for("the job's end", LONG, over).await, [3, 3, 0, 0]);
    wait_for("room", LONG, || async { refused(&blue).await.is_none().then_some(()) }).await;
    // By the admin, over HTTP.
    let zero = answer(red.put("/limits/blue").json(&json!({"requests_per_s": 0}))).await;
    assert_eq!((zero.status, &zero.body["limits"]["running_jobs"]), (200, &json!(2)), "{zero:?}");
    assert_eq!(blue.get("/jobs").await.status, 429);
    assert_eq!(blue.get("/limits").await.status, 403);
    assert_eq!(red.get("/limits/blue").await.body["set"], json!({"requests_per_s": 0}));
}
