//! The pure core of jetbatch. No I/O, clock, randomness or logging: time, ids and limits arrive inside the command,
//! so that a replay tomorrow gives today's answer.
pub mod decide;
pub mod dedup;
pub mod eta;
pub mod event;
pub mod forecast;
pub mod hint;
pub mod id;
pub mod job;
pub mod limits;
pub mod line;
pub mod lines;
pub mod pack;
pub mod queue;
pub mod rate;
pub mod raw;
pub mod request;
pub mod resubmit;
pub mod retry;
pub mod routes;
pub mod schedule;
pub mod status;
pub mod submission;
pub mod time;
pub mod warning;

pub use event::Event;
pub use id::{ChunkId, JobId, Pool};
pub use job::Job;
pub use request::Endpoint;
pub use time::Millis;
