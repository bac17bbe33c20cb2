//! Two tenants at one jetbatch: each has its own, from the submission to the dead letter, and nothing of the other's.
use crate::support::{Answer, Ask, Http, LONG, Plan, Stand, answer, assert_counts, echoes, jsonl};
use domain::{Event, JobId, resubmit};
use serde_json::{Value, json};
use testkit::{
    process::{Jetbatch, Start, binary},
    wait_for,
};
use wire::{Message, Subject, envelope, stream};

pub const AUTH: (&str, &str) = ("JETBATCH__HTTP__AUTH", "required");

/// `jetbatch keys`, as a head is configured; its exit code must be this.
pub async fn keys(stand: &Stand, args: &[&str], code: i32) -> Jetbatch {
    let config = stand.config();
    let start = Start::new(binary()).arg("keys").args(args).arg("--config").arg(&config);
    let mut command = start.spawn();
    assert_eq!(command.exit(LONG).await.code(), Some(code), "{}", command.story());
    command
}

/// A door with a key that it knows by now.
pub async fn door(stand: &Stand, args: &[&str]) -> Http {
    let secret = keys(stand, &[&["create"], args].concat(), 0).await.stdout().trim().to_owned();
    let door = Http::keyed(&stand.http.base, &secret);
    wait_for("the key to be known", LONG, || async { (door.get("/whoami").await.status == 200).then_some(()) }).await;
    door
}

async fn upload(door: &Http, asks: &[Ask]) -> Value {
    let kept = answer(door.post("/files").body(jsonl(asks))).await;
    assert_eq!(kept.status, 201, "{kept:?}");
    kept.body["input"].clone()
}

async fn submit(door: &Http, input: &Value) -> Answer {
    answer(door.post("/jobs").json(&json!({"input": input}))).await
}

async fn end(door: &Http, id: JobId) -> Value {
    let over = |job: &Value| ["completed", "failed"].contains(&job["state"].as_str().unwrap_or_default());
    wait_for("the job's end", LONG, || async { door.find(id).await.filter(over) }).await
}

async fn is_not_there(door: &Http, id: JobId) {
    for path in ["", "/results", "/errors", "/events"] {
        assert_eq!(door.get(&format!("/jobs/{id}{path}")).await.status, 404, "{path}");
    }
    assert_eq!(answer(door.post(&format!("/jobs/{id}/cancel"))).await.status, 404);
}

#[tokio::test]
async fn each_tenant_has_its_own() {
    let stand = Plan::echo("fail_containing = 'boom'", 4).secret(AUTH.0, AUTH.1).start().await;
    assert_eq!(stand.http.get("/jobs").await.status, 401);
    let red = door(&stand, &["red", "--role", "admin"]).await;
    let blue = door(&stand, &["blue", "--tenant", "blue"]).await;
    let asks: Vec<Ask> = echoes(20).into_iter().chain([Ask::echo("bad", "a boom")]).collect();
    let input = upload(&blue, &asks).await;
    let id = submit(&blue, &input).await.accepted();
    let job = end(&blue, id).await;
    assert_counts(&job, [21, 20, 1, 0]);
    assert!(blue.text(&format!("/jobs/{id}/results")).await.lines().count() == 20);
    is_not_there(&red, id).await;
    // An upload is nobody else's to name, by neither door, and whatever a publisher says of himself.
    let stolen = submit(&red, &input).await.accepted();
    let claim = Message::new(Subject::Submit, json!({"input": input}).to_string()).header(envelope::TENANT, "blue");
    let claimed = JobId::sequenced(stream::SUBMIT.as_str(), stand.log().await.publish(claim).await.sequence);
    for thief in [stolen, claimed] {
        let job = end(&red, thief).await;
        assert_eq!((&job["state"], &job["errors"][0]["code"]), (&json!("failed"), &json!("input_not_found")));
        is_not_there(&blue, thief).await;
    }
    // What was given up is its tenant's, and so is what is made of it.
    let dead = || async { blue.get("/dead").await.body["data"][0]["id"].as_u64() };
    let dead = wait_for("the dead letter", LONG, dead).await;
    assert_eq!(
        (&red.get("/dead").await.body["data"], red.get(&format!("/dead/{dead}")).await.status),
        (&json!([]), 404)
    );
    let retried = answer(blue.post(&format!("/jobs/{id}/retry"))).await.accepted();
    assert_eq!(retried, resubmit::id(id));
    assert_counts(&end(&blue, retried).await, [1, 0, 1, 0]);
    is_not_there(&red, retried).await;
    for (job, tenant) in [(id, "blue"), (retried, "blue"), (stolen, "default"), (claimed, "default")] {
        let events = stand.log().await.events(job).await;
        assert!(matches!(&events[0], Event::JobSubmitted(it) if it.tenant.as_str() == tenant), "{events:?}");
    }
    let ids = |page: Answer| {
        let page = page.body["data"].as_array().unwrap().clone();
        page.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(blue.get("/jobs").await), [retried, id].map(|id| id.to_string()));
    assert_eq!(ids(red.get("/jobs").await).len(), 2);
}

