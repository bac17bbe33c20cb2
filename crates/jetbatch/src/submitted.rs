//! A message in SUBMIT, read: whose job it is, and how that job begins. Intake appends it; a door shows it where intake
//! has not come to it.
use crate::{
    bus::{Delivery, Raw},
    config::{Config, MayNot},
    payload,
};
use async_nats::HeaderMap;
use bytes::Bytes;
use domain::{
    JobId, Tenant, Timestamp,
    event::{Input, Submitted},
    id::Invalid,
    limits::WINDOW_MS_DEFAULT,
    submission::{Checked, Submission},
};
use wire::{Owner, Subject, envelope, stream};

/// Why a derived id is not taken, in words for its sender.
pub const DERIVED: &str = "'id' is a UUID of version 5, which only a key gives: use another version, such as 4 or 7";

pub struct Incoming {
    pub id: JobId,
    /// Whose it is. What comes on `jobs.submit` is of `default`, whatever it says, and on a tenant's subject of that one.
    pub owner: Owner,
    /// Or what is wrong with it.
    pub submission: Result<Checked, String>,
    fingerprint: String,
    /// When it was published: the window begins there.
    at: Timestamp,
}

struct Letter<'a> {
    subject: &'a str,
    headers: &'a HeaderMap,
    payload: &'a Bytes,
    seq: u64,
    at_ms: u64,
}

impl Incoming {
    pub fn of(delivery: &Delivery) -> Self {
        let Delivery { subject, headers, payload, seq, stored_ms, .. } = delivery;
        Letter { subject, headers, payload, seq: *seq, at_ms: *stored_ms }.read()
    }

    pub fn stored(raw: &Raw) -> Self {
        let Raw { subject, headers, payload, seq, time_ms, .. } = raw;
        Letter { subject, headers, payload, seq: *seq, at_ms: *time_ms }.read()
    }

    /// The job's first event.
    pub fn begin(&self, input: Input, trace: Option<String>, config: &Config) -> Submitted {
        let none = Submission::default();
        let checked = self.submission.as_ref().ok();
        let submission = checked.map_or(&none, |checked| &**checked);
        Submitted {
            at: self.at,
            fingerprint: self.fingerprint.clone(),
            input,
            model: submission.model.clone(),
            endpoint: submission.endpoint.clone(),
            window_ms: checked.map_or(WINDOW_MS_DEFAULT, Checked::window_ms),
            metadata: submission.metadata.clone(),
            priority: submission.priority.unwrap_or_default(),
            trace,
            packing: config.packing(),
            policies: config.policies(),
            strict: submission.is_strict(),
            tenant: self.owner.tenant,
            pools: self.owner.pools.clone(),
            webhook_url: self.webhook(config).ok().flatten(),
        }
    }
}

impl Incoming {
    /// Where its hooks go, or why they may not go where it wants them.
    pub fn webhook(&self, config: &Config) -> Result<Option<String>, MayNot> {
        let url = self.submission.as_ref().ok().and_then(|submission| submission.webhook_url.as_deref());
        url.map(|url| config.check_webhook(self.owner.tenant, url).map(|()| url.to_owned())).transpose()
    }
}

