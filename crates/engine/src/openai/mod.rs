//! OpenAI's side of an answer. No engine here; what a body asks is read by `domain::request`.

mod reply;
mod vectors;

pub use reply::{Choice, Token, ToolCall, Top, write};
pub use vectors::vectors;
