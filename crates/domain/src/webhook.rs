//! Webhooks: which event gives which hook, where one may go, and when it is tried again.
mod pace;
mod target;

pub use pace::{AT_ONCE_MAX, Dropped, Pace, Standing, Turn, Verdict};
pub use target::{Fault, Rule, Target, is_public};

use crate::{
    Event, JobId, Timestamp,
    alarm::Alarm,
    event::Outcome,
    id::{Invalid, NAMESPACE},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::{fmt, str::FromStr};
use strum::{IntoStaticStr, VariantArray};
use uuid::Uuid;

/// In place of a URL: nothing is told, even where the tenant names one.
pub const NONE: &str = "none";

/// What a hook tells: a batch's end, in OpenAI's words, or its standing against its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr, VariantArray)]
#[strum(const_into_str)]
pub enum Topic {
    #[serde(rename = "batch.completed")]
    #[strum(serialize = "batch.completed")]
    Completed,
    #[serde(rename = "batch.failed")]
    #[strum(serialize = "batch.failed")]
    Failed,
    #[serde(rename = "batch.expired")]
    #[strum(serialize = "batch.expired")]
    Expired,
    #[serde(rename = "batch.cancelled")]
    #[strum(serialize = "batch.cancelled")]
    Cancelled,
    #[serde(rename = "sla.at_risk")]
    #[strum(serialize = "sla.at_risk")]
    AtRisk,
    #[serde(rename = "sla.certain")]
    #[strum(serialize = "sla.certain")]
    Certain,
    #[serde(rename = "sla.recovered")]
    #[strum(serialize = "sla.recovered")]
    Recovered,
    #[serde(rename = "sla.missed")]
    #[strum(serialize = "sla.missed")]
    Missed,
}

impl Topic {
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// As it stands in the body's `type`.
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// What an event of a job's lifecycle gives, and when it was. Each job ends once.
    pub const fn of_event(event: &Event) -> Option<(Self, Timestamp)> {
        match event {
            Event::JobRejected(rejected) => Some((Self::Failed, rejected.at)),
            Event::JobEnded(ended) => Some((Self::of_outcome(ended.outcome), ended.at)),
            _ => None,
        }
    }

    /// What an alarm gives. That a deadline was met follows from the batch's end.
    pub const fn of_alarm(alarm: Alarm) -> Option<Self> {
        match alarm {
            Alarm::AtRisk => Some(Self::AtRisk),
            Alarm::Certain => Some(Self::Certain),
            Alarm::Recovered => Some(Self::Recovered),
            Alarm::Missed => Some(Self::Missed),
            Alarm::Met => None,
        }
    }

    const fn of_outcome(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Completed => Self::Completed,
            Outcome::Expired => Self::Expired,
            Outcome::Cancelled => Self::Cancelled,
        }
    }
}

/// A hook's id, the same however often it is made or sent: `evt_` and 32 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HookId(Uuid);

impl HookId {
    /// Of what a job's event at a time tells.
    pub fn of(job: JobId, topic: Topic, at: Timestamp) -> Self {
        Self(Uuid::new_v5(&NAMESPACE, format!("hook:{job}:{}:{}", topic.as_str(), at.get()).as_bytes()))
    }
}

const ID: &str = "evt_";

impl fmt::Display for HookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ID}{}", self.0.simple())
    }
}

impl FromStr for HookId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let id = text.strip_prefix(ID).filter(|digits| digits.len() == 32).and_then(|id| Uuid::try_parse(id).ok());
        id.map(Self).ok_or(Invalid { what: "hook's id", why: "it must be evt_ and 32 digits" })
    }
}

impl TryFrom<String> for HookId {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<HookId> for String {
    fn from(id: HookId) -> Self {
        id.to_string()
    }
}

/// A hook's body, as OpenAI's webhooks have it. `more` are fields of `data` beside the batch's id.
pub fn body(id: HookId, topic: Topic, job: JobId, at: Timestamp, more: Map<String, Value>) -> String {
    let mut data = more;
    data.insert("id".to_owned(), format!("batch_{}", job.uuid().simple()).into());
    let created_at = at.get() / 1_000;
    json!({"id": id, "object": "event", "created_at": created_at, "type": topic.as_str(), "data": data}).to_string()
}

/// What is signed of a hook, as Standard Webhooks has it.
pub fn signed(id: &str, at_s: u64, body: &str) -> String {
    format!("{id}.{at_s}.{body}")
}

/// What is shown of the URL that a job names: its host, since the rest may be a secret.
pub fn shown(url: &str) -> String {
    Target::read(url).map_or_else(|_| NONE.to_owned(), |target| target.host().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{At, Ended, Rejected};

    const NOW: Timestamp = Timestamp::new(1_700_000_000_999);

    fn job() -> JobId {
        JobId::keyed("default", "monday")
    }

    #[test]
    fn each_end_has_its_hook() {
        let ended = |outcome| Event::JobEnded(Ended::of(NOW, outcome));
        let rejected = Event::JobRejected(Rejected { at: NOW, errors: vec![], errors_total: 0 });
        for (event, topic) in [
            (ended(Outcome::Completed), "batch.completed"),
            (ended(Outcome::Expired), "batch.expired"),
            (ended(Outcome::Cancelled), "batch.cancelled"),
            (rejected, "batch.failed"),
        ] {
            let given = Topic::of_event(&event).map(|(topic, at)| (topic.as_str(), at));
            assert_eq!(given, Some((topic, NOW)));
        }
        assert_eq!(Topic::of_event(&Event::JobPaused(At { at: NOW })), None);
        let told: Vec<_> = Alarm::ALL.iter().filter_map(|alarm| Topic::of_alarm(*alarm)).map(Topic::as_str).collect();
        assert_eq!(told, ["sla.at_risk", "sla.certain", "sla.recovered", "sla.missed"]);
        for topic in Topic::ALL {
            assert_eq!(json!(topic), topic.as_str(), "one spelling");
        }
    }

    #[test]
    fn of_a_url_its_host_is_shown() {
        assert_eq!(shown("https://hooks.example:8443/services/T0/SECRET?k=v"), "hooks.example");
        assert_eq!(shown(NONE), NONE);
    }

    #[test]
    fn a_body_is_as_openai_has_it() {
        let id = HookId::of(job(), Topic::Completed, NOW);
        let text = body(id, Topic::Completed, job(), NOW, Map::new());
        let wanted = json!({
            "id": id.to_string(), "object": "event", "created_at": 1_700_000_000, "type": "batch.completed",
            "data": {"id": "batch_9fdf038c1ccd52b89915fe5dcd8ee62a"},
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), wanted);
    }

    #[test]
    fn an_id_is_the_same_for_ever_and_no_other_hooks() {
        let id = HookId::of(job(), Topic::Completed, NOW);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id, HookId::of(job(), Topic::Completed, NOW));
        let others = [
            HookId::of(job(), Topic::Failed, NOW),
            HookId::of(job(), Topic::Completed, Timestamp::new(1)),
            HookId::of(JobId::keyed("default", "tuesday"), Topic::Completed, NOW),
        ];
        assert!(!others.contains(&id));
        for bad in ["", "evt_", "evt_x", "9fdf038c1ccd52b89915fe5dcd8ee62a", "evt_9fdf038c-1ccd-52b8-9915-fe5dcd8ee62a"]
        {
            assert!(bad.parse::<HookId>().is_err(), "{bad}");
        }
    }
}
