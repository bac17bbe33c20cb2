//! An engine that mixes up what it runs together is found before it does harm. (That mistral.rs is found where it does so
//! is tested in `crates/engine/tests/check.rs`.)
use crate::{
    cli::jetbatch,
    support::{Ask, LONG, MODEL, Plan, jsonl},
};
use serde_json::Value;
use testkit::nats::free_port;

/// Its engine has a process of its own, as mistral.rs has.
fn checked(echo: &str) -> Plan {
    let check = format!("JETBATCH__POOLS__{}__ENGINE__CHECK", MODEL.to_uppercase());
    Plan::echo(echo, 8).env(&check, "on").env("JETBATCH__WORKER__ISOLATE", "on")
}

#[tokio::test]
async fn a_pool_that_mixes_sequences_up_takes_no_work() {
    let mut stand = checked("delay_ms = 20, mix = true").start().await;
    let worker = &mut stand.workers[0];
    let ended = worker.exit(LONG).await;
    assert_eq!(ended.code(), Some(1), "{}", worker.story());
    let told = worker.stderr();
    let why = format!(
        "jetbatch: pool '{MODEL}' takes no work, because its engine did not pass the check: sequences are mixed up: prompt "
    );
    let found = told.lines().find_map(|line| line.strip_prefix(&why));
    // Which prompts meet is a matter of time.
    let parts =
        found.is_some_and(|found| found.contains(" of 64, token 1: alone \"") && found.contains("\", together \""));
    assert!(parts, "{}", worker.story());
    assert!(!told.contains("worker ready"), "{}", worker.story());
}

#[tokio::test]
async fn a_pool_that_keeps_them_apart_takes_work() {
    let mut stand = checked("delay_ms = 20").start().await;
    stand.workers[0].line("keeps its sequences apart", LONG).await;
    let asks: Vec<Ask> = (0..20).map(|n| Ask::echo(format!("r{n}"), format!("say {n}"))).collect();
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.answered(id, &asks).await;
}

#[tokio::test]
async fn the_doctor_looks_at_engines_without_nats() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("jetbatch.toml");
    let config = file.to_str().unwrap();
    let echo = |name: &str, mix: bool| {
        format!("[pools.{name}.engine]\nkind = 'echo'\nslots = 8\necho = {{ delay_ms = 20, mix = {mix} }}\n")
    };
    let nats = format!("[nats]\nurl = 'nats://127.0.0.1:{}'\n", free_port());
    std::fs::write(&file, [&nats, &echo("good", false)].map(String::as_str).concat()).unwrap();
    let well = jetbatch(&["doctor", "--engine", "--config", config], 0).await;
    let said = well.stdout();
    assert!(said.starts_with("good: echo by echo on cpu, 8 slots: 64 prompts, 64 tokens, "), "{}", well.story());
    assert!(said.ends_with(": sequences are kept apart\n"), "{}", well.story());

    let lost = "[pools.lost.engine]\nkind = 'mistralrs'\nmodel = { folder = '/no/such/folder' }\n";
    std::fs::write(&file, [&nats, &echo("bad", true), &echo("good", false), lost].map(|part| part.to_owned()).concat())
        .unwrap();
    let ill = jetbatch(&["doctor", "--engine", "--json", "--config", config], 1).await;
    assert!(ill.stderr().contains("2 pools not fit for work"), "{}", ill.story());
    let found: Value = serde_json::from_str(&ill.stdout()).unwrap();
    let told = |at: usize| (found[at]["pool"].as_str().unwrap(), found[at]["error"].as_str().unwrap_or_default());
    assert!(matches!(told(0), ("bad", why) if why.starts_with("sequences are mixed up: prompt ")), "{found}");
    assert_eq!((told(1), &found[1]["checked"]["prompts"]), (("good", ""), &64.into()));
    assert!(matches!(told(2), ("lost", why) if !why.is_empty()) && found[2]["engine"].is_null(), "{found}");
}
