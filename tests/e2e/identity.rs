//! Two installations that meet by accident, and heads of one that disagree, are told so.
use crate::support::{Ask, LONG, Plan, Stand, jsonl};
use std::{fs, path::Path};
use testkit::{
    process::{Jetbatch, Start, binary},
    wait_for,
};

/// A head beside those of the stand, with a store of its own.
fn head(stand: &Stand, store: &Path) -> Jetbatch {
    let start = Start::new(binary()).args(["serve", "--roles", "gateway,intake", "--config"]).arg(stand.config());
    start.env("JETBATCH__STORE__URL", store).spawn()
}

fn id(stand: &Stand) -> String {
    let mark = fs::read_to_string(stand.path("store").join("installation.json")).unwrap();
    let mark: serde_json::Value = serde_json::from_str(&mark).unwrap();
    mark["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_head_with_another_store_is_refused_with_both_ids() {
    const OTHER: &str = "018f4e2a-7c1b-7000-8000-0123456789ab";
    let mut stand = Plan::echo("", 8).start().await;
    let (empty, marked) = (stand.path("empty"), stand.path("marked"));
    fs::create_dir(&marked).unwrap();
    fs::write(marked.join("installation.json"), format!(r#"{{"id":"{OTHER}","log":"then"}}"#)).unwrap();
    for (store, other) in [(&empty, ""), (&marked, OTHER)] {
        let mut head = head(&stand, store);
        assert_eq!(head.exit(LONG).await.code(), Some(1), "{}", head.story());
        let said = head.stderr();
        assert!(said.contains(&id(&stand)) && said.contains(other) && said.contains("store.url"), "{said}");
    }
    assert!(!empty.join("installation.json").exists(), "what is nobody's is left as it was");

    // Over a restart, and where NATS forgot the id alone.
    stand.replace_head().await;
    stand.nats.client().await.publish("$JS.API.STREAM.DELETE.KV_installation", "".into()).await.unwrap();
    stand.head.kill9().await;
    stand.new_head().await;
    let asks: Vec<Ask> = (0..5).map(|n| Ask::echo(format!("r{n}"), format!("say {n}"))).collect();
    let job = stand.http.submit("", jsonl(&asks)).await;
    stand.answered(job, &asks).await;
}

#[tokio::test]
async fn heads_that_disagree_are_told_of() {
    let mut stand = Plan::echo("", 8).start().await;
    stand.tell("JETBATCH__POOLS__TINY__CHUNK_REQUESTS", "77");
    let (mut second, _) = stand.second_head().await;
    let said = second.line("than this one", LONG).await;
    assert!(said.contains("packing") && !said.contains("store.url"), "{said}");
    let told = || async {
        let mut doctor = Start::new(binary()).args(["doctor", "--config"]).arg(stand.config()).spawn();
        doctor.exit(LONG).await;
        doctor.stdout().contains("has other packing").then_some(())
    };
    wait_for("doctor to say so", LONG, told).await;
    assert_eq!(stand.http.get("/readyz").await.status, 200, "work goes on");
}
