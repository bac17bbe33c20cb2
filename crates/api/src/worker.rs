use crate::{Kind, Time};
use domain::{
    Pool,
    foresight::Ahead,
    health::{Server, Word},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// A worker, as it told of itself lately.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Worker {
    pub object: Kind,
    /// Of its process: one that serves several pools is here once for each.
    pub name: String,
    pub pool: Pool,
    pub model: String,
    pub engine: String,
    pub device: String,
    /// Requests that run together, at most.
    pub slots: u32,
    pub busy: u32,
    /// Lately.
    pub requests_per_s: f64,
    pub tokens_per_s: f64,
    /// How often its engine was started again.
    pub restarts: u32,
    pub state: Word,
    /// Of its state.
    pub since: Time,
    /// The reason for its state.
    pub why: Option<String>,
    /// Where its engine is servers elsewhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<Server>,
    pub started_at: Time,
    pub heard_at: Time,
}

/// What a pool has before it, and who does it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoolAhead {
    pub object: Kind,
    pub pool: Pool,
    /// That take work now.
    pub workers: u64,
    /// Workers like those of today that would keep every deadline with nine chances in ten. Null: the pool was never seen at
    /// work, or nobody forecasts now.
    pub workers_needed: Option<u64>,
    /// Requests that its jobs owe, but for jobs that are paused or hold. Null: nobody forecasts now.
    pub requests_owed: Option<u64>,
}

/// All of them, by pool and name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Workers {
    pub object: Kind,
    pub data: Vec<Worker>,
    /// Pools that have workers or owe requests, by name; empty where an order is answered.
    #[serde(default)]
    pub pools: Vec<PoolAhead>,
}

impl Workers {
    pub const fn new(data: Vec<Worker>, pools: Vec<PoolAhead>) -> Self {
        Self { object: Kind::List, data, pools }
    }
}

impl PoolAhead {
    /// `ahead`: None, where nobody forecasts. A pool that has neither workers nor anything to do is left out.
    pub fn all(workers: &[Worker], ahead: Option<&[Ahead]>) -> Vec<Self> {
        let told: BTreeMap<&Pool, &Ahead> = ahead.into_iter().flatten().map(|one| (&one.pool, one)).collect();
        let owing = told.iter().filter(|(_, one)| one.requests > 0).map(|(pool, _)| *pool);
        let pools: BTreeSet<&Pool> = workers.iter().map(|worker| &worker.pool).chain(owing).collect();
        let works = |pool: &Pool| workers.iter().filter(|worker| worker.pool == *pool && worker.state.works()).count();
        let one = |pool: &Pool| Self {
            object: Kind::Pool,
            pool: pool.clone(),
            workers: works(pool) as u64,
            workers_needed: told.get(pool).and_then(|one| one.needed),
            requests_owed: ahead.map(|_| told.get(pool).map_or(0, |one| one.requests)),
        };
        pools.into_iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(pool: &str, state: &str) -> Worker {
        let json = serde_json::json!({
            "object": "worker", "name": "w", "pool": pool, "model": "m", "engine": "echo", "device": "cpu", "slots": 4,
            "busy": 1, "requests_per_s": 2.5, "tokens_per_s": 250.0, "restarts": 0, "state": state,
            "since": "1970-01-01T00:00:01.000Z", "why": null, "started_at": "1970-01-01T00:00:00.000Z",
            "heard_at": "1970-01-01T00:00:02.000Z",
        });
        serde_json::from_value(json).unwrap()
    }

    fn ahead(pool: &str, requests: u64, needed: Option<u64>) -> Ahead {
        Ahead { pool: pool.parse().unwrap(), requests, needed }
    }

    #[test]
    fn a_pool_tells_who_works_and_who_is_missing() {
        let workers =
            [worker("a", "sound"), worker("a", "on_trial"), worker("a", "quarantined"), worker("idle", "sound")];
        let told = [ahead("a", 70, Some(3)), ahead("gone", 0, Some(0)), ahead("new", 5, None)];
        let shown = |ahead| {
            let line = |one: PoolAhead| (one.pool.to_string(), one.workers, one.workers_needed, one.requests_owed);
            PoolAhead::all(&workers, ahead).into_iter().map(line).collect::<Vec<_>>()
        };
        let of = |pool: &str, workers, needed, owed| (pool.to_owned(), workers, needed, owed);
        assert_eq!(
            shown(Some(&told[..])),
            [of("a", 2, Some(3), Some(70)), of("idle", 1, None, Some(0)), of("new", 0, None, Some(5))]
        );
        assert_eq!(shown(None), [of("a", 2, None, None), of("idle", 1, None, None)], "nobody forecasts");
    }

    #[test]
    fn the_list_reads_as_promised_and_that_of_an_older_server_is_read() {
        let workers = Workers::new(vec![], PoolAhead::all(&[worker("a", "sound")], Some(&[ahead("a", 70, Some(3))])));
        let json = serde_json::to_string(&workers).unwrap();
        let pool = r#"{"object":"pool","pool":"a","workers":1,"workers_needed":3,"requests_owed":70}"#;
        assert_eq!(json, format!(r#"{{"object":"list","data":[],"pools":[{pool}]}}"#));
        assert_eq!(
            serde_json::from_str::<Workers>(r#"{"object":"list","data":[]}"#).unwrap(),
            Workers::new(vec![], vec![])
        );
    }
}
