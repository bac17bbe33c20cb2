//! What puts jetbatch on machines: the chart, and the units.
use crate::support::{LONG, Need, root, skip};
use testkit::process::{Start, binary};

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
