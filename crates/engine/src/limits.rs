//! How much runs together where the configuration does not say.

/// The sequences that run together where the configuration does not say.
pub const SLOTS_CPU: usize = 1;
pub const SLOTS_CUDA: usize = 128;
/// Calls in flight beyond the slots, so that the next is there when a slot falls free.
pub const SPARE: usize = 4;
