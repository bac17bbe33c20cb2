//! The HTTP door in types: every request and every answer, where it is taken ([`Route`]), what can be refused ([`ErrorBody`]),
//! and the OpenAPI document of it all ([`document`]). The door, its clients and the tests use these, so that they cannot
//! disagree. No I/O.
mod audit;
mod dead;
mod error;
mod health;
mod job;
mod key;
mod limits;
pub mod openai;
mod openapi;
mod operation;
mod page;
mod quote;
mod route;
mod row;
#[cfg(test)]
#[path = "../../domain/tests/sample/status.rs"]
mod sample;
mod schema;
mod submit;
mod time;
mod timeline;
mod usage;
mod worker;

pub use audit::{AuditPage, AuditQuery, Done};
pub use dead::{Dead, DeadDropped, DeadFailure, DeadLinks, DeadQuery, DeadWhole};
pub use domain::submission::Submission;
pub use error::{ErrorBody, ErrorCode, ErrorKind, ErrorObject};
pub use health::{About, AboutLinks, Readiness, Ready};
pub use job::{Eta, Job, JobLinks, JobQuery, Risk, Stalled, Usage};
pub use key::{CreateKey, Key, Keys, MadeKey, RotateKey, SignIn, SignedOut, Whoami};
pub use limits::{AllLimits, TenantLimits, Used};
pub use openapi::document;
pub use page::{DeadPage, JobPage, Kind};
pub use quote::{EndangeredJob, Input as QuotedInput, Quote};
pub use route::{Access, Method, Route};
pub use row::{JobRow, JobRows};
pub use schema::schema;
pub use submit::{Accepted, Change, Retried, Settings, Start, StoredFile};
pub use time::Time;
pub use timeline::{ChunkAttempt, RateFell, StageSpan, StageSum, Timeline, WaitedFor};
pub use usage::{UsageDays, UsageQuery, Used as UsedAmounts, UsedDay};
pub use worker::{PoolAhead, Worker, Workers};

/// Names one job for ever: the same key and body again is the same job.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// The state that a job was in when its lines were read.
pub const JOB_STATE: &str = "Jetbatch-State";
/// Of lines that were read while their job ran: more will come.
pub const INCOMPLETE: &str = "x-incomplete";
pub const JSON: &str = "application/json";
/// A batch file: a request in JSON on each line.
pub const NDJSON: &str = "application/x-ndjson";
/// One answer's name in logs, on every answer.
pub const REQUEST_ID: &str = "x-request-id";
pub const FORM: &str = "multipart/form-data";
