//! The rooms of jetbatch and what they stand on.
pub mod archiver;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod control;
pub mod gateway;
pub mod intake;
pub mod lease;
pub mod log;
pub mod metrics;
mod parts;
pub mod paths;
mod payload;
pub mod projector;
pub mod scheduler;
pub mod serve;
pub mod shared;
pub mod spans;
pub mod streams;
mod submitted;
pub mod telemetry;
pub mod worker;

pub use bus;
/// Objects, and where jetbatch keeps which.
pub mod store {
    pub use crate::paths::{self, Kind};
    pub use ::store::*;
}
