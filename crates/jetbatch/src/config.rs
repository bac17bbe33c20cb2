//! Settings: a TOML file, then environment variables `JETBATCH__SECTION__KEY` over it. Unknown keys are errors.
mod bounds;
mod http;
mod list;
mod load;
mod pool;
mod retention;
mod rooms;
mod tenants;
mod webhooks;

pub use http::{Auth, Http, HttpTls};
pub use load::LoadError;
pub use pool::PoolConfig;
pub use retention::{Age, Retention};
pub use rooms::{Archiver, Intake, Isolate, Projector, Scheduler, Worker};
pub use tenants::TenantConfig;
pub use webhooks::{MayNot, Webhooks};

use crate::{bus, telemetry};
use domain::{
    Pool, Tenant,
    admission::Admission,
    event::FaultClass,
    pack::{Order, Packing},
    quota::Limits,
    retry::{Override, Policies},
    routes::Routes,
};
use serde::Deserialize;
use std::collections::BTreeMap;

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

impl Config {
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
    fn a_class_keeps_the_defaults_it_is_not_told_to_change() {
        let policies = Config::parse("[retry.timeout]\nmax = 9").unwrap().policies();
        let (set, default) = (policies.of(FaultClass::Timeout), FaultClass::Timeout.policy());
        assert_eq!(set, domain::retry::Policy { max: 9, ..default });
        assert_eq!(policies.of(FaultClass::Internal), FaultClass::Internal.policy());
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
