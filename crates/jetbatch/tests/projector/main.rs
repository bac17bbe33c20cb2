//! The projector on a real nats-server: the status is the fold, whatever stops, starts or is deleted.
#![allow(clippy::unwrap_used)]

mod gate;
mod log;
mod rig;
mod snapshots;
mod stalled;
mod two;

use domain::{
    Event, JobId, Timestamp,
    eta::{Eta, Sla},
    event::{At, Cause, Closing, Ended, Outcome, Planned, Submitted},
    status::State,
};
use jetbatch::bus::Stream;
use jetbatch::{
    bus::Bus,
    clock,
    projector::{self, Difference, compare, rebuild},
};
use rig::{LONG, RUN_MS, Rig, archived, id, plan, planned, ran, within};
use testkit::wait_for;
use wire::Filter;
use wire::{SlaAlert, Subject, bucket, stream};

async fn alerts(bus: &Bus, job: JobId) -> Vec<Sla> {
    let mut reader = bus.read(stream::ALERTS, &Subject::SlaAlert(job), 1).await.unwrap();
    let mut found = Vec::new();
    while !reader.caught_up() {
        let raw = reader.next().await.unwrap();
        found.push(serde_json::from_slice::<SlaAlert>(&raw.payload).unwrap().sla);
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_follows_the_events_and_duplicates_change_nothing() {
    let rig = Rig::start().await;
    let projector = rig.project();
    let job = id("one");
    rig.plan(job, 2).await;
    let status = rig.agrees(job).await.status;
    assert_eq!((status.state, status.requests.total, status.requests.remaining), (State::InProgress, 200, 200));

    rig.run(job, 0).await;
    rig.run(job, 0).await;
    let stored = rig.agrees(job).await;
    assert_eq!((stored.status.requests.completed, stored.status.requests.remaining), (100, 100));

    rig.run(job, 1).await;
    rig.end(job, 2).await;
    let stored = rig.agrees(job).await;
    assert_eq!((stored.status.state, stored.live.sla), (State::Completed, Some(Sla::Met)));
    assert_eq!(stored.status.requests.completed, 200);
    wait_for("the alert", LONG, || async { (alerts(&rig.bus, job).await == [Sla::Met]).then_some(()) }).await;

    rig.run(job, 1).await;
    let other = id("two");
    rig.plan(other, 1).await;
    rig.agrees(other).await;
    assert_eq!(rig.stored(job).await, Some(stored), "what comes after the end changes nothing");
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_writes_the_same_and_nothing_that_stands() {
    let rig = Rig::start().await;
    let projector = rig.project();
    let (ended, active) = (id("ended"), id("active"));
    rig.whole(ended, 2).await;
    rig.plan(active, 2).await;
    rig.agrees(ended).await;
    rig.agrees(active).await;
    projector.stop().await;
    let before = rig.raw(ended).await;
    rig.run(active, 0).await;

    let projector = rig.project();
    let status = rig.agrees(active).await.status;
    assert_eq!(status.requests.completed, 100);
    assert_eq!(rig.raw(ended).await, before, "not written again");
    assert_eq!(alerts(&rig.bus, ended).await, [Sla::Met], "not told again");
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_bucket_is_written_anew_while_jobs_run() {
    let rig = Rig::start().await;
    let projector = rig.project();
    let (ended, active) = (id("ended"), id("active"));
    rig.whole(ended, 1).await;
    rig.plan(active, 2).await;
    rig.agrees(ended).await;
    rig.agrees(active).await;

    rig.bus.js().delete_stream("KV_status").await.unwrap();
    rig.run(active, 0).await;
    rig.agrees(active).await;
    rig.agrees(ended).await;

    rig.bus.purge(Stream::new("KV_status"), &Filter::All).await.unwrap();
    rig.agrees(ended).await;
    rig.agrees(active).await;
    rig.run(active, 1).await;
    rig.end(active, 2).await;
    assert_eq!(rig.agrees(active).await.status.state, State::Completed);
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_mends_what_differs_and_leaves_the_rest() {
    let rig = Rig::start().await;
    for n in 0..3 {
        rig.whole(id(&format!("j{n}")), 1).await;
    }
    rig.plan(id("active"), 1).await;
    let report = rebuild(&rig.bus).await.unwrap();
    assert_eq!((report.jobs, report.same, report.rewritten), (4, 0, 4));
    assert_eq!(report.events, rig.bus.last_seq(stream::EVENTS).await.unwrap());

    let statuses = rig.bus.bucket(bucket::STATUS);
    statuses.put(&id("j0").to_string(), r#"{"v":1,"seq":1,"status":{},"live":{}}"#).await.unwrap();
    statuses.delete(&id("j1").to_string()).await.unwrap();
    let report = rebuild(&rig.bus).await.unwrap();
    assert_eq!((report.same, report.rewritten), (2, 2));
    for job in ["j0", "j1", "j2", "active"] {
        rig.agrees(id(job)).await;
    }
    let report = rebuild(&rig.bus).await.unwrap();
    assert_eq!((report.same, report.rewritten), (4, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_names_what_differs_and_changes_nothing() {
    let rig = Rig::start().await;
    let projector = rig.project();
    let jobs = ["same", "missing", "differs", "deleted", "active"].map(id);
    for job in &jobs[..4] {
        rig.whole(*job, 1).await;
        rig.agrees(*job).await;
    }
    rig.tell(jobs[3], &Event::JobDeleted(At { at: clock::now() })).await;
    rig.plan(jobs[4], 2).await;
    // Beside a projector, and while a job changes.
    let (found, ()) = tokio::join!(compare(&rig.bus, false), rig.run(jobs[4], 0));
    assert_eq!(found.map(|found| (found.same, found.differing)).unwrap(), (4, vec![]));
    rig.agrees(jobs[4]).await;
    projector.stop().await;

    let statuses = rig.bus.bucket(bucket::STATUS);
    statuses.delete(&jobs[1].to_string()).await.unwrap();
    let (value, _) = rig.raw(jobs[2]).await;
    let value = String::from_utf8(value).unwrap().replace(r#""retries":0"#, r#""retries":1"#);
    statuses.put(&jobs[2].to_string(), value).await.unwrap();
    statuses.put(&id("stray").to_string(), rig.raw(jobs[0]).await.0).await.unwrap();
    let before = statuses.state().await.unwrap().last_seq;
    let mut found = compare(&rig.bus, true).await.unwrap();
    let mut want = [(jobs[1], Difference::Missing), (jobs[2], Difference::Differs), (id("stray"), Difference::Stray)];
    want.sort_by_key(|(job, _)| *job);
    found.differing.sort_by_key(|(job, _)| *job);
    assert_eq!((found.same, found.differing.as_slice()), (2, want.as_slice()));
    assert_eq!(statuses.state().await.unwrap().last_seq, before, "nothing is written");
    assert_eq!(rig.bus.bucket(bucket::STATUS_REBUILT).keys().await.unwrap().len(), 4);
    statuses.delete(&id("stray").to_string()).await.unwrap();
    rebuild(&rig.bus).await.unwrap();
    let found = compare(&rig.bus, false).await.unwrap();
    assert_eq!((found.same, found.differing), (4, vec![]));
    assert!(rig.bus.bucket(bucket::STATUS_REBUILT).state().await.is_err(), "it is removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_events_is_refused() {
    let rig = Rig::start_with(|config| config.projector.snapshot_events = 0).await;
    let projector = rig.project();
    rig.whole(id("one"), 1).await;
    rig.agrees(id("one")).await;
    projector.stop().await;
    rig.bus.js().delete_stream(stream::EVENTS).await.unwrap();
    rig.bus.apply_streams(&[]).await.unwrap();

    let error = rig.project().task.await.unwrap().unwrap_err();
    assert!(matches!(error, projector::Error::LogLost { last: 0, .. }), "{error}");
    assert!(rebuild(&rig.bus).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_costs_nothing_but_time() {
    let mut rig = Rig::start().await;
    let projector = rig.project();
    let job = id("one");
    rig.plan(job, 2).await;
    rig.run(job, 0).await;
    rig.server.kill().await;
    rig.server.restart().await;
    rig.run(job, 1).await;
    rig.end(job, 2).await;
    assert_eq!(rig.agrees(job).await.status.state, State::Completed);
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_have_an_eta_in_the_order_of_urgency() {
    let rig = Rig::start().await;
    let projector = rig.project();
    let (urgent, later) = (id("urgent"), id("later"));
    let begun = Timestamp::new(clock::now().get() - 10_000);
    for (job, window) in [(later, 7_200_000), (urgent, 3_600_000)] {
        rig.tell(job, &at(begun, within(window))).await;
        rig.tell(job, &plan(0)).await;
        rig.tell(job, &at(begun, planned(1))).await;
    }
    for chunk in 0..5 {
        rig.tell(urgent, &ran(0, chunk, RUN_MS)).await;
    }
    let (first, second) = tokio::join!(eta(&rig, urgent), eta(&rig, later));
    assert!(first.1 == Some(Sla::OnTrack) && second.1 == Some(Sla::OnTrack));
    assert!(second.0.p50 > first.0.p50, "{first:?} {second:?}");
    for (eta, _) in [first, second] {
        assert!(eta.p10 <= eta.p50 && eta.p50 < eta.p90, "{eta:?}");
    }
    projector.stop().await;
}

/// The event, as if it had come to pass then.
fn at(when: Timestamp, event: Event) -> Event {
    match event {
        Event::JobSubmitted(event) => Event::JobSubmitted(Submitted { at: when, ..event }),
        Event::JobPlanned(event) => Event::JobPlanned(Planned { at: when, ..event }),
        other => other,
    }
}

async fn eta(rig: &Rig, job: JobId) -> (Eta, Option<Sla>) {
    wait_for("an ETA", LONG, || async {
        let live = rig.stored(job).await?.live;
        Some((live.eta?, live.sla))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_past_its_deadline_is_told_once() {
    let rig = Rig::start().await;
    let projector = rig.project();
    let job = id("late");
    rig.tell(job, &within(1_000)).await;
    rig.tell(job, &plan(0)).await;
    rig.tell(job, &planned(1)).await;
    wait_for("the alert", LONG, || async { (alerts(&rig.bus, job).await == [Sla::Missed]).then_some(()) }).await;
    rig.tell(job, &Event::JobClosing(Closing { at: clock::now(), cause: Cause::Expired, late: false, reason: None }))
        .await;
    rig.tell(job, &archived(0)).await;
    rig.tell(job, &Event::JobEnded(Ended::of(clock::now(), Outcome::Expired))).await;
    let stored = rig.agrees(job).await;
    assert_eq!((stored.status.state, stored.live.sla), (State::Expired, Some(Sla::Missed)));
    assert_eq!(alerts(&rig.bus, job).await, [Sla::Missed]);
    projector.stop().await;
}
