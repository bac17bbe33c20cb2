use super::*;
use domain::event::Usage;
use std::collections::BTreeSet;

#[test]
fn what_rooms_count_is_shown_by_pool() {
    let metrics = Metrics::new();
    let pool: Pool = "tiny".parse().unwrap();
    let usage = Usage { prompt: 10, completion: 7, cached: 0 };
    metrics.chunk_done(&pool, &Tally { completed: 3, failed: 1, unanswered: 0, usage }, 0.2);
    metrics.chunk_failed(&pool, FaultClass::OutOfMemory);
    metrics.jobs(State::InProgress, 2);
    metrics.http("/jobs/{id}", 200, 0.001);
    metrics.status_written(0.03);
    metrics.leader("scheduler", true);
    metrics.leader("projector", false);
    let text = metrics.encode();
    for line in [
        "jetbatch_requests_total{pool=\"tiny\",outcome=\"completed\"} 3",
        "jetbatch_requests_total{pool=\"tiny\",outcome=\"failed\"} 1",
        "jetbatch_tokens_total{pool=\"tiny\",kind=\"completion\"} 7",
        "jetbatch_chunks_total{pool=\"tiny\",fate=\"done\"} 1",
        "jetbatch_chunk_faults_total{pool=\"tiny\",class=\"out_of_memory\"} 1",
        "jetbatch_jobs{state=\"in_progress\"} 2",
        "jetbatch_http_requests_total{route=\"/jobs/{id}\",status=\"200\"} 1",
        "jetbatch_status_delay_seconds_bucket{le=\"0.05\"} 1",
        "jetbatch_leader{role=\"scheduler\"} 1",
        "jetbatch_leader{role=\"projector\"} 0",
        "jetbatch_chunk_run_seconds_count{pool=\"tiny\"} 1",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    assert!(!text.contains("kind=\"cached\""), "what never was is not shown\n{text}");
}
/// One of each: a family shows its labels with its first value only.
fn touched() -> Metrics {
    let metrics = Metrics::new();
    let pool: Pool = "tiny".parse().unwrap();
    let usage = Usage { prompt: 1, completion: 1, cached: 1 };
    metrics.chunk_done(&pool, &Tally { completed: 1, failed: 1, unanswered: 0, usage }, 0.1);
    metrics.chunk_failed(&pool, FaultClass::OutOfMemory);
    metrics.chunk_started(&pool, 2, 10);
    metrics.worker(&pool, 2, 1);
    metrics.engine_restarted(&pool);
    metrics.worker_quarantined(&pool);
    metrics.workers([(&pool, health::Word::Sound)].into_iter());
    metrics.needed(&[Ahead { pool: pool.clone(), requests: 5, needed: Some(2) }]);
    metrics.forecast(&Score { pool: pool.clone(), fell: Fell::Within, loss: 0.1 });
    metrics.jobs(State::InProgress, 1);
    metrics.alarmed(Alarm::Missed);
    metrics.risks(2, 1);
    metrics.submission("planned");
    metrics.segment_archived(1, 1);
    metrics.leader("scheduler", true);
    metrics.webhook("delivered");
    metrics.troubles(BTreeMap::from([(("pool", Kind::ALL[0]), 1)]));
    metrics.http("/jobs/{id}", 200, 0.001);
    metrics.limited(Limit::RunningJobs);
    metrics
}

/// A row of docs/metrics.md: name, type, labels, what it is.
type Row = [String; 4];

/// What is shown, as rows.
fn shown(text: &str) -> BTreeSet<Row> {
    let about = |mark: &str, name: &str| {
        let begin = format!("# {mark} {name} ");
        text.lines().find_map(|line| line.strip_prefix(&begin)).unwrap().trim_end_matches('.').to_owned()
    };
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let row = |name: &str| {
        let kind = about("TYPE", name);
        let suffix = if kind == "counter" { "_total" } else { "" };
        let sample = format!("{name}{suffix}");
        let samples = text.lines().filter_map(|line| line.strip_prefix(&sample));
        let samples = samples.filter_map(|rest| rest.strip_prefix("_bucket").unwrap_or(rest).strip_prefix('{'));
        let labels = samples.filter_map(|rest| Some(rest.split_once("} ")?.0));
        let labels: BTreeSet<&str> = labels
            .flat_map(|labels| labels.split(','))
            .filter_map(|label| Some(label.split_once('=')?.0))
            .filter(|label| *label != "le")
            .collect();
        let labels = labels.into_iter().collect::<Vec<_>>().join(", ");
        [format!("{name}{suffix}"), kind, labels, about("HELP", name)]
    };
    names.map(row).collect()
}

fn documented() -> BTreeSet<Row> {
    let table = include_str!("../../../../docs/metrics.md");
    let rows = table.lines().filter(|line| line.starts_with("| `jetbatch_"));
    let rows = rows.map(|row| row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect::<Vec<_>>());
    rows.map(|cells| [1, 2, 3, 4].map(|at| cells[at].clone())).collect()
}

#[test]
fn every_metric_stands_in_the_table() {
    let (shown, documented) = (shown(&touched().encode()), documented());
    let missing: Vec<&Row> = shown.difference(&documented).collect();
    let gone: Vec<&Row> = documented.difference(&shown).collect();
    assert!(missing.is_empty() && gone.is_empty(), "not in docs/metrics.md: {missing:#?}\nnot shown: {gone:#?}");
}
