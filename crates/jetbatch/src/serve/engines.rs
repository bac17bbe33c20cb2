//! A pool's engine: here or in a process of its own, and checked where the pool asks for it.
use super::{Cause, Error};
use crate::{
    config::Config,
    host::{self, Hosted},
    metrics::Metrics,
    shared::Shared,
};
use domain::Pool;
use engine::{
    Engine, Spec,
    check::{self, Manner, Report},
};
use std::sync::Arc;

/// The engine that a worker is to run. One that mixes its sequences up is refused before it takes work; a process that is
/// started again later runs the same, and is not checked again.
pub(super) async fn open(shared: &Shared, pool: &Pool, spec: Spec) -> Result<Arc<dyn Engine>, Error> {
    let is_checked = spec.check == engine::Check::On;
    let loaded = load(&shared.config, &shared.metrics, pool, spec).await;
    let engine = loaded.map_err(|source| Error::Engine { pool: pool.clone(), source })?;
    if is_checked {
        tracing::info!(%pool, "the engine is being checked");
        let Report { prompts, tokens } =
            check(&*engine).await.map_err(|source| Error::Unfit { pool: pool.clone(), source })?;
        tracing::info!(%pool, prompts, tokens, "the engine keeps its sequences apart");
    }
    Ok(engine)
}

/// Loads an engine as a worker runs it.
pub async fn load(config: &Config, metrics: &Arc<Metrics>, pool: &Pool, spec: Spec) -> Result<Arc<dyn Engine>, Cause> {
    if !config.worker.isolates(spec.kind) {
        return Ok(engine::load(&spec).await?);
    }
    let settings = host::Settings::new(&config.worker, spec, config.telemetry.clone());
    Ok(Arc::new(Hosted::start(pool, settings, metrics.clone()).await?))
}

/// Asks the engine itself, over all that lies between it and the worker.
pub async fn check(engine: &dyn Engine) -> Result<Report, check::Error> {
    check::kept_apart(engine, Manner::of(&engine.about())).await
}
