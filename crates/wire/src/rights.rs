//! Who may publish and hear what, where the parts of a jetbatch do not trust each other: the least that each needs. What
//! NATS itself is asked stands here, too, so that a login and the code that uses it are read together.
use crate::{Aheads, Ask, Asks, Heartbeat, Orders, Quotes, STREAMS, Subject, Usages, bucket, stream};
use domain::{ChunkId, JobId, Pool, Tenant, WorkerName};
use serde::Deserialize;
use std::fmt::{self, Display};

/// A user of the NATS account that jetbatch has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// Every room, the command line, and whoever looks after it.
    Head,
    /// A worker: it takes the chunks of its pools, and tells what came of them.
    Worker { name: WorkerName, pools: Vec<Pool> },
    /// Someone who submits for a tenant, and asks about that tenant's jobs.
    Submitter(Tenant),
}

/// The subjects that a login may use, as NATS spells them. What is not here is forbidden.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    pub publish: Vec<String>,
    pub subscribe: Vec<String>,
    /// Whether it may answer what it is asked, wherever the answer is to go.
    pub answers: bool,
}

/// What `nats micro ls`, `info` and `stats` ask.
const DISCOVERY: [&str; 6] = ["$SRV.PING", "$SRV.PING.>", "$SRV.INFO", "$SRV.INFO.>", "$SRV.STATS", "$SRV.STATS.>"];

impl Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("head"),
            Self::Worker { name, .. } => write!(f, "worker-{name}"),
            Self::Submitter(tenant) => write!(f, "submitter-{tenant}"),
        }
    }
}

impl Login {
    /// Where answers come to it, and to nobody else: `nats.inbox_prefix`, `nats --inbox-prefix`.
    pub fn inbox(&self) -> String {
        format!("_INBOX_{self}")
    }

    /// What it may do.
    pub fn rights(&self) -> Rights {
        let mut rights = match self {
            Self::Head => head(),
            Self::Worker { pools, .. } => worker(pools),
            Self::Submitter(tenant) => submitter(*tenant),
        };
        rights.subscribe.push(format!("{}.>", self.inbox()));
        rights
    }
}

/// What jetbatch's streams hold, and what of NATS lies behind them.
fn head() -> Rights {
    let declared = STREAMS.iter().flat_map(|(_, text)| subjects(text));
    let orders = wild(|_, n| Orders(pool(n), name(n)));
    let rest = [
        format!("$KV.{}.>", bucket::STATUS_REBUILT),
        "$JS.API.>".to_owned(),
        "$JS.ACK.>".to_owned(),
        Quotes.to_string(),
        Usages.to_string(),
        Aheads.to_string(),
        orders.clone(),
        "$SRV.>".to_owned(),
    ];
    let asked = Ask::ALL.map(|ask| Asks(None, ask).to_string());
    let subscribe = [Quotes.to_string(), Usages.to_string(), Aheads.to_string(), orders, "$SRV.>".to_owned()]
        .into_iter()
        .chain(asked.clone())
        .collect();
    Rights { publish: declared.chain(rest).chain(asked).collect(), subscribe, answers: true }
}

/// Its pools' work, and nobody's inputs else. Results, and the last event of a job, carry no pool in their subject: it can
/// read and write those of any job whose id it knows.
fn worker(pools: &[Pool]) -> Rights {
    let mut publish = vec![
        "$JS.API.INFO".to_owned(),
        direct(stream::EVENTS.as_str(), &wild(|job, _| Subject::JobEvent(job))),
        direct(stream::RESULTS.as_str(), &result()),
        // Who else works, which decides whether a failure is the request's.
        format!("$JS.API.STREAM.INFO.KV_{}", bucket::WORKERS),
        format!("$JS.API.STREAM.INFO.KV_{}", bucket::LIVES),
        wild(|job, _| Subject::ChunkEvent(job)),
        result(),
        wild(|job, n| Subject::ResultPart { job, chunk: ChunkId::new(n, n), tag: n.into(), part: n }),
    ];
    publish.extend(pools.iter().flat_map(of_pool));
    let subscribe = pools.iter().map(|pool| wild(|_, n| Orders(pool.clone(), name(n)))).collect();
    Rights { publish, subscribe, answers: true }
}