impl Letter<'_> {
    fn read(self) -> Incoming {
        let owner = self.owner();
        let submission = owner.as_ref().map_err(ToString::to_string).and_then(|_| self.submission());
        let named = submission.as_ref().ok().and_then(|submission| submission.fingerprint.clone());
        Incoming {
            id: self.job(submission.as_ref().ok()),
            fingerprint: named.unwrap_or_else(|| blake3::hash(self.payload).to_hex().to_string()),
            at: Timestamp::new(self.at_ms),
            owner: owner.unwrap_or_default(),
            submission,
        }
    }

    /// Only doors and rooms may publish on a job's own subject, and they know whose it is. Elsewhere no header is believed.
    fn owner(&self) -> Result<Owner, Invalid> {
        match self.subject.parse() {
            Ok(Subject::SubmitJob(_)) => Owner::read(|name| self.header(name)),
            Ok(_) | Err(_) => Ok(Owner { tenant: self.tenant(), pools: Vec::new() }),
        }
    }

    /// Who publishes, as far as NATS saw to it.
    fn tenant(&self) -> Tenant {
        match self.subject.parse() {
            Ok(Subject::SubmitOf(tenant)) => tenant,
            Ok(_) | Err(_) => Tenant::default(),
        }
    }

    fn submission(&self) -> Result<Checked, String> {
        let read = payload::read(self.header(envelope::CONTENT_TYPE), self.payload);
        let submission: Submission = read.map_err(|why| format!("the submission is {why}"))?;
        let submission = submission.check().map_err(|fault| fault.to_string())?;
        match (self.named(), submission.id) {
            (Some(job), Some(id)) if job != id => Err(format!("'id' is {id}, and the subject says {job}")),
            (None, Some(id)) if id.may_be_derived() && !self.owns(id, &submission) => Err(DERIVED.to_owned()),
            _ => Ok(submission),
        }
    }

    /// The id that its subject gives; else the client's own; else the one its key names; else the one that the publish
    /// acknowledgement gives.
    fn job(&self, submission: Option<&Checked>) -> JobId {
        let own = self.named().or_else(|| submission.and_then(|s| s.id));
        own.or_else(|| self.keyed()).unwrap_or_else(|| JobId::sequenced(stream::SUBMIT.as_str(), self.seq))
    }

    fn named(&self) -> Option<JobId> {
        match self.subject.parse() {
            Ok(Subject::SubmitJob(job)) => Some(job),
            Ok(_) | Err(_) => None,
        }
    }

    /// However long it is: one that named no job would name another one each time.
    fn keyed(&self) -> Option<JobId> {
        let key = self.header("Nats-Msg-Id").filter(|key| !key.is_empty());
        key.map(|key| JobId::keyed(self.tenant().as_str(), key))
    }

    /// Whether a derived id is its own. Doors published on `jobs.submit` before there was a subject for each job: what
    /// they left there is known by its message id.
    fn owns(&self, id: JobId, submission: &Submission) -> bool {
        let door = submission.fingerprint.as_ref().map(|fingerprint| format!("{id}:{fingerprint}"));
        self.keyed() == Some(id) || door.is_some_and(|door| self.header("Nats-Msg-Id") == Some(&*door))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get_last(name).map(|value| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "018f4e2a-7c1b-7000-8000-0123456789ab";

    fn read(subject: &str, key: Option<&str>, payload: &str) -> (JobId, Option<String>) {
        let mut headers = HeaderMap::new();
        key.into_iter().for_each(|key| headers.insert("Nats-Msg-Id", key));
        let payload = Bytes::from(payload.to_owned());
        let incoming = Letter { subject, headers: &headers, payload: &payload, seq: 7, at_ms: 1_000 }.read();
        (incoming.id, incoming.submission.err())
    }

    #[test]
    fn whose_job_it_is() {
        let (plain, own) = (r#"{"input":"x"}"#, format!(r#"{{"input":"x","id":"{OWN}"}}"#));
        let (monday, third) = (JobId::keyed(Tenant::default().as_str(), "monday"), JobId::sequenced("SUBMIT", 7));
        assert_eq!(read("jobs.submit", None, plain), (third, None));
        assert_eq!(read("jobs.submit", Some("monday"), plain), (monday, None));
        assert_eq!(read("tenant.red.jobs.submit", Some("monday"), plain), (JobId::keyed("red", "monday"), None));
        let long = "k".repeat(300);
        assert_eq!(read("jobs.submit", Some(&long), plain), (JobId::keyed("default", &long), None));
        assert_eq!(read("jobs.submit", Some("monday"), &own), (OWN.parse().unwrap(), None));
        assert_eq!(read(&format!("jobs.submit.{monday}"), None, plain), (monday, None));
        let (id, why) = read(&format!("jobs.submit.{monday}"), None, &own);
        assert!(id == monday && why.is_some_and(|why| why.contains("the subject says")));
    }

    #[test]
    fn nobody_takes_an_id_that_another_derives() {
        let monday = JobId::keyed(Tenant::default().as_str(), "monday");
        let claim = format!(r#"{{"input":"x","id":"{monday}"}}"#);
        assert_eq!(read("jobs.submit", Some("monday"), &claim), (monday, None));
        let (id, why) = read("jobs.submit", None, &claim);
        assert_eq!((id, why.as_deref()), (JobId::sequenced("SUBMIT", 7), Some(DERIVED)));
        assert_eq!(read("jobs.submit", Some("tuesday"), &claim).0, JobId::keyed(Tenant::default().as_str(), "tuesday"));
    }

    #[test]
    fn a_tenant_is_believed_on_a_jobs_own_subject_alone() {
        let (monday, payload) = (JobId::keyed("blue", "monday"), Bytes::from_static(br#"{"input":"x"}"#));
        let read = |subject: &str, tenant: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(envelope::TENANT, tenant);
            let incoming = Letter { subject, headers: &headers, payload: &payload, seq: 7, at_ms: 1_000 }.read();
            (incoming.owner.tenant.to_string(), incoming.submission.is_ok())
        };
        let own = format!("jobs.submit.{monday}");
        assert_eq!(read(&own, "blue"), ("blue".to_owned(), true));
        assert_eq!(read("jobs.submit", "blue"), ("default".to_owned(), true));
        assert_eq!(read(&own, "No Tenant"), ("default".to_owned(), false));
        assert_eq!(read("tenant.red.jobs.submit", "blue"), ("red".to_owned(), true));
    }

    /// As the doors published before.
    #[test]
    fn what_stood_in_the_stream_is_taken() {
        let monday = JobId::keyed(Tenant::default().as_str(), "monday");
        let left = format!(r#"{{"input":"x","id":"{monday}","fingerprint":"f"}}"#);
        assert_eq!(read("jobs.submit", Some(&format!("{monday}:f")), &left), (monday, None));
    }
}
