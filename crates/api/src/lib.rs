//! The HTTP door in types: every request and every answer, where it is taken ([`Route`]), what can be refused ([`Refusal`]),
//! and the OpenAPI document of it all ([`document`]). The door, its clients and the tests use these, so that they cannot
//! disagree. No I/O.
mod dead;
mod health;
mod job;
mod openapi;
mod operation;
mod page;
mod refusal;
mod route;
mod submit;
mod time;

pub use dead::{Dead, DeadDropped, DeadFailure, DeadLinks, DeadQuery, DeadWhole};
pub use domain::submission::Submission;
pub use health::{About, AboutLinks, Readiness, Ready};
pub use job::{Eta, Job, JobLinks, JobQuery, Usage};
pub use openapi::document;
pub use page::{DeadPage, JobPage, Kind};
pub use refusal::{ErrorCode, Refusal, Refused};
pub use route::{Method, Route};
pub use submit::{Accepted, Change, Retried, Settings, Start, StoredFile};
pub use time::Time;

/// Names one job for ever: the same key and body again is the same job.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// The state that a job was in when its lines were read.
pub const JOB_STATE: &str = "Jetbatch-State";
pub const JSON: &str = "application/json";
/// A batch file: a request in JSON on each line.
pub const NDJSON: &str = "application/x-ndjson";
pub const FORM: &str = "multipart/form-data";
