//! Bounds on what one request may ask for.

/// Choices of one answer: prompts times `n`.
pub const CHOICES_MAX: usize = 128;
pub const STOPS_MAX: usize = 16;
pub const STOP_BYTES_MAX: usize = 1024;
pub const BIAS_ENTRIES_MAX: usize = 1024;
pub const TOP_LOGPROBS_MAX: u64 = 20;
pub const TOP_LOGPROBS_TEXT_MAX: u64 = 5;
/// OpenAI's default of `max_tokens` for /v1/completions. Chat has none.
pub const TEXT_TOKENS_DEFAULT: usize = 16;

/// Upper bounds of the tokens that a chat template adds to a message, and to a conversation beyond what it adds to the
/// shortest one. To know without asking the tokenizer that a prompt fits.
pub const MESSAGE_TOKENS_MAX: usize = 32;
pub const TEMPLATE_SLACK_TOKENS: usize = 32;

/// The sequences that run together where the configuration does not say.
pub const SLOTS_CPU: usize = 1;
pub const SLOTS_CUDA: usize = 128;
/// Calls in flight beyond the slots, so that the next is there when a slot falls free.
pub const SPARE: usize = 4;
