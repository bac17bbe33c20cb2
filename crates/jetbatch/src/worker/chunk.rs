//! One chunk, from its delivery to its ack.
use super::{
    cancel_check::CancelCheck,
    health::Health,
    life::Tenure,
    render,
    report::{self, Failure},
    slots::{Announced, Place, Slots},
};
use crate::{
    bus::{Delivery, PublishError, ReadError},
    clock, parts,
    shared::Shared,
    spans, telemetry,
};
use bytes::Bytes;
use domain::{
    Pool, Timestamp, WorkerName,
    event::{FaultClass, Tally, Trust, Usage},
    limits::DELIVERIES_MAX,
    traced::Extra,
};
use engine::{Answer, Engine, Fault, Key, answer::Kind};
use futures::{StreamExt, TryFutureExt, stream::FuturesOrdered};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::SemaphorePermit;
use tracing::Instrument;
use wire::{
    Lines, Results, Subject, Work,
    envelope::{self, DecodeError},
    line,
};

/// A look at the job that is older is taken again before its chunk begins.
const LOOK_AGE_MAX: Duration = Duration::from_millis(50);
/// Before a result that could not be stored is stored again.
const STORE_PAUSE: Duration = Duration::from_secs(1);

pub struct Runner {
    pub shared: Shared,
    pub name: String,
    pub tenure: Tenure,
    pub pool: Pool,
    pub engine: Arc<dyn Engine>,
    pub slots: Slots,
    pub cancel_check: CancelCheck,
    pub health: Health,
    pub started: Timestamp,
    pub requests: AtomicU64,
    pub tokens: AtomicU64,
    pub draining: AtomicBool,
    /// What is seen of jobs with many chunks.
    pub traced: Mutex<Extra>,
}

