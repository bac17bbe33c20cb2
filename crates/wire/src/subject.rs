//! Every subject of jetbatch. No other file spells one.
use address::{Address, Pattern, Stream};
use domain::{
    ChunkId, JobId, Pool, Tenant, WorkerName,
    audit::What,
    event::FaultClass,
    id::Invalid,
    trouble::{Kind, Scope},
    webhook::HookId,
};
use std::{fmt, str::FromStr};

/// The streams, by the names their files under `streams/` declare.
pub mod stream {
    use address::Stream;

    pub const SUBMIT: Stream = Stream::new("SUBMIT");
    pub const EVENTS: Stream = Stream::new("EVENTS");
    pub const WORK: Stream = Stream::new("WORK");
    pub const RESULTS: Stream = Stream::new("RESULTS");
    pub const ALERTS: Stream = Stream::new("ALERTS");
    pub const DEAD: Stream = Stream::new("DEAD");
    pub const HOOKS: Stream = Stream::new("HOOKS");
    pub const AUDIT: Stream = Stream::new("AUDIT");
}

/// The key-value buckets.
pub mod bucket {
    use address::BucketName;

    pub const STATUS: BucketName = BucketName::new("status");
    /// What `status` would be if it were made anew, while the two are compared.
    pub const STATUS_REBUILT: BucketName = BucketName::new("status_rebuilt");
    pub const WORKERS: BucketName = BucketName::new("workers");
    /// How a worker's processes ended, and what it was told; as the heartbeats' keys.
    pub const LIVES: BucketName = BucketName::new("lives");
    pub const LEASES: BucketName = BucketName::new("leases");
    /// Which installation this is; under `id`.
    pub const INSTALLATION: BucketName = BucketName::new("installation");
    pub const TROUBLES: BucketName = BucketName::new("troubles");
    /// What is known of uploaded files beside their bytes.
    pub const FILES: BucketName = BucketName::new("files");
    /// Who may do what at the doors; by the key's id.
    pub const KEYS: BucketName = BucketName::new("keys");
    /// URLs of hooks that failed last, by a hash of them.
    pub const WEBHOOKS: BucketName = BucketName::new("webhooks");
    /// What tenants may have, by their names.
    pub const LIMITS: BucketName = BucketName::new("limits");
}

/// A publish address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// `jobs.submit` in SUBMIT: a submission, JSON or MessagePack; written by the doors and by any client.
    Submit,
    /// `jobs.submit.<job>` in SUBMIT: the same for a job whose id is known; written by the doors and the scheduler, who
    /// see to it that the id is theirs to give. So a job can be found before intake has taken it. Its headers say whose
    /// it is, and are believed.
    SubmitJob(JobId),
    /// `jobs.control` in SUBMIT: a command for a job of the tenant `default`; written by any client.
    Control,
    /// `jobs.control.<job>` in SUBMIT: a command for a job, whose ever it is; written by the doors, who know who asks.
    ControlJob(JobId),
    /// `tenant.<tenant>.jobs.submit` in SUBMIT: as `jobs.submit`, for a tenant; written by whoever NATS lets publish there,
    /// so that nobody need be believed who says whose a job is.
    SubmitOf(Tenant),
    /// `tenant.<tenant>.jobs.control` in SUBMIT: as `jobs.control`, for a job of that tenant; written alike.
    ControlOf(Tenant),
    /// `event.job.<job>` in EVENTS: lifecycle events, by compare-and-set; written by intake and scheduler.
    JobEvent(JobId),
    /// `event.chunk.<job>` in EVENTS: chunk and segment facts, by message id; written by intake, worker, archiver.
    ChunkEvent(JobId),
    /// `work.<pool>.<job>.<segment>.<chunk>` in WORK: a chunk to run; written by the scheduler.
    Work { pool: Pool, job: JobId, chunk: ChunkId },
    /// `result.<job>.<segment>.<chunk>` in RESULTS: a chunk's answers, the first one for ever; written by workers.
    Result { job: JobId, chunk: ChunkId },
    /// `result.<job>.<segment>.<chunk>.<tag>-<n>` in RESULTS: a part of an answer too large for one message. The tag is
    /// the attempt's own, so parts of two attempts never mix; the chunk's result names the tag.
    ResultPart { job: JobId, chunk: ChunkId, tag: u64, part: u32 },
    /// `input.<job>.<segment>.<chunk>.<part>.<pool>` in RESULTS: a part of a request too large for one message, for the
    /// workers of a pool; written by the scheduler.
    InputPart { job: JobId, chunk: ChunkId, part: u32, pool: Pool },
    /// `input.<job>.<segment>.<chunk>.<part>`: the same of before a part named its pool. Read, and not written any more.
    OldInputPart { job: JobId, chunk: ChunkId, part: u32 },
    /// `alert.sla.<job>` in ALERTS: a job's standing against its deadline changed; written by the projector.
    SlaAlert(JobId),
    /// `alert.trouble.<kind>.<scope>` in ALERTS: work cannot go on, or goes on again; written by whoever finds it out.
    TroubleAlert(Kind, Scope),
    /// `alert.worker.<pool>.<worker>` in ALERTS: a worker was found to be bad, or is sound again; written by itself.
    WorkerAlert(Pool, WorkerName),
    /// `dead.<pool>.<reason>.<job>.<segment>.<chunk>` in DEAD: a chunk given up; written by the scheduler.
    Dead { pool: Pool, reason: FaultClass, job: JobId, chunk: ChunkId },
    /// `audit.<tenant>.<what>.<job>` in AUDIT: what was done, by whom, as JSON; `-` where it was done to no job. Written by
    /// the doors, by heads for what came past them, and by the command line. The tenant is of who did it.
    Audit { tenant: Tenant, what: What, job: Option<JobId> },
    /// `dead.<pool>.<reason>.<job>.<segment>.<chunk>.<part>` in DEAD: a part of a request that is too large for its
    /// entry; written by the scheduler, before the entry.
    DeadPart { pool: Pool, reason: FaultClass, job: JobId, chunk: ChunkId, part: u32 },
    /// `hook.<job>.<hook>` in HOOKS: what is to be told to a URL; written by the webhooks' room.
    Hook(JobId, HookId),
}

