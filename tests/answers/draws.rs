//! Draws are independent: of the line, the worker, the job and the day.
use super::held;
use crate::support::{MODEL, Need, Plan, Stand, is_echo, skip};
use serde_json::json;
use std::collections::HashSet;

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

fn distinct<'a>(texts: impl IntoIterator<Item = &'a String>) -> i64 {
    texts.into_iter().collect::<HashSet<_>>().len() as i64
}

/// The furthest that what is expected to be zero comes away from it, but for a chance of one in a million, by
/// McDiarmid's inequality: whatever the texts' own chances are. `squares` adds up, over all draws, the square of the most
/// that one draw can change.
fn bound(squares: usize) -> i64 {
    (squares as f64 * 1e6_f64.ln() / 2.0).sqrt().ceil() as i64
}

#[tokio::test]
async fn equal_lines_give_as_many_texts_as_independent_draws() {
    if is_echo() {
        return skip(Need::Model, "draws", "the echo engine stands in for the bundled model");
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
    // A draw changes the number of distinct texts by one at most.
    let (expected, least) = (distinct(&seeded), bound(2 * LINES));
    for (texts, what) in [(&before, "on two workers"), (&after, "after a restart")] {
        let seen = distinct(texts);
        assert!(seen > expected - least, "{what}: {seen} distinct texts, {expected} of seeds");
    }
    // Two jobs share no more texts than another two do. A draw of the job that is in both pairs counts for two.
    let (both, others) = (distinct(before.iter().chain(&after)), distinct(before.iter().chain(&seeded)));
    let least = bound(2 * LINES + 4 * LINES);
    assert!(both > others - least, "{both} distinct texts in the jobs before and after a restart, {others} with seeds");
}
