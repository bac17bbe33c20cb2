//! What Prometheus and Grafana are told to look at.
use crate::support::{LONG, Need, Plan, root, skip};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::Path};
use testkit::process::Start;

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The metrics that a text names, a histogram's by its own name.
fn metrics(text: &str) -> BTreeSet<String> {
    let names =
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("jetbatch_"));
    names.map(|name| name.trim_end_matches("_bucket").to_owned()).collect()
}

fn dashboards() -> Vec<String> {
    let files = fs::read_dir(root().join("deploy/grafana/dashboards")).unwrap();
    files.map(|file| read(file.unwrap().path())).collect()
}

async fn has_promtool() -> bool {
    Start::new("sh").args(["-c", "command -v promtool"]).spawn().exit(LONG).await.success()
}

#[test]
fn dashboards_and_alerts_ask_for_metrics_that_there_are() {
    let known = metrics(&read("docs/metrics.md"));
    let dashboards = dashboards();
    for text in dashboards.iter().chain([&read("deploy/prometheus/alerts.yml")]) {
        let unknown: Vec<_> = metrics(text).difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
    let shown: BTreeSet<String> = dashboards.iter().flat_map(|text| metrics(text)).collect();
    assert!(shown.len() > 20, "{shown:?}");
    let mut uids = BTreeSet::new();
    for text in &dashboards {
        let board: Value = serde_json::from_str(text).unwrap();
        uids.insert(board["uid"].as_str().unwrap().to_owned());
        let panels = board["panels"].as_array().unwrap();
        let is_whole =
            |panel: &Value| panel["title"].is_string() && panel["fieldConfig"]["defaults"]["unit"].is_string();
        assert!(!panels.is_empty() && panels.iter().all(is_whole), "{}", board["title"]);
    }
    assert_eq!(uids.into_iter().collect::<Vec<_>>(), ["jetbatch-jobs", "jetbatch-nats", "jetbatch-pools"]);
}

/// What the dashboards ask is PromQL.
#[tokio::test]
async fn dashboards_ask_what_prometheus_understands() {
    if !has_promtool().await {
        return skip(Need::Promtool, "dashboards_ask_what_prometheus_understands", "there is no promtool on PATH");
    }
    let boards = dashboards().into_iter().map(|text| serde_json::from_str::<Value>(&text).unwrap());
    let targets = boards.flat_map(|mut board| board["panels"].as_array_mut().map(std::mem::take).unwrap());
    let asked = targets.flat_map(|panel| panel["targets"].as_array().unwrap().clone());
    let rules: Vec<_> =
        asked.zip(0..).map(|(target, n)| json!({"record": format!("asked:{n}"), "expr": target["expr"]})).collect();
    assert!(rules.len() > 30, "{rules:?}");
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, json!({"groups": [{"name": "dashboards", "rules": rules}]}).to_string()).unwrap();
    let mut promtool = Start::new("promtool").args(["check", "rules"]).arg(file.path()).spawn();
    assert!(promtool.exit(LONG).await.success(), "{}", promtool.story());
}

/// Each alert fires in one story and keeps still in another.
#[tokio::test]
async fn alerts_fire_when_they_should() {
    let names = |text: &str, key: &str| {
        let lines = text.lines().filter_map(|line| line.trim_start_matches(['-', ' ']).strip_prefix(key));
        lines.map(|name| name.trim().to_owned()).collect::<Vec<_>>()
    };
    let tested = names(&read("deploy/prometheus/alerts_test.yml"), "alertname:");
    for alert in names(&read("deploy/prometheus/alerts.yml"), "alert:") {
        assert_eq!(tested.iter().filter(|name| **name == alert).count(), 2, "{alert}");
    }
    if !has_promtool().await {
        return skip(Need::Promtool, "alerts_fire_when_they_should", "there is no promtool on PATH");
    }
    let folder = root().join("deploy/prometheus");
    for args in [["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]] {
        let mut promtool = Start::new("promtool").args(args).dir(&folder).spawn();
        assert!(promtool.exit(LONG).await.success(), "{}", promtool.story());
    }
}

/// Counters are there before they first count: Prometheus sees no step in what was not there before.
#[tokio::test]
async fn a_step_in_standing_is_a_step_to_prometheus() {
    let stand = Plan::echo("", 2).start().await;
    let shown = stand.http.text("/metrics").await;
    for to in ["at_risk", "certain", "recovered", "met", "missed"] {
        let begun = format!("jetbatch_sla_transitions_total{{to=\"{to}\"}} ");
        assert!(shown.contains(&begun), "{begun} is missing in {shown}");
    }
}
