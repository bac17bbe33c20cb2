//! What tenants used, from the log: each request once, whatever ran twice and whoever read the log from where.
use crate::{
    support::{Ask, Http, LONG, Plan, echoes, jsonl},
    tenants::{AUTH, door, keys},
};
use domain::JobId;
use serde_json::Value;
use testkit::{
    process::{Start, binary},
    wait_for,
};

/// What a job's status says was used, in the fields of a day's usage.
async fn told(door: &Http, id: JobId) -> [u64; 4] {
    let over = |job: &Value| job["state"] == "completed";
    let job = wait_for("the job's end", LONG, || async { door.find(id).await.filter(over) }).await;
    let (requests, usage) = (&job["requests"], &job["usage"]);
    let count = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{job}"));
    let answered = count(&requests["completed"]) + count(&requests["failed"]);
    [1, answered, count(&usage["prompt_tokens"]), count(&usage["completion_tokens"])]
}

fn sum(all: &[[u64; 4]]) -> [u64; 4] {
    all.iter().fold([0; 4], |sum, one| std::array::from_fn(|n| sum[n] + one[n]))
}

/// The total that a door tells; none while nobody tells.
async fn total(door: &Http, query: &str) -> Option<Value> {
    let answer = door.get(&format!("/usage{query}")).await;
    (answer.status == 200).then(|| answer.body["total"].clone())
}

/// Waits until the total is so much, and gives the rest of it.
async fn is(door: &Http, query: &str, wanted: [u64; 4]) -> Value {
    let fields = ["jobs", "requests", "prompt_tokens", "completion_tokens"];
    let is = |total: &Value| fields.map(|name| total[name].as_u64().unwrap()) == wanted;
    wait_for("the usage", LONG, || async { total(door, query).await.filter(is) }).await
}

#[tokio::test]
async fn each_request_counts_once_however_often_it_ran() {
    let engine = "delay_ms = 30";
    let settings = "[projector]\nsnapshot_events = 5\n";
    let mut stand = Plan::echo(engine, 4).workers(2).with(settings).secret(AUTH.0, AUTH.1).start().await;
    let red = door(&stand, &["red", "--role", "admin"]).await;
    let blue = door(&stand, &["blue", "--tenant", "blue"]).await;
    let bad = jsonl(&[Ask::echo("bad", "too hot")]).replace("\"temperature\":0", "\"temperature\":9");
    let file = jsonl(&echoes(40)) + &bad;
    let bytes = file.len() as u64;
    let id = blue.submit("", file).await;
    let runs = |job: &Value| job["requests"]["completed"].as_u64().unwrap() >= 4;
    wait_for("answers", LONG, || async { blue.find(id).await.filter(runs) }).await;
    // Chunks run twice, and a projector goes on from a snapshot.
    stand.workers[0].kill9().await;
    stand.head.kill9().await;
    let (red, blue) = {
        stand.new_head().await;
        (red.at(&stand.http.base), blue.at(&stand.http.base))
    };
    let of_blue = told(&blue, id).await;
    assert_eq!(of_blue[..2], [1, 41]);
    let theirs = is(&blue, "", of_blue).await;
    assert_eq!(theirs["input_bytes"], bytes);
    let bytes_of = async |path: &str| blue.text(&format!("/jobs/{id}/{path}")).await.len() as u64;
    let written = bytes_of("results").await + bytes_of("errors").await;
    assert_eq!(theirs["output_bytes"], written);

    let own = red.submit("", jsonl(&echoes(3))).await;
    let of_red = told(&red, own).await;
    is(&red, "", of_red).await;
    is(&red, "?tenant=blue", of_blue).await;
    let all = is(&red, "?tenant=*", sum(&[of_red, of_blue])).await;
    // Nobody else's, and no more of it where a job is deleted.
    assert_eq!(blue.get("/usage?tenant=*").await.status, 403);
    assert_eq!(blue.get("/usage?tenant=default").await.status, 403);
    assert_eq!(blue.get("/usage?from=soon").await.status, 400);
    assert_eq!(total(&blue, "?from=2020-01-01&to=2020-12-31").await.unwrap()["jobs"], 0);
    assert_eq!(blue.delete(id).await.status, 202);
    let gone = || async { (blue.get(&format!("/jobs/{id}")).await.status == 404).then_some(()) };
    wait_for("the job to be gone", LONG, gone).await;
    is(&blue, "", of_blue).await;

    // From the first event on it is the same, byte for byte.
    stand.head.kill9().await;
    std::fs::remove_dir_all(stand.objects.join("snapshots")).unwrap();
    stand.new_head().await;
    let red = red.at(&stand.http.base);
    assert_eq!(is(&red, "?tenant=*", sum(&[of_red, of_blue])).await, all);
    let page = red.get("/usage?tenant=*").await.body;
    assert!(page["data"].as_array().unwrap().len() >= 2, "{page}");
    let key = keys(&stand, &["create", "cli", "--role", "admin"], 0).await.stdout().trim().to_owned();
    let shown = || async {
        let start = Start::new(binary()).args(["usage", "--tenant", "*", "--url", &stand.http.base]);
        let mut command = start.env("JETBATCH_API_KEY", &key).env("NO_PROXY", "127.0.0.1").spawn();
        (command.exit(LONG).await.code() == Some(0)).then(|| command.stdout())
    };
    let table = wait_for("the key to be known", LONG, shown).await;
    assert!(table.lines().any(|line| line.starts_with("total") && line.contains("44")), "{table}");
}