fn result() -> String {
    wild(|job, n| Subject::Result { job, chunk: ChunkId::new(n, n) })
}

fn of_pool(pool: &Pool) -> Vec<String> {
    let kept = |bucket| wild(|_, n| format!("$KV.{bucket}.{}", Heartbeat::key(pool, &name(n).to_string())));
    let (beat, life) = (kept(bucket::WORKERS), kept(bucket::LIVES));
    let input = wild(|job, n| Subject::InputPart { job, chunk: ChunkId::new(n, n), part: n, pool: pool.clone() });
    let work = stream::WORK.as_str();
    vec![
        format!("$JS.API.CONSUMER.INFO.{work}.{pool}"),
        format!("$JS.API.CONSUMER.MSG.NEXT.{work}.{pool}"),
        format!("$JS.ACK.{work}.{pool}.>"),
        // The form that servers of a later day may use, with domain and account.
        format!("$JS.ACK.*.*.{work}.{pool}.>"),
        direct(stream::RESULTS.as_str(), &input),
        direct(&format!("KV_{}", bucket::WORKERS), &beat),
        beat,
        direct(&format!("KV_{}", bucket::LIVES), &life),
        life,
        wild(|_, n| Subject::WorkerAlert(pool.clone(), name(n))),
    ]
}

fn submitter(tenant: Tenant) -> Rights {
    let asks = Ask::ALL.map(|ask| Asks(Some(tenant), ask).to_string());
    let own = [Subject::SubmitOf(tenant).to_string(), Subject::ControlOf(tenant).to_string()];
    let found = DISCOVERY.map(str::to_owned);
    Rights { publish: own.into_iter().chain(asks).chain(found).collect(), ..Rights::default() }
}

/// What of a stream is read by its subject, the last message on it.
fn direct(stream: &str, subject: &str) -> String {
    format!("$JS.API.DIRECT.GET.{stream}.{subject}")
}

/// A subject with a wildcard for each token that tells one job, number or name from another.
fn wild<S: Display>(of: impl Fn(JobId, u32) -> S) -> String {
    let spelled = |n: u32| of(JobId::keyed("rights", &n.to_string()), n).to_string();
    let (one, other) = (spelled(0), spelled(1));
    let tokens = one.split('.').zip(other.split('.'));
    tokens.map(|(one, other)| if one == other { one } else { "*" }).collect::<Vec<_>>().join(".")
}

fn name(n: u32) -> WorkerName {
    WorkerName::of(&n.to_string())
}

fn pool(n: u32) -> Pool {
    n.to_string().parse().expect("a number is a pool's name")
}

#[derive(Deserialize)]
struct Declared {
    subjects: Vec<String>,
}

