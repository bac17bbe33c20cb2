//! End to end: real processes, a real nats-server, real files. One binary, so that every test can share the room it
//! has on the machine; each starts what it needs and waits for conditions, never for time to pass.
//!
//! `JETBATCH_BIN` names the jetbatch that is tested (default: the one built beside this binary).
//! `JETBATCH_TEST_ENGINE=echo` takes the echo engine where the bundled model would run, for a jetbatch built without
//! mistral.rs. `JETBATCH_TEST_NATS_CLI`, `JETBATCH_TEST_JAEGER` and `JETBATCH_TEST_S3` name the `nats` command, Jaeger's
//! all-in-one and VersityGW.
#![allow(clippy::unwrap_used)]

#[path = "../answers/mod.rs"]
mod answers;
mod bad_input;
mod boundaries;
mod caches;
mod check;
mod cli;
mod crashes;
mod dead;
mod doors;
mod endings;
mod engine_faults;
mod heads;
mod idempotency;
mod jaeger;
mod nats_cli;
mod orders;
mod pressure;
mod readme;
mod retention;
mod retry;
mod s3;
mod streams;
mod support;
mod traces;
mod urgency;
mod warnings;
