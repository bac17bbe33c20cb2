//! The worker's record ([`domain::health`]) at work: it is asked before anything is taken, and told what came of it. One
//! control for all failures that come together.
use super::{others::Others, report};
use crate::{
    bus::Bus,
    clock::{self, Uptime},
    metrics::Metrics,
    shared::Shared,
};
use domain::{
    ChunkId, JobId, Pool, WorkerName,
    event::Trust,
    health::{News, Order, Record, Seen, State, Takes, Word},
    life::DEATHS_MAX,
    schedule::{Moment, Now},
};
use engine::{
    Engine,
    control::{self, Outcome},
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;
use wire::{Message, Subject, Work, WorkerAlert, bucket};

/// How often an engine that nobody asks is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Chunks that failed here alone, and are looked for.
const FALLEN_MAX: usize = 32;

pub struct Health {
    bus: Bus,
    metrics: Arc<Metrics>,
    worker: String,
    pool: Pool,
    silence: Duration,
    uptime: Uptime,
    record: Mutex<Record>,
    /// Counts the changes of the record, and of what is out.
    changes: watch::Sender<u64>,
    word: watch::Sender<Word>,
    /// Chunks taken and not settled.
    out: AtomicUsize,
    /// One control at a time.
    turn: tokio::sync::Mutex<()>,
    /// Controls that came to an end, and whether the last one said nothing.
    controls: AtomicU64,
    unclear: AtomicBool,
    /// Chunks that failed here with nothing beside them since one was done, the first ones.
    fallen: Mutex<Vec<(JobId, ChunkId)>>,
    others: Others,
    /// Whether it passed because the engine was started anew.
    renewed: AtomicBool,
}

impl Health {
    pub fn new(shared: &Shared, worker: &str, pool: &Pool) -> Self {
        let settings = &shared.config.worker;
        Self {
            bus: shared.bus.clone(),
            metrics: shared.metrics.clone(),
            worker: worker.to_owned(),
            pool: pool.clone(),
            silence: settings.control(),
            uptime: Uptime::default(),
            record: Mutex::new(Record::new(settings.pauses(), clock::now())),
            changes: watch::Sender::new(0),
            word: watch::Sender::new(Word::Sound),
            out: AtomicUsize::new(0),
            turn: tokio::sync::Mutex::default(),
            controls: AtomicU64::new(0),
            unclear: AtomicBool::new(false),
            fallen: Mutex::default(),
            others: Others::new(shared.bus.bucket(bucket::WORKERS), pool, worker),
            renewed: AtomicBool::new(false),
        }
    }

    pub fn state(&self) -> State {
        self.record().state().clone()
    }

    pub fn trust(&self) -> Trust {
        self.record().trust()
    }

    pub fn hands_back(&self) -> bool {
        self.record().hands_back()
    }

    /// Why it hands back.
    pub fn why(&self) -> String {
        let State { word, why, .. } = self.state();
        format!("the worker is {}: {}", word.as_str().replace('_', " "), why.unwrap_or_default())
    }

    /// Each change of what it is, to be looked up.
    pub fn states(&self) -> watch::Receiver<Word> {
        self.word.subscribe()
    }

    /// Resolves when what it has is to go back.
    pub async fn bad(&self) {
        self.until(|| self.hands_back().then_some(())).await;
    }

    /// How many chunks it may take now; waits until it may take one.
    pub async fn takes(&self) -> usize {
        let out = || self.out.load(Ordering::Relaxed);
        self.until(|| match self.record().takes() {
            Takes::All => Some(usize::MAX),
            Takes::One if out() == 0 => Some(1),
            Takes::One | Takes::Nothing => None,
        })
        .await
    }

    pub fn took(&self) {
        self.out.fetch_add(1, Ordering::Relaxed);
    }

    pub fn settled(&self) {
        self.out.fetch_sub(1, Ordering::Relaxed);
        if self.record().takes() == Takes::One {
            self.changed();
        }
    }

    /// What is known of those that had its name before, and what it was told.
    pub async fn inherit(&self, (deaths, order): (u32, Option<Order>)) {
        if deaths >= DEATHS_MAX {
            let (is_last, now) = (self.others().await == 0, self.now());
            let news = self.record().died(deaths, is_last, now);
            self.changed();
            self.tell(news);
        }
        if let Some(order) = order {
            self.order(order);
        }
    }

    /// Workers beside it that take work.
    pub async fn others(&self) -> u32 {
        self.others.count().await
    }

    pub fn done(&self) {
        self.fallen().clear();
        self.note(Seen::Done);
    }

    /// A chunk failed here, and the engine was asked what that says. Gives the workers that could have had it, where the
    /// failure speaks against it.
    pub async fn fell(&self, work: &Work) -> u32 {
        if self.unclear.load(Ordering::Relaxed) {
            return 0;
        }
        let (others, is_trusted) = (self.others.count().await, self.trust() == Trust::Trusted);
        if others == 0 || self.hands_back() {
            return if is_trusted { others } else { 0 };
        }
        // With others beside it, it may have been one of those.
        let is_single = self.record().takes() == Takes::One && self.out.load(Ordering::Relaxed) == 1;
        if is_trusted && (work.alone || is_single) {
            self.remember(work);
        }
        self.note(Seen::Fell);
        if is_trusted { others } else { 0 }
    }

    fn remember(&self, work: &Work) {
        let mut fallen = self.fallen();
        if fallen.len() < FALLEN_MAX && !fallen.contains(&(work.job, work.chunk)) {
            fallen.push((work.job, work.chunk));
        }
    }

    /// Whether others have answered what failed here.
    async fn look_around(&self) {
        let fallen = self.fallen().clone();
        for (job, chunk) in fallen {
            let results = match report::stored_near(&self.bus, job, chunk).await {
                Ok(Some(results)) => results,
                Ok(None) => continue,
                Err(_) => return,
            };
            let before = self.fallen().len();
            self.fallen().retain(|other| *other != (job, chunk));
            // One that was done here meanwhile has cleared them all.
            if results.worker != self.worker && self.fallen().len() < before {
                self.note(Seen::Refuted);
            }
        }
        if self.hands_back() {
            self.fallen().clear();
        }
    }

    /// Whether a failure speaks against what failed: the engine is asked something else, unless a control that ends after
    /// the failure tells it.
    pub async fn examine(&self, engine: &dyn Engine) -> Trust {
        let before = self.controls.load(Ordering::Acquire);
        let _turn = self.turn.lock().await;
        if self.controls.load(Ordering::Acquire) == before && !self.hands_back() {
            self.control(engine).await;
        }
        if self.unclear.load(Ordering::Relaxed) { Trust::Untrusted } else { self.trust() }
    }

    /// Whether the engine had to be started anew for the last control: what ran together has ended together, and tells
    /// nothing of which request it was.
    pub fn was_renewed(&self) -> bool {
        self.renewed.load(Ordering::Relaxed)
    }

    /// Asks again and again while it is in doubt. Never ends.
    pub async fn probe(&self, engine: &dyn Engine) {
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let left = self.record().probe().map(|at| self.left(at));
            match left {
                Some(Duration::ZERO) => {
                    let _turn = self.turn.lock().await;
                    if self.record().probe().is_some_and(|at| self.left(at).is_zero()) {
                        self.control(engine).await;
                    }
                }
                Some(left) => drop(tokio::time::timeout(left, changes.changed()).await),
                None => drop(tokio::time::timeout(LOOK_EVERY, changes.changed()).await),
            }
            self.look_around().await;
            // It may die with nothing in hand.
            if engine.broken().is_some() && self.record().takes() != Takes::Nothing {
                self.examine(engine).await;
            }
        }
    }

    fn left(&self, at: Moment) -> Duration {
        Duration::from_millis(at.get().saturating_sub(self.uptime.moment().get()))
    }

    async fn control(&self, engine: &dyn Engine) {
        let outcome = control::run(engine, self.silence).await;
        tracing::debug!(pool = %self.pool, ?outcome, "a control was asked");
        self.unclear.store(outcome == Outcome::Unclear, Ordering::Relaxed);
        self.renewed.store(outcome == Outcome::Renewed, Ordering::Relaxed);
        self.controls.fetch_add(1, Ordering::Release);
        match outcome {
            Outcome::Passed | Outcome::Renewed => self.note(Seen::Passed),
            Outcome::Failed(fault) => self.note(Seen::Failed(fault.to_string())),
            Outcome::Unclear => self.defer(),
        }
    }

    fn note(&self, seen: Seen) {
        let now = self.now();
        let (news, changed) = {
            let mut record = self.record();
            let before = record.stance();
            let news = record.note(seen, now);
            (news, before != record.stance())
        };
        if changed {
            self.changed();
        }
        self.tell(news);
    }

    pub fn order(&self, order: Order) {
        self.fallen().clear();
        let news = self.record().order(order, self.now());
        self.changed();
        self.tell(news);
    }

    /// A control that said nothing is asked again.
    fn defer(&self) {
        let now = self.now();
        self.record().defer(now);
    }

    fn tell(&self, news: Option<News>) {
        let Some(news) = news else { return };
        let (State { word, since, why }, pool, worker) = (self.state(), &self.pool, &self.worker);
        match news {
            News::Quarantined => {
                tracing::error!(worker, %pool, why, "the worker is in quarantine: it takes no chunks");
                self.metrics.worker_quarantined(pool);
            }
            News::Sound => tracing::info!(worker, %pool, "the worker is sound again"),
        }
        let (worker, pool) = (worker.clone(), pool.clone());
        tokio::spawn(alert(self.bus.clone(), WorkerAlert { worker, pool, at: clock::now(), state: word, since, why }));
    }

    fn now(&self) -> Now {
        Now { at: clock::now(), moment: self.uptime.moment() }
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
        let word = self.record().state().word;
        self.word.send_if_modified(|told| std::mem::replace(told, word) != word);
    }

    async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            if let Some(found) = look() {
                return found;
            }
            // The sender is here.
            let _ = changes.changed().await;
        }
    }

    fn fallen(&self) -> MutexGuard<'_, Vec<(JobId, ChunkId)>> {
        self.fallen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody waits for it.
async fn alert(bus: Bus, alert: WorkerAlert) {
    let name = WorkerName::of(&alert.worker);
    let id = format!("{}:{name}:{}:{}", alert.pool, alert.state.as_str(), alert.since.get());
    let payload = serde_json::to_vec(&alert).expect("an alert is plain JSON");
    let message = Message::new(Subject::WorkerAlert(alert.pool, name), payload).id(id);
    if let Err(error) = bus.publish(message).await {
        tracing::warn!(%error, "an alert of a worker was not stored");
    }
}