/// What is asked of the service `jetbatch`, and answered at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ask {
    Submit,
    Status,
    Control,
    Quote,
}

/// `tenant.<tenant>.ask.<what>`, in no stream: where the gateway answers a tenant, as it does over HTTP. None: all tenants,
/// to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asks(pub Option<Tenant>, pub Ask);

impl Ask {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Submit, Self::Status, Self::Control, Self::Quote];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Status => "status",
            Self::Control => "control",
            Self::Quote => "quote",
        }
    }
}

/// Whether a subject is one of jetbatch's, in a stream or in none: what is answered there is heard as if it were meant.
pub fn is_own(subject: &str) -> bool {
    const FIRST: [&str; 13] = [
        "jobs", "tenant", "event", "work", "result", "input", "alert", "dead", "hook", "audit", "worker", "forecast",
        "usage",
    ];
    subject.split('.').next().is_some_and(|first| FIRST.contains(&first))
}

impl fmt::Display for Asks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenant = self.0.as_ref().map_or("*", Tenant::as_str);
        write!(f, "tenant.{tenant}.ask.{}", self.1.as_str())
    }
}

impl Asks {
    /// Whom a subject says that an answer is for.
    pub fn tenant(self, subject: &str) -> Result<Tenant, Invalid> {
        let tenant = subject.split('.').nth(1).ok_or(UNKNOWN)?.parse()?;
        if Self(Some(tenant), self.1).to_string() == subject { Ok(tenant) } else { Err(UNKNOWN) }
    }
}

/// `worker.<pool>.<worker>`, in no stream: where a worker takes [`crate::Ordered`], as JSON, and answers with its
/// heartbeat; asked by the doors and by any client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orders(pub Pool, pub WorkerName);

impl fmt::Display for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker.{}.{}", self.0, self.1)
    }
}