fn subjects(stream: &str) -> Vec<String> {
    serde_json::from_str::<Declared>(stream).expect("a stream's file is its configuration").subjects
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Address;
    use domain::{
        event::FaultClass,
        trouble::{Kind, Scope},
    };

    /// As nats-server matches.
    fn matches(pattern: &str, subject: &str) -> bool {
        let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
        loop {
            match (pattern.next(), subject.next()) {
                (Some(">"), Some(_)) | (None, None) => return true,
                (Some(want), Some(token)) if want == "*" || want == token => {}
                _ => return false,
            }
        }
    }

    fn may(login: &Login, subject: impl Display) -> bool {
        login.rights().publish.iter().any(|pattern| matches(pattern, &subject.to_string()))
    }

    fn hears(login: &Login, subject: impl Display) -> bool {
        login.rights().subscribe.iter().any(|pattern| matches(pattern, &subject.to_string()))
    }

    fn pool_of(name: &str) -> Pool {
        name.parse().unwrap()
    }

    fn gpu() -> Login {
        Login::Worker { name: WorkerName::of("gpu"), pools: vec![pool_of("tiny"), pool_of("7")] }
    }

    fn all() -> Vec<Subject> {
        let (job, chunk, pool) = (JobId::keyed("default", "k"), ChunkId::new(3, 17), pool_of("tiny"));
        let blue: Tenant = "blue".parse().unwrap();
        vec![
            Subject::Submit,
            Subject::SubmitJob(job),
            Subject::Control,
            Subject::ControlJob(job),
            Subject::SubmitOf(blue),
            Subject::ControlOf(blue),
            Subject::JobEvent(job),
            Subject::ChunkEvent(job),
            Subject::Work { pool: pool.clone(), job, chunk },
            Subject::Result { job, chunk },
            Subject::ResultPart { job, chunk, tag: 7, part: 2 },
            Subject::InputPart { job, chunk, part: 0, pool: pool.clone() },
            Subject::SlaAlert(job),
            Subject::TroubleAlert(Kind::Worker, Scope::Pool(pool.clone())),
            Subject::WorkerAlert(pool.clone(), WorkerName::of("w1")),
            Subject::Dead { pool, reason: FaultClass::Internal, job, chunk },
        ]
    }

    #[test]
    fn a_head_publishes_all_and_hears_what_is_asked() {
        for subject in all() {
            assert!(may(&Login::Head, &subject), "{subject}");
        }
        assert!(may(&Login::Head, "$KV.status.x") && may(&Login::Head, "$KV.status_rebuilt.x"));
        let orders = Orders(pool_of("tiny"), name(1));
        assert!(may(&Login::Head, Usages) && hears(&Login::Head, Usages));
        assert!(may(&Login::Head, Aheads) && hears(&Login::Head, Aheads) && !may(&gpu(), Aheads));
        assert!(may(&Login::Head, Quotes) && hears(&Login::Head, Quotes) && hears(&Login::Head, orders));
        assert!(hears(&Login::Head, "tenant.blue.ask.submit") && hears(&Login::Head, "_INBOX_head.x.y"));
        assert!(!hears(&Login::Head, "_INBOX_submitter-blue.x") && !may(&Login::Head, "other"));
    }

    #[test]
    fn a_worker_tells_and_takes_no_more_than_its_pools() {
        let told = all().into_iter().filter(|subject| may(&gpu(), subject)).map(|subject| subject.stream());
        let told: Vec<_> = told.map(|stream| stream.as_str()).collect();
        assert_eq!(told, ["EVENTS", "RESULTS", "RESULTS", "ALERTS"]);
        let (job, chunk) = (JobId::keyed("default", "k"), ChunkId::new(3, 17));
        let part =
            |pool| direct("RESULTS", &Subject::InputPart { job, chunk, part: 1, pool: pool_of(pool) }.to_string());
        for (own, other) in [
            (part("tiny"), part("big")),
            ("$JS.API.CONSUMER.MSG.NEXT.WORK.7".to_owned(), "$JS.API.CONSUMER.MSG.NEXT.WORK.8".to_owned()),
            ("$JS.ACK.WORK.tiny.1.2.3.4.5".to_owned(), "$JS.ACK.WORK.big.1.2.3.4.5".to_owned()),
            ("$KV.workers.tiny.w1".to_owned(), "$KV.workers.big.w1".to_owned()),
            (direct("EVENTS", &Subject::JobEvent(job).to_string()), direct("EVENTS", "event.chunk.x")),
            ("alert.worker.7.w1".to_owned(), "alert.worker.8.w1".to_owned()),
            ("$JS.API.STREAM.INFO.KV_workers".to_owned(), "$JS.API.STREAM.MSG.GET.EVENTS".to_owned()),
        ] {
            assert!(may(&gpu(), &own) && !may(&gpu(), &other), "{own} {other}");
        }
        assert!(hears(&gpu(), Orders(pool_of("tiny"), name(1))) && !hears(&gpu(), Orders(pool_of("big"), name(1))));
    }

    #[test]
    fn a_submitter_speaks_for_its_tenant_alone() {
        let blue = Login::Submitter("blue".parse().unwrap());
        let told: Vec<String> = all().iter().filter(|it| may(&blue, it)).map(ToString::to_string).collect();
        assert_eq!(told, ["tenant.blue.jobs.submit", "tenant.blue.jobs.control"]);
        let red = "red".parse().unwrap();
        for ask in Ask::ALL {
            assert!(may(&blue, Asks(Some("blue".parse().unwrap()), ask)) && !may(&blue, Asks(Some(red), ask)));
        }
        assert!(!may(&blue, Subject::SubmitOf(red)) && !may(&blue, "$JS.API.INFO") && !blue.rights().answers);
        assert_eq!(blue.rights().subscribe, ["_INBOX_submitter-blue.>"]);
    }
}
