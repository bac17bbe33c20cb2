//! Settings: a TOML file, then environment variables `JETBATCH__SECTION__KEY` over it. Unknown keys are errors.
mod bounds;
mod list;
mod retention;
mod tenants;
mod webhooks;

pub use retention::{Age, Retention};
pub use tenants::TenantConfig;
pub use webhooks::{MayNot, Webhooks};

use crate::{bus, telemetry};
use domain::{
    Pool, Tenant,
    admission::Admission,
    event::FaultClass,
    health::Pauses,
    limits::{CHUNK_REQUESTS_MAX, INPUT_BYTES_MAX, INPUT_LINES_MAX, LINE_BYTES_MAX},
    pack::{Order, Packing},
    quota::Limits,
    retry::{Override, Policies},
    routes::Routes,
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
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
    pub retention: Retention,
    pub telemetry: telemetry::Settings,
    /// What follows on failures, by class; what is left out is the class's default.
    pub retry: BTreeMap<FaultClass, Override>,
    pub pools: BTreeMap<Pool, PoolConfig>,
    /// What each tenant may have at the doors, where nothing else is said.
    pub limits: Limits,
    pub tenants: BTreeMap<Tenant, TenantConfig>,
    /// The pool of requests that name no model. A single pool is the default by itself.
    pub default_pool: Option<Pool>,
    pub webhooks: Webhooks,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Loopback unless set. Elsewhere a request needs a key.
    pub listen: SocketAddr,
    /// Names and addresses that a door on loopback is reached by beside `localhost`, such as a proxy's.
    #[serde(deserialize_with = "list::list")]
    pub hosts: Vec<String>,
    /// A JSON body, in bytes. Streamed JSONL bodies are bounded by `intake.input_bytes_max`.
    pub json_bytes_max: usize,
    /// How long `POST /v1/chat/completions` and its like wait for their answer, in seconds.
    pub answer_s: u64,
    /// Whether a request needs a key.
    pub auth: Auth,
    /// Connections from one address at once, of IPv6 from one network of 64 bits; 0: a share of all that there may be, so
    /// that no address takes what others need, and no bound for this machine's own, such as a proxy's.
    pub connections_per_address: usize,
    /// Origins whose pages may call this door, such as `https://app.example`. None: those of no other site.
    #[serde(deserialize_with = "list::list")]
    pub cors_origins: Vec<String>,
    /// The door speaks HTTPS alone where it is given.
    pub tls: Option<HttpTls>,
}

