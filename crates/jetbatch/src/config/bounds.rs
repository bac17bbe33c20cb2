//! What a setting may be at most. Beyond it a clock, a semaphore or an offset overflows, long after the start.
use super::{Config, LoadError};

const WAIT_S_MAX: u64 = 365 * 86_400;
/// What is known of a URL that fails is forgotten after a week.
const RETRY_S_MAX: u64 = 3 * 86_400;
const AT_ONCE_MAX: u64 = 1 << 20;
const LINE_BYTES_MAX: u64 = 1 << 30;

impl Config {
    pub(super) fn check_bounds(&self) -> Result<(), LoadError> {
        if let Some((key, value, most)) = self.bounded().find(|(_, value, most)| value > most) {
            return Err(LoadError::TooMuch { key, value, most });
        }
        let ahead = self.scheduler.ahead_s;
        if (0.0..=WAIT_S_MAX as f64).contains(&ahead) { Ok(()) } else { Err(LoadError::Ahead(ahead)) }
    }

    /// Settings with what they are and the most they may be.
    fn bounded(&self) -> impl Iterator<Item = (String, u64, u64)> + '_ {
        let own = [
            ("nats.ack_wait_s", self.nats.ack_wait_s, WAIT_S_MAX),
            ("nats.retry_s", self.nats.retry_s, WAIT_S_MAX),
            ("nats.connect_s", self.nats.connect_s, WAIT_S_MAX),
            ("worker.drain_s", self.worker.drain_s, WAIT_S_MAX),
            ("worker.control_s", self.worker.control_s, WAIT_S_MAX),
            ("worker.probe_first_ms", self.worker.probe_first_ms, WAIT_S_MAX * 1_000),
            ("worker.probe_longest_ms", self.worker.probe_longest_ms, WAIT_S_MAX * 1_000),
            ("scheduler.reconcile_s", self.scheduler.reconcile_s, WAIT_S_MAX),
            ("projector.write_ms", self.projector.write_ms, WAIT_S_MAX * 1_000),
            ("webhooks.first_ms", self.webhooks.first_ms, WAIT_S_MAX * 1_000),
            ("webhooks.retry_s", self.webhooks.retry_s, RETRY_S_MAX),
            ("intake.jobs_at_once", self.intake.jobs_at_once as u64, AT_ONCE_MAX),
            ("archiver.segments_at_once", self.archiver.segments_at_once as u64, AT_ONCE_MAX),
            ("intake.line_bytes_max", self.intake.line_bytes_max as u64, LINE_BYTES_MAX),
        ];
        let slots = self.pools.iter().filter_map(|(pool, config)| {
            Some((format!("pools.{pool}.engine.slots"), config.engine.slots()? as u64, AT_ONCE_MAX))
        });
        own.into_iter().map(|(key, value, most)| (key.to_owned(), value, most)).chain(slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_overflow_later_is_refused_at_once() {
        for (text, word) in [
            ("[nats]\nconnect_s = 9223372036854775807", "nats.connect_s is 9223372036854775807; at most"),
            ("[intake]\njobs_at_once = 9223372036854775807", "intake.jobs_at_once"),
            ("[pools.a.engine]\nkind = 'echo'\nslots = 9223372036854775807", "pools.a.engine.slots"),
            ("[scheduler]\nahead_s = nan", "ahead_s is NaN"),
            ("[scheduler]\nahead_s = -1", "ahead_s is -1"),
        ] {
            let error = Config::parse(text).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
