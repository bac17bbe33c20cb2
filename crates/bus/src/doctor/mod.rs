//! What of a NATS set-up endangers data, why, and how to mend it. [`gather`] asks the servers, [`judge`] is pure.
mod gather;
mod rules;
#[cfg(test)]
mod tests;

use std::fmt;

pub use gather::gather;

use super::{Difference, Role, Version};

/// What was found out about the servers. `None` is unknown, and unknown is a finding of its own.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub version: Option<Version>,
    /// Jetbatch's own server, whose settings are in jetbatch's hands.
    pub is_own: bool,
    pub sync: Option<DiskSync>,
    pub servers: Option<usize>,
    pub max_payload_bytes: u64,
    /// As configured.
    pub replicas: usize,
    pub retry_s: u64,
    pub account: Usage,
    /// The server that was asked; `max_bytes` is the disk space it allows itself.
    pub server: Usage,
    /// The name of the stream of that role.
    pub log: Option<String>,
    pub streams: Vec<StreamFact>,
    pub consumers: Vec<ConsumerFact>,
    pub differences: Vec<Difference>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskSync {
    Always,
    Every { seconds: u64 },
}

/// Bytes stored and the most that are allowed, where there is a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub bytes: u64,
    pub max_bytes: Option<u64>,
}

#[derive(Debug, Clone, Default)]
pub struct StreamFact {
    pub name: String,
    pub usage: Usage,
    pub replicas: u64,
    pub in_memory: bool,
    pub discards_old: bool,
    pub max_messages: Option<u64>,
    pub max_age_s: Option<u64>,
    pub dedup_s: u64,
    pub is_cache: bool,
    pub role: Role,
    /// The server had not the storage that its file asks for.
    pub is_shrunk: bool,
}

#[derive(Debug, Clone, Default)]
pub struct ConsumerFact {
    pub what: String,
    pub ack_wait_s: u64,
    pub max_deliver: i64,
    pub ack_pending: u64,
    pub max_ack_pending: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Note,
    /// Data is safe, but something will go wrong or slow.
    Warning,
    /// Acknowledged data can be lost or doubled.
    Danger,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub what: String,
    pub why: String,
    pub mend: String,
}

/// All findings, the gravest first.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = rules::ALL.iter().flat_map(|rule| rule(facts)).collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

impl Finding {
    fn new(severity: Severity, what: impl Into<String>, why: &str, mend: &str) -> Self {
        Self { severity, what: what.into(), why: why.to_owned(), mend: mend.to_owned() }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Danger => "danger",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, what, why, mend } = self;
        write!(f, "{severity}: {what}\n  why:  {why}\n  mend: {mend}")
    }
}

impl Usage {
    /// Part of the limit in use, in percent.
    fn percent(&self) -> Option<u64> {
        self.max_bytes.filter(|max| *max > 0).map(|max| self.bytes.saturating_mul(100) / max)
    }
}
