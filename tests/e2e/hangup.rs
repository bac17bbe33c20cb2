//! A closed terminal: jetbatch ends as when it is told to, and its own nats-server with it.
use crate::support::{LONG, MODEL, room};
use std::{fs, path::Path};
use tempfile::TempDir;
use testkit::{
    process::{Jetbatch, Signal, Start, binary, signal},
    wait_for,
};

/// All rooms and a server of its own; `before` is what its shell does first.
async fn serve(dir: &Path, before: &str) -> Jetbatch {
    let toml = format!(
        "[nats]\ndata_dir = {dir:?}\nserver_port = 0\n[store]\nurl = {:?}\n[http]\nlisten = '127.0.0.1:0'\n\
         [pools.{MODEL}.engine]\nkind = 'echo'\n",
        dir.join("store")
    );
    fs::write(dir.join("jetbatch.toml"), toml).unwrap();
    let script = format!("{before}exec \"$0\" serve --config \"$1\"");
    let start = Start::new("/bin/sh").args(["-c", &script]).arg(binary()).arg(dir.join("jetbatch.toml")).dir(dir);
    let mut serve = start.spawn();
    serve.line("jetbatch is up", LONG).await;
    serve
}

fn server(dir: &Path) -> u32 {
    fs::read_to_string(dir.join("nats-server.pid")).unwrap().trim().parse().unwrap()
}

fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn a_closed_terminal_ends_it_and_its_server() {
    let _place = room(1).await;
    let dir = TempDir::with_prefix("jetbatch-e2e-").unwrap();
    let mut serve = serve(dir.path(), "").await;
    let server = server(dir.path());
    signal(serve.pid().unwrap(), Signal::SIGHUP);
    let ended = serve.exit(LONG).await;
    assert!(ended.success() && serve.stderr().contains("stopping"), "{ended}\n{}", serve.story());
    wait_for("the end of its nats-server", LONG, || async { (!is_alive(server)).then_some(()) }).await;
}

/// As `nohup` starts it.
#[tokio::test]
async fn who_is_to_outlive_its_terminal_does() {
    let _place = room(1).await;
    let dir = TempDir::with_prefix("jetbatch-e2e-").unwrap();
    let mut serve = serve(dir.path(), "trap '' HUP; ").await;
    signal(serve.pid().unwrap(), Signal::SIGHUP);
    serve.term();
    assert!(serve.exit(LONG).await.success());
    assert!(!serve.stderr().contains("stopped at once"), "the first signal counted\n{}", serve.story());
}
