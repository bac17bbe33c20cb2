//! What the tests of jetbatch stand on: a real nats-server, jetbatch processes, an OTLP receiver, and waiting for
//! conditions instead of sleeping.
mod find;
pub mod nats;
pub mod otlp;
pub mod process;
mod wait;

pub use find::{tool, tools_dirs};
pub use wait::{wait_for, wait_until};
