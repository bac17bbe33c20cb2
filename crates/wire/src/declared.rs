//! The streams, buckets and consumers as their files under `streams/` declare them: name and content.
use crate::stream;

/// In the order in which they are applied.
pub const STREAMS: &[(&str, &str)] = &[
    ("EVENTS.json", include_str!("../../../streams/EVENTS.json")),
    ("SUBMIT.json", include_str!("../../../streams/SUBMIT.json")),
    ("WORK.json", include_str!("../../../streams/WORK.json")),
    ("RESULTS.json", include_str!("../../../streams/RESULTS.json")),
    ("ALERTS.json", include_str!("../../../streams/ALERTS.json")),
    ("DEAD.json", include_str!("../../../streams/DEAD.json")),
    ("HOOKS.json", include_str!("../../../streams/HOOKS.json")),
    ("AUDIT.json", include_str!("../../../streams/AUDIT.json")),
    ("KV_status.json", include_str!("../../../streams/KV_status.json")),
    ("KV_workers.json", include_str!("../../../streams/KV_workers.json")),
    ("KV_lives.json", include_str!("../../../streams/KV_lives.json")),
    ("KV_leases.json", include_str!("../../../streams/KV_leases.json")),
    ("KV_installation.json", include_str!("../../../streams/KV_installation.json")),
    ("KV_troubles.json", include_str!("../../../streams/KV_troubles.json")),
    ("KV_files.json", include_str!("../../../streams/KV_files.json")),
    ("KV_keys.json", include_str!("../../../streams/KV_keys.json")),
    ("KV_webhooks.json", include_str!("../../../streams/KV_webhooks.json")),
    ("KV_limits.json", include_str!("../../../streams/KV_limits.json")),
];

pub const CONSUMERS: &[(&str, &str)] = &[
    ("consumers/SUBMIT/intake.json", include_str!("../../../streams/consumers/SUBMIT/intake.json")),
    ("consumers/SUBMIT/control.json", include_str!("../../../streams/consumers/SUBMIT/control.json")),
    ("consumers/WORK/pool.json", include_str!("../../../streams/consumers/WORK/pool.json")),
    ("consumers/EVENTS/webhooks.json", include_str!("../../../streams/consumers/EVENTS/webhooks.json")),
    ("consumers/ALERTS/webhooks.json", include_str!("../../../streams/consumers/ALERTS/webhooks.json")),
    ("consumers/HOOKS/webhooks.json", include_str!("../../../streams/consumers/HOOKS/webhooks.json")),
];

/// The stream of facts.
pub const LOG: &str = stream::EVENTS.as_str();

/// Streams whose messages stay until they are taken.
pub const QUEUES: &[&str] = &[stream::SUBMIT.as_str(), stream::RESULTS.as_str(), stream::HOOKS.as_str()];

/// The metadata of a stream that is rebuilt from the log when it is gone.
pub const CACHE_MARK: &str = "jetbatch.cache";