/// Files in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpTls {
    /// The certificate, and those between it and its authority.
    pub cert: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// Unless the door listens on loopback alone.
    #[default]
    Auto,
    Required,
    /// Keys are not even looked at.
    Off,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Intake {
    pub line_bytes_max: usize,
    pub input_bytes_max: u64,
    pub input_lines_max: u64,
    /// Folders that `file://` inputs may lie under. None: no such input is taken.
    #[serde(deserialize_with = "list::list")]
    pub file_roots: Vec<PathBuf>,
    /// Prefixes of object URLs that may be read, such as `s3://bucket/in/`.
    #[serde(deserialize_with = "list::list")]
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
    #[serde(deserialize_with = "list::list")]
    pub pools: Vec<Pool>,
    /// The worker's name; by default made of host and pool, with a number where another one has that.
    pub name: Option<String>,
    /// Where probes and Prometheus find a process with workers, which has no other door. It asks for no key.
    pub listen: Option<SocketAddr>,
    /// How long a worker that is told to stop may finish what runs; the rest is handed back.
    pub drain_s: u64,
    /// Whether an engine runs in a process of its own, which can die alone and is started again.
    pub isolate: Isolate,
    /// An engine in a process of its own that gives no token for so long, with calls before it, is started again.
    /// 0: never.
    pub engine_stall_s: u64,
    /// After a failure an engine is asked something that it must answer; without a sign of life for so long, it failed.
    pub control_s: u64,
    /// Before an engine that failed so is asked again: doubled each time, from the first to the longest.
    pub probe_first_ms: u64,
    pub probe_longest_ms: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolate {
    /// On for mistral.rs, off for all others.
    #[default]
    Auto,
    On,
    Off,
}

impl Worker {
    pub fn isolates(&self, kind: engine::Kind) -> bool {
        match self.isolate {
            Isolate::Auto => kind == engine::Kind::Mistralrs,
            Isolate::On => true,
            Isolate::Off => false,
        }
    }

    pub const fn control(&self) -> Duration {
        Duration::from_secs(if self.control_s > 0 { self.control_s } else { 1 })
    }

    pub fn pauses(&self) -> Pauses {
        Pauses { first_ms: self.probe_first_ms.max(1), longest_ms: self.probe_longest_ms }
    }

    pub fn engine_stall(&self) -> Option<Duration> {
        (self.engine_stall_s > 0).then(|| Duration::from_secs(self.engine_stall_s))
    }
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
    /// Events after which a snapshot of the log's fold is written. 0: none are written.
    pub snapshot_events: u64,
    /// The longest time between a change and a snapshot.
    pub snapshot_s: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolConfig {
    /// The model names it serves; by default the pool's own name.
    #[serde(default, deserialize_with = "list::list")]
    pub models: Vec<String>,
    /// Requests a chunk holds at most; by default four for each slot, and 32 at least.
    #[serde(default)]
    pub chunk_requests: Option<u32>,
    /// What a chunk holds together; by default what the engine gains by.
    #[serde(default)]
    pub order: Option<Order>,
    /// What is done with jobs whose windows will not hold.
    #[serde(default)]
    pub admission: Admission,
    pub engine: engine::Spec,
}

/// The slots a chunk is cut for where the pool leaves them to the engine, or has fewer: each chunk costs some messages.
const SLOTS_GUESS: usize = 8;

impl PoolConfig {
    /// A pool of this engine, and the rest by default.
    pub const fn of(engine: engine::Spec) -> Self {
        Self { models: Vec::new(), chunk_requests: None, order: None, admission: Admission::Accept, engine }
    }

    pub fn chunk_requests(&self) -> u32 {
        let guess = if self.engine.kind() == engine::Kind::Echo { CHUNK_REQUESTS_MAX as usize } else { SLOTS_GUESS };
        let slots = self.engine.slots().unwrap_or(guess).max(SLOTS_GUESS);
        let slots = u32::try_from(slots).unwrap_or(CHUNK_REQUESTS_MAX);
        self.chunk_requests.unwrap_or(slots.saturating_mul(4)).clamp(1, CHUNK_REQUESTS_MAX)
    }

    pub fn order(&self) -> Order {
        self.order.unwrap_or_else(|| match &self.engine {
            // Most servers keep what they have computed of a prompt for the next one that begins alike.
            engine::Spec::Openai(_) => Order::Prefix,
            engine::Spec::Mistralrs(spec) if spec.is_paged() => Order::Length,
            engine::Spec::Mistralrs(_) | engine::Spec::Echo(_) => Order::Arrival,
        })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{0}")]
    Invalid(#[from] config::ConfigError),
    #[error(transparent)]
    Nats(#[from] bus::SettingsError),
    #[error("model '{model}' is served by the pools '{one}' and '{two}'; give it to one of them")]
    TwoPools { model: String, one: Pool, two: Pool },
    #[error("http.cors_origins has '{0}'; an origin is a scheme, a host and a port, such as https://app.example")]
    Origin(String),
    #[error("default_pool '{0}' is not a configured pool")]
    NoSuchPool(Pool),
    #[error("retry.{}: {why}", class.as_str())]
    Retry { class: FaultClass, why: &'static str },
    #[error("worker.pools names '{0}', which is not a configured pool")]
    NoSuchWorkerPool(Pool),
    #[error("{name} in the environment")]
    Variable { name: String, source: Box<LoadError> },
    #[error("{name} in the environment is no setting; {meant} is")]
    Underscores { name: String, meant: String },
    #[error("'{0}' is not a key")]
    Key(String),
    #[error("{key} is {value}; at most {most} is taken")]
    TooMuch { key: String, value: u64, most: u64 },
    #[error("tenants.{tenant}.weight is {weight}; it must be a number from 0.01 to 100, such as 2.0")]
    Weight { tenant: Tenant, weight: f64 },
    #[error("scheduler.ahead_s is {0}; it must be a number of seconds, such as 2.0")]
    Ahead(f64),
    #[error("{key}: {why}")]
    Webhook { key: String, why: String },
}

/// Of the variables that are settings.
const PREFIX: &str = "JETBATCH__";

fn is_setting(name: &str) -> bool {
    name.get(..PREFIX.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(PREFIX))
}

/// What a variable that is no setting may have been meant as: two underscores stand before a section, and before a key.
fn meant(name: &str) -> Vec<String> {
    let Some(rest) = name.strip_prefix("JETBATCH_").filter(|rest| !rest.starts_with('_')) else { return Vec::new() };
    let cuts = rest.match_indices('_').map(|(at, _)| format!("{PREFIX}{}__{}", &rest[..at], &rest[at + 1..]));
    std::iter::once(format!("{PREFIX}{rest}")).chain(cuts).collect()
}

type Builder = config::ConfigBuilder<config::builder::DefaultState>;

impl Config {
    /// `file` if given, then the environment.
    pub fn load(file: Option<&Path>) -> Result<Self, LoadError> {
        let mut builder = config::Config::builder();
        if let Some(file) = file {
            builder = add(builder, config::File::from(file).format(config::FileFormat::Toml))?;
        }
        Self::under(builder, std::env::vars_os())
    }

    /// What is wrong in the environment alone is told by the variable's name.
    fn under(file: Builder, vars: impl Iterator<Item = (OsString, OsString)>) -> Result<Self, LoadError> {
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        let (vars, others): (HashMap<_, _>, HashMap<_, _>) =
            vars.filter_map(text).partition(|(name, _)| is_setting(name));
        let with = |vars: HashMap<String, String>| Self::read(add(file.clone(), environment().source(Some(vars)))?);
        let would_do = |name: &String, value: &String| with(HashMap::from([(name.clone(), value.clone())])).is_ok();
        for (name, value) in others {
            if let Some(meant) = meant(&name).into_iter().find(|meant| would_do(meant, &value)) {
                return Err(LoadError::Underscores { name, meant });
            }
        }
        let failed = match with(vars.clone()) {
            Err(failed) if with(HashMap::new()).is_ok() => failed,
            loaded => return loaded,
        };
        let mut names: Vec<&String> = vars.keys().collect();
        names.sort_unstable();
        let one = |name: &&&String| with(HashMap::from([((**name).clone(), vars[**name].clone())])).is_err();
        let name = names.iter().find(one).map_or_else(|| PREFIX.to_owned() + "..", |name| (*name).clone());
        Err(LoadError::Variable { name, source: Box::new(failed) })
    }

    fn read(builder: Builder) -> Result<Self, LoadError> {
        let built = builder.build()?;
        let config: Self = built.clone().try_deserialize().map_err(|error| spelled(error, built))?;
        config.check()?;
        Ok(config)
    }

    /// From TOML text alone.
    pub fn parse(text: &str) -> Result<Self, LoadError> {
        let source = config::File::from_str(text, config::FileFormat::Toml);
        Self::read(add(config::Config::builder(), source)?)
    }

    /// As browsers send them, or none would match.
    fn check_origins(&self) -> Result<(), LoadError> {
        let is_one = |origin: &&String| {
            url::Url::parse(origin).is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == origin.to_lowercase()
            })
        };
        match self.http.cors_origins.iter().find(|origin| !is_one(origin)) {
            Some(origin) => Err(LoadError::Origin(origin.clone())),
            None => Ok(()),
        }
    }

    fn check(&self) -> Result<(), LoadError> {
        self.nats.check()?;
        self.check_bounds()?;
        self.check_origins()?;
        self.check_webhooks()?;
        self.check_tenants()?;
        let mut served: BTreeMap<&str, &Pool> = BTreeMap::new();
        for (pool, model) in self.served() {
            if let Some(other) = served.insert(model, pool).filter(|other| *other != pool) {
                return Err(LoadError::TwoPools { model: model.to_owned(), one: other.clone(), two: pool.clone() });
            }
        }
        if let Some(pool) = self.default_pool.as_ref().filter(|pool| !self.pools.contains_key(*pool)) {
            return Err(LoadError::NoSuchPool(pool.clone()));
        }
        for (class, set) in &self.retry {
            if let Some(why) = set.over(class.policy()).fault() {
                return Err(LoadError::Retry { class: *class, why });
            }
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
        let servers = self.pools.iter().filter(|(_, config)| config.engine.kind() == engine::Kind::Openai);
        let embeds = self.pools.iter().filter(|(_, config)| config.engine.task() == engine::Task::Embeddings);
        Routes::new(self.served().map(|(pool, model)| (model.to_owned(), pool.clone())), fallback)
            .with_servers(servers.map(|(pool, _)| pool.clone()))
            .with_embeds(embeds.map(|(pool, _)| pool.clone()))
    }

    /// The strictest of what these pools do with jobs whose windows will not hold.
    pub fn admission<'a>(&self, pools: impl Iterator<Item = &'a Pool>) -> Admission {
        pools.filter_map(|pool| Some(self.pools.get(pool)?.admission)).max().unwrap_or_default()
    }

    /// How a job submitted now is cut.
    pub fn packing(&self) -> Packing {
        let sizes = self.pools.iter().map(|(pool, config)| (pool.clone(), config.chunk_requests()));
        let orders = self.pools.iter().map(|(pool, config)| (pool.clone(), config.order()));
        let order = orders.filter(|(_, order)| *order != Order::Arrival).collect();
        Packing { chunk_requests: sizes.collect(), order, ..Packing::default() }
    }

    /// What follows on failures of a job submitted now.
    pub fn policies(&self) -> Policies {
        Policies::new(self.retry.iter().map(|(class, set)| (*class, set.over(class.policy()))).collect())
    }

    /// The pools that this process's worker serves.
    pub fn worker_pools(&self) -> Vec<Pool> {
        if self.worker.pools.is_empty() { self.pools.keys().cloned().collect() } else { self.worker.pools.clone() }
    }
}

/// Each value is text until its field reads it: guessed at, a password of digits would lose its leading zeros.
fn environment() -> config::Environment {
    config::Environment::with_prefix("JETBATCH").prefix_separator("__").separator("__")
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
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 8800));
        Self {
            listen,
            hosts: Vec::new(),
            json_bytes_max: 8 << 20,
            answer_s: 600,
            auth: Auth::Auto,
            connections_per_address: 0,
            cors_origins: Vec::new(),
            tls: None,
        }
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
        Self { ahead_s: 1.5, reconcile_s: 5 }
    }
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            pools: Vec::new(),
            name: None,
            listen: None,
            drain_s: 30,
            isolate: Isolate::Auto,
            engine_stall_s: 300,
            control_s: 30,
            probe_first_ms: 1_000,
            probe_longest_ms: 60_000,
        }
    }
}