/// What keeps a chunk from being settled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the chunk's message cannot be read")]
    Decode(DecodeError),
    #[error("the chunk's stored result cannot be read")]
    Stored(DecodeError),
    #[error("NATS could not be read")]
    Read(#[from] ReadError),
    #[error("the chunk's result could not be stored")]
    Publish(#[from] PublishError),
    #[error("part {part} of the chunk's requests is missing")]
    Part { part: u32 },
    #[error("the chunk's requests cannot be read")]
    Lines(#[from] wire::BadLines),
}

/// A request's turn at the engine.
enum Turn<'a> {
    Has(Place<'a>),
    Waits(Announced),
    /// Of a chunk that runs alone.
    Extra(Announced),
}

impl Turn<'_> {
    fn without_waiting(self) -> Self {
        match self {
            Self::Waits(announced) => Self::Extra(announced),
            other => other,
        }
    }
}

/// What became of a chunk's run.
enum Ran {
    Done(Results),
    Failed {
        class: FaultClass,
        reason: String,
    },
    /// The job wants it no more.
    Withdrawn,
    /// The worker is to have nothing.
    Back,
}

impl Error {
    const fn class(&self) -> FaultClass {
        match self {
            Self::Decode(_) | Self::Stored(_) | Self::Lines(_) => FaultClass::Internal,
            Self::Part { .. } => FaultClass::Storage,
            Self::Publish(PublishError::TooLarge { .. } | PublishError::Full { .. }) => FaultClass::Storage,
            Self::Publish(_) | Self::Read(_) => FaultClass::Nats,
        }
    }
}

impl Runner {
    pub fn new(shared: Shared, tenure: Tenure, pool: Pool, engine: Arc<dyn Engine>, slots: Slots) -> Self {
        let (requests, tokens, draining, traced) = Default::default();
        let cancel_check = CancelCheck::new(shared.bus.clone());
        let name = tenure.name.clone();
        let health = Health::new(&shared, &name, &pool);
        let started = clock::now();
        Self {
            shared,
            name,
            tenure,
            pool,
            engine,
            slots,
            cancel_check,
            health,
            started,
            requests,
            tokens,
            draining,
            traced,
        }
    }

    /// Settles a delivered chunk. What keeps it from that is told as a failure of the attempt; if that cannot be told
    /// either, the delivery comes again.
    pub async fn settle(&self, delivery: &Delivery, announced: Announced) -> Result<(), Error> {
        let work: Work = envelope::decode("chunk", &delivery.payload).map_err(Error::Decode)?;
        self.slots.came(work.indices().count());
        match self.attempt(&work, delivery, announced).await {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::warn!(job = %work.job, chunk = %work.chunk, error = &error as &dyn std::error::Error, "a chunk could not be settled");
                self.fail(&work, error.class(), error.to_string()).await
            }
        }
    }

    /// Tells that the chunk was not finished. Were it only refused, the server would count that as a delivery that was
    /// not heard of again, and a chunk that saw many workers come and go would pass for the one that ended them.
    pub async fn hand_back(&self, delivery: &Delivery) -> Result<(), Error> {
        let work: Work = envelope::decode("chunk", &delivery.payload).map_err(Error::Decode)?;
        self.give_back(&work, "the worker was told to stop".to_owned()).await
    }

    async fn give_back(&self, work: &Work, reason: String) -> Result<(), Error> {
        let failure = Failure { class: FaultClass::HandedBack, reason, trust: self.health.trust(), others: 0 };
        report::failed(&self.shared.bus, work, &self.name, failure).await
    }

    /// It begins when its first request has a place; until then the job may be cancelled.
    async fn attempt(&self, work: &Work, delivery: &Delivery, announced: Announced) -> Result<(), Error> {
        if self.health.hands_back() {
            return self.give_back(work, self.health.why()).await;
        }
        let looked = Instant::now();
        let stored = report::stored_near(&self.shared.bus, work.job, work.chunk);
        let (is_wanted, stored) = tokio::try_join!(self.cancel_check.now(work.job).map_err(Error::from), stored)?;
        if !is_wanted {
            return self.skip(work);
        }
        if let Some(results) = stored {
            self.shared.metrics.chunk_skipped(&self.pool);
            return report::done(&self.shared.bus, work, &results, delivery.delivered).await;
        }
        let mut work = work.clone();
        if delivery.delivered > u64::from(DELIVERIES_MAX) {
            let reason = format!("{DELIVERIES_MAX} deliveries were not heard of again");
            let span = self.span(&mut work, delivery);
            telemetry::fail(&span, FaultClass::WorkerLost.as_str());
            if work.quiet {
                telemetry::hide(&span);
            }
            return self.fail(&work, FaultClass::WorkerLost, reason).instrument(span).await;
        }
        if work.parts > 0 {
            *work.lines.bytes_mut() = self.parts(&work).await?;
        }
        work.lines = Lines::Plain(work.lines.unpack()?);
        let (_all, turns) = tokio::select! {
            biased;
            () = self.health.bad() => return self.give_back(&work, self.health.why()).await,
            turns = self.turns(&work, announced) => turns,
        };
        if looked.elapsed() > LOOK_AGE_MAX && !self.cancel_check.now(work.job).await? {
            return self.skip(&work);
        }
        self.begin(work, delivery, turns).await
    }

    /// The turns of its requests, once the first may begin; all places, where it runs alone.
    async fn turns(&self, work: &Work, announced: Announced) -> (Option<SemaphorePermit<'_>>, Vec<Turn<'_>>) {
        let rest: Vec<Announced> = work.indices().skip(1).map(|_| self.slots.announce()).collect();
        let rest = rest.into_iter().map(Turn::Waits);
        if work.alone {
            let all = self.slots.all().await;
            let first = std::iter::once(Turn::Extra(announced));
            return (Some(all), first.chain(rest.map(Turn::without_waiting)).collect());
        }
        let first = std::iter::once(Turn::Has(self.slots.take(announced).await));
        (None, first.chain(rest).collect())
    }

    fn skip(&self, work: &Work) -> Result<(), Error> {
        tracing::debug!(job = %work.job, chunk = %work.chunk, "the job wants no more work");
        self.shared.metrics.chunk_skipped(&self.pool);
        Ok(())
    }

    async fn begin(&self, mut work: Work, delivery: &Delivery, turns: Vec<Turn<'_>>) -> Result<(), Error> {
        let began = clock::now();
        self.shared.metrics.chunk_started(&self.pool, delivery.delivered, began.since(work.sent));
        let span = self.span(&mut work, delivery);
        let run = async {
            tokio::select! {
                biased;
                () = self.health.bad() => Ran::Back,
                ran = self.run(&work, turns) => ran,
            }
        };
        let run = run.instrument(span.clone());
        let ran = self.cancel_check.until_withdrawn(work.job, run).await.unwrap_or(Ran::Withdrawn);
        work.quiet &= !self.is_odd(&work, &ran, clock::now().since(began));
        if work.quiet {
            telemetry::hide(&span);
        } else {
            spans::queued(&work, trace(delivery).as_deref(), began);
        }
        self.report(&work, ran, delivery.delivered, &span).instrument(span.clone()).await
    }

    /// Of a run, linked to the one of the worker that was lost with the chunk, if one was.
    fn span(&self, work: &mut Work, delivery: &Delivery) -> tracing::Span {
        let (trace, delivered) = (trace(delivery), delivery.delivered);
        let span = spans::run(work, delivered, &self.name, &self.engine.about(), trace.as_deref());
        if delivered > 1 && self.traced().failed(work.job) {
            work.quiet = false;
            telemetry::link(&span, spans::lost(work, delivered - 1, trace.as_deref()).as_deref());
        }
        span
    }

    /// Whether a run is to be seen in its job's trace though the job has many.
    fn is_odd(&self, work: &Work, ran: &Ran, took_ms: u64) -> bool {
        match ran {
            Ran::Done(_) => self.traced().slow(work.job, took_ms),
            Ran::Failed { .. } | Ran::Back => work.quiet && self.traced().failed(work.job),
            Ran::Withdrawn => false,
        }
    }

    fn traced(&self) -> MutexGuard<'_, Extra> {
        self.traced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn parts(&self, work: &Work) -> Result<Bytes, Error> {
        let read = |part| async move {
            let (job, chunk, pool) = (work.job, work.chunk, self.pool.clone());
            match self.shared.bus.last_known(&Subject::InputPart { job, chunk, part, pool }).await? {
                None => Ok(self.shared.bus.last_known(&Subject::OldInputPart { job, chunk, part }).await?),
                found => Ok(found),
            }
        };
        parts::join(work.parts, read, |part| Error::Part { part }).await
    }

    /// Runs all requests, as many at once as there are places. The first fault ends the run.
    async fn run(&self, work: &Work, turns: Vec<Turn<'_>>) -> Ran {
        let started = clock::now();
        let mut results = Results {
            chunk: Some(work.chunk),
            worker: self.name.clone(),
            attempt: work.attempt,
            started,
            ..Results::default()
        };
        let mut out = Vec::with_capacity(work.lines.bytes().len() * 2);
        let lines = split(work.lines.bytes());
        if lines.len() != work.indices().count() {
            let reason = format!("the chunk holds {} lines, not {} as planned", lines.len(), work.indices().count());
            return Ran::Failed { class: FaultClass::Internal, reason };
        }
        let mut answers: FuturesOrdered<_> = lines
            .into_iter()
            .zip(turns)
            .zip(keys(work))
            .map(|((line, turn), key)| self.answer(line, turn, work, key))
            .collect();
        let mut numbers = work.indices().zip(0u32..);
        while let Some(answer) = answers.next().await {
            let Some((index, position)) = numbers.next() else { break };
            match answer {
                Ok((_, answer)) if let Some(class) = own_fault(&answer, work) => {
                    return Ran::Failed { class, reason: format!("the engine answered with {}", answer.status) };
                }
                Ok((custom_id, answer)) => {
                    let number = work.first + u64::from(index);
                    take(&mut results, &mut out, work, number, position, &custom_id, &answer);
                }
                Err(fault) => return Ran::Failed { class: class(&fault), reason: fault.to_string() },
            }
        }
        results.ended = clock::now();
        results.lines = Lines::pack(out.into());
        Ran::Done(results)
    }

    async fn answer(&self, line: Bytes, turn: Turn<'_>, work: &Work, key: Key) -> Result<(Bytes, Answer), Fault> {
        let place = match turn {
            Turn::Has(place) => place,
            Turn::Waits(announced) => self.slots.take(announced).await,
            Turn::Extra(announced) => self.slots.extra(announced),
        };
        let request = render::request(&line, work.endpoint.as_deref(), key)
            .map_err(|why| Fault::Internal { message: format!("a line of the chunk cannot be read: {why}") })?;
        let answer = match request.refused {
            Some(refusal) => refusal.into(),
            None => self.engine.run(request.call).await?,
        };
        drop(place);
        Ok((request.custom_id, answer))
    }

    async fn report(&self, work: &Work, ran: Ran, delivered: u64, span: &tracing::Span) -> Result<(), Error> {
        match ran {
            Ran::Done(results) => {
                let tally = results.tally;
                self.health.done();
                self.tenure.done().await;
                spans::ran(span, &tally);
                self.requests.fetch_add(tally.requests(), Ordering::Relaxed);
                self.tokens.fetch_add(tally.usage.completion, Ordering::Relaxed);
                let seconds = results.ended.since(results.started) as f64 / 1_000.0;
                let results = self.store(work, results).await?;
                self.shared.metrics.chunk_done(&self.pool, &tally, seconds);
                report::done(&self.shared.bus, work, &results, delivered).await
            }
            Ran::Failed { class, reason } => {
                telemetry::fail(span, class.as_str());
                self.fail(work, class, reason).await
            }
            Ran::Withdrawn => self.skip(work),
            Ran::Back => self.give_back(work, self.health.why()).await,
        }
    }

    /// Answers cost much: they are kept until they are stored, or nobody wants them any more.
    async fn store(&self, work: &Work, results: Results) -> Result<Results, Error> {
        let (parts, results) = report::cut(work, results, self.shared.bus.room());
        loop {
            match report::store(&self.shared.bus, work, &parts, &results).await {
                Err(Error::Publish(error))
                    if passes(&error) && self.cancel_check.now(work.job).await.unwrap_or(true) =>
                {
                    tracing::warn!(%error, "a result is stored again in a moment");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
                stored => return stored,
            }
        }
    }

    /// Nothing is told of a failure before it is known whether it speaks against the request or against the worker.
    async fn fail(&self, work: &Work, class: FaultClass, reason: String) -> Result<(), Error> {
        let trust = if class.is_doubtful() { self.health.examine(&*self.engine).await } else { self.health.trust() };
        let is_ruined = class.is_doubtful() && self.health.was_renewed();
        let class = if is_ruined { FaultClass::EngineDied } else { class };
        tracing::warn!(job = %work.job, chunk = %work.chunk, class = class.as_str(), reason, attempt = work.attempt, ?trust, "chunk failed");
        self.shared.metrics.chunk_failed(&self.pool, class);
        let (worker, others) = match class {
            FaultClass::WorkerLost => self.lost().await,
            _ if class.is_doubtful() => (self.name.clone(), self.health.fell(work).await),
            _ => (self.name.clone(), 0),
        };
        // It may have been found to be bad meanwhile.
        let is_bad = class.is_doubtful() && self.health.trust() == Trust::Untrusted;
        let trust = if is_bad { Trust::Untrusted } else { trust };
        report::failed(&self.shared.bus, work, &worker, Failure { class, reason, trust, others }).await
    }

    /// Who was lost, and how many others there are: who tells of it is another one, as a rule.
    async fn lost(&self) -> (String, u32) {
        let own = self.name.clone();
        match self.tenure.suspect().await {
            None => (own, 0),
            Some(worker) if worker == WorkerName::of(&own).as_str() => (own, self.health.others().await),
            Some(worker) => (worker, self.health.others().await.max(1)),
        }
    }

    pub fn progress_every(&self) -> Duration {
        Duration::from_millis(self.shared.config.nats.ack_wait_s.max(1) * 1_000 / 3)
    }
}

fn trace(delivery: &Delivery) -> Option<String> {
    wire::trace::read(|name| delivery.header(name))
}

/// What each request draws from follows from its place in the job, so that whoever runs it again draws the same.
fn keys(work: &Work) -> impl Iterator<Item = Key> {
    work.indices().map(|index| Key::placed(work.job.uuid().as_bytes(), work.first + u64::from(index)))
}

fn split(lines: &Bytes) -> Vec<Bytes> {
    domain::lines::texts(lines).map(|text| lines.slice_ref(text)).collect()
}

fn take(
    results: &mut Results,
    out: &mut Vec<u8>,
    work: &Work,
    number: u64,
    position: u32,
    custom_id: &[u8],
    answer: &Answer,
) {
    let before = out.len();
    line::answer(out, work.job, number, custom_id, answer.status, &answer.body);
    results.sizes.push((out.len() - before) as u32);
    let usage = Usage { prompt: answer.usage.prompt, completion: answer.usage.completion, cached: answer.usage.cached };
    let good = answer.is_good();
    if !good {
        results.errors.push(position);
    }
    results.tally += Tally { completed: u64::from(good), failed: u64::from(!good), unanswered: 0, usage };
}

const fn passes(error: &PublishError) -> bool {
    match error {
        PublishError::Full { .. } | PublishError::Unavailable { .. } | PublishError::Unknown { .. } => true,
        PublishError::NoStream { .. } => true,
        PublishError::NoId { .. }
        | PublishError::Taken { .. }
        | PublishError::TooLarge { .. }
        | PublishError::Forbidden { .. }
        | PublishError::Refused { .. } => false,
    }
}

/// The fault in an answer, where the job wants such a one tried again.
fn own_fault(answer: &Answer, work: &Work) -> Option<FaultClass> {
    let class = match answer.kind {
        Kind::Good => return None,
        Kind::Refused => FaultClass::Refused,
        Kind::TooLong => FaultClass::TooLong,
    };
    work.retried.contains(&class).then_some(class)
}

const fn class(fault: &Fault) -> FaultClass {
    match fault {
        Fault::Overloaded => FaultClass::Overloaded,
        Fault::OutOfMemory { .. } => FaultClass::OutOfMemory,
        Fault::Died { .. } => FaultClass::EngineDied,
        Fault::Timeout { .. } => FaultClass::Timeout,
        // Nothing was tried: whoever can takes it.
        Fault::Away { .. } => FaultClass::HandedBack,
        Fault::Internal { .. } => FaultClass::Internal,
    }
}
