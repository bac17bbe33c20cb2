//! A job that cannot go on says so, in words, and goes on by itself.
use crate::rig::{LONG, Rig, done, id, plan_in, pool, submitted};
use domain::{
    Event, JobId, Pool,
    eta::Sla,
    event::At,
    status::Live,
    trouble::{Kind, Scope, Trouble},
};
use futures::{StreamExt, stream as each};
use jetbatch::{clock, troubles};
use std::time::{Duration, Instant};
use testkit::wait_for;
use wire::{Heartbeat, Lease, Subject, TroubleAlert, bucket, stream};

async fn live(rig: &Rig, job: JobId, want: impl Fn(&Live) -> bool) -> Live {
    let look = || async { rig.stored(job).await.map(|stored| stored.live).filter(|live| want(live)) };
    wait_for("what the job waits for", LONG, look).await
}

fn waits_for(kind: Option<Kind>) -> impl Fn(&Live) -> bool {
    move |live| live.stalled.as_ref().map(|trouble| trouble.what) == kind
}

async fn beat(rig: &Rig, busy: u32) {
    beat_in(rig, pool(), busy).await;
}

async fn beat_in(rig: &Rig, pool: Pool, busy: u32) {
    let key = format!("{pool}.w");
    let beat = Heartbeat {
        worker: "w".into(),
        pool,
        model: "tiny".into(),
        engine: "echo".into(),
        device: "cpu".into(),
        slots: 1,
        busy,
        at: clock::now(),
        started: clock::now(),
        requests: 0,
        completion_tokens: 0,
        request_rate: 0.0,
        token_rate: 0.0,
        beats: 0,
        draining: false,
        restarts: 0,
        state: Default::default(),
        since: Default::default(),
        why: None,
        servers: Vec::new(),
    };
    rig.bus.bucket(bucket::WORKERS).put(&key, serde_json::to_vec(&beat).unwrap()).await.unwrap();
    let lease = Lease { holder: "h".into(), at: clock::now() };
    rig.bus.bucket(bucket::LEASES).put("scheduler", serde_json::to_vec(&lease).unwrap()).await.unwrap();
}

