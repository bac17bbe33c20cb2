use super::{
    head, metric,
    rig::{CHUNK, LONG, Rig, archived, done, id, plan, planned, submitted, tally},
};
use bytes::Bytes;
use domain::{
    ChunkId, Event, JobId, Tenant,
    event::{At, Input, SegmentArchived, Submitted},
};
use jetbatch::{
    archiver, clock,
    config::Age,
    log,
    paths::{self, Kind, UploadRef},
    shared::Shared,
};
use testkit::wait_for;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::{Message, Results, Subject, bucket, envelope};

struct Head {
    shared: Shared,
    stop: CancellationToken,
    task: JoinHandle<Result<(), archiver::Error>>,
}

impl Head {
    async fn start(rig: &Rig, name: &'static str) -> Self {
        let (shared, stop) = (head(rig).await, CancellationToken::new());
        let task = tokio::spawn({
            let (shared, stop) = (shared.clone(), stop.clone());
            async move { archiver::run(shared, name, stop).await }
        });
        Self { shared, stop, task }
    }

    fn segments(&self) -> u64 {
        metric(&self.shared, "jetbatch_archive_segments_total")
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

fn line(job: JobId, segment: u32, request: u32) -> String {
    let (mut line, number) = (Vec::new(), u64::from(segment * 10 * CHUNK + request));
    wire::line::answer(&mut line, job, number, br#""a""#, 200, "{}");
    String::from_utf8(line).unwrap()
}

fn segment_text(job: JobId, segment: u32) -> String {
    (0..10 * CHUNK).map(|request| line(job, segment, request)).collect()
}

/// Stores a segment's results and tells of them, as workers do.
async fn answer(rig: &Rig, job: JobId, segment: u32) {
    for index in 0..10 {
        let lines: Vec<String> = (0..CHUNK).map(|n| line(job, segment, index * CHUNK + n)).collect();
        let results = Results {
            sizes: lines.iter().map(|line| line.len() as u32).collect(),
            lines: wire::Lines::Plain(lines.concat().into()),
            tally: tally(CHUNK),
            ..Results::default()
        };
        let subject = Subject::Result { job, chunk: ChunkId::new(segment, index) };
        rig.bus.publish(Message::new(subject, envelope::encode(&results))).await.unwrap();
        rig.tell(job, &done(segment, index)).await;
    }
}

async fn is_written(rig: &Rig, job: JobId) -> bool {
    log::job(&rig.bus, job).await.unwrap().is_some_and(|folded| folded.job.written.is_some())
}

async fn written(rig: &Rig, job: JobId) {
    wait_for("the output", LONG, || async { is_written(rig, job).await.then_some(()) }).await;
}

async fn output(rig: &Rig, job: JobId) -> String {
    let path = paths::file(job, Kind::Output, 0);
    let size = rig.shared.store.size(&path).await.unwrap().unwrap();
    let bytes = rig.shared.store.range(&path, 0..size).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Waits until an archiver has looked at the members since now: it writes its own key before each look.
async fn looked(rig: &Rig, name: &str) {
    let leases = rig.bus.bucket(bucket::LEASES);
    let rev = async || Some(leases.last(&format!("archiver.{name}")).await.unwrap()?.rev);
    let mut seen = 0;
    for _ in 0..3 {
        seen = wait_for("a beat", LONG, || async { rev().await.filter(|rev| *rev > seen) }).await;
    }
}

/// Two archivers that know each other share the pieces, and do hardly any twice.
#[tokio::test(flavor = "multi_thread")]
async fn two_archivers_share_the_work() {
    const SEGMENTS: u32 = 24;
    let rig = Rig::start().await;
    let heads = [Head::start(&rig, "a").await, Head::start(&rig, "b").await];
    tokio::join!(looked(&rig, "a"), looked(&rig, "b"));
    let job = id("one");
    rig.plan(job, SEGMENTS).await;
    for segment in 0..SEGMENTS {
        answer(&rig, job, segment).await;
    }
    written(&rig, job).await;
    assert_eq!(output(&rig, job).await, (0..SEGMENTS).map(|segment| segment_text(job, segment)).collect::<String>());
    let counts = heads.each_ref().map(Head::segments);
    assert!(counts.iter().all(|count| *count > 0), "one did nothing: {counts:?}");
    let twice = counts.iter().sum::<u64>() - u64::from(SEGMENTS);
    assert!(twice <= u64::from(SEGMENTS) / 4, "{twice} were done twice: {counts:?}");
    for head in heads {
        head.stop().await;
    }
}

/// The pieces of an archiver that died are done by the others, long before their patience ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_archivers_pieces_are_done_by_another() {
    const SEGMENTS: u32 = 6;
    let rig = Rig::start().await;
    let [dead, alive] = [Head::start(&rig, "a").await, Head::start(&rig, "b").await];
    dead.task.abort();
    let job = id("one");
    rig.plan(job, SEGMENTS).await;
    for segment in 0..SEGMENTS {
        answer(&rig, job, segment).await;
    }
    written(&rig, job).await;
    assert_eq!(output(&rig, job).await, (0..SEGMENTS).map(|segment| segment_text(job, segment)).collect::<String>());
    alive.stop().await;
}

/// What an archiver sees while another removes the parts of a job that it has just put together.
#[tokio::test(flavor = "multi_thread")]
async fn no_output_is_made_of_some_of_the_parts() {
    let rig = Rig::start().await;
    let (torn, whole) = (id("torn"), id("whole"));
    let put = async |job, segment| {
        let path = paths::part(job, segment, Kind::Output, 0);
        rig.shared.store.put(&path, Bytes::from(segment_text(job, segment))).await.unwrap();
    };
    for job in [torn, whole] {
        rig.plan(job, 2).await;
        for segment in 0..2 {
            let Event::SegmentArchived(fact) = archived(segment) else { unreachable!() };
            let output_bytes = segment_text(job, segment).len() as u64;
            let fact = SegmentArchived { at: clock::now(), output_bytes, ..fact };
            rig.tell(job, &Event::SegmentArchived(fact)).await;
        }
    }
    put(torn, 0).await;
    put(whole, 0).await;
    put(whole, 1).await;
    let head = Head::start(&rig, "a").await;
    written(&rig, whole).await;
    assert!(!is_written(&rig, torn).await);
    assert_eq!(rig.shared.store.size(&paths::file(torn, Kind::Output, 0)).await.unwrap(), None);
    put(torn, 1).await;
    for job in [torn, whole] {
        written(&rig, job).await;
        assert_eq!(output(&rig, job).await, (0..2).map(|segment| segment_text(job, segment)).collect::<String>());
    }
    head.stop().await;
}

/// A job that ended, its output and the upload that it was made of.
async fn ended(rig: &Rig, job: JobId, upload: Uuid) -> [String; 2] {
    let paths = [paths::upload(UploadRef { tenant: Tenant::default(), id: upload }), paths::file(job, Kind::Output, 0)];
    for path in &paths {
        rig.shared.store.put(path, Bytes::from_static(b"x")).await.unwrap();
    }
    let Event::JobSubmitted(fact) = submitted() else { unreachable!() };
    let input = Input::Stored(paths::upload(UploadRef { tenant: Tenant::default(), id: upload }));
    for event in [Event::JobSubmitted(Submitted { input, ..fact }), plan(0), planned(1)] {
        rig.tell(job, &event).await;
    }
    rig.run(job, 0).await;
    rig.end(job, 1).await;
    paths
}

/// What is left of these files.
async fn left(rig: &Rig, paths: &[String; 2]) -> usize {
    let mut left = 0;
    for path in paths {
        left += usize::from(rig.shared.store.size(path).await.unwrap().is_some());
    }
    left
}

/// It holds active jobs alone: of the others, an archiver that begins there must know who holds what all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_hides_no_job_that_ended() {
    let rig = Rig::start_with(|config| config.retention.uploads = Age::Ms(1)).await;
    let (kept, gone) = (id("kept"), id("gone"));
    let kept_files = ended(&rig, kept, Uuid::from_u128(1)).await;
    let gone_files = ended(&rig, gone, Uuid::from_u128(2)).await;
    rig.tell(gone, &Event::JobDeleted(At { at: clock::now() })).await;
    let projector = rig.project();
    rig.agrees(kept).await;
    projector.stop().await;
    assert!(log::Log::resume(&rig.shared, log::Keep::Active).await.unwrap().resumed().is_some());
    let head = Head::start(&rig, "a").await;
    let removed = || async { (left(&rig, &gone_files).await == 0).then_some(()) };
    wait_for("the deleted job's files to go", LONG, removed).await;
    head.stop().await;
    assert_eq!(left(&rig, &kept_files).await, 2);
}