impl Address for Subject {
    fn stream(&self) -> Stream {
        match self {
            Self::Submit | Self::SubmitJob(_) | Self::SubmitOf(_) => stream::SUBMIT,
            Self::Control | Self::ControlJob(_) | Self::ControlOf(_) => stream::SUBMIT,
            Self::JobEvent(_) | Self::ChunkEvent(_) => stream::EVENTS,
            Self::Work { .. } => stream::WORK,
            Self::Result { .. } | Self::ResultPart { .. } => stream::RESULTS,
            Self::InputPart { .. } | Self::OldInputPart { .. } => stream::RESULTS,
            Self::SlaAlert(_) | Self::TroubleAlert(..) | Self::WorkerAlert(..) => stream::ALERTS,
            Self::Dead { .. } | Self::DeadPart { .. } => stream::DEAD,
            Self::Hook(..) => stream::HOOKS,
            Self::Audit { .. } => stream::AUDIT,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Submit => f.write_str("jobs.submit"),
            Self::SubmitJob(job) => write!(f, "jobs.submit.{job}"),
            Self::Control => f.write_str("jobs.control"),
            Self::ControlJob(job) => write!(f, "jobs.control.{job}"),
            Self::SubmitOf(tenant) => write!(f, "tenant.{tenant}.jobs.submit"),
            Self::ControlOf(tenant) => write!(f, "tenant.{tenant}.jobs.control"),
            Self::JobEvent(job) => write!(f, "event.job.{job}"),
            Self::ChunkEvent(job) => write!(f, "event.chunk.{job}"),
            Self::Work { pool, job, chunk: c } => write!(f, "work.{pool}.{job}.{}.{}", c.segment, c.index),
            Self::Result { job, chunk: c } => write!(f, "result.{job}.{}.{}", c.segment, c.index),
            Self::ResultPart { job, chunk: c, tag, part } => {
                write!(f, "result.{job}.{}.{}.{tag:016x}-{part}", c.segment, c.index)
            }
            Self::InputPart { job, chunk: c, part, pool } => {
                write!(f, "input.{job}.{}.{}.{part}.{pool}", c.segment, c.index)
            }
            Self::OldInputPart { job, chunk: c, part } => write!(f, "input.{job}.{}.{}.{part}", c.segment, c.index),
            Self::SlaAlert(job) => write!(f, "alert.sla.{job}"),
            Self::TroubleAlert(kind, scope) => write!(f, "alert.trouble.{}.{scope}", kind.as_str()),
            Self::WorkerAlert(pool, worker) => write!(f, "alert.worker.{pool}.{worker}"),
            Self::Hook(job, id) => write!(f, "hook.{job}.{id}"),
            Self::Audit { tenant, what, job } => write!(f, "audit.{tenant}.{}.{}", what.as_str(), token(job.as_ref())),
            Self::Dead { pool, reason, job, chunk: c } => {
                write!(f, "dead.{pool}.{}.{job}.{}.{}", reason.as_str(), c.segment, c.index)
            }
            Self::DeadPart { pool, reason, job, chunk: c, part } => {
                write!(f, "dead.{pool}.{}.{job}.{}.{}.{part}", reason.as_str(), c.segment, c.index)
            }
        }
    }
}

impl FromStr for Subject {
    type Err = Invalid;

    /// Takes the one spelling that is printed: NATS compares bytes, so under another one (a UUID in capitals, a number
    /// with zeros before it) it would be a second subject for the same thing.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::read(text).and_then(|subject| if subject.to_string() == text { Ok(subject) } else { Err(UNKNOWN) })
    }
}

impl Subject {
    fn read(text: &str) -> Result<Self, Invalid> {
        let tokens: Vec<&str> = text.split('.').collect();
        Ok(match tokens[..] {
            ["jobs", "submit"] => Self::Submit,
            ["jobs", "submit", job] => Self::SubmitJob(job.parse()?),
            ["jobs", "control"] => Self::Control,
            ["jobs", "control", job] => Self::ControlJob(job.parse()?),
            ["tenant", tenant, "jobs", "submit"] => Self::SubmitOf(tenant.parse()?),
            ["tenant", tenant, "jobs", "control"] => Self::ControlOf(tenant.parse()?),
            ["event", "job", job] => Self::JobEvent(job.parse()?),
            ["event", "chunk", job] => Self::ChunkEvent(job.parse()?),
            ["work", pool, job, s, c] => Self::Work { pool: pool.parse()?, job: job.parse()?, chunk: chunk(s, c)? },
            ["result", job, s, c] => Self::Result { job: job.parse()?, chunk: chunk(s, c)? },
            ["result", job, s, c, part] => {
                let (tag, part) = part.split_once('-').ok_or(UNKNOWN)?;
                let tag = u64::from_str_radix(tag, 16).map_err(|_| UNKNOWN)?;
                Self::ResultPart { job: job.parse()?, chunk: chunk(s, c)?, tag, part: number(part)? }
            }
            ["input", job, s, c, part, pool] => {
                let (job, chunk, part) = (job.parse()?, chunk(s, c)?, number(part)?);
                Self::InputPart { job, chunk, part, pool: pool.parse()? }
            }
            ["input", job, s, c, part] => {
                Self::OldInputPart { job: job.parse()?, chunk: chunk(s, c)?, part: number(part)? }
            }
            ["alert", "sla", job] => Self::SlaAlert(job.parse()?),
            ["alert", "trouble", kind, ..] => {
                let kind = kind.parse().map_err(|_| UNKNOWN)?;
                Self::TroubleAlert(kind, tokens[3..].join(".").parse()?)
            }
            ["hook", job, id] => Self::Hook(job.parse()?, id.parse()?),
            ["alert", "worker", pool, worker] => Self::WorkerAlert(pool.parse()?, worker.parse()?),
            ["audit", tenant, what, job] => {
                let job = if job == NO_JOB { None } else { Some(job.parse()?) };
                Self::Audit { tenant: tenant.parse()?, what: what.parse().map_err(|_| UNKNOWN)?, job }
            }
            ["dead", pool, reason, job, s, c] => {
                Self::Dead { pool: pool.parse()?, reason: class(reason)?, job: job.parse()?, chunk: chunk(s, c)? }
            }
            ["dead", pool, reason, job, s, c, part] => Self::DeadPart {
                pool: pool.parse()?,
                reason: class(reason)?,
                job: job.parse()?,
                chunk: chunk(s, c)?,
                part: number(part)?,
            },
            _ => return Err(UNKNOWN),
        })
    }
}

