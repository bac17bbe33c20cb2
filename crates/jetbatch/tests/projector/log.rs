//! The log as rooms read it.
use crate::rig::{LONG, Rig, done, id, submitted};
use domain::job::Phase;
use jetbatch::log::{self, Keep, Log, LogError};
use tokio::time::timeout;
use wire::envelope;

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
    assert!(change.job == ended && change.caught_up && all.job(&ended).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_event_stops_the_reader() {
    let rig = Rig::start().await;
    let mut message = envelope::event(id("new"), &submitted(), None).id("new");
    for (name, value) in &mut message.headers {
        if *name == envelope::VERSION {
            *value = "2".to_owned();
        }
    }
    rig.bus.append(message, 0).await.unwrap();
    let mut log = Log::open(&rig.bus).await.unwrap();
    let error = log.next().await.unwrap_err();
    assert!(matches!(error, LogError::Decode { seq: 1, .. }), "{error}");
    assert!(log::job(&rig.bus, id("new")).await.is_err());
    let error = rig.project().task.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("event 1"), "{error}");
}
