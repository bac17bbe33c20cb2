//! A pool's engine: here or in a process of its own, and checked where the pool asks for it.
use super::{Cause, Error};
use crate::{
    config::{Config, Worker},
    metrics::Metrics,
    shared::Shared,
    telemetry,
};
use domain::Pool;
use engine::{
    Engine, Spec,
    check::{self, Manner, Report},
    process::{self, Hosted, child},
};
use std::sync::Arc;

/// The engine that a worker is to run. One that mixes its sequences up is refused before it takes work; a process that is
/// started again later runs the same, and is not checked again.
pub(super) async fn open(shared: &Shared, pool: &Pool, spec: Spec) -> Result<Arc<dyn Engine>, Error> {
    let is_checked = spec.check() == engine::Check::On;
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
    if !config.worker.isolates(spec.kind()) {
        return Ok(engine::load(&spec).await?);
    }
    let (metrics, of) = (metrics.clone(), pool.clone());
    let restarted = move || metrics.engine_restarted(&of);
    Ok(Arc::new(Hosted::start(pool, apart(&config.worker, spec, &config.telemetry), restarted).await?))
}

/// How an engine runs in a process of its own, which logs as its worker does.
pub fn apart(worker: &Worker, spec: Spec, telemetry: &telemetry::Settings) -> process::Settings {
    let setup = serde_json::to_string(telemetry).expect("settings are JSON");
    process::Settings { stall: worker.engine_stall(), ..process::Settings::new(spec, setup) }
}

/// `jetbatch engine-host`, which is such a process.
pub async fn engine_host() -> Result<(), child::Error> {
    child::run(|setup| Ok(telemetry::init(&serde_json::from_str(setup)?, "engine")?)).await
}

/// Asks the engine itself, over all that lies between it and the worker.
pub async fn check(engine: &dyn Engine) -> Result<Report, check::Error> {
    check::kept_apart(engine, Manner::of(&engine.about())).await
}
