//! What RESULTS or the log has lost: by hand, or with a stream's tail in a power cut, played by an older copy of the
//! stream's folder. What was told of runs again, and nothing is answered twice.
use crate::support::{Ask, LONG, Plan, Stand, completed, echoes, jsonl, message_count};
use domain::{Event, JobId};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use tempfile::TempDir;
use testkit::{nats::Server, wait_for};
use wire::{Stream, bucket, stream};

/// A job of one segment, so that nothing is archived before the last answer.
async fn midway(delay_ms: u32, answered: u64) -> (Stand, JobId, Vec<Ask>) {
    midway_of(slow(delay_ms), answered).await
}

fn slow(delay_ms: u32) -> Plan {
    Plan::echo(&format!("delay_ms = {delay_ms}"), 8)
}

async fn midway_of(plan: Plan, answered: u64) -> (Stand, JobId, Vec<Ask>) {
    let stand = plan.start().await;
    let asks = echoes(1_000);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.midway(id, answered).await;
    (stand, id, asks)
}

async fn lost(stand: &Stand, id: JobId) -> usize {
    let events = stand.log().await.events(id).await;
    events.iter().filter(|event| matches!(event, Event::ChunkLost(_))).count()
}

#[tokio::test]
async fn results_are_purged() {
    let (stand, id, asks) = midway(20, 200).await;
    let js = stand.log().await.js;
    assert!(js.get_stream(stream::RESULTS).await.unwrap().purge().await.unwrap().purged > 0);
    let status = stand.answered(id, &asks).await;
    assert!(status["retries"].as_u64().unwrap() > 0 && lost(&stand, id).await > 0, "{status}");
    wait_for("no result to be left", LONG, || async { (message_count(&js, stream::RESULTS).await == 0).then_some(()) })
        .await;
    let metrics = stand.http.text("/metrics").await;
    let lost = metrics.lines().find_map(|line| line.strip_prefix("jetbatch_results_lost_total "));
    assert_ne!(lost.map(str::trim), Some("0"), "{metrics}");
}

#[tokio::test]
async fn one_result_is_deleted() {
    let (stand, id, asks) = midway(20, 200).await;
    let results = stand.log().await.js.get_stream(stream::RESULTS).await.unwrap();
    let first = results.get_info().await.unwrap().state.first_sequence;
    assert!(results.delete_message(first).await.unwrap());
    stand.answered(id, &asks).await;
    assert_eq!(lost(&stand, id).await, 1);
}

/// A job that waits for results that are gone is no job that nobody can end.
#[tokio::test]
async fn a_job_whose_results_are_purged_can_be_cancelled() {
    let (mut stand, id, _) = midway(20, 200).await;
    stand.log().await.js.get_stream(stream::RESULTS).await.unwrap().purge().await.unwrap();
    stand.until(id, "all to be told of", |status| completed(status) == 1_000 || status["retries"] != 0).await;
    // Nobody is left to run them again.
    for worker in &mut stand.workers {
        worker.kill9().await;
    }
    stand.until(id, "the loss to be told", |status| status["retries"] != 0).await;
    let cancel = crate::support::answer(stand.http.post(&format!("/jobs/{id}/cancel"))).await;
    assert!((200..300).contains(&cancel.status), "{}", cancel.body);
    let status = stand.end(id).await;
    assert_eq!(status["state"], "cancelled");
    let counts = |name: &str| status["requests"][name].as_u64().unwrap();
    assert_eq!((counts("completed") + counts("unanswered"), counts("remaining")), (1_000, 0), "{status}");
}

/// An older copy of what a server has of a stream.
struct Copy {
    stream: Stream,
    dir: TempDir,
}

impl Copy {
    async fn take(stream: Stream, nats: &mut Server) -> Self {
        nats.stop().await;
        let copy = Self::of(stream, nats);
        nats.restart().await;
        copy
    }

    /// As it lies on the disk, whatever the server writes meanwhile.
    fn of(stream: Stream, nats: &Server) -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy_all(&folder(nats, stream), dir.path());
        Self { stream, dir }
    }

    /// In the place of what it has now.
    async fn put_back(self, nats: &mut Server) {
        nats.kill().await;
        let folder = folder(nats, self.stream);
        let (then, now) = (bytes(self.dir.path()), bytes(&folder));
        assert!(then < now, "{}: the copy of {then} bytes lacks nothing of {now}", self.stream);
        fs::remove_dir_all(&folder).unwrap();
        copy_all(self.dir.path(), &folder);
        nats.restart().await;
    }
}