/// A wildcard to read or purge by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// All that a stream holds.
    All,
    /// Lifecycle events of all jobs.
    JobEvents,
    /// All events of all jobs.
    Events,
    /// All events of one job.
    EventsOf(JobId),
    /// All work.
    Work,
    /// The work of one pool.
    WorkOf(Pool),
    /// The work of one job.
    JobWork(JobId),
    /// Chunk and segment facts of one job.
    FactsOf(JobId),
    /// The results of one segment, parts included.
    SegmentResults(JobId, u32),
    /// The request parts of one segment.
    SegmentInputs(JobId, u32),
    /// The results of one job, parts included.
    JobResults(JobId),
    /// The request parts of one job.
    JobInputs(JobId),
    /// All results, parts included.
    Results,
    /// All request parts.
    Inputs,
    /// All that was given up.
    AllDead,
    /// What of one job was given up.
    JobDead(JobId),
    /// Chunks that were given up, without their parts: all, or those of a pool, a reason, a job.
    Dead { pool: Option<Pool>, reason: Option<FaultClass>, job: Option<JobId> },
    /// What was done: all, or what a tenant did, or to a job.
    Audit { tenant: Option<Tenant>, job: Option<JobId> },
    /// The parts of one that was given up.
    DeadParts { pool: Pool, reason: FaultClass, job: JobId, chunk: ChunkId },
}

impl Pattern for Filter {}

/// It matches itself.
impl Pattern for Subject {}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str(">"),
            Self::JobEvents => f.write_str("event.job.*"),
            Self::Events => f.write_str("event.*.*"),
            Self::EventsOf(job) => write!(f, "event.*.{job}"),
            Self::Work => f.write_str("work.>"),
            Self::WorkOf(pool) => write!(f, "work.{pool}.>"),
            Self::JobWork(job) => write!(f, "work.*.{job}.>"),
            Self::FactsOf(job) => write!(f, "event.chunk.{job}"),
            Self::SegmentResults(job, segment) => write!(f, "result.{job}.{segment}.>"),
            Self::SegmentInputs(job, segment) => write!(f, "input.{job}.{segment}.>"),
            Self::JobResults(job) => write!(f, "result.{job}.>"),
            Self::JobInputs(job) => write!(f, "input.{job}.>"),
            Self::Results => f.write_str("result.>"),
            Self::Inputs => f.write_str("input.>"),
            Self::AllDead => f.write_str("dead.>"),
            Self::JobDead(job) => write!(f, "dead.*.*.{job}.>"),
            Self::Dead { pool, reason, job } => {
                let pool = pool.as_ref().map_or("*", Pool::as_str);
                let reason = reason.map_or("*", FaultClass::as_str);
                let job = job.map_or_else(|| "*".to_owned(), |job| job.to_string());
                write!(f, "dead.{pool}.{reason}.{job}.*.*")
            }
            Self::Audit { tenant, job } => {
                let tenant = tenant.as_ref().map_or("*", Tenant::as_str);
                let job = job.map_or_else(|| "*".to_owned(), |job| job.to_string());
                write!(f, "audit.{tenant}.*.{job}")
            }
            Self::DeadParts { pool, reason, job, chunk: c } => {
                write!(f, "dead.{pool}.{}.{job}.{}.{}.*", reason.as_str(), c.segment, c.index)
            }
        }
    }
}

/// In the place of a job's id.
const NO_JOB: &str = "-";

fn token(job: Option<&JobId>) -> String {
    job.map_or_else(|| NO_JOB.to_owned(), JobId::to_string)
}

const UNKNOWN: Invalid = Invalid { what: "subject", why: "it is none of jetbatch's subjects" };

fn number(token: &str) -> Result<u32, Invalid> {
    token.parse().map_err(|_| UNKNOWN)
}

