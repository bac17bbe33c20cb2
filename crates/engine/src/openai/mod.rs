//! OpenAI's side of a call: what a body asks, what an answer looks like, what is refused. No engine here.

mod ask;
mod field;
mod message;
mod refusal;
mod reply;
mod sampling;

pub use ask::{Ask, Format, Input};
pub use message::{Field, Message};
pub use refusal::Refusal;
pub use reply::{Choice, Token, Top, write};
pub use sampling::Sampling;
