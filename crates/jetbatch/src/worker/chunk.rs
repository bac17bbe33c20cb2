//! One chunk, from its delivery to its ack.
use super::{
    render, report,
    slots::{Announced, Place, Slots},
};
use crate::{
    bus::{Delivery, PublishError, ReadError},
    clock,
    shared::Shared,
    spans, telemetry,
};
use bytes::{Bytes, BytesMut};
use domain::{
    Millis, Pool,
    event::{FaultClass, Tally, Usage},
};
use engine::{Answer, Engine, Fault};
use futures::{StreamExt, stream::FuturesOrdered};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tracing::Instrument;
use wire::{
    Subject,
    envelope::{self, DecodeError},
    stream,
    work::{Results, Work},
};

/// A look at the job that is older is taken again before its chunk begins.
const LOOK_AGE_MAX: Duration = Duration::from_millis(50);

pub struct Runner {
    pub shared: Shared,
    pub name: String,
    pub pool: Pool,
    pub engine: Arc<dyn Engine>,
    pub slots: Slots,
    pub started: Millis,
    pub requests: AtomicU64,
    pub tokens: AtomicU64,
}

/// What keeps a chunk from being settled now: it is not acknowledged, and comes again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the chunk's message cannot be read")]
    Decode(#[from] DecodeError),
    #[error("NATS could not be read")]
    Read(#[from] ReadError),
    #[error("the chunk's result could not be stored")]
    Publish(#[from] PublishError),
    #[error("part {part} of the chunk's requests is missing")]
    Part { part: u32 },
}

/// A request's turn at the engine.
enum Turn<'a> {
    Has(Place<'a>),
    Waits(Announced),
}

/// What became of a chunk's run.
enum Ran {
    Done(Results),
    Failed { class: FaultClass, reason: String },
}

impl Runner {
    pub fn new(shared: Shared, name: String, pool: Pool, engine: Arc<dyn Engine>, slots: Slots) -> Self {
        let (requests, tokens) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { shared, name, pool, engine, slots, started: clock::now(), requests, tokens }
    }

    /// Settles a delivered chunk. It begins when its first request has a place; until then the job may be cancelled.
    pub async fn settle(&self, delivery: &Delivery, announced: Announced) -> Result<(), Error> {
        let mut work: Work = envelope::decode("chunk", &delivery.payload)?;
        let looked = Instant::now();
        if !self.is_wanted(&work).await? {
            return self.skip(&work);
        }
        if let Some(results) = report::stored(&self.shared.bus, work.job, work.chunk).await? {
            self.shared.metrics.chunk_skipped(&self.pool);
            return report::done(&self.shared.bus, &work, &results, delivery.delivered).await;
        }
        if work.parts > 0 {
            work.lines = self.parts(&work).await?;
        }
        let rest: Vec<Announced> = work.indices().skip(1).map(|_| self.slots.announce()).collect();
        let first = self.slots.take(announced).await;
        if looked.elapsed() > LOOK_AGE_MAX && !self.is_wanted(&work).await? {
            return self.skip(&work);
        }
        self.begin(&work, delivery, first, rest).await
    }

    fn skip(&self, work: &Work) -> Result<(), Error> {
        tracing::debug!(job = %work.job, chunk = %work.chunk, "the job wants no more work");
        self.shared.metrics.chunk_skipped(&self.pool);
        Ok(())
    }

    async fn begin(
        &self,
        work: &Work,
        delivery: &Delivery,
        first: Place<'_>,
        rest: Vec<Announced>,
    ) -> Result<(), Error> {
        let trace = delivery.header(envelope::TRACEPARENT);
        spans::queued(work, trace);
        let waited_ms = clock::now().since(work.sent);
        self.shared.metrics.chunk_started(&self.pool, delivery.delivered, waited_ms);
        let about = self.engine.about();
        let span = spans::run(work, &self.name, &about.model, about.engine, trace);
        let ran = self.run(work, first, rest).instrument(span.clone());
        let ran = ran.await;
        self.report(work, ran, delivery.delivered, &span).instrument(span.clone()).await
    }

    /// The last event of the job's lifecycle says whether its work is wanted. It is read from the log and not from a
    /// status, so that no chunk begins after a cancel was stored.
    async fn is_wanted(&self, work: &Work) -> Result<bool, Error> {
        let last = self.shared.bus.last(stream::EVENTS, &Subject::JobEvent(work.job).to_string()).await?;
        Ok(last.is_some_and(|raw| raw.header(envelope::TYPE) == Some("JobPlanned")))
    }

    async fn parts(&self, work: &Work) -> Result<Bytes, Error> {
        let mut lines = BytesMut::new();
        for part in 0..work.parts {
            let subject = Subject::InputPart { job: work.job, chunk: work.chunk, part };
            let raw = self.shared.bus.last(stream::RESULTS, &subject.to_string()).await?;
            lines.extend_from_slice(&raw.ok_or(Error::Part { part })?.payload);
        }
        Ok(lines.freeze())
    }

    /// Runs all requests, as many at once as there are places. The first fault ends the run.
    async fn run(&self, work: &Work, first: Place<'_>, rest: Vec<Announced>) -> Ran {
        let rest = rest.into_iter().map(Turn::Waits);
        let turns = std::iter::once(Turn::Has(first)).chain(rest);
        // As many as there are lines, should these be more than were planned.
        let turns = turns.chain(std::iter::repeat_with(|| Turn::Waits(self.slots.announce())));
        let started = clock::now();
        let mut results = Results {
            chunk: Some(work.chunk),
            worker: self.name.clone(),
            attempt: work.attempt,
            started,
            ..Results::default()
        };
        let mut out = Vec::with_capacity(work.lines.len() * 2);
        let mut answers: FuturesOrdered<_> =
            split(&work.lines).into_iter().zip(turns).map(|(line, turn)| self.answer(line, turn, work)).collect();
        let mut numbers = work.indices().zip(0u32..);
        while let Some(answer) = answers.next().await {
            let Some((index, position)) = numbers.next() else { break };
            match answer {
                Ok((custom_id, answer)) => {
                    let number = work.first + u64::from(index);
                    take(&mut results, &mut out, work, number, position, &custom_id, &answer);
                }
                Err(fault) => return Ran::Failed { class: class(&fault), reason: fault.to_string() },
            }
        }
        results.ended = clock::now();
        results.lines = out.into();
        Ran::Done(results)
    }

    async fn answer(&self, line: Bytes, turn: Turn<'_>, work: &Work) -> Result<(Bytes, Answer), Fault> {
        let place = match turn {
            Turn::Has(place) => place,
            Turn::Waits(announced) => self.slots.take(announced).await,
        };
        let request = render::request(&line, work.endpoint.as_deref())
            .map_err(|why| Fault::Internal { message: format!("a line of the chunk cannot be read: {why}") })?;
        let answer = self.engine.run(request.call).await?;
        drop(place);
        Ok((request.custom_id, answer))
    }

    async fn report(&self, work: &Work, ran: Ran, delivered: u64, span: &tracing::Span) -> Result<(), Error> {
        match ran {
            Ran::Done(results) => {
                let tally = results.tally;
                spans::ran(span, &tally);
                self.requests.fetch_add(tally.requests(), Ordering::Relaxed);
                self.tokens.fetch_add(tally.usage.completion, Ordering::Relaxed);
                let seconds = results.ended.since(results.started) as f64 / 1_000.0;
                let results = report::store(&self.shared.bus, work, results).await?;
                self.shared.metrics.chunk_done(&self.pool, &tally, seconds);
                report::done(&self.shared.bus, work, &results, delivered).await
            }
            Ran::Failed { class, reason } => {
                telemetry::fail(span, class.as_str());
                tracing::warn!(class = class.as_str(), reason, attempt = work.attempt, "chunk failed");
                self.shared.metrics.chunk_failed(&self.pool, class);
                report::failed(&self.shared.bus, work, &self.name, class, reason).await
            }
        }
    }

    pub fn progress_every(&self) -> Duration {
        Duration::from_millis(self.shared.config.nats.ack_wait_s.max(1) * 1_000 / 3)
    }
}

fn split(lines: &Bytes) -> Vec<Bytes> {
    let lines_of = lines.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    lines_of.map(|line| lines.slice_ref(line)).collect()
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
    render::answer(out, work.job, number, custom_id, answer);
    results.sizes.push((out.len() - before) as u32);
    let usage = Usage { prompt: answer.usage.prompt, completion: answer.usage.completion, cached: answer.usage.cached };
    let good = answer.status == 200;
    if !good {
        results.errors.push(position);
    }
    results.tally += Tally { completed: u64::from(good), failed: u64::from(!good), unanswered: 0, usage };
}

const fn class(fault: &Fault) -> FaultClass {
    match fault {
        Fault::Overloaded => FaultClass::Overloaded,
        Fault::OutOfMemory { .. } => FaultClass::OutOfMemory,
        Fault::Died { .. } => FaultClass::EngineDied,
        Fault::Timeout { .. } => FaultClass::Timeout,
        Fault::Internal { .. } => FaultClass::Internal,
    }
}
