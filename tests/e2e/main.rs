//! End to end: real processes, a real nats-server, real files. One binary, so that every test can share the room it
//! has on the machine; each starts what it needs and waits for conditions, never for time to pass.
//!
//! `JETBATCH_BIN` names the jetbatch that is tested (default: the one built beside this binary).
//! `JETBATCH_TEST_ENGINE=echo` takes the echo engine where the bundled model would run, for a jetbatch built without
//! mistral.rs. `JETBATCH_TEST_NATS_CLI`, `JETBATCH_TEST_JAEGER` and `JETBATCH_TEST_S3` name the `nats` command, Jaeger's
//! all-in-one and VersityGW; `JETBATCH_TEST_LLAMA` a Python with llama.cpp's server, `JETBATCH_TEST_OPENAI` one
//! with OpenAI's client, `JETBATCH_TEST_SCHEMATHESIS` one with Schemathesis, `JETBATCH_TEST_HELM` and `JETBATCH_TEST_KUBE` helm and a Python with the Kubernetes schemas,
//! `JETBATCH_TEST_PAGE` a folder with a browser and what drives it, and `JETBATCH_TEST_OPENAI_SCHEMA` OpenAI's document, where every answer is to be held against it.
#![allow(clippy::unwrap_used)]

#[path = "../answers/mod.rs"]
mod answers;
mod audit;
mod bad_input;
mod bench;
mod boundaries;
mod caches;
mod cancels;
mod check;
mod cli;
mod contract;
mod crashes;
mod dead;
mod deploy;
mod doors;
#[path = "../tools/embedder.rs"]
mod embedder;
mod embeddings;
mod endings;
mod engine_faults;
mod hangup;
mod heads;
mod hostile;
mod idempotency;
mod identity;
mod jaeger;
mod limits;
mod losses;
mod mapped;
mod nats_cli;
mod openai;
mod orders;
mod page;
mod pressure;
mod prometheus;
mod quarantine;
mod quote;
mod readme;
mod remote;
mod resume;
mod retention;
mod retry;
mod rights;
mod s3;
mod streams;
mod support;
mod tables;
mod tenants;
mod timeline;
mod traces;
mod urgency;
mod usage;
mod walk;
mod warnings;
mod webhooks;
