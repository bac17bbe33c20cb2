//! What a request's body may hold, decided once: each field is honoured, harmless, or refused with a reason, and never
//! silently dropped. Intake reads with it what an engine will be asked, and every engine reads with it what it is asked.

pub(crate) mod ask;
pub(crate) mod body;
pub(crate) mod cut;
mod embed;
mod endpoint;
pub(crate) mod field;
mod fields;
mod format;
mod message;
mod part;
mod prompt;
mod refusal;
mod sampling;
mod tool;
mod twice;

pub use body::{Body, Chat, Input};
pub use embed::{Embed, Encoding};
pub use endpoint::{Endpoint, UnknownEndpoint};
pub use fields::{Taken, all as fields};
pub use format::{Constraint, Grammar};
pub use message::Message;
pub use prompt::Prompt;
pub use refusal::{Refusal, Scope};
pub use sampling::Sampling;
pub use tool::{Choice, Tool};
