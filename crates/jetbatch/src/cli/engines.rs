//! `jetbatch doctor --engine`: each pool's engine, loaded as its worker would, and checked. NATS has no part in it.
use super::{config, error::Error, local, out, text};
use crate::{chain::chain, config::Config, metrics::Metrics, serve};
use domain::Pool;
use engine::{About, Spec, check::Report};
use serde::Serialize;
use std::{fmt, sync::Arc, time::Instant};

/// What is known of one pool.
#[derive(Debug, Serialize)]
struct Found {
    pool: Pool,
    engine: Option<Loaded>,
    checked: Option<Checked>,
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Loaded {
    kind: &'static str,
    model: String,
    device: String,
    slots: usize,
}

#[derive(Debug, Serialize)]
struct Checked {
    prompts: usize,
    tokens: usize,
    seconds: f64,
}

pub async fn doctor(file: &config::File, json: bool) -> Result<(), Error> {
    let config = Config { telemetry: local::quiet(), ..file.load()? };
    if config.pools.is_empty() {
        return Err(Error::failed(serve::Error::NoPools));
    }
    let (metrics, mut all) = (Arc::default(), Vec::new());
    for pool in config.worker_pools() {
        let Some(settings) = config.pools.get(&pool) else { continue };
        let found = look(&config, &metrics, pool, settings.engine.clone()).await;
        if !json {
            out::line(&found)?;
        }
        all.push(found);
    }
    if json {
        out::line(serde_json::to_value(&all).map_err(Error::failed)?)?;
    }
    verdict(&all)
}

async fn look(config: &Config, metrics: &Arc<Metrics>, pool: Pool, spec: Spec) -> Found {
    let mut found = Found { pool, engine: None, checked: None, error: None };
    let engine = match serve::load(config, metrics, &found.pool, spec).await {
        Ok(engine) => engine,
        Err(error) => return Found { error: Some(chain(&*error)), ..found },
    };
    found.engine = Some(engine.about().into());
    let begun = Instant::now();
    match serve::check(&*engine).await {
        Ok(Report { prompts, tokens }) => {
            found.checked = Some(Checked { prompts, tokens, seconds: begun.elapsed().as_secs_f64() });
        }
        Err(error) => found.error = Some(chain(&error)),
    }
    found
}

fn verdict(all: &[Found]) -> Result<(), Error> {
    match all.iter().filter(|found| found.error.is_some()).count() as u64 {
        0 => Ok(()),
        n => Err(Error::Failed(format!("{} not fit for work", text::plural(n, "pool")))),
    }
}

impl From<About> for Loaded {
    fn from(About { model, engine, slots, device, task: _ }: About) -> Self {
        Self { kind: engine, model, device, slots }
    }
}

/// One line.
impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.pool)?;
        if let Some(Loaded { kind, model, device, slots }) = &self.engine {
            write!(f, "{model} by {kind} on {device}, {}: ", text::plural(*slots as u64, "slot"))?;
        }
        if let Some(Checked { prompts, tokens, seconds }) = self.checked {
            let tokens = text::plural(tokens as u64, "token");
            write!(f, "{prompts} prompts, {tokens}, {seconds:.1} s: sequences are kept apart")?;
        }
        f.write_str(self.error.as_deref().unwrap_or_default())
    }
}