async fn alerts(rig: &Rig, subject: Subject) -> Vec<bool> {
    let mut reader = rig.bus.read(stream::ALERTS, &subject, 1).await.unwrap();
    let mut found = Vec::new();
    while !reader.caught_up() {
        let raw = reader.next().await.unwrap();
        found.push(serde_json::from_slice::<TroubleAlert>(&raw.payload).unwrap().is_over);
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_a_worker_says_so_within_ten_seconds_and_goes_on_by_itself() {
    let rig = Rig::start().await;
    let projector = rig.project();
    let job = id("waits");
    rig.plan(job, 1).await;
    let since = Instant::now();
    let stalled = live(&rig, job, waits_for(Some(Kind::Pool))).await;
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    assert_eq!((stalled.sla, stalled.eta), (Some(Sla::Stalled), None));
    let words = stalled.stalled.unwrap();
    assert!(words.cause.contains("pool 'tiny'") && words.mend.contains("[pools.tiny]"), "{words:?}");

    let subject = || Subject::TroubleAlert(Kind::Pool, Scope::Pool(pool()));
    wait_for("the alert", LONG, || async { (alerts(&rig, subject()).await == [false]).then_some(()) }).await;
    let told = troubles::read(&rig.bus).await.unwrap();
    assert!(told.iter().any(|told| told.scope == Scope::Pool(pool()) && told.is_found), "{told:?}");

    beat(&rig, 1).await;
    rig.tell(job, &done(0, 0)).await;
    let going = live(&rig, job, waits_for(None)).await;
    assert_eq!(going.sla, Some(Sla::OnTrack));
    wait_for("its end", LONG, || async { (alerts(&rig, subject()).await == [false, true]).then_some(()) }).await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_chunk_that_does_not_come_back_is_told_of_within_ten_seconds() {
    let rig = Rig::start().await;
    let projector = rig.project();
    let job = id("first");
    rig.plan(job, 1).await;
    let since = Instant::now();
    let beats = async {
        let mut every = tokio::time::interval(Duration::from_secs(1));
        loop {
            every.tick().await;
            beat(&rig, 1).await;
        }
    };
    let stalled = tokio::select! {
        stalled = live(&rig, job, waits_for(Some(Kind::Worker))) => stalled,
        () = beats => unreachable!("it beats for ever"),
    };
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    let words = stalled.stalled.unwrap();
    assert!(words.cause.contains("have chunks in hand, and none answers"), "{words:?}");
    projector.stop().await;
}

async fn tell_all(rig: &Rig, jobs: &[JobId], event: &Event) {
    each::iter(jobs).for_each_concurrent(32, |job| rig.tell(*job, event)).await;
}

/// Jobs that all come further each second: more statuses than are written in that time.
async fn bustle(rig: &Rig, jobs: &[JobId]) {
    let pool: Pool = "busy".parse().unwrap();
    let mut every = tokio::time::interval(Duration::from_secs(1));
    tell_all(rig, jobs, &submitted()).await;
    for segment in 0.. {
        tell_all(rig, jobs, &plan_in(pool.clone(), segment)).await;
        for chunk in 0..10 {
            every.tick().await;
            beat_in(rig, pool.clone(), 1).await;
            tell_all(rig, jobs, &done(segment, chunk)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_jobs_that_wait_are_all_told_of_while_others_change() {
    let rig = Rig::start().await;
    let projector = rig.project();
    let ids = |name: &str, count| (0..count).map(|n| id(&format!("{name}-{n}"))).collect::<Vec<_>>();
    let (waiting, busy) = (ids("waits", 1_000), ids("busy", 400));
    let told = async {
        let last = busy[busy.len() - 1];
        wait_for("the others to be under way", LONG, || rig.stored(last)).await;
        each::iter(&waiting).for_each_concurrent(32, |job| rig.plan(*job, 1)).await;
        let since = Instant::now();
        for job in &waiting {
            live(&rig, *job, waits_for(Some(Kind::Pool))).await;
        }
        since.elapsed()
    };
    let took = tokio::select! {
        took = told => took,
        () = bustle(&rig, &busy) => unreachable!("they come further for ever"),
    };
    assert!(took < Duration::from_secs(10), "{took:?}");
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_room_tells_of_a_job_is_shown_until_it_is_over() {
    let rig = Rig::start().await;
    let projector = rig.project();
    let (job, other) = (id("told"), id("other"));
    for job in [job, other] {
        rig.plan(job, 1).await;
    }
    beat(&rig, 1).await;
    let refused = Trouble::new(Kind::Queue, "WORK takes no such message", "raise max_payload", clock::now());
    rig.shared.troubles.tell(Scope::Job(job), refused.clone());
    let stalled = live(&rig, job, waits_for(Some(Kind::Queue))).await;
    assert_eq!(stalled.stalled, Some(Box::new(refused)));
    assert!(rig.stored(other).await.unwrap().live.stalled.is_none());
    rig.shared.troubles.clear(&Scope::Job(job), Kind::Queue);
    live(&rig, job, |live| live.stalled.as_ref().is_none_or(|trouble| trouble.what != Kind::Queue)).await;

    rig.tell(other, &Event::JobPaused(At { at: clock::now() })).await;
    rig.shared.troubles.tell(Scope::Job(other), Trouble::new(Kind::Chunk, "a", "b", clock::now()));
    wait_for("the trouble", LONG, || async { (troubles::read(&rig.bus).await.unwrap().len() == 1).then_some(()) })
        .await;
    assert!(rig.stored(other).await.unwrap().live.stalled.is_none(), "it is held on purpose");
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_cut_below_running_jobs_is_told_of() {
    let rig = Rig::start().await;
    let projector = rig.project();
    let job = id("cut");
    rig.plan(job, 1).await;
    rig.tell(job, &done(0, 0)).await;
    rig.agrees(job).await;
    let mut config = rig.bus.js().get_stream("EVENTS").await.unwrap().cached_info().config.clone();
    assert!(config.deny_purge && rig.bus.purge(stream::EVENTS, &wire::Filter::All).await.is_err());
    config.max_messages = 1;
    rig.bus.js().update_stream(&config).await.unwrap();
    let told = || async {
        let told = rig.shared.troubles.of(&Scope::Installation);
        told.into_iter().find(|trouble| trouble.what == Kind::Log)
    };
    let told = wait_for("the trouble", LONG, told).await;
    assert!(told.cause.contains("jobs that run (1)"), "{told:?}");
    let stalled = live(&rig, job, waits_for(Some(Kind::Log))).await;
    assert_eq!(stalled.sla, Some(Sla::Stalled));
    projector.stop().await;
}
