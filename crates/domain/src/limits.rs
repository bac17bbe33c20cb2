//! Every maximum of the core, unit last. Settings may lower or raise what a caller passes in; these are the defaults
//! and the bounds that the wire depends on.

/// One JSONL line of an input.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// One input file.
pub const INPUT_BYTES_MAX: u64 = 10 << 30;
/// Requests of one job.
pub const INPUT_LINES_MAX: u64 = 50_000_000;
/// A `custom_id`.
pub const CUSTOM_ID_BYTES_MAX: usize = 512;
/// Requests of one segment.
pub const SEGMENT_REQUESTS_MAX: u32 = 10_000;
/// Bytes of one segment.
pub const SEGMENT_BYTES_MAX: u64 = 8 << 20;
/// Bytes of one chunk that holds more than one request.
pub const CHUNK_BYTES_MAX: u32 = 256 << 10;
/// Requests of one chunk, whatever a pool asks for.
pub const CHUNK_REQUESTS_MAX: u32 = 1_000;
/// Validation errors reported for one job.
pub const ERRORS_REPORTED_MAX: usize = 100;
/// Kinds of warnings told of one job; requests of further kinds are counted together.
pub const WARNINGS_REPORTED_MAX: usize = 20;
/// Distinct constraints of one input that intake checks; further ones are left to the workers.
pub const CONSTRAINTS_CHECKED_MAX: usize = 1_000;
/// Kinds of requests that one job's chunks are told apart by.
pub const KINDS_MAX: usize = 64;
/// The beginning of an input, from which its kind is told.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// Characters of one reported reason.
pub const REASON_CHARS_MAX: usize = 300;
/// Any message on NATS; the server's default maximum is 1 MiB.
pub const MESSAGE_BYTES_MAX: usize = 512 << 10;
/// One part of a request or result that does not fit into a message.
pub const PART_BYTES_MAX: usize = 384 << 10;
/// A submission's `model`, `input` and `fingerprint`, each: they stand in the job's first event.
pub const FIELD_BYTES_MAX: usize = 4 << 10;
/// Requests submitted inline, in one `jobs.submit` message.
pub const INLINE_REQUESTS_MAX: usize = 10_000;
/// Metadata pairs, characters of a key and of a value: the OpenAI limits.
pub const METADATA_PAIRS_MAX: usize = 16;
pub const METADATA_KEY_CHARS_MAX: usize = 64;
pub const METADATA_VALUE_CHARS_MAX: usize = 512;
/// Files of one table.
pub const TABLE_FILES_MAX: usize = 100_000;
/// An input that is validated beside large ones.
pub const SMALL_INPUT_BYTES_MAX: u64 = 1 << 20;
/// The promised time where a submission names none.
pub const WINDOW_MS_DEFAULT: u64 = 24 * 3_600_000;
/// The longest window: thirty days, well inside the age of EVENTS.
pub const WINDOW_MS_MAX: u64 = 30 * 24 * 3_600_000;
/// Deliveries of one attempt after which its workers pass for lost with it.
pub const DELIVERIES_MAX: u32 = 3;
/// Choices of one answer: prompts times `n`.
pub const CHOICES_MAX: usize = 128;
/// Texts of one request for embeddings: a vector of a short text is a thousand times as long, and a chunk's stand in memory
/// together.
pub const EMBED_TEXTS_MAX: usize = 256;
/// Numbers of a vector, as far as they are looked at before the model is known.
pub const DIMENSIONS_MAX: u64 = 1 << 16;
/// Stop strings of one request, and bytes of each.
pub const STOPS_MAX: usize = 16;
pub const STOP_BYTES_MAX: usize = 1024;
/// Tokens named in `logit_bias`, and in `stop_token_ids`.
pub const BIAS_ENTRIES_MAX: usize = 1024;
/// Alternatives of a token, in chats and in completions.
pub const TOP_LOGPROBS_MAX: u64 = 20;
pub const TOP_LOGPROBS_TEXT_MAX: u64 = 5;
/// OpenAI's default of `max_tokens` for /v1/completions. Chat has none.
pub const TEXT_TOKENS_DEFAULT: usize = 16;
/// Bytes of an idempotency key.
pub const KEY_BYTES_MAX: usize = 255;

const _: () = assert!(CHUNK_BYTES_MAX as usize <= MESSAGE_BYTES_MAX / 2);
const _: () = assert!(PART_BYTES_MAX < MESSAGE_BYTES_MAX);
const _: () = assert!(SEGMENT_BYTES_MAX >= LINE_BYTES_MAX as u64);