impl Default for Archiver {
    fn default() -> Self {
        Self { segments_at_once: 2 }
    }
}

impl Default for Projector {
    fn default() -> Self {
        Self { write_ms: 50, snapshot_events: 20_000, snapshot_s: 60 }
    }
}

/// A word that is none of a setting's words is told with those that are.
fn spelled(error: config::ConfigError, built: config::Config) -> LoadError {
    if !error.to_string().contains("does not have variant constructor") {
        return error.into();
    }
    let again = built.try_deserialize().map(serde_json::from_value::<Config>);
    match again {
        Ok(Err(said)) if said.to_string().contains("unknown variant") => {
            let key = error.to_string().split_once(" for key ").map(|(_, key)| format!(" for key {key}"));
            config::ConfigError::Message(format!("{said}{}", key.unwrap_or_default())).into()
        }
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::quota::{Limit, Most};

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
    fn a_class_keeps_the_defaults_it_is_not_told_to_change() {
        let policies = Config::parse("[retry.timeout]\nmax = 9").unwrap().policies();
        let (set, default) = (policies.of(FaultClass::Timeout), FaultClass::Timeout.policy());
        assert_eq!(set, domain::retry::Policy { max: 9, ..default });
        assert_eq!(policies.of(FaultClass::Internal), FaultClass::Internal.policy());
    }

    #[test]
    fn a_variable_is_what_its_field_takes() {
        let vars = [
            ("JETBATCH__NATS__PASSWORD", "0012"),
            ("JETBATCH__HTTP__LISTEN", "0.0.0.0:1"),
            ("JETBATCH__HTTP__JSON_BYTES_MAX", "7"),
            ("JETBATCH__SCHEDULER__AHEAD_S", "0.5"),
            ("JETBATCH__STORE__FSYNC", "false"),
            ("JETBATCH__HTTP__HOSTS", "a.example, b.example"),
            ("JETBATCH__INTAKE__FILE_ROOTS", "/in"),
            ("JETBATCH__WORKER__POOLS", "a"),
            ("JETBATCH__POOLS__A__MODELS", r#"["m", "n"]"#),
            ("JETBATCH__POOLS__A__ENGINE__KIND", "echo"),
            ("JETBATCH__POOLS__A__ENGINE__SLOTS", "3"),
            ("JETBATCH__LIMITS__UPLOADS", "4"),
            ("JETBATCH__TENANTS__BLUE__LIMITS__STORED_BYTES", "unlimited"),
        ];
        let vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let source = environment().source(Some(vars.into_iter().collect()));
        let config: Config = config::Config::builder().add_source(source).build().unwrap().try_deserialize().unwrap();
        let limits = config.limits("blue".parse().unwrap());
        assert_eq!(limits.get(Limit::Uploads), Some(Most::Of(4)));
        assert_eq!(limits.get(Limit::StoredBytes), Some(Most::Unlimited));
        assert_eq!(config.nats.password.unwrap().reveal(), "0012");
        assert_eq!((config.http.listen.port(), config.http.json_bytes_max), (1, 7));
        assert_eq!((config.scheduler.ahead_s, config.store.fsync), (0.5, false));
        assert_eq!(config.http.hosts, ["a.example", "b.example"]);
        assert_eq!((config.intake.file_roots, config.worker.pools), (vec!["/in".into()], vec!["a".parse().unwrap()]));
        let pool = config.pools.into_values().next().unwrap();
        assert_eq!((pool.engine.slots(), pool.models), (Some(3), vec!["m".to_owned(), "n".to_owned()]));
    }

    #[test]
    fn a_variable_in_error_is_named() {
        let load = |file: &str, vars: &[(&str, &str)]| {
            let file = config::File::from_str(file, config::FileFormat::Toml);
            let vars = vars.iter().map(|(name, value)| (name.into(), value.into()));
            Config::under(add(config::Config::builder(), file).unwrap(), vars.collect::<Vec<_>>().into_iter())
        };
        const GOOD: (&str, &str) = ("JETBATCH__HTTP__JSON_BYTES_MAX", "7");
        for bad in [
            ("JETBATCH__HTTP__LISTEN", "here"),
            ("JETBATCH__HTPP__LISTEN", "127.0.0.1:1"),
            ("JETBATCH__WORKER__POOLS", "x"),
        ] {
            let error = load(POOLS, &[GOOD, bad]).unwrap_err();
            assert!(matches!(&error, LoadError::Variable { name, .. } if name == bad.0), "{error:?}");
        }
        assert!(!matches!(load("[http]\nlisten = 'here'", &[GOOD]), Err(LoadError::Variable { .. }) | Ok(_)));
        assert!(load(POOLS, &[GOOD, ("JETBATCH_CONFIG", "x"), ("JETBATCH_NATS_PORT", "tcp://10.0.0.1:4222")]).is_ok());
        for (name, value, meant) in [
            ("JETBATCH_HTTP_LISTEN", "127.0.0.1:1", "JETBATCH__HTTP__LISTEN"),
            ("JETBATCH_HTTP_JSON_BYTES_MAX", "7", "JETBATCH__HTTP__JSON_BYTES_MAX"),
            ("JETBATCH_DEFAULT_POOL", "a", "JETBATCH__DEFAULT_POOL"),
        ] {
            let error = load(POOLS, &[GOOD, (name, value)]).unwrap_err().to_string();
            assert_eq!(error, format!("{name} in the environment is no setting; {meant} is"));
        }
    }

    #[test]
    fn engines_are_isolated_where_they_may_die() {
        use engine::Kind::{Echo, Mistralrs};
        for (text, echo, mistralrs) in [("auto", false, true), ("on", true, true), ("off", false, false)] {
            let worker = Config::parse(&format!("[worker]\nisolate = '{text}'")).unwrap().worker;
            assert_eq!((worker.isolates(Echo), worker.isolates(Mistralrs)), (echo, mistralrs), "{text}");
        }
        let stall = |s| Config::parse(&format!("[worker]\nengine_stall_s = {s}")).unwrap().worker.engine_stall();
        assert_eq!((stall(0), stall(7)), (None, Some(Duration::from_secs(7))));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, word) in [
            ("[htpp]\nlisten = '127.0.0.1:1'", "htpp"),
            ("[http]\nlisten = 'here'", "listen"),
            ("[pools.'A B'.engine]\nkind = 'echo'", "pool name"),
            ("default_pool = 'x'", "default_pool 'x'"),
            (
                "[pools.a.engine]\nkind = 'echo'\nisq = 'q4k'",
                "`isq` is no setting of an engine of kind 'echo', which takes",
            ),
            ("[pools.a.engine]\nkind = 'echo'\nisq = 'q4k'", "pools.a.engine"),
            ("[pools.a.engine]\nkind = 'echo'\nslots = 'few'", "pools.a.engine.slots"),
            ("[pools.a.engine]\nkind = 'mistralrs'", "`model` is missing"),
            ("[retry.gremlins]\nmax = 1", "gremlins"),
            ("[retry.timeout]\nmax = 1", "retry.timeout: split_from"),
            ("[nats]\nuser = 'ann'", "nats.password"),
            ("[store]\ndelete = 'no'", "unknown variant `no`, expected `auto` or `never` for key `store.delete`"),
            ("[retention]\njobs = 'soon'", "'soon' is no duration"),
            ("[limits]\nuploads = 'few'", "'few' is no limit"),
            ("[limits]\nupload = 1", "upload"),
            ("[tenants.A]", "tenant"),
            ("[retention]\njobs = 'soon'", "retention.jobs"),
            ("[retention]\nuploads = '0d'", "retention.uploads"),
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
