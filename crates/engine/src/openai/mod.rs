//! OpenAI's side of a call: what a body asks, what an answer looks like, what is refused. No engine here.

#[cfg(feature = "mistralrs")]
mod ask;
#[cfg(feature = "mistralrs")]
mod field;
#[cfg(feature = "mistralrs")]
mod message;
mod refusal;
#[cfg(feature = "mistralrs")]
mod reply;
#[cfg(feature = "mistralrs")]
mod sampling;

pub use refusal::Refusal;
#[cfg(feature = "mistralrs")]
pub use {
    ask::{Ask, Format, Input},
    message::{Field, Message},
    reply::{Choice, Token, Top, write},
    sampling::Sampling,
};
