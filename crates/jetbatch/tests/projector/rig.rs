//! A real nats-server, a projector on it, and jobs made of hand-written events.
use domain::{
    ChunkId, Event, JobId, Pool, Timestamp,
    event::{
        ChunkDone, ChunkPlan, Ended, Input, Outcome, OutputWritten, Planned, SegmentArchived, SegmentPlan, Submitted,
        Tally, Usage,
    },
};
use jetbatch::streams::DECLARED;
use jetbatch::{
    bus::{self, Append, Bus},
    clock,
    config::Config,
    log::{self, Feed},
    metrics::Metrics,
    projector,
    shared::Shared,
    troubles::Troubles,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use store::Store;
use testkit::{nats::Server, wait_for};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::{StoredStatus, bucket, envelope};

pub const LONG: Duration = Duration::from_secs(30);
const DAY_MS: u64 = 86_400_000;
pub const CHUNK: u32 = 10;
/// How long a chunk runs that tells how fast its pool is.
pub const RUN_MS: u64 = 20_000;

pub struct Rig {
    pub server: Server,
    pub bus: Bus,
    pub shared: Shared,
    _dir: tempfile::TempDir,
}

pub struct Running {
    stop: CancellationToken,
    pub task: JoinHandle<Result<(), projector::Error>>,
}

impl Running {
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

impl Rig {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(set: impl FnOnce(&mut Config)) -> Self {
        let server = Server::start().await;
        let settings = bus::Settings { connect_s: 30, ..bus::Settings::default().with_url(&server.url()) };
        let bus = Bus::connect(&settings, &DECLARED, "projector test").await.unwrap();
        bus.apply_streams(&[]).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&store::Settings::local(dir.path())).unwrap();
        let mut config = Config::default();
        set(&mut config);
        let metrics = Arc::new(Metrics::new());
        let troubles = Troubles::open(&bus, &metrics, "test");
        let shared =
            Shared { config: Arc::new(config), bus: bus.clone(), store, metrics, troubles, feed: Feed::default() };
        Self { server, bus, shared, _dir: dir }
    }

    pub fn project(&self) -> Running {
        self.project_as(self.shared.clone())
    }

    pub fn project_as(&self, shared: Shared) -> Running {
        let stop = CancellationToken::new();
        let task = tokio::spawn(projector::run(shared, stop.clone()));
        Running { stop, task }
    }

    /// Appends an event as the rooms do: lifecycle by compare-and-set, facts with an id of their own.
    pub async fn tell(&self, job: JobId, event: &Event) {
        let message = envelope::event(job, event, None);
        if event.is_lifecycle() {
            let last = log::job(&self.bus, job).await.unwrap().map_or(0, |folded| folded.lifecycle_seq);
            let message = message.id(format!("{job}:{}:{last}", event.name()));
            assert!(matches!(self.bus.append(message, last).await.unwrap(), Append::Stored(_)));
        } else {
            self.bus.publish(message).await.unwrap();
        }
    }

    /// Submits and plans a job of so many segments of ten chunks.
    pub async fn plan(&self, job: JobId, segments: u32) {
        self.tell(job, &submitted()).await;
        for segment in 0..segments {
            self.tell(job, &plan(segment)).await;
        }
        self.tell(job, &planned(segments)).await;
    }

    pub async fn run(&self, job: JobId, segment: u32) {
        for chunk in 0..10 {
            self.tell(job, &done(segment, chunk)).await;
        }
    }

    pub async fn end(&self, job: JobId, segments: u32) {
        for segment in 0..segments {
            self.tell(job, &archived(segment)).await;
        }
        let file = Some(domain::event::File { path: format!("{job}/output.jsonl"), bytes: 1 });
        self.tell(
            job,
            &Event::OutputWritten(OutputWritten { at: clock::now(), output: file, errors: None, losses: 0 }),
        )
        .await;
        self.tell(job, &Event::JobEnded(Ended::of(clock::now(), Outcome::Completed))).await;
    }

    pub async fn whole(&self, job: JobId, segments: u32) {
        self.plan(job, segments).await;
        for segment in 0..segments {
            self.run(job, segment).await;
        }
        self.end(job, segments).await;
    }

    pub async fn stored(&self, job: JobId) -> Option<StoredStatus> {
        let (value, _) = self.bus.bucket(bucket::STATUS).get(&job.to_string()).await.ok()??;
        Some(serde_json::from_slice(&value).unwrap())
    }

    /// Value and revision as they lie there.
    pub async fn raw(&self, job: JobId) -> (Vec<u8>, u64) {
        let (value, rev) = self.bus.bucket(bucket::STATUS).get(&job.to_string()).await.unwrap().unwrap();
        (value.to_vec(), rev)
    }

    /// What the bucket is to say, clock aside: as bytes, because equal means equal byte for byte.
    pub async fn fold(&self, job: JobId) -> (u64, Vec<u8>) {
        let folded = log::job(&self.bus, job).await.unwrap().unwrap();
        (folded.seq, serde_json::to_vec(&domain::status::Status::of(&folded.job)).unwrap())
    }

    /// Waits until the bucket says what the fold says.
    pub async fn agrees(&self, job: JobId) -> StoredStatus {
        let (seq, status) = self.fold(job).await;
        let same = || async {
            let stored = self.stored(job).await?;
            (stored.seq == seq && serde_json::to_vec(&stored.status).unwrap() == status).then_some(stored)
        };
        wait_for("the status to be the fold's", LONG, same).await
    }
}

pub fn id(key: &str) -> JobId {
    JobId::keyed("test", key)
}

pub fn pool() -> Pool {
    "tiny".parse().unwrap()
}

pub fn submitted() -> Event {
    within(DAY_MS)
}

pub fn within(window_ms: u64) -> Event {
    Event::JobSubmitted(Submitted {
        fingerprint: "f".into(),
        model: Some("tiny".into()),
        metadata: BTreeMap::from([("team".to_owned(), "a".to_owned())]),
        ..Submitted::new(clock::now(), Input::Stored("in".into()), window_ms)
    })
}

pub fn plan(segment: u32) -> Event {
    plan_in(pool(), segment)
}

pub fn plan_in(pool: Pool, segment: u32) -> Event {
    let chunks =
        (0..10).map(|n| ChunkPlan { pool: 0, runs: vec![(n * CHUNK, CHUNK)], bytes: 100, load: None }).collect();
    let requests = 10 * CHUNK;
    let first = u64::from(segment * requests);
    Event::SegmentPlanned(SegmentPlan { segment, offset: 0, bytes: 1_000, first, requests, pools: vec![pool], chunks })
}

pub fn planned(segments: u32) -> Event {
    let requests = u64::from(segments * 10 * CHUNK);
    Event::JobPlanned(Planned {
        at: clock::now(),
        input: "in".into(),
        requests,
        segments,
        bytes: 1_000,
        warnings: vec![],
    })
}

pub fn tally(requests: u32) -> Tally {
    let completed = u64::from(requests);
    Tally { completed, failed: 0, unanswered: 0, usage: Usage { prompt: 10, completion: 20, cached: 0 } }
}

pub fn done(segment: u32, index: u32) -> Event {
    let at: Timestamp = clock::now();
    let (chunk, worker) = (ChunkId::new(segment, index), "w".to_owned());
    Event::ChunkDone(ChunkDone { at, chunk, attempt: 1, delivered: 1, worker, started: at, tally: tally(CHUNK) })
}

/// The same of one that ran for so long.
pub fn ran(segment: u32, index: u32, ms: u64) -> Event {
    match done(segment, index) {
        Event::ChunkDone(event) => {
            Event::ChunkDone(ChunkDone { started: Timestamp::new(event.at.get() - ms), ..event })
        }
        other => other,
    }
}

pub fn archived(segment: u32) -> Event {
    let tally = tally(10 * CHUNK);
    Event::SegmentArchived(SegmentArchived {
        at: clock::now(),
        segment,
        tally,
        output_bytes: 10,
        error_bytes: 0,
        losses: 0,
    })
}
