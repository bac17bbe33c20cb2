//! A configuration is refused in words, or every setting of it can be used.
use domain::limits::CHUNK_REQUESTS_MAX;
use jetbatch::{bus::Secret, config::Config};
use std::time::{Duration, Instant};

pub fn holds(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Config::parse(text) {
        Ok(config) => {
            routes(&config);
            packing(&config);
            waits(&config);
            secret(config);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Every model has a pool, and every pool that is named is there.
fn routes(config: &Config) {
    let routes = config.routes();
    for model in routes.models() {
        let pool = routes.pool(Some(model), None).expect("a pool serves the model");
        assert!(config.pools.contains_key(pool));
    }
    let fallback = routes.pool(None, None);
    assert!(fallback.is_none_or(|pool| config.pools.contains_key(pool)));
    assert!(config.worker_pools().iter().all(|pool| config.pools.contains_key(pool)));
}

fn packing(config: &Config) {
    let packing = config.packing();
    assert!(packing.chunk_requests.keys().eq(config.pools.keys()));
    assert!(packing.chunk_requests.values().all(|most| (1..=CHUNK_REQUESTS_MAX).contains(most)));
}

/// Whoever waits for so long can tell when it is over, in any unit.
fn waits(config: &Config) {
    let (nats, scheduler) = (&config.nats, &config.scheduler);
    for seconds in [nats.ack_wait_s, nats.retry_s, nats.connect_s, config.worker.drain_s, scheduler.reconcile_s] {
        assert!(seconds.checked_mul(2 * 1_000_000_000).is_some_and(|nanos| i64::try_from(nanos).is_ok()));
        assert!(Instant::now().checked_add(Duration::from_secs(seconds)).is_some());
    }
    assert!(Duration::try_from_secs_f64(scheduler.ahead_s).is_ok());
}

/// The password makes no difference to what is printed.
fn secret(mut config: Config) {
    let printed = format!("{config:?}");
    if config.nats.password.is_some() {
        config.nats.password = Some(Secret::new("another"));
        assert_eq!(format!("{config:?}"), printed);
    }
}
