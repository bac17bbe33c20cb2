//! The names in our traces: span names and the attributes of the OpenTelemetry semantic conventions for messaging and
//! generative AI, version 1.38 and later.
use opentelemetry::Value;

/// An attribute's name and value, as `(names::GEN_AI_USAGE_INPUT_TOKENS, 12.into())`.
pub type Attribute = (&'static str, Value);

/// A job's trace from beginning to end. Each name is an operation and what it works on, without ids.
pub mod span {
    /// A door took a submission and published it. Producer.
    pub const SUBMIT: &str = "submit jobs";
    /// Intake validates one input and plans it. Consumer.
    pub const PROCESS: &str = "process submission";
    /// The scheduler sends one chunk. Producer.
    pub const SCHEDULE: &str = "schedule chunk";
    /// The time from a chunk's sending to its start on a worker.
    pub const QUEUE: &str = "queue chunk";
    /// A worker runs one attempt of a chunk. Consumer.
    pub const RUN: &str = "run chunk";
    /// The worker stores a chunk's answers. Producer.
    pub const STORE: &str = "store result";
    /// The archiver writes one segment's output.
    pub const ARCHIVE: &str = "archive segment";
    /// The whole job, from its submission to its end.
    pub const JOB: &str = "job";
}

/// Values of the span field `otel.kind`, which the tracer reads and log lines leave out.
pub mod kind {
    pub const PRODUCER: &str = "producer";
    pub const CONSUMER: &str = "consumer";
    pub const SERVER: &str = "server";
    pub const INTERNAL: &str = "internal";
}

// Resource.
pub const SERVICE_VERSION: &str = "service.version";
pub const SERVICE_INSTANCE_ID: &str = "service.instance.id";

// Our own. The plain words stand in log lines, the prefixed ones in traces.
pub const ROLE: &str = "jetbatch.role";
pub const JOB: &str = "jetbatch.job";
pub const SEGMENT: &str = "jetbatch.segment";
pub const CHUNK: &str = "jetbatch.chunk";
pub const POOL: &str = "jetbatch.pool";
pub const WORKER: &str = "jetbatch.worker";
pub const ATTEMPT: &str = "jetbatch.attempt";
/// How often the attempt was delivered, this time included.
pub const DELIVERY: &str = "jetbatch.delivery";
pub const REQUESTS: &str = "jetbatch.requests";
pub const COMPLETED: &str = "jetbatch.requests.completed";
pub const FAILED: &str = "jetbatch.requests.failed";
pub const OUTCOME: &str = "jetbatch.outcome";
/// On a span that is not sent.
pub const HIDDEN: &str = "jetbatch.hidden";

// Messaging.
pub const MESSAGING_SYSTEM: &str = "messaging.system";
/// The value of [`MESSAGING_SYSTEM`].
pub const NATS: &str = "nats";
pub const MESSAGING_OPERATION_TYPE: &str = "messaging.operation.type";
pub const MESSAGING_OPERATION_NAME: &str = "messaging.operation.name";
/// The stream.
pub const MESSAGING_DESTINATION_NAME: &str = "messaging.destination.name";
/// The subject with its ids left out, as `work.<pool>.<job>.<segment>.<chunk>`.
pub const MESSAGING_DESTINATION_TEMPLATE: &str = "messaging.destination.template";
pub const MESSAGING_BODY_SIZE: &str = "messaging.message.body.size";

/// Values of [`MESSAGING_OPERATION_TYPE`].
pub mod operation {
    pub const SEND: &str = "send";
    pub const PROCESS: &str = "process";
}

// Generative AI.
pub const GEN_AI_OPERATION_NAME: &str = "gen_ai.operation.name";
/// A value of [`GEN_AI_OPERATION_NAME`].
pub const CHAT: &str = "chat";
pub const GEN_AI_PROVIDER_NAME: &str = "gen_ai.provider.name";
pub const GEN_AI_REQUEST_MODEL: &str = "gen_ai.request.model";
pub const GEN_AI_USAGE_INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
pub const GEN_AI_USAGE_OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
pub const GEN_AI_USAGE_CACHED_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";

/// What every span says that sends or takes a message: the system, the kind of operation, the stream and the subject's
/// shape.
pub fn messaging(operation: &'static str, stream: &'static str, template: &'static str) -> [Attribute; 5] {
    [
        (MESSAGING_SYSTEM, NATS.into()),
        (MESSAGING_OPERATION_TYPE, operation.into()),
        (MESSAGING_OPERATION_NAME, operation.into()),
        (MESSAGING_DESTINATION_NAME, stream.into()),
        (MESSAGING_DESTINATION_TEMPLATE, template.into()),
    ]
}

/// Tokens of a chunk's run.
pub fn usage(usage: &domain::event::Usage) -> [Attribute; 3] {
    let count = |tokens: u64| Value::from(i64::try_from(tokens).unwrap_or(i64::MAX));
    [
        (GEN_AI_USAGE_INPUT_TOKENS, count(usage.prompt)),
        (GEN_AI_USAGE_OUTPUT_TOKENS, count(usage.completion)),
        (GEN_AI_USAGE_CACHED_TOKENS, count(usage.cached)),
    ]
}
