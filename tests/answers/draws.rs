//! Draws are independent: of the line, the worker, the job and the day.
use super::held;
use crate::support::{MODEL, Plan, Stand, is_echo, skip};
use serde_json::json;
use std::collections::HashMap;

const LINES: usize = 1_000;

/// Equal lines, at temperature 1; with a seed each, where it is wanted.
fn file(with_seeds: bool) -> Vec<u8> {
    let line = |n: usize| {
        let mut body = json!({"model": MODEL, "messages": [{"role": "user", "content": "Say digits"}], "temperature": 1,
            "max_tokens": 14, "grammar": {"type": "regex", "value": "[0-9]{12}"}});
        if with_seeds {
            body["seed"] = n.into();
        }
        format!("{}\n", json!({"custom_id": format!("r{n}"), "body": body}))
    };
    (0..LINES).map(line).collect::<String>().into_bytes()
}

async fn texts(stand: &Stand, with_seeds: bool) -> Vec<String> {
    let outcome = held::run(stand, file(with_seeds)).await;
    let texts: Vec<String> = outcome.lines.values().flat_map(|line| held::texts(&line["response"]["body"])).collect();
    assert!(texts.len() == LINES && texts.iter().all(|text| text.len() == 12), "{}", outcome.status);
    texts
}

fn counts(texts: &[String]) -> HashMap<&str, usize> {
    let mut counts = HashMap::new();
    texts.iter().for_each(|text| *counts.entry(text.as_str()).or_default() += 1);
    counts
}

/// Pairs of equal texts among them.
fn pairs(texts: &[String]) -> usize {
    counts(texts).values().map(|count| count * (count - 1) / 2).sum()
}

fn pairs_between(some: &[String], others: &[String]) -> usize {
    let others = counts(others);
    some.iter().filter_map(|text| others.get(text.as_str())).sum()
}

/// Independent draws give a number of equal pairs that is about Poisson's, and each of two jobs has its own chance, so
/// the difference of two such numbers stays, but for a chance in a thousand, within 3.3 of its deviation. What is seen of
/// 1,000 seeds stands for what is expected; `times` as many pairs are looked at.
fn bound(seeded: usize, times: f64) -> usize {
    let expected = seeded as f64 + 1.0;
    (expected * times + 3.3 * (expected * times * times + expected * times).sqrt()).ceil() as usize
}

#[tokio::test]
async fn equal_lines_give_as_many_texts_as_independent_draws() {
    if is_echo() {
        return skip("draws", "the echo engine stands in for the bundled model");
    }
    let mut stand = Plan::tiny().workers(2).start().await;
    stand.workers_ready().await;
    let seeded = texts(&stand, true).await;
    let before = texts(&stand, false).await;
    for worker in &mut stand.workers {
        worker.kill9().await;
    }
    stand.workers.clear();
    stand.replace_head().await;
    stand.add_worker();
    stand.add_worker();
    let after = texts(&stand, false).await;
    assert_eq!(seeded, texts(&stand, true).await, "a seed gives the same text on any worker and after a restart");
    let alone = pairs(&seeded);
    for (texts, what) in [(&before, "on two workers"), (&after, "after a restart")] {
        assert!(pairs(texts) <= bound(alone, 1.0), "{what}: {} equal pairs, {alone} of seeds", pairs(texts));
    }
    let twice = pairs_between(&before, &after);
    assert!(twice <= bound(alone, 2.0), "{twice} texts of one job in the other, {alone} pairs of seeds");
}
