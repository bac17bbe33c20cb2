//! The NATS door with the real `nats` command, as a person would use it.
use crate::support::{Ask, Need, Plan, skip};
use domain::JobId;
use serde_json::json;
use std::path::Path;
use testkit::process::Start;
use wire::{Subject, stream};

#[tokio::test]
async fn the_nats_command_submits_a_job() {
    let Some(nats) = std::env::var_os("JETBATCH_TEST_NATS_CLI") else {
        skip(
            Need::Nats,
            "the_nats_command_submits_a_job",
            "JETBATCH_TEST_NATS_CLI names no `nats`; sh tests/tools/build.sh nats makes one",
        );
        return;
    };
    let stand = Plan::echo("", 8).start().await;
    let ask = Ask::echo("a", "say a");
    let body = json!({"messages": [{"role": "user", "content": ask.question}]});
    let job = json!({"requests": [{"custom_id": "a", "body": body}]}).to_string();
    let subject = Subject::Submit.to_string();
    publish(Path::new(&nats), &stand.nats.url(), &[&subject, &job]).await;
    stand.answered(JobId::sequenced(stream::SUBMIT.as_str(), 1), std::slice::from_ref(&ask)).await;

    let keyed = ["-H", "Nats-Msg-Id:tuesday", &subject, &job];
    for _ in 0..2 {
        publish(Path::new(&nats), &stand.nats.url(), &keyed).await;
    }
    stand.answered(JobId::keyed("default", "tuesday"), &[ask]).await;
    assert_eq!(stand.http.get("/jobs").await.body["data"].as_array().unwrap().len(), 2);
}

async fn publish(nats: &Path, url: &str, args: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    let start = Start::new(nats).env("HOME", home.path()).env("XDG_CONFIG_HOME", home.path());
    let mut command = start.args(["--server", url, "pub"]).args(args).spawn();
    let ended = command.exit(crate::support::LONG).await;
    assert!(ended.success(), "{}", command.story());
}
