//! The NATS door with the real `nats` command, as a person would use it.
use crate::support::{Ask, LONG, MODEL, Need, Plan, room, skip};
use domain::{JobId, Tenant};
use serde_json::{Value, json};
use std::{ffi::OsString, fs, os::unix::fs::PermissionsExt, path::Path};
use tempfile::TempDir;
use testkit::process::{Jetbatch, Start, binary};
use wire::{Ask as Service, Asks, Subject, stream};

#[tokio::test]
async fn the_nats_command_submits_a_job() {
    let Some(nats) = command("the_nats_command_submits_a_job") else { return };
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

/// The `nats` command, where there is one.
pub fn command(test: &str) -> Option<OsString> {
    let found = std::env::var_os("JETBATCH_TEST_NATS_CLI");
    if found.is_none() {
        let why = "JETBATCH_TEST_NATS_CLI names no `nats`; sh tests/tools/build.sh nats makes one";
        skip(Need::Nats, test, why);
    }
    found
}

/// Runs a program to its end, which must be this.
async fn run(start: Start, code: i32) -> Jetbatch {
    let mut command = start.spawn();
    assert_eq!(command.exit(LONG).await.code(), Some(code), "{}", command.story());
    command
}

#[tokio::test]
async fn a_context_leads_to_the_own_server() {
    let Some(nats) = command("a_context_leads_to_the_own_server") else { return };
    let _place = room(1).await;
    let dir = TempDir::with_prefix("jetbatch-e2e-").unwrap();
    let (config, data) = (dir.path().join("jetbatch.toml"), dir.path().join("nats"));
    let toml = format!(
        "[nats]\ndata_dir = {data:?}\nserver_port = 0\n[store]\nurl = {:?}\n[http]\nlisten = '127.0.0.1:0'\n\
         [pools.{MODEL}.engine]\nkind = 'echo'\n",
        dir.path().join("store")
    );
    fs::write(&config, toml).unwrap();
    let at_home = |start: Start| start.env("HOME", dir.path()).env("XDG_CONFIG_HOME", dir.path()).dir(dir.path());
    let ours = |args: &[&str]| at_home(Start::new(binary()).args(args).arg("--config").arg(&config));
    let theirs = |args: &[&str]| at_home(Start::new(&nats).args(args));
    // Nothing is there yet that one could be led to.
    let none = run(ours(&["nats", "context"]), 1).await;
    assert!(none.stderr().contains("jetbatch serve"), "{}", none.story());
    let mut serve = ours(&["serve"]).env("JETBATCH__NATS__SERVER_BIN", testkit::nats::binary()).spawn();
    let up = serve.line("jetbatch is up", LONG).await;
    let url = up.split_whitespace().find(|word| word.starts_with("nats://")).unwrap();
    run(theirs(&["-s", url, "stream", "ls"]), 1).await;
    let said = run(ours(&["nats", "context"]), 0).await.story();
    let secret = fs::read_to_string(data.join("password")).unwrap();
    let file = dir.path().join("nats/context/jetbatch.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&file).unwrap().contains(&secret) && !said.contains(&secret), "{said}");
    let listed = run(theirs(&["--context", "jetbatch", "stream", "ls"]), 0).await;
    assert!(listed.stdout().contains(stream::EVENTS.as_str()), "{}", listed.story());
    run(ours(&["streams", "check", "--context", "jetbatch"]), 0).await;
    let missing = run(ours(&["streams", "check", "--context", "elsewhere"]), 1).await;
    assert!(missing.stderr().contains("elsewhere.json"), "{}", missing.story());
    serve.term();
    assert!(serve.exit(LONG).await.success(), "{}", serve.story());
    assert!(!serve.story().contains(&secret));
}

/// What a person sees who looks for jetbatch with the tools of NATS.
#[tokio::test]
async fn the_nats_command_finds_the_service() {
    let Some(nats) = command("the_nats_command_finds_the_service") else { return };
    let stand = Plan::echo("", 8).start().await;
    let home = tempfile::tempdir().unwrap();
    let url = stand.nats.url();
    let theirs = async |args: &[&str], code: i32| {
        let start = Start::new(&nats).env("HOME", home.path()).env("XDG_CONFIG_HOME", home.path());
        run(start.args(["--server", &url]).args(args), code).await
    };
    let listed = theirs(&["micro", "ls"], 0).await;
    assert!(listed.stdout().contains("jetbatch"), "{}", listed.story());
    let info = theirs(&["micro", "info", "jetbatch", "--json"], 0).await;
    let info: Value = serde_json::from_str(&info.stdout()).unwrap_or_else(|_| panic!("{}", info.story()));
    let endpoint = |name: &str| {
        let all = info["info"]["endpoints"].as_array().unwrap_or_else(|| panic!("{info}"));
        all.iter().find(|endpoint| endpoint["name"] == name).unwrap_or_else(|| panic!("{info}")).clone()
    };
    for ask in Service::ALL {
        let endpoint = endpoint(ask.as_str());
        assert_eq!(endpoint["subject"], Asks(None, ask).to_string());
        for schema in ["request_schema", "response_schema"] {
            let schema: Value = serde_json::from_str(endpoint["metadata"][schema].as_str().unwrap()).unwrap();
            assert_eq!(schema["type"], "object", "{schema}");
        }
    }
    let ask = async |what: Service, body: &str| {
        let subject = Asks(Some(Tenant::default()), what).to_string();
        let said = theirs(&["req", &subject, body, "--raw"], 0).await;
        serde_json::from_str::<Value>(said.stdout().trim()).unwrap_or_else(|_| panic!("{}", said.story()))
    };
    let asked = Ask::echo("a", "say a");
    let job = json!({"requests": [asked.json()]}).to_string();
    let quote = ask(Service::Quote, &job).await;
    assert_eq!((&quote["object"], &quote["requests"]), (&json!("quote"), &json!(1)), "{quote}");
    let taken = ask(Service::Submit, &job).await;
    let id: JobId = taken["id"].as_str().unwrap_or_else(|| panic!("{taken}")).parse().unwrap();
    let done = stand.answered(id, &[asked]).await;
    let status = ask(Service::Status, &id.to_string()).await;
    assert_eq!((&status["id"], &status["state"]), (&done["id"], &done["state"]), "as over HTTP");
    let deleted = ask(Service::Control, &json!({"command": "delete", "job": id}).to_string()).await;
    assert_eq!(deleted["id"], json!(id), "{deleted}");
    let none = Asks(Some("blue".parse().unwrap()), Service::Status).to_string();
    let none = theirs(&["req", &none, &id.to_string()], 0).await;
    assert!(none.story().contains("404") && none.story().contains("there is no job"), "{}", none.story());
    let stats = theirs(&["micro", "stats", "jetbatch", "--json"], 0).await;
    let served = |what: &str| {
        let stats: Value = serde_json::from_str(&stats.stdout()).ok()?;
        let all = stats[0]["endpoints"].as_array()?;
        all.iter().find(|endpoint| endpoint["name"] == what)?["num_requests"].as_u64()
    };
    assert_eq!(["submit", "quote", "status"].map(served), [Some(1), Some(1), Some(2)], "{}", stats.story());
}

async fn publish(nats: &Path, url: &str, args: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    let start = Start::new(nats).env("HOME", home.path()).env("XDG_CONFIG_HOME", home.path());
    let mut command = start.args(["--server", url, "pub"]).args(args).spawn();
    let ended = command.exit(crate::support::LONG).await;
    assert!(ended.success(), "{}", command.story());
}
