//! Settings: a TOML file, then environment variables `JETBATCH__SECTION__KEY` over it. Unknown keys are errors.
mod bounds;

use crate::{bus, store, telemetry};
use domain::{
    Pool,
    limits::{CHUNK_REQUESTS_MAX, INPUT_BYTES_MAX, INPUT_LINES_MAX, LINE_BYTES_MAX},
    pack::Packing,
    routes::Routes,
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub nats: bus::Settings,
    pub store: store::Settings,
    pub http: Http,
    pub intake: Intake,
    pub scheduler: Scheduler,
    pub worker: Worker,
    pub archiver: Archiver,
    pub projector: Projector,
    pub telemetry: telemetry::Settings,
    pub pools: BTreeMap<Pool, PoolConfig>,
    /// The pool of requests that name no model. A single pool is the default by itself.
    pub default_pool: Option<Pool>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Loopback unless set; whoever can reach it can submit and read jobs.
    pub listen: SocketAddr,
    /// A JSON body, in bytes. Streamed JSONL bodies are bounded by `intake.input_bytes_max`.
    pub json_bytes_max: usize,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Intake {
    pub line_bytes_max: usize,
    pub input_bytes_max: u64,
    pub input_lines_max: u64,
    /// Folders that `file://` inputs may lie under. None: no such input is taken.
    pub file_roots: Vec<PathBuf>,
    /// Prefixes of object URLs that may be read, such as `s3://bucket/in/`.
    pub url_prefixes: Vec<String>,
    /// Jobs validated at a time.
    pub jobs_at_once: usize,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scheduler {
    /// Seconds of work that WORK holds ahead of a pool's workers.
    pub ahead_s: f64,
    /// How often what is owed is compared with what WORK holds.
    pub reconcile_s: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Worker {
    /// The pools this process serves; empty: all that are configured.
    pub pools: Vec<Pool>,
    /// The worker's name; by default made of host, process and time.
    pub name: Option<String>,
    /// How long a worker that is told to stop may finish what runs; the rest is handed back.
    pub drain_s: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Archiver {
    /// Segments written at a time; each holds a few chunks' results in memory.
    pub segments_at_once: usize,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Projector {
    /// The least time between two writes of one job's status.
    pub write_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolConfig {
    /// The model names it serves; by default the pool's own name.
    #[serde(default)]
    pub models: Vec<String>,
    /// Requests a chunk holds at most; by default four for each slot.
    #[serde(default)]
    pub chunk_requests: Option<u32>,
    pub engine: engine::Spec,
}

/// The slots a chunk is cut for where the pool leaves them to the engine.
const SLOTS_GUESS: usize = 8;

impl PoolConfig {
    pub fn chunk_requests(&self) -> u32 {
        let guess = if self.engine.kind == engine::Kind::Echo { CHUNK_REQUESTS_MAX as usize } else { SLOTS_GUESS };
        let slots = u32::try_from(self.engine.slots.unwrap_or(guess)).unwrap_or(CHUNK_REQUESTS_MAX);
        self.chunk_requests.unwrap_or(slots.saturating_mul(4)).clamp(1, CHUNK_REQUESTS_MAX)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{0}")]
    Invalid(#[from] config::ConfigError),
    #[error("model '{model}' is served by the pools '{one}' and '{two}'; give it to one of them")]
    TwoPools { model: String, one: Pool, two: Pool },
    #[error("default_pool '{0}' is not a configured pool")]
    NoSuchPool(Pool),
    #[error("worker.pools names '{0}', which is not a configured pool")]
    NoSuchWorkerPool(Pool),
    #[error("'{0}' is not a key")]
    Key(String),
    #[error("{key} is {value}; at most {most} is taken")]
    TooMuch { key: String, value: u64, most: u64 },
    #[error("scheduler.ahead_s is {0}; it must be a number of seconds, such as 2.0")]
    Ahead(f64),
}

type Builder = config::ConfigBuilder<config::builder::DefaultState>;

impl Config {
    /// `file` if given, then the environment.
    pub fn load(file: Option<&Path>) -> Result<Self, LoadError> {
        let mut builder = config::Config::builder();
        if let Some(file) = file {
            builder = add(builder, config::File::from(file).format(config::FileFormat::Toml))?;
        }
        let env = config::Environment::with_prefix("JETBATCH").prefix_separator("__").separator("__").try_parsing(true);
        let config: Self = add(builder, env)?.build()?.try_deserialize()?;
        config.check()?;
        Ok(config)
    }

    /// From TOML text alone.
    pub fn parse(text: &str) -> Result<Self, LoadError> {
        let source = config::File::from_str(text, config::FileFormat::Toml);
        let config: Self = add(config::Config::builder(), source)?.build()?.try_deserialize()?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), LoadError> {
        self.check_bounds()?;
        let mut served: BTreeMap<&str, &Pool> = BTreeMap::new();
        for (pool, model) in self.served() {
            if let Some(other) = served.insert(model, pool).filter(|other| *other != pool) {
                return Err(LoadError::TwoPools { model: model.to_owned(), one: other.clone(), two: pool.clone() });
            }
        }
        if let Some(pool) = self.default_pool.as_ref().filter(|pool| !self.pools.contains_key(*pool)) {
            return Err(LoadError::NoSuchPool(pool.clone()));
        }
        match self.worker.pools.iter().find(|pool| !self.pools.contains_key(*pool)) {
            Some(pool) => Err(LoadError::NoSuchWorkerPool(pool.clone())),
            None => Ok(()),
        }
    }

    /// Every pool with every model name it serves.
    fn served(&self) -> impl Iterator<Item = (&Pool, &str)> {
        self.pools.iter().flat_map(|(pool, config)| {
            let own = config.models.is_empty().then_some(pool.as_str());
            config.models.iter().map(String::as_str).chain(own).map(move |model| (pool, model))
        })
    }

    pub fn routes(&self) -> Routes {
        let only = self.pools.keys().next().filter(|_| self.pools.len() == 1);
        let fallback = self.default_pool.as_ref().or(only).cloned();
        Routes::new(self.served().map(|(pool, model)| (model.to_owned(), pool.clone())), fallback)
    }

    /// How a job submitted now is cut.
    pub fn packing(&self) -> Packing {
        let sizes = self.pools.iter().map(|(pool, config)| (pool.clone(), config.chunk_requests()));
        Packing { chunk_requests: sizes.collect(), ..Packing::default() }
    }

    /// The pools that this process's worker serves.
    pub fn worker_pools(&self) -> Vec<Pool> {
        if self.worker.pools.is_empty() { self.pools.keys().cloned().collect() } else { self.worker.pools.clone() }
    }
}

/// The parser takes `a[9]` for a place in a list, and makes the list that long.
fn add(builder: Builder, source: impl config::Source + Send + Sync + 'static) -> Result<Builder, LoadError> {
    match source.collect()?.into_keys().find(|key| key.contains('[')) {
        Some(key) => Err(LoadError::Key(key)),
        None => Ok(builder.add_source(source)),
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8800)), json_bytes_max: 8 << 20 }
    }
}

impl Default for Intake {
    fn default() -> Self {
        Self {
            line_bytes_max: LINE_BYTES_MAX,
            input_bytes_max: INPUT_BYTES_MAX,
            input_lines_max: INPUT_LINES_MAX,
            file_roots: Vec::new(),
            url_prefixes: Vec::new(),
            jobs_at_once: 4,
        }
    }
}

impl Default for Scheduler {
    fn default() -> Self {
        Self { ahead_s: 2.0, reconcile_s: 5 }
    }
}

impl Default for Worker {
    fn default() -> Self {
        Self { pools: Vec::new(), name: None, drain_s: 30 }
    }
}

impl Default for Archiver {
    fn default() -> Self {
        Self { segments_at_once: 2 }
    }
}

impl Default for Projector {
    fn default() -> Self {
        Self { write_ms: 50 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOLS: &str =
        "[pools.a.engine]\nkind = 'echo'\n[pools.b]\nmodels = ['m', 'n']\n[pools.b.engine]\nkind = 'echo'";

    #[test]
    fn models_route_to_their_pools() {
        let routes = Config::parse(POOLS).unwrap().routes();
        assert_eq!(routes.models(), ["a", "m", "n"]);
        assert_eq!(routes.pool(Some("n"), None).map(Pool::as_str), Some("b"));
        assert_eq!(routes.pool(None, None), None);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, word) in [
            ("[htpp]\nlisten = '127.0.0.1:1'", "htpp"),
            ("[http]\nlisten = 'here'", "listen"),
            ("[pools.'A B'.engine]\nkind = 'echo'", "pool name"),
            ("default_pool = 'x'", "default_pool 'x'"),
            ("'worker.pools[999999999999]' = 'a'", "'worker.pools[999999999999]' is not a key"),
            (
                "[pools.a]\nmodels=['m']\n[pools.a.engine]\nkind='echo'\n[pools.b]\nmodels=['m']\n[pools.b.engine]\nkind='echo'",
                "'m'",
            ),
        ] {
            let error = Config::parse(text).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
