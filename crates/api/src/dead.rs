use crate::{Kind, Route, Time};
use domain::{
    JobId, Pool,
    event::{ChunkFailed, FaultClass},
};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

/// Requests that were given up, in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Dead {
    pub id: u64,
    pub object: Kind,
    pub job: JobId,
    /// `<segment>-<index>`.
    pub chunk: String,
    pub pool: Pool,
    /// Of its last failure.
    pub class: FaultClass,
    pub reason: String,
    pub attempts: u64,
    pub requests: u32,
    /// Of the first few.
    #[serde(default)]
    pub custom_ids: Vec<String>,
    pub died_at: Time,
    pub links: DeadLinks,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLinks {
    #[serde(rename = "self")]
    pub itself: String,
    pub replay: String,
    pub job: String,
}

/// The same with its requests, and all that they failed of.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DeadWhole {
    #[serde(flatten)]
    pub entry: Dead,
    pub model: Option<String>,
    pub endpoint: Option<String>,
    /// The first failure first.
    pub history: Vec<DeadFailure>,
    /// The requests as they stood in the input.
    #[schema(value_type = Vec<Object>)]
    pub lines: Vec<Box<RawValue>>,
}

/// The part of [`DeadWhole`] that is its own.
#[derive(Deserialize)]
struct Rest {
    model: Option<String>,
    endpoint: Option<String>,
    history: Vec<DeadFailure>,
    lines: Vec<Box<RawValue>>,
}

/// In two passes, since serde reads no raw JSON beside flattened fields.
impl<'de> Deserialize<'de> for DeadWhole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let entry = serde_json::from_str(raw.get()).map_err(D::Error::custom)?;
        let Rest { model, endpoint, history, lines } = serde_json::from_str(raw.get()).map_err(D::Error::custom)?;
        Ok(Self { entry, model, endpoint, history, lines })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadFailure {
    pub at: Time,
    pub chunk: String,
    pub attempt: u32,
    pub worker: String,
    pub class: FaultClass,
    pub reason: String,
}

/// An entry that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadDropped {
    pub id: u64,
    pub object: Kind,
    pub deleted: bool,
}

/// Which entries, and how many of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeadQuery {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<Pool>,
    /// The class of the last failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<FaultClass>,
    /// Those after this entry: `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1)]
    pub after: Option<u64>,
    /// 1 to 100; 20 where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<u32>,
}

impl DeadFailure {
    pub fn of(failed: &ChunkFailed) -> Self {
        let ChunkFailed { at, chunk, attempt, class, .. } = *failed;
        let (worker, reason) = (failed.worker.clone(), failed.reason.clone());
        Self { at: at.into(), chunk: chunk.to_string(), attempt, worker, class, reason }
    }
}

impl DeadLinks {
    pub fn of(id: u64, job: JobId) -> Self {
        Self { itself: Route::Dead.of(id), replay: Route::Replay.of(id), job: Route::Job.of(job) }
    }
}

impl DeadDropped {
    pub const fn new(id: u64) -> Self {
        Self { id, object: Kind::Dead, deleted: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_is_written() {
        let json = concat!(
            r#"{"id":7,"object":"dead","job":"9fdf038c-1ccd-52b8-9915-fe5dcd8ee62a","chunk":"0-3","pool":"tiny","#,
            r#""class":"internal","reason":"no luck","attempts":1,"requests":1,"custom_ids":["a"],"#,
            r#""died_at":"1970-01-01T00:00:01.000Z","links":{"self":"/dead/7","replay":"/dead/7/replay","#,
            r#""job":"/jobs/9fdf038c-1ccd-52b8-9915-fe5dcd8ee62a"},"model":"tiny","endpoint":null,"#,
            r#""history":[{"at":"1970-01-01T00:00:01.000Z","chunk":"0-1","attempt":1,"worker":"w1","#,
            r#""class":"timeout","reason":"late"}],"lines":[{"z":1, "a":2.0}]}"#,
        );
        let entry: DeadWhole = serde_json::from_str(json).unwrap();
        assert_eq!(entry.entry.links, DeadLinks::of(7, entry.entry.job));
        assert_eq!(serde_json::to_string(&entry).unwrap(), json);
    }
}
