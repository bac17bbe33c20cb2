//! Who did what: over HTTP with a key, on the command line, and past the doors.
use crate::{
    limits::limits,
    support::{Http, LONG, Plan, answer, echoes, jsonl},
    tenants::{AUTH, door, keys},
};
use serde_json::{Value, json};
use testkit::{
    process::{Start, binary},
    wait_for,
};
use wire::{Ask, Asks, Message, Subject};

/// What, by whose key, from where, and to what.
fn brief(done: &Value) -> (String, String, String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let to = if done["job"].is_null() { &done["on"] } else { &done["job"] };
    (text(&done["what"]), text(&done["by"]["name"]), text(&done["from"]), text(to))
}

async fn page(door: &Http, query: &str) -> Vec<Value> {
    let answer = door.get(&format!("/audit{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn who_did_what_is_recorded() {
    let mut stand = Plan::echo("", 8).workers(0).secret(AUTH.0, AUTH.1).start().await;
    let red = door(&stand, &["red", "--role", "admin"]).await;
    let blue = door(&stand, &["blue", "--tenant", "blue"]).await;
    let id = blue.submit("", jsonl(&echoes(3))).await;
    for order in ["pause", "resume", "cancel"] {
        let runs = || async { (answer(blue.post(&format!("/jobs/{id}/{order}"))).await.status == 202).then_some(()) };
        wait_for("the order to be taken", LONG, runs).await;
    }
    let over = |job: &Value| job["state"] == "cancelled";
    wait_for("the job's end", LONG, || async { blue.find(id).await.filter(over) }).await;
    blue.text(&format!("/jobs/{id}/errors")).await;
    // What is refused, or only looked at, is not recorded.
    assert_eq!(red.get(&format!("/jobs/{id}/results")).await.status, 404);
    assert_eq!(blue.get("/keys").await.status, 403);
    assert_eq!(blue.delete(id).await.status, 202);
    let here = |what: &str| (what.to_owned(), "blue".to_owned(), "127.0.0.1".to_owned(), id.to_string());
    let of_job = page(&red, &format!("?job={id}")).await;
    let found: Vec<_> = of_job.iter().map(brief).collect();
    assert_eq!(found, ["submit", "pause", "resume", "cancel", "download", "delete"].map(here));
    assert!(of_job.iter().all(|done| done["tenant"] == "blue" && done["by"]["key"].is_string()), "{of_job:?}");
    let first = red.get(&format!("/audit?job={id}&limit=2")).await.body;
    assert_eq!((&first["has_more"], &first["next"]), (&json!(true), &first["data"][1]["id"]));
    let rest = page(&red, &format!("?job={id}&after={}", first["next"])).await;
    assert_eq!((rest.len(), brief(&rest[0])), (4, here("resume")));

    // By an admin, on the command line, and past the doors.
    let set = answer(red.put("/limits/blue").json(&json!({"uploads": 3}))).await;
    assert_eq!(set.status, 200);
    limits(&stand, &["set", "blue", "uploads=4"], 0).await;
    let claimed = Message::new(Subject::Submit, json!({"requests": [{"custom_id": "a", "body": {}}]}).to_string());
    stand.log().await.publish(claimed).await;
    let past = || async {
        let all: Vec<_> = page(&red, "?tenant=default").await.iter().map(brief).collect();
        all.iter().any(|(what, _, from, _)| (&**what, &**from) == ("submit", "nats")).then_some(all)
    };
    let all = wait_for("the submission by NATS to be recorded", LONG, past).await;
    for (what, by, from) in [("set_limits", "red", "127.0.0.1"), ("set_limits", "", "nats"), ("create_key", "", "nats")]
    {
        let is = |done: &&(String, String, String, String)| (&*done.0, &*done.1, &*done.2) == (what, by, from);
        assert!(all.iter().any(|done| is(&done)), "{what} {from}: {all:?}");
    }
    assert!(all.iter().all(|(what, ..)| what != "cancel"), "{all:?}");
    // Past the doors for a tenant: into the stream, and to the service.
    let (of_blue, body) = ("blue".parse().unwrap(), json!({"requests": [{"custom_id": "a", "body": {}}]}).to_string());
    stand.log().await.publish(Message::new(Subject::SubmitOf(of_blue), body.clone())).await;
    let asks = Asks(Some(of_blue), Ask::Submit).to_string();
    stand.nats.client().await.request(asks, body.into()).await.unwrap();
    let both = || async {
        let all = page(&red, "?tenant=blue").await;
        let past = all.iter().filter(|done| done["what"] == "submit" && done["from"] == "nats" && done["by"].is_null());
        (past.count() == 2).then_some(())
    };
    wait_for("what blue did on NATS to be recorded", LONG, both).await;
    assert_eq!(blue.get("/audit").await.status, 403);
    assert_eq!(red.get("/audit?since=soon").await.status, 400);

    // Nothing of it goes with a head.
    stand.replace_head().await;
    let key = keys(&stand, &["create", "cli", "--role", "admin"], 0).await.stdout().trim().to_owned();
    let job = id.to_string();
    let shown = || async {
        let start = Start::new(binary()).args(["audit", "--job", &job, "--since", "1h", "--url", &stand.http.base]);
        let mut command = start.env("JETBATCH_API_KEY", &key).env("NO_PROXY", "127.0.0.1").spawn();
        (command.exit(LONG).await.code() == Some(0)).then(|| command.stdout())
    };
    let lines = wait_for("the key to be known", LONG, shown).await;
    assert_eq!(lines.lines().count(), 6, "{lines}");
    assert!(lines.contains(&format!("cancel job {id}  by blue (key")), "{lines}");
}
