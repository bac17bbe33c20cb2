//! Settings of the rooms behind the door.
use super::list;
use domain::{
    Pool,
    health::Pauses,
    limits::{INPUT_BYTES_MAX, INPUT_LINES_MAX, LINE_BYTES_MAX},
};
use serde::Deserialize;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

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
}
