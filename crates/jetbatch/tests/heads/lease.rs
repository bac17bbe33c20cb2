use super::{
    head, metric,
    rig::{LONG, Rig},
};
use jetbatch::streams::DECLARED;
use jetbatch::{
    bus::{Files, Op, Settings},
    lease::{FORGOTTEN_AFTER, Members, TAKEOVER_MAX, lead},
    shared::Shared,
};
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use testkit::wait_for;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::{Lease, bucket};

const ROLE: &str = "scheduler";
/// A busy machine stretches every time.
const SLACK: u32 = 2;

#[derive(Debug, thiserror::Error)]
#[error("the room is broken")]
struct Broken;

/// What the rooms did, one after the other.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    async fn until(&self, what: &[&str]) {
        wait_for(&format!("{what:?}"), LONG, || async { (self.all() == what).then_some(()) }).await;
    }
}

struct Head {
    shared: Shared,
    stop: CancellationToken,
    task: JoinHandle<Result<(), Broken>>,
}

impl Head {
    async fn start(rig: &Rig, name: &'static str, journal: &Journal) -> Self {
        let (shared, stop, journal) = (head(rig).await, CancellationToken::new(), journal.clone());
        let room = move |stop: CancellationToken| {
            let journal = journal.clone();
            async move {
                journal.note(format!("{name} begins"));
                stop.cancelled().await;
                journal.note(format!("{name} ends"));
                Ok(())
            }
        };
        let task = tokio::spawn({
            let (shared, stop) = (shared.clone(), stop.clone());
            async move { lead(&shared, ROLE, name, stop, room).await }
        });
        Self { shared, stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// As a crash does: nothing is given up.
    async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    fn leads(&self) -> bool {
        metric(&self.shared, &format!("jetbatch_leader{{role=\"{ROLE}\"}}")) == 1
    }
}

async fn holder(rig: &Rig) -> Option<String> {
    let (value, _) = rig.bus.bucket(bucket::LEASES).get(ROLE).await.ok()??;
    serde_json::from_slice::<Lease>(&value).ok().map(|lease| lease.holder)
}

#[test]
fn the_bucket_forgets_as_the_rule_says() {
    let files = Files::load(&DECLARED, &Settings { replicas: 3, ..Settings::default() }).unwrap();
    let leases = files.stream("KV_leases").unwrap();
    assert_eq!(leases.json["max_age"].as_u64().map(u128::from), Some(FORGOTTEN_AFTER.as_nanos()));
    assert_eq!((leases.is_cache, leases.json["num_replicas"].as_u64()), (true, Some(3)));
    // A marker where a key expired would be a revision that nobody knows of.
    assert!(leases.json["subject_delete_marker_ttl"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stops_hands_over() {
    let (rig, journal) = (Rig::start().await, Journal::default());
    let first = Head::start(&rig, "a", &journal).await;
    journal.until(&["a begins"]).await;
    let second = Head::start(&rig, "b", &journal).await;
    assert_eq!((holder(&rig).await.as_deref(), first.leads(), second.leads()), (Some("a"), true, false));
    first.stop().await;
    let last = rig.bus.bucket(bucket::LEASES).last(ROLE).await.unwrap().unwrap();
    assert!(last.op == Op::Delete || holder(&rig).await.as_deref() == Some("b"), "{last:?}");
    journal.until(&["a begins", "a ends", "b begins"]).await;
    second.stop().await;
    journal.until(&["a begins", "a ends", "b begins", "b ends"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_leader_is_followed_in_the_promised_time() {
    let (rig, journal) = (Rig::start().await, Journal::default());
    let first = Head::start(&rig, "a", &journal).await;
    journal.until(&["a begins"]).await;
    let second = Head::start(&rig, "b", &journal).await;
    wait_for("a renewal", LONG, || async {
        (rig.bus.bucket(bucket::LEASES).last(ROLE).await.ok()??.rev > 2).then_some(())
    })
    .await;
    first.kill().await;
    let killed = Instant::now();
    journal.until(&["a begins", "b begins"]).await;
    assert!(killed.elapsed() < TAKEOVER_MAX * SLACK, "{:?}", killed.elapsed());
    assert_eq!((holder(&rig).await.as_deref(), second.leads()), (Some("b"), true));
    second.stop().await;
}

/// As with a server whose clock was set back.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_the_server_never_forgets_is_taken_over() {
    let (rig, journal) = (Rig::start().await, Journal::default());
    let mut config = rig.bus.js().get_stream("KV_leases").await.unwrap().cached_info().config.clone();
    config.max_age = Duration::ZERO;
    rig.bus.js().update_stream(&config).await.unwrap();
    let first = Head::start(&rig, "a", &journal).await;
    journal.until(&["a begins"]).await;
    let second = Head::start(&rig, "b", &journal).await;
    first.kill().await;
    journal.until(&["a begins", "b begins"]).await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_bucket_is_made_again_and_led_from() {
    let (rig, journal) = (Rig::start().await, Journal::default());
    let heads = [Head::start(&rig, "a", &journal).await, Head::start(&rig, "b", &journal).await];
    wait_for("a leader", LONG, || async { holder(&rig).await }).await;
    rig.bus.js().delete_key_value(bucket::LEASES).await.unwrap();
    wait_for("the one who holds the new bucket's lease to lead, alone", LONG, || async {
        let holder = holder(&rig).await?;
        let running = journal.all().iter().fold(Vec::new(), |mut running, note| {
            match note.split_once(' ').unwrap() {
                (name, "begins") => running.push(name.to_owned()),
                (name, _) => running.retain(|one| one != name),
            }
            running
        });
        let leading = heads.each_ref().map(Head::leads);
        (running == [holder.clone()] && leading == [holder == "a", holder == "b"]).then_some(())
    })
    .await;
    for head in heads {
        head.stop().await;
    }
}

/// Two who think they lead: the one who finds another's lease ends, and stands by.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_overtaken_ends_and_stands_by() {
    let (rig, journal) = (Rig::start().await, Journal::default());
    let head = Head::start(&rig, "a", &journal).await;
    journal.until(&["a begins"]).await;
    let other = serde_json::to_vec(&Lease { holder: "b".into(), at: jetbatch::clock::now() }).unwrap();
    rig.bus.bucket(bucket::LEASES).put(ROLE, other).await.unwrap();
    journal.until(&["a begins", "a ends"]).await;
    journal.until(&["a begins", "a ends", "a begins"]).await;
    assert_eq!(holder(&rig).await.as_deref(), Some("a"), "the other's lease was forgotten");
    head.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_nats_nobody_leads_and_nothing_fails() {
    let (mut rig, journal) = (Rig::start().await, Journal::default());
    let head = Head::start(&rig, "a", &journal).await;
    journal.until(&["a begins"]).await;
    rig.server.kill().await;
    journal.until(&["a begins", "a ends"]).await;
    assert!(!head.task.is_finished());
    rig.server.restart().await;
    journal.until(&["a begins", "a ends", "a begins"]).await;
    head.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_fails_ends_with_its_error_and_leaves_the_lease() {
    let rig = Rig::start().await;
    let shared = head(&rig).await;
    let led = lead(&shared, ROLE, "a", CancellationToken::new(), |_| async { Err(Broken) }).await;
    assert!(matches!(led, Err(Broken)));
    let last = rig.bus.bucket(bucket::LEASES).last(ROLE).await.unwrap().unwrap();
    assert_eq!(last.op, Op::Delete);
}

/// Which of them owns each of many pieces.
fn owned(members: &Members) -> Vec<bool> {
    (0..100).map(|n| members.owns(&format!("piece {n}"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn members_share_and_inherit() {
    let rig = Rig::start().await;
    let join = async |name| Members::join(&head(&rig).await, "archiver", name).await;
    let first = join("a").await;
    assert_eq!(owned(&first), [true; 100]);
    let (second, third) = (join("b").await, join("c").await);
    let share = |all: &[&Members]| (0..100).all(|n| all.iter().filter(|one| owned(one)[n]).count() == 1);
    wait_for("each piece to have one owner", LONG, || async { share(&[&first, &second, &third]).then_some(()) }).await;
    third.leave().await;
    wait_for("the pieces of the one that left", LONG, || async { share(&[&first, &second]).then_some(()) }).await;
    drop(second);
    wait_for("the pieces of the one that died", LONG, || async { (owned(&first) == [true; 100]).then_some(()) }).await;
}
