//! Several heads: any of them may be killed or stopped at any time, the leading one above all. Nothing is lost, doubled
//! or wrong, and another leads within seconds.
use crate::{
    endings::assert_kept,
    support::{Ask, Http, LONG, Plan, Stand, answer, jsonl},
};
use domain::{Event, JobId};
use std::time::{Duration, Instant};
use testkit::{process::Jetbatch, wait_for};
use wire::{Lease, bucket};

const ROLES: [&str; 2] = ["scheduler", "projector"];
/// The promise is 5 s; a busy machine stretches every time.
const TAKEOVER_MAX: Duration = Duration::from_secs(10);

fn asks(name: &str, count: usize) -> Vec<Ask> {
    (0..count).map(|n| Ask::echo(format!("{name}{n}"), format!("{name} says {n}"))).collect()
}

/// The process that holds a role's lease. A holder's name is host, process and start.
async fn holder(stand: &Stand, role: &str) -> Option<u32> {
    let leases = stand.log().await.js.get_key_value(bucket::LEASES).await.ok()?;
    let lease: Lease = serde_json::from_slice(&leases.get(role).await.ok()??).ok()?;
    lease.holder.split('-').nth(1)?.parse().ok()
}

/// Waits until one process leads in all roles.
async fn leads(stand: &Stand, head: &Jetbatch) {
    for role in ROLES {
        let what = format!("the lease of the {role}");
        wait_for(&what, LONG, || async { (holder(stand, role).await == head.pid()).then_some(()) }).await;
    }
}

/// Waits until another process than `old` leads in all roles, and gives the time that it took.
async fn takeover(stand: &Stand, old: Option<u32>) -> Duration {
    let began = Instant::now();
    for role in ROLES {
        let what = format!("another holder of the lease of the {role}");
        let is_other = || async { holder(stand, role).await.filter(|pid| Some(*pid) != old) };
        wait_for(&what, LONG, is_other).await;
    }
    began.elapsed()
}

/// The first head leads, the second stands by.
async fn two_heads(plan: Plan) -> (Stand, Jetbatch, Http) {
    let stand = plan.start().await;
    leads(&stand, &stand.head).await;
    let (mut second, http) = stand.second_head().await;
    for _ in ROLES {
        second.line("stands by", LONG).await;
    }
    (stand, second, http)
}

async fn assert_ended_once(stand: &Stand, id: JobId) {
    let events = stand.log().await.events(id).await;
    assert_eq!(events.iter().filter(|event| matches!(event, Event::JobEnded(_))).count(), 1);
}

/// Every status stands as a fresh fold of the log has it.
async fn assert_folded(stand: &Stand) {
    let said = crate::cli::jetbatch(&["rebuild", "--config", stand.config().to_str().unwrap()], 0).await.stdout();
    assert!(said.contains("0 were rewritten"), "{said}");
}

#[tokio::test]
async fn leaders_are_killed() {
    let (mut stand, mut standby, mut http) = two_heads(Plan::echo("delay_ms = 80", 8).workers(2)).await;
    let all = [asks("a", 2_400), asks("b", 400), asks("c", 1_000)];
    let ids = [
        stand.http.submit("", jsonl(&all[0])).await,
        http.submit("?priority=high", jsonl(&all[1])).await,
        http.submit("?priority=low", jsonl(&all[2])).await,
    ];
    for (round, answered) in [(1, 300), (2, 1_200)] {
        stand.midway(ids[0], answered).await;
        let old = stand.head.pid();
        stand.head.kill9().await;
        stand.http = http;
        if round == 1 {
            // Commands do not wait for the next leader.
            let cancelled = answer(stand.http.post(&format!("/jobs/{}/cancel", ids[2]))).await;
            assert!((200..300).contains(&cancelled.status), "{cancelled:?}");
        }
        let took = takeover(&stand, old).await;
        assert!(took < TAKEOVER_MAX, "{took:?}");
        leads(&stand, &standby).await;
        stand.head = standby;
        (standby, http) = stand.second_head().await;
    }
    stand.answered(ids[0], &all[0]).await;
    stand.answered(ids[1], &all[1]).await;
    let status = assert_kept(&stand, ids[2], &all[2], "batch_cancelled").await;
    assert_eq!(status["state"], "cancelled", "{status}");
    for id in ids {
        assert_ended_once(&stand, id).await;
    }
    assert_folded(&stand).await;
}

/// A leader that sleeps longer than its lease wakes up in the middle of what it did, and finds that another leads.
#[tokio::test]
async fn a_stale_leader_wakes_up() {
    let (mut stand, standby, http) = two_heads(Plan::echo("delay_ms = 30", 8).workers(2)).await;
    let all = [asks("a", 1_200), asks("b", 600)];
    let first = stand.http.submit("", jsonl(&all[0])).await;
    stand.midway(first, 100).await;
    stand.http = http;
    let old = stand.head.pid();
    stand.head.pause();
    let took = takeover(&stand, old).await;
    assert!(took < TAKEOVER_MAX, "{took:?}");
    leads(&stand, &standby).await;
    let second = stand.http.submit("?priority=high", jsonl(&all[1])).await;
    stand.midway(second, 50).await;
    stand.head.resume();
    stand.head.line("leads no more", LONG).await;
    for (id, asks) in [(first, &all[0]), (second, &all[1])] {
        stand.answered(id, asks).await;
        assert_ended_once(&stand, id).await;
    }
    leads(&stand, &standby).await;
    assert_folded(&stand).await;
}

/// The leases are deleted again and again: who leads does not know for a second that another leads, too.
#[tokio::test]
async fn two_lead_at_once() {
    let (stand, second, http) = two_heads(Plan::echo("delay_ms = 20", 8).workers(2)).await;
    let all = [asks("a", 800), asks("b", 800)];
    let ids = [stand.http.submit("", jsonl(&all[0])).await, http.submit("", jsonl(&all[1])).await];
    let js = stand.log().await.js;
    let is_over = async || {
        let states = [stand.http.find(ids[0]).await, stand.http.find(ids[1]).await];
        states.iter().all(|status| status.as_ref().is_some_and(|status| status["state"] == "completed"))
    };
    let mut changes = 0;
    while !is_over().await {
        for role in ROLES {
            wait_for("a holder", LONG, || async { holder(&stand, role).await }).await;
        }
        js.delete_key_value(bucket::LEASES).await.unwrap();
        changes += 1;
    }
    assert!(changes > 2, "the leases were deleted {changes} times");
    for (id, asks) in ids.into_iter().zip(&all) {
        stand.answered(id, asks).await;
        assert_ended_once(&stand, id).await;
    }
    let led = |head: &Jetbatch| head.stderr().matches(" leads").count() + head.stdout().matches(" leads").count();
    assert!(led(&stand.head) > 0 && led(&second) > 0, "only one ever led");
    assert_folded(&stand).await;
}
