//! A start reads what came after the last snapshot; a log that a snapshot is ahead of is refused; a deleted job is gone.
use crate::rig::{LONG, RUN_MS, Rig, id, ran};
use domain::{Event, JobId, eta::Eta, event::At, status::State};
use jetbatch::bus::Stream;
use jetbatch::{
    clock,
    log::{Keep, Log, LogError},
    paths,
    projector::{self, rebuild},
};
use std::fs;
use testkit::wait_for;
use wire::Filter;
use wire::{bucket, stream};

fn deleted() -> Event {
    Event::JobDeleted(At { at: clock::now() })
}

/// What the newest snapshot is of.
async fn newest(rig: &Rig) -> Option<(String, u64)> {
    let found = rig.shared.store.list(paths::SNAPSHOTS).await.unwrap();
    let found = found.into_iter().filter_map(|(path, _)| {
        let seq = paths::parse_snapshot(&path)?.1;
        Some((path, seq))
    });
    found.max_by_key(|(_, seq)| *seq)
}

/// Reads the log as the rooms do, to its end.
async fn resume(rig: &Rig, keep: Keep) -> Log {
    let mut log = Log::resume(&rig.shared, keep).await.unwrap();
    while !log.caught_up() {
        log.next().await.unwrap();
    }
    log
}

