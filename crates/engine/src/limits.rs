//! How much there is of everything where the configuration does not say.

/// The sequences that run together. On a CPU it is a matter of cores and memory.
pub const SLOTS_CUDA: usize = 128;
/// Calls in flight beyond the slots, so that the next is there when a slot falls free.
pub const SPARE: usize = 4;
/// A grammar or schema as it was written.
pub const GRAMMAR_BYTES_MAX: usize = 256 << 10;
/// Compiled grammars that are kept for the next request.
pub const GRAMMARS_KEPT: usize = 32;
/// Characters of what is said about one that does not compile.
pub const GRAMMAR_WORDS_MAX: usize = 300;