fn class(token: &str) -> Result<FaultClass, Invalid> {
    token.parse().map_err(|_| UNKNOWN)
}

fn chunk(segment: &str, index: &str) -> Result<ChunkId, Invalid> {
    Ok(ChunkId::new(number(segment)?, number(index)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Timestamp, webhook::Topic};

    #[test]
    fn every_subject_prints_and_parses() {
        let job = JobId::keyed("default", "k");
        let pool: Pool = "tiny".parse().unwrap();
        let chunk = ChunkId::new(3, 17);
        for subject in [
            Subject::Submit,
            Subject::SubmitJob(job),
            Subject::Control,
            Subject::ControlJob(job),
            Subject::JobEvent(job),
            Subject::ChunkEvent(job),
            Subject::Work { pool: pool.clone(), job, chunk },
            Subject::Result { job, chunk },
            Subject::ResultPart { job, chunk, tag: 0xdead_beef, part: 2 },
            Subject::SubmitOf("blue".parse().unwrap()),
            Subject::ControlOf("blue".parse().unwrap()),
            Subject::InputPart { job, chunk, part: 0, pool: pool.clone() },
            Subject::OldInputPart { job, chunk, part: 0 },
            Subject::SlaAlert(job),
            Subject::TroubleAlert(Kind::Store, Scope::Installation),
            Subject::TroubleAlert(Kind::Worker, Scope::Pool(pool.clone())),
            Subject::TroubleAlert(Kind::Chunk, Scope::Job(job)),
            Subject::WorkerAlert(pool.clone(), WorkerName::of("box 1")),
            Subject::Hook(job, HookId::of(job, Topic::Completed, Timestamp::new(1))),
            Subject::Dead { pool: pool.clone(), reason: FaultClass::OutOfMemory, job, chunk },
            Subject::DeadPart { pool, reason: FaultClass::Timeout, job, chunk, part: 4 },
            Subject::Audit { tenant: Tenant::default(), what: What::Submit, job: Some(job) },
            Subject::Audit { tenant: Tenant::default(), what: What::SetLimits, job: None },
        ] {
            assert!(is_own(&subject.to_string()), "{subject}");
            assert_eq!(subject.to_string().parse(), Ok(subject));
        }
    }

    #[test]
    fn the_dead_are_found_by_what_is_known_of_them() {
        let all = Filter::Dead { pool: None, reason: None, job: None };
        assert_eq!(all.to_string(), "dead.*.*.*.*.*");
        let job = JobId::keyed("default", "k");
        let (pool, reason) = ("tiny".parse().ok(), Some(FaultClass::Internal));
        let one = Filter::Dead { pool, reason, job: Some(job) };
        assert_eq!(one.to_string(), format!("dead.tiny.internal.{job}.*.*"));
    }

    #[test]
    fn a_tenant_is_read_from_the_subject_that_is_asked() {
        let all = Asks(None, Ask::Status);
        assert_eq!(all.to_string(), "tenant.*.ask.status");
        assert_eq!(all.tenant("tenant.blue.ask.status"), "blue".parse());
        for bad in ["tenant.blue.ask.submit", "tenant.Blue.ask.status", "tenant.blue.ask.status.x", "tenant", ""] {
            assert!(all.tenant(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_asked_is_jetbatchs_own_and_an_inbox_is_not() {
        let orders = Orders("tiny".parse().unwrap(), WorkerName::of("w1")).to_string();
        let asked = [orders, crate::Quotes.to_string(), crate::Usages.to_string(), Asks(None, Ask::Submit).to_string()];
        assert!(asked.iter().all(|subject| is_own(subject)), "{asked:?}");
        assert!(!is_own("_INBOX.abc") && !is_own("_INBOX_submitter-blue.x.1") && !is_own(""));
    }

    #[test]
    fn what_is_no_subject_is_refused() {
        for bad in [
            "",
            "jobs",
            "jobs.submit.x",
            "event.job.x",
            "work.a.b.c.d",
            "result.x.1.2",
            "dead.a.b.c.1.2",
            "tenant.A.jobs.submit",
        ] {
            assert!(bad.parse::<Subject>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_subject_has_one_spelling() {
        let job = JobId::keyed("default", "k");
        for bad in [
            format!("event.job.{}", job.to_string().to_uppercase()),
            format!("result.{job}.03.17"),
            format!("result.{job}.3.+17"),
            format!("result.{job}.3.17.beef-2"),
            format!("result.{job}.3.17.00000000DEADBEEF-2"),
        ] {
            assert!(bad.parse::<Subject>().is_err(), "{bad}");
        }
    }
}
