//! The log as rooms read it.
use crate::rig::{LONG, Rig, done, id, submitted};
use domain::{event::VERSION, job::Phase};
use jetbatch::{
    archiver, clock,
    log::{self, Keep, Log, LogError},
    scheduler,
};
use testkit::wait_for;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use wire::{Filter, Message, envelope, stream};

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_events_is_caught_up() {
    let rig = Rig::start().await;
    let log = Log::open(&rig.bus).await.unwrap();
    assert!(log.caught_up() && log.seq() == 0 && log.jobs().count() == 0);
    assert_eq!(log::job(&rig.bus, id("none")).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_readers_come_to_the_same_job() {
    let rig = Rig::start().await;
    let (active, ended) = (id("active"), id("ended"));
    rig.plan(active, 2).await;
    rig.run(active, 0).await;
    rig.whole(ended, 1).await;
    // A late fact of a job that ended.
    rig.tell(ended, &done(0, 0)).await;

    let (mut all, mut some) =
        (Log::open(&rig.bus).await.unwrap(), Log::open_with(&rig.bus, Keep::Active).await.unwrap());
    for log in [&mut all, &mut some] {
        while !log.caught_up() {
            log.next().await.unwrap();
        }
    }
    let one = log::job(&rig.bus, active).await.unwrap().unwrap();
    assert_eq!((all.job(&active), some.job(&active)), (Some(&one), Some(&one)));
    // Submitted, two segments, planned: the lifecycle's last event is the fourth.
    assert_eq!((one.lifecycle_seq, one.seq), (4, 14));
    let last = log::job(&rig.bus, ended).await.unwrap().unwrap();
    assert_eq!(all.job(&ended), Some(&last));
    assert!(matches!(last.job.phase, Phase::Ended(_)) && last.seq == last.lifecycle_seq);
    assert_eq!(some.job(&ended), None);
    assert_eq!(all.seq(), last.seq + 1);

    all.forget(&ended);
    rig.tell(ended, &done(0, 1)).await;
    let change = timeout(LONG, all.next()).await.unwrap().unwrap();
    assert!(change.job == ended && all.caught_up() && all.job(&ended).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_since_a_time_is_replayed_up_to_an_event() {
    let rig = Rig::start().await;
    rig.plan(id("one"), 1).await;
    let since = rig.bus.last_of(stream::EVENTS, &Filter::Events).await.unwrap().unwrap().time_ms + 1;
    wait_for("the clock to go on", LONG, || async { (clock::now().get() > since).then_some(()) }).await;
    rig.run(id("one"), 0).await;
    let replayed = async |filter, since, last| {
        let mut seqs = Vec::new();
        log::replay(&rig.bus, filter, since, last, |change| seqs.push(change.seq)).await.unwrap();
        seqs
    };
    assert_eq!(replayed(Filter::Events, since, 6).await, [4, 5, 6]);
    assert_eq!(replayed(Filter::JobEvents, 0, 13).await, [1, 3]);
    assert_eq!(replayed(Filter::JobEvents, since, 13).await, [0_u64; 0]);
}

/// A submission as a jetbatch after this one may write it.
fn newer() -> Message {
    let mut message = envelope::event(id("new"), &submitted(), None).id("new");
    for (name, value) in &mut message.headers {
        if *name == envelope::VERSION {
            *value = (VERSION + 1).to_string();
        }
    }
    message
}

/// A room alone, until it ends.
async fn ends<E: std::error::Error + Send + 'static>(room: impl Future<Output = Result<(), E>>) -> String {
    let error = timeout(LONG, room).await.expect("it stops").expect_err("and says why");
    let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_event_stops_every_room_and_loses_nothing() {
    let rig = Rig::start().await;
    let (job, stop) = (id("one"), CancellationToken::new());
    rig.plan(job, 1).await;
    rig.run(job, 0).await;
    let projector = rig.project();
    let before = rig.agrees(job).await;
    rig.bus.append(newer(), 0).await.unwrap();
    let last = rig.bus.last_seq(stream::EVENTS).await.unwrap();
    let told = [
        ends(async { projector.task.await.unwrap() }).await,
        ends(scheduler::run(rig.shared.clone(), stop.clone())).await,
        ends(archiver::run(rig.shared.clone(), "a", stop.clone())).await,
        ends(async { rig.project().task.await.unwrap() }).await,
    ];
    for error in told {
        assert!(error.contains(&format!("event {last} of the log")), "{error}");
        assert!(
            error.contains(&format!("version {}", domain::event::VERSION + 1)) && error.contains("Upgrade"),
            "{error}"
        );
    }
    assert_eq!(rig.bus.last_seq(stream::EVENTS).await.unwrap(), last, "nothing is appended");
    assert_eq!(rig.stored(job).await, Some(before));
    let whole = log::job(&rig.bus, job).await.unwrap().unwrap();
    assert_eq!(whole.job.tally.completed, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_event_stops_the_reader() {
    let rig = Rig::start().await;
    rig.bus.append(newer(), 0).await.unwrap();
    let mut log = Log::open(&rig.bus).await.unwrap();
    let error = log.next().await.unwrap_err();
    assert!(matches!(error, LogError::Decode { seq: 1, .. }), "{error}");
    assert!(log::job(&rig.bus, id("new")).await.is_err());
    let error = rig.project().task.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("event 1"), "{error}");
}