/// Who publishes past the doors is of `default`.
#[tokio::test]
async fn a_command_by_nats_finds_no_other_tenants_job() {
    let stand = Plan::echo("", 4).workers(0).secret(AUTH.0, AUTH.1).start().await;
    let red = door(&stand, &["red"]).await;
    let blue = door(&stand, &["blue", "--tenant", "blue"]).await;
    let of = async |door: &Http| {
        let id = door.submit("", jsonl(&echoes(3))).await;
        let runs = || async { door.find(id).await.filter(|job| job["state"] == "in_progress") };
        wait_for("the job to run", LONG, runs).await;
        id
    };
    let (theirs, own) = (of(&blue).await, of(&red).await);
    for job in [theirs, own] {
        let cancel = json!({"command": "cancel", "job": job}).to_string();
        stand.log().await.publish(Message::new(Subject::Control, cancel)).await;
    }
    // The second is carried out after the first was looked at.
    let is = |job: &Value| job["state"] == "cancelled";
    wait_for("the own job's end", LONG, || async { red.find(own).await.filter(is) }).await;
    assert_eq!(blue.find(theirs).await.unwrap()["state"], "in_progress");
    assert_eq!(answer(blue.post(&format!("/jobs/{theirs}/cancel"))).await.status, 202);
    wait_for("the other job's end", LONG, || async { blue.find(theirs).await.filter(is) }).await;
}

#[tokio::test]
async fn a_key_is_made_and_taken_back_on_the_command_line() {
    let stand = Plan::echo("", 8).secret(AUTH.0, AUTH.1).start().await;
    let made = keys(&stand, &["create", "ci", "--tenant", "blue", "--pool", "other", "--json"], 0).await;
    let made: Value = serde_json::from_str(made.stdout().trim()).unwrap();
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let jobs = async |code: i32| {
        let start = Start::new(binary()).args(["jobs", "--url", &stand.http.base]).env("JETBATCH_API_KEY", secret);
        let mut command = start.env("NO_PROXY", "127.0.0.1").spawn();
        (command.exit(LONG).await.code() == Some(code)).then(|| command.story())
    };
    wait_for("the key to be known", LONG, || jobs(0)).await;
    // Its jobs may run in a pool that there is not, and nowhere else.
    let blue = Http::keyed(&stand.http.base, secret);
    let job = end(&blue, blue.submit("", jsonl(&echoes(3))).await).await;
    assert_eq!((&job["state"], &job["errors"][0]["code"]), (&json!("failed"), &json!("model_mismatch")));
    let listed = keys(&stand, &["list"], 0).await;
    assert!(listed.stdout().contains("submit,read") && !listed.story().contains(secret), "{}", listed.story());
    keys(&stand, &["revoke", id], 0).await;
    let refused = wait_for("the key to be refused", LONG, || jobs(5)).await;
    assert!(refused.contains("was revoked") && !refused.contains(secret), "{refused}");
    keys(&stand, &["rotate", id], 5).await;
    keys(&stand, &["create", "ci", "--expires", "soon"], 2).await;
    let none = Start::new(binary()).args(["jobs", "--url", &stand.http.base]);
    let mut none = none.env("NO_PROXY", "127.0.0.1").spawn();
    assert_eq!(none.exit(LONG).await.code(), Some(5));
    assert!(none.story().contains("jetbatch keys create"), "{}", none.story());
}
