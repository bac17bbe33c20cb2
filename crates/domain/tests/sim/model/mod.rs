//! Jobs, workers, crashes, duplicates, reorderings and lost messages around the pure core, on one thread and a clock
//! of its own. Every decision is the core's; the orders of steps are those of the rooms. All chance comes from one
//! seeded stream of small numbers, so that a failure is replayed, and shrunk by leaving numbers out.
pub mod answers;
mod appending;
mod archiver;
mod check;
pub mod choices;
mod client;
pub mod env;
mod faults;
mod intake;
#[path = "../../lifecycle/table.rs"]
#[allow(dead_code)]
mod lifecycle;
mod log;
mod projector;
mod queue;
mod scheduler;
pub mod shrink;
mod spec;
mod worker;
pub mod world;
mod write;