fn folder(nats: &Server, stream: Stream) -> PathBuf {
    nats.dir().join("store/jetstream/$G/streams").join(stream.as_str())
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &to);
        } else {
            gone(fs::copy(entry.path(), to));
        }
    }
}

/// A server removes files of its own at any time.
fn gone<T>(done: io::Result<T>) -> Option<T> {
    done.map_err(|error| assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}")).ok()
}

/// Of the messages in a stream's folder.
fn bytes(stream: &Path) -> u64 {
    let blocks = fs::read_dir(stream.join("msgs")).unwrap().map(Result::unwrap);
    blocks
        .filter(|entry| entry.path().extension().is_some_and(|kind| kind == "blk"))
        .map(|entry| entry.metadata().unwrap().len())
        .sum()
}

#[tokio::test]
async fn results_lose_their_tail() {
    let (mut stand, id, asks) = midway(40, 100).await;
    let copy = Copy::take(stream::RESULTS, &mut stand.nats).await;
    stand.midway(id, 500).await;
    copy.put_back(&mut stand.nats).await;
    stand.answered(id, &asks).await;
    assert!(lost(&stand, id).await > 0);
}

/// What the heads know of it never happened: they end, and say what to do. Then the log is the truth, results that
/// nobody was told of are found, and the job goes on.
#[tokio::test]
async fn the_log_loses_its_tail() {
    let (mut stand, id, asks) = midway(40, 100).await;
    let copy = Copy::take(stream::EVENTS, &mut stand.nats).await;
    stand.midway(id, 500).await;
    copy.put_back(&mut stand.nats).await;
    assert!(!stand.head.exit(LONG).await.success());
    let told = stand.head.stderr();
    assert!(told.contains("stream EVENTS is not the one that was read before: it ends at"), "{told}");
    let js = stand.log().await.js;
    js.delete_key_value(bucket::STATUS).await.unwrap();
    let _ = fs::remove_dir_all(stand.path("store/snapshots"));
    stand.new_head().await;
    stand.answered(id, &asks).await;
}

/// A power cut takes from the server that leads what it had not flushed: the others have it, and nothing is lost.
#[tokio::test]
async fn one_server_of_three_loses_a_tail() {
    let (mut stand, id, asks) = midway_of(slow(300).cluster(), 100).await;
    let mut seen = Vec::new();
    for (stream, answered) in [(stream::EVENTS, 300), (stream::RESULTS, 600)] {
        leader(&stand, stream).await;
        let copies = [&stand.nats, &stand.peers[0], &stand.peers[1]].map(|nats| Copy::of(stream, nats));
        stand.midway(id, answered).await;
        let (leader, before) = (leader(&stand, stream).await, stand.log().await.events(id).await);
        let copy = copies.into_iter().nth(leader).unwrap();
        copy.put_back(server(&mut stand, leader)).await;
        seen.push(before);
    }
    stand.answered(id, &asks).await;
    let after = stand.log().await.events(id).await;
    assert!(seen.iter().all(|before| after.starts_with(before)), "the log is another one");
    assert_eq!(lost(&stand, id).await, 0);
}

/// The number of the server that leads a stream, once all three have the same of it.
async fn leader(stand: &Stand, stream: Stream) -> usize {
    let js = stand.log().await.js;
    let ask = || async {
        let stream = js.get_stream(stream).await.ok()?;
        let cluster = stream.cached_info().cluster.as_ref()?;
        let current = cluster.replicas.iter().filter(|replica| replica.current && !replica.offline).count();
        cluster.leader.as_ref().filter(|_| current == 2)?.strip_prefix("node")?.parse().ok()
    };
    wait_for("a leader", LONG, ask).await
}

fn server(stand: &mut Stand, number: usize) -> &mut Server {
    match number.checked_sub(1) {
        None => &mut stand.nats,
        Some(peer) => &mut stand.peers[peer],
    }
}
