//! Two projectors at once, as there are for a moment when a leader was stopped and woke up again.
use super::{
    gate::Gate,
    rig::{Rig, done, id},
};
use domain::{JobId, status::State};
use jetbatch::streams::DECLARED;
use jetbatch::{
    bus::{self, Bus},
    log::Feed,
    metrics::Metrics,
    shared::Shared,
};
use std::sync::Arc;
use wire::bucket;

/// A projector that reaches the server through a gate.
async fn gated(rig: &Rig, gate: &Gate) -> Shared {
    let settings = bus::Settings { connect_s: 30, ..bus::Settings::default().with_url(&gate.url) };
    let bus = Bus::connect(&settings, &DECLARED, "gated").await.unwrap();
    Shared { bus, metrics: Arc::new(Metrics::new()), feed: Feed::default(), ..rig.shared.clone() }
}

/// A write that was on its way when its projector was stopped arrives after the next one has written more.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_status_is_refused() {
    let (rig, job) = (Rig::start().await, id("one"));
    let gate = Gate::open(&rig.server.url()).await;
    let stale = rig.project_as(gated(&rig, &gate).await);
    rig.plan(job, 1).await;
    rig.agrees(job).await;
    // Who has caught up reads on with others, and what opens that read goes up, too: once more is heard of, it stands.
    rig.plan(id("two"), 1).await;
    rig.agrees(id("two")).await;

    gate.up.shut();
    rig.tell(job, &done(0, 0)).await;
    gate.up.holds(&format!("$KV.status.{job}")).await;
    gate.down.shut();
    let fresh = rig.project();
    rig.tell(job, &done(0, 1)).await;
    rig.agrees(job).await;
    fresh.stop().await;
    let before = rig.raw(job).await;

    gate.up.open();
    gate.down.holds(r#""stream":"KV_status""#).await;
    assert_eq!(rig.raw(job).await, before, "the older status was put over the newer one");

    gate.down.open();
    rig.tell(job, &done(0, 2)).await;
    rig.agrees(job).await;
    stale.stop().await;
}

/// They write against each other all the time, and readers see each job go forward only.
#[tokio::test(flavor = "multi_thread")]
async fn two_projectors_come_to_the_same() {
    let rig = Rig::start().await;
    let jobs: Vec<JobId> = (0..10).map(|n| id(&format!("j{n}"))).collect();
    let mut watch = rig.bus.bucket(bucket::STATUS).watch(">").await.unwrap();
    let seen = tokio::spawn(async move {
        let mut seqs = std::collections::HashMap::new();
        loop {
            let entry = watch.next().await.unwrap();
            let seq = serde_json::from_slice::<wire::StoredStatus>(&entry.value).unwrap().seq;
            let before = seqs.insert(entry.key.clone(), seq).unwrap_or(0);
            assert!(seq >= before, "{} went back from {before} to {seq}", entry.key);
        }
    });
    let (one, two) = (rig.project(), rig.project());
    for job in &jobs {
        rig.whole(*job, 1).await;
    }
    for job in &jobs {
        assert_eq!(rig.agrees(*job).await.status.state, State::Completed);
    }
    one.stop().await;
    two.stop().await;
    assert!(!seen.is_finished(), "{:?}", seen.await);
    seen.abort();
}

/// A status that somebody deleted is written again, though its key has a revision of the deletion.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_status_is_written_again() {
    let (rig, job) = (Rig::start().await, id("one"));
    let projector = rig.project();
    rig.plan(job, 1).await;
    rig.agrees(job).await;
    rig.bus.bucket(bucket::STATUS).delete(&job.to_string()).await.unwrap();
    rig.tell(job, &done(0, 0)).await;
    rig.agrees(job).await;
    projector.stop().await;
}
