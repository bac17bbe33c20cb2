//! What puts jetbatch on machines: the chart, and the units.
use crate::support::{Http, LONG, Need, Plan, echoes, jsonl, root, skip};
use testkit::{
    process::{Start, binary},
    wait_for,
};

#[tokio::test]
async fn the_chart_is_what_kubernetes_and_jetbatch_take() {
    let has = |variable: &str| std::env::var_os(variable).is_some();
    for (need, variable) in [(Need::Helm, "JETBATCH_TEST_HELM"), (Need::Kube, "JETBATCH_TEST_KUBE")] {
        if !has(variable) {
            let why = format!("{variable} names none; tests/tools/build.sh makes one");
            return skip(need, "the_chart_is_what_kubernetes_and_jetbatch_take", &why);
        }
    }
    let mut script = Start::new("sh").arg(root().join("tests/deploy.sh")).env("JETBATCH_BIN", binary()).spawn();
    assert!(script.exit(LONG).await.success(), "{}", script.story());
}

#[tokio::test]
async fn systemd_understands_the_units_and_they_expose_little() {
    let mut script = Start::new("sh").arg(root().join("tests/units.sh")).spawn();
    match script.exit(LONG).await.code() {
        Some(0) => {}
        Some(3) => skip(Need::Systemd, "systemd_understands_the_units_and_they_expose_little", script.stderr().trim()),
        _ => panic!("{}", script.story()),
    }
}

/// A worker that runs alone has a door for probes, and what it did is seen there.
#[tokio::test]
async fn a_worker_alone_tells_probes_and_prometheus() {
    let mut stand = Plan::echo("", 4).workers(0).start().await;
    stand.add_worker_with(&[("JETBATCH__WORKER__LISTEN", "127.0.0.1:0")]);
    let said = stand.workers[0].line("probes and metrics", LONG).await;
    let door = Http::new(&format!("http://{}", said.split("address=").nth(1).unwrap().trim()));
    assert_eq!(door.text("/healthz").await, "ok\n");
    stand.workers[0].ready(&door.base, LONG).await;
    let asks = echoes(20);
    stand.answered(stand.http.submit("", jsonl(&asks)).await, &asks).await;
    let counted = r#"jetbatch_requests_total{pool="tiny",outcome="completed"} 20"#;
    wait_for(counted, LONG, || async { door.text("/metrics").await.contains(counted).then_some(()) }).await;
    stand.workers[0].term();
    assert!(stand.workers[0].exit(LONG).await.success(), "{}", stand.workers[0].story());
}
