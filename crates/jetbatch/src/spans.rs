//! The spans of a job's trace, one maker for each. Ids that a log line should carry are span fields; what only a trace
//! needs is set as attributes.
use crate::{
    clock,
    telemetry::{
        self,
        names::{self, kind, operation, span},
    },
};
use domain::{
    ChunkId, Job, JobId, Pool, Timestamp,
    event::{FaultClass, Tally},
};
use engine::About;
use opentelemetry::Value;
use tracing::{Span, info_span};
use wire::{Work, stream};

fn int(n: impl TryInto<i64>) -> Value {
    n.try_into().unwrap_or(i64::MAX).into()
}

/// Intake handles one submission.
pub fn process(job: JobId, trace: Option<&str>) -> Span {
    let span =
        info_span!(parent: None, "process submission", otel.name = span::PROCESS, otel.kind = kind::CONSUMER, %job);
    telemetry::parent(&span, trace);
    telemetry::set(&span, || names::messaging(operation::PROCESS, stream::SUBMIT.as_str(), "jobs.submit"));
    span
}

/// The scheduler sends a chunk.
pub fn schedule(job: &Job, chunk: ChunkId, pool: &Pool, attempt: u32) -> Span {
    let id = job.id;
    let span = info_span!(parent: None, "schedule chunk", otel.name = span::SCHEDULE, otel.kind = kind::PRODUCER, job = %id, %chunk);
    telemetry::parent(&span, job.submitted.trace.as_deref());
    telemetry::set(&span, || {
        names::messaging(operation::SEND, stream::WORK.as_str(), "work.<pool>.<job>.<segment>.<chunk>")
    });
    telemetry::set(&span, || [(names::POOL, pool.to_string().into()), (names::ATTEMPT, int(attempt))]);
    span
}

/// The time a chunk waited from its sending until it began.
pub fn queued(work: &Work, trace: Option<&str>, began: Timestamp) {
    let attributes = [(names::CHUNK, work.chunk.to_string().into()), (names::POOL, work.pool.to_string().into())];
    telemetry::past(span::QUEUE, None, trace, work.sent, began, &attributes);
}

/// The run of a worker that was not heard of again, which nobody else can tell of: some time between the chunk's sending
/// and now. Gives its context.
pub fn lost(work: &Work, delivery: u64, trace: Option<&str>) -> Option<String> {
    let attributes = [
        (names::CHUNK, work.chunk.to_string().into()),
        (names::POOL, work.pool.to_string().into()),
        (names::ATTEMPT, int(work.attempt)),
        (names::DELIVERY, int(delivery)),
    ];
    telemetry::past(span::RUN, Some(FaultClass::WorkerLost.as_str()), trace, work.sent, clock::now(), &attributes)
}

/// A worker runs one attempt of a chunk.
pub fn run(work: &Work, delivery: u64, worker: &str, engine: &About, trace: Option<&str>) -> Span {
    let (job, chunk) = (work.job, work.chunk);
    let span = info_span!(parent: None, "run chunk", otel.name = span::RUN, otel.kind = kind::CONSUMER, %job, %chunk);
    telemetry::parent(&span, trace);
    telemetry::set(&span, || {
        names::messaging(operation::PROCESS, stream::WORK.as_str(), "work.<pool>.<job>.<segment>.<chunk>")
    });
    telemetry::set(&span, || {
        [
            (names::GEN_AI_OPERATION_NAME, names::CHAT.into()),
            (names::GEN_AI_PROVIDER_NAME, engine.engine.into()),
            (names::GEN_AI_REQUEST_MODEL, engine.model.clone().into()),
            (names::WORKER, worker.to_owned().into()),
            (names::ATTEMPT, int(work.attempt)),
            (names::DELIVERY, int(delivery)),
            (names::REQUESTS, int(work.indices().count())),
        ]
    });
    span
}

/// What a chunk's run came to.
pub fn ran(span: &Span, tally: &Tally) {
    telemetry::set(span, || names::usage(&tally.usage));
    telemetry::set(span, || [(names::COMPLETED, int(tally.completed)), (names::FAILED, int(tally.failed))]);
}

/// The worker stores a chunk's answers. A child of the current span.
pub fn store(bytes: usize) -> Span {
    let span = info_span!("store result", otel.name = span::STORE, otel.kind = kind::PRODUCER);
    telemetry::set(&span, || {
        names::messaging(operation::SEND, stream::RESULTS.as_str(), "result.<job>.<segment>.<chunk>")
    });
    telemetry::set(&span, || [(names::MESSAGING_BODY_SIZE, int(bytes))]);
    span
}

/// The archiver writes a segment, or puts the output together.
pub fn archive(job: &Job, segment: Option<u32>) -> Span {
    let id = job.id;
    let span =
        info_span!(parent: None, "archive segment", otel.name = span::ARCHIVE, otel.kind = kind::INTERNAL, job = %id);
    telemetry::parent(&span, job.submitted.trace.as_deref());
    if let Some(segment) = segment {
        telemetry::set(&span, || [(names::SEGMENT, int(segment))]);
    }
    span
}

/// The whole job, when it has ended.
pub fn ended(job: &Job, at: Timestamp) {
    let outcome = format!("{:?}", job.outcome()).to_lowercase();
    let attributes = [
        (names::JOB, job.id.to_string().into()),
        (names::OUTCOME, outcome.into()),
        (names::REQUESTS, int(job.total())),
        (names::COMPLETED, int(job.tally.completed)),
        (names::FAILED, int(job.tally.failed + job.tally.unanswered)),
    ];
    telemetry::past(span::JOB, None, job.submitted.trace.as_deref(), job.submitted.at, at, &attributes);
}