async fn is_absent(rig: &Rig, job: JobId) {
    wait_for("the status to go", LONG, || async { rig.stored(job).await.is_none().then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_reads_what_came_after_the_snapshot() {
    let mut rig = Rig::start().await;
    let projector = rig.project();
    let (ended, active) = (id("ended"), id("active"));
    rig.whole(ended, 3).await;
    rig.plan(active, 3).await;
    rig.run(active, 0).await;
    rig.agrees(ended).await;
    rig.agrees(active).await;
    projector.stop().await;
    let last = rig.bus.last_seq(stream::EVENTS).await.unwrap();
    assert_eq!(newest(&rig).await.unwrap().1, last);

    rig.server.kill().await;
    rig.server.restart().await;
    rig.run(active, 1).await;
    let log = resume(&rig, Keep::Active).await;
    assert_eq!((log.events_read(), log.seq()), (10, last + 10));
    let whole = jetbatch::log::job(&rig.bus, active).await.unwrap();
    assert_eq!((log.job(&active), log.jobs().count()), (whole.as_ref(), 1));

    let (before, metrics) = (rig.raw(ended).await, rig.shared.metrics.encode());
    let projector = rig.project();
    rig.run(active, 2).await;
    rig.end(active, 3).await;
    assert_eq!(rig.agrees(active).await.status.state, State::Completed);
    assert_eq!(rig.raw(ended).await, before, "not written again");
    let read = folded(&rig.shared.metrics.encode()) - folded(&metrics);
    assert_eq!(read, rig.bus.last_seq(stream::EVENTS).await.unwrap() - last, "what the second projector has read");
    let counted =
        || async { (metric(r#"jetbatch_jobs{state="completed"}"#, &rig.shared.metrics.encode()) == 2).then_some(()) };
    wait_for("both jobs to be counted", LONG, counted).await;
    projector.stop().await;
    assert_eq!(rig.shared.store.list(paths::SNAPSHOTS).await.unwrap().len(), 2, "two are kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_learned_survives_a_restart() {
    let rig = Rig::start().await;
    let projector = rig.project();
    let (ended, waits) = (id("ended"), id("waits"));
    rig.plan(ended, 1).await;
    for chunk in 0..10 {
        rig.tell(ended, &ran(0, chunk, RUN_MS)).await;
    }
    rig.end(ended, 1).await;
    rig.plan(waits, 2).await;
    let before = left(&rig, waits).await;
    projector.stop().await;

    rig.bus.js().delete_stream("KV_status").await.unwrap();
    let events = folded(&rig.shared.metrics.encode());
    let projector = rig.project();
    let after = left(&rig, waits).await;
    assert_eq!(folded(&rig.shared.metrics.encode()), events, "the snapshot is all that it knows of");
    for (before, after) in before.into_iter().zip(after) {
        assert!(after > before * 0.8 && after < before * 1.25, "{before} {after}");
    }
    projector.stop().await;
}

/// ms from the submission to each end of the band.
async fn left(rig: &Rig, job: JobId) -> [f64; 3] {
    wait_for("an ETA", LONG, || async {
        let stored = rig.stored(job).await?;
        let Eta { p10, p50, p90 } = stored.live.eta?;
        Some([p10, p50, p90].map(|at| at.since(stored.status.submitted_at) as f64))
    })
    .await
}

fn metric(name: &str, text: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).unwrap_or(0)
}

fn folded(text: &str) -> u64 {
    metric("jetbatch_events_folded_total", text)
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_written_while_the_projector_runs() {
    let rig = Rig::start_with(|config| config.projector.snapshot_events = 10).await;
    let projector = rig.project();
    let job = id("one");
    rig.plan(job, 1).await;
    rig.run(job, 0).await;
    wait_for("a snapshot", LONG, || async { newest(&rig).await.filter(|(_, seq)| *seq >= 10) }).await;
    // It goes down without a word, and its successor comes to the same.
    projector.task.abort();
    rig.end(job, 1).await;
    let projector = rig.project();
    assert_eq!(rig.agrees(job).await.status.state, State::Completed);
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_snapshot_is_passed_over() {
    let rig = Rig::start().await;
    let projector = rig.project();
    rig.plan(id("one"), 2).await;
    rig.agrees(id("one")).await;
    projector.stop().await;
    let (path, seq) = newest(&rig).await.unwrap();
    let file = rig.shared.store.local_path(&path).unwrap();
    let whole = fs::read(&file).unwrap();
    let mut newer = whole.clone();
    newer[7] = u8::MAX;
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bytes in [&whole[..whole.len() / 2], &newer, &flipped, b"".as_slice()] {
        fs::write(&file, bytes).unwrap();
        let log = resume(&rig, Keep::All).await;
        assert_eq!((log.events_read(), log.resumed().is_none(), log.jobs().count()), (seq, true, 1));
    }
    fs::write(&file, whole).unwrap();
    assert_eq!(resume(&rig, Keep::All).await.events_read(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_made_anew_is_refused_and_nothing_is_overwritten() {
    let rig = Rig::start().await;
    let projector = rig.project();
    rig.whole(id("one"), 1).await;
    rig.agrees(id("one")).await;
    projector.stop().await;
    let (before, snapshot) = (rig.raw(id("one")).await, newest(&rig).await.unwrap());
    rig.bus.js().delete_stream(stream::EVENTS).await.unwrap();
    rig.bus.apply_streams(&[]).await.unwrap();
    // As many events as there were, so that their number does not tell.
    rig.whole(id("two"), 1).await;

    let error = rig.project().task.await.unwrap().unwrap_err();
    assert!(matches!(error, projector::Error::Log(LogError::Other { .. })), "{error}");
    assert!(error.to_string().contains("delete the snapshots"), "{error}");
    for keep in [Keep::All, Keep::Active] {
        assert!(matches!(Log::resume(&rig.shared, keep).await, Err(LogError::Other { .. })));
    }
    assert_eq!((rig.raw(id("one")).await, newest(&rig).await.unwrap()), (before, snapshot));
    assert_eq!(rig.stored(id("two")).await, None);

    // Done on purpose, it goes on with the new log.
    rig.shared.store.delete_under(paths::SNAPSHOTS).await.unwrap();
    rig.bus.js().delete_stream("KV_status").await.unwrap();
    rig.bus.apply_streams(&[]).await.unwrap();
    let projector = rig.project();
    rig.agrees(id("two")).await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_its_end_is_refused() {
    let rig = Rig::start().await;
    let projector = rig.project();
    rig.plan(id("one"), 1).await;
    rig.agrees(id("one")).await;
    projector.stop().await;
    let (path, seq) = newest(&rig).await.unwrap();
    let file = rig.shared.store.local_path(&path).unwrap();
    fs::rename(
        &file,
        file.with_file_name(
            path.rsplit('/').next().unwrap().replace(&format!("{seq:020}"), &format!("{:020}", seq + 1)),
        ),
    )
    .unwrap();
    let error = rig.project().task.await.unwrap().unwrap_err();
    assert!(
        matches!(error, projector::Error::Log(LogError::Behind { seq: ahead, last, .. }) if ahead == seq + 1 && last == seq),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_was_lost_since_the_snapshot_is_made_whole() {
    let rig = Rig::start().await;
    let projector = rig.project();
    let jobs = [id("a"), id("b"), id("c")];
    for job in jobs {
        rig.whole(job, 1).await;
    }
    rig.plan(id("active"), 1).await;
    for job in jobs {
        rig.agrees(job).await;
    }
    rig.agrees(id("active")).await;
    projector.stop().await;
    // One key alone: the bucket looks well.
    rig.bus.bucket(bucket::STATUS).erase(&jobs[1].to_string()).await.unwrap();
    let projector = rig.project();
    rig.agrees(jobs[1]).await;
    projector.stop().await;

    rig.bus.js().delete_stream("KV_status").await.unwrap();
    let projector = rig.project();
    for job in jobs.into_iter().chain([id("active")]) {
        rig.agrees(job).await;
    }
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_job_has_no_status_and_never_gets_one_again() {
    let rig = Rig::start().await;
    let projector = rig.project();
    let (gone, kept, late) = (id("gone"), id("kept"), id("late"));
    for job in [gone, kept, late] {
        rig.whole(job, 1).await;
        rig.agrees(job).await;
    }
    rig.tell(gone, &deleted()).await;
    is_absent(&rig, gone).await;
    projector.stop().await;
    // Deleted while nobody projects.
    rig.tell(late, &deleted()).await;
    let projector = rig.project();
    is_absent(&rig, late).await;
    projector.stop().await;

    // From the first event, with a bucket that remembers nothing, and by a rebuild.
    for from_start in [true, false] {
        rig.bus.js().delete_stream("KV_status").await.unwrap();
        if from_start {
            rig.shared.store.delete_under(paths::SNAPSHOTS).await.unwrap();
        }
        let projector = rig.project();
        rig.agrees(kept).await;
        let mark = id(&format!("mark {from_start}"));
        rig.whole(mark, 1).await;
        rig.agrees(mark).await;
        projector.stop().await;
        let mut keys = rig.bus.bucket(bucket::STATUS).keys().await.unwrap();
        keys.retain(|key| *key == gone.to_string() || *key == late.to_string());
        assert!(keys.is_empty(), "{keys:?}");
    }
    rig.bus.purge(Stream::new("KV_status"), &Filter::All).await.unwrap();
    let report = rebuild(&rig.bus).await.unwrap();
    assert_eq!((report.jobs, report.rewritten), (3, 3));
    assert_eq!(rig.bus.bucket(bucket::STATUS).keys().await.unwrap().len(), 3);
}
