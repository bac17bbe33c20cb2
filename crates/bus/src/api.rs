//! Requests to the JetStream API in their raw JSON, so that a stream file reaches the server as it is written.
use async_nats::RequestErrorKind;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

use super::{ApplyError, Bus, limits, rest};

const PREFIX: &str = "$JS.API.";

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("{reason} ({code})")]
    Refused { code: u64, reason: String },
    #[error("JetStream did not answer for {seconds} s: {reason}")]
    Unavailable { seconds: u64, reason: String },
    #[error("NATS denies {subject} to the user that jetbatch logs in as")]
    Denied { subject: String },
}

impl ApiError {
    pub(super) fn code(&self) -> u64 {
        match self {
            Self::Refused { code, .. } => *code,
            Self::Unavailable { .. } | Self::Denied { .. } => 0,
        }
    }

    /// Whether the server has less memory than was asked for.
    pub(super) fn is_short_of_memory(&self) -> bool {
        match self {
            Self::Refused { code: code::NO_MEMORY, .. } => true,
            Self::Refused { code: code::NO_PEERS, reason } => reason.contains("insufficient"),
            Self::Refused { .. } | Self::Unavailable { .. } | Self::Denied { .. } => false,
        }
    }

    /// Whether the server has less storage than was asked for.
    pub(super) fn is_tight(&self) -> bool {
        match self {
            Self::Refused { code: code::NO_STORAGE, .. } => true,
            Self::Refused { code: code::NO_PEERS, reason } => reason.contains("insufficient storage"),
            Self::Refused { .. } | Self::Unavailable { .. } | Self::Denied { .. } => false,
        }
    }
}

pub(super) mod code {
    pub const CONSUMER_NOT_FOUND: u64 = 10_014;
    pub const STREAM_NOT_FOUND: u64 = 10_059;
    pub const SEQUENCE_NOT_FOUND: u64 = 10_043;
    pub const NO_STORAGE: u64 = 10_047;
    pub const NO_MEMORY: u64 = 10_028;
    /// What a cluster says instead, and for other wants, too.
    pub const NO_PEERS: u64 = 10_005;
    /// A stream of this name was made meanwhile, with another size.
    pub const NAME_IN_USE: u64 = 10_058;
    /// A subject that another stream has.
    pub const OVERLAP: u64 = 10_065;
    pub const NOT_FOR_ACCOUNT: u64 = 10_039;
    pub const NOT_ENABLED: u64 = 10_076;
}

#[derive(Deserialize)]
struct Envelope {
    error: Option<ErrorReply>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ErrorReply {
    #[serde(default)]
    pub code: u64,
    #[serde(default)]
    pub err_code: u64,
    #[serde(default)]
    pub description: String,
}

impl ErrorReply {
    /// The cluster has no leader yet, a node too few, or no room at this moment: the same request may pass later.
    pub fn is_transient(&self) -> bool {
        const NOT_AVAILABLE: u64 = 10_008;
        const NOT_LEADER: u64 = 10_009;
        const INCOMPLETE: u64 = 10_004;
        const STREAM_OFFLINE: u64 = 10_118;
        const CONSUMER_OFFLINE: u64 = 10_119;
        match self.err_code {
            // A 503 for want of a right, and not of time.
            code::NOT_FOR_ACCOUNT => false,
            NOT_AVAILABLE | NOT_LEADER | INCOMPLETE | STREAM_OFFLINE | CONSUMER_OFFLINE => true,
            // A node that is down comes back; where there are too few of them, or too small ones, that stays so.
            code::NO_PEERS => self.description.contains("peer offline"),
            _ => matches!(self.code, 429 | 503),
        }
    }
}

enum Failure {
    Transient(String),
    Final(ApiError),
}

impl Bus {
    /// Asks until there is an answer, for the configured retry time.
    pub(super) async fn api<T: DeserializeOwned>(&self, verb: &str, body: &Value) -> Result<T, ApiError> {
        let (until, mut tries) = (Instant::now() + self.inner.retry_for, 0);
        loop {
            tries += 1;
            match self.ask(verb, body, patience(verb, tries)).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Transient(reason)) if Instant::now() >= until => {
                    return Err(ApiError::Unavailable { seconds: self.inner.retry_for.as_secs(), reason });
                }
                Err(Failure::Transient(reason)) => tracing::debug!(verb, reason, "JetStream request is tried again"),
            }
            rest().await;
        }
    }

    /// Told at once where JetStream is switched off: asked for a stream, a server without it is as silent as one that looks
    /// for a leader. In a cluster it may be just that.
    pub(super) async fn has_jetstream(&self) -> Result<(), ApplyError> {
        let subject = format!("{PREFIX}INFO");
        let request = async_nats::Request::new().payload("".into()).timeout(Some(limits::TRY_TIMEOUT));
        match self.client().send_request(subject, request).await {
            Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                let is_alone = self.client().server_info().cluster.is_none();
                if is_alone { Err(ApplyError::NoJetStream { why: "the server has none".to_owned() }) } else { Ok(()) }
            }
            Ok(reply) => match parse::<Value>(&reply.payload) {
                Err(Failure::Final(error)) if [code::NOT_FOR_ACCOUNT, code::NOT_ENABLED].contains(&error.code()) => {
                    Err(ApplyError::NoJetStream { why: error.to_string() })
                }
                Ok(_) | Err(_) => Ok(()),
            },
            Err(_) => Ok(()),
        }
    }

    /// What one quick try brings, if it brings an answer.
    pub(super) async fn glance(&self, verb: &str, body: &Value) -> Option<Result<Value, ApiError>> {
        match self.ask(verb, body, limits::QUICK_TIMEOUT).await {
            Ok(answer) => Some(Ok(answer)),
            Err(Failure::Final(error)) => Some(Err(error)),
            Err(Failure::Transient(_)) => None,
        }
    }

    async fn ask<T: DeserializeOwned>(&self, verb: &str, body: &Value, timeout: Duration) -> Result<T, Failure> {
        let request = async_nats::Request::new().payload(body.to_string().into()).timeout(Some(timeout));
        let subject = format!("{PREFIX}{verb}");
        let reply = tokio::select! {
            biased;
            reply = self.client().send_request(subject.clone(), request) => reply,
            () = self.inner.signals.denied(&subject, Instant::now()) => {
                return Err(Failure::Final(ApiError::Denied { subject }));
            }
        };
        let reply = reply.map_err(|error| Failure::Transient(error.to_string()))?;
        parse(&reply.payload)
    }
}

/// How long one try may take.
fn patience(verb: &str, tries: u32) -> Duration {
    match verb {
        verb if verb.starts_with("STREAM.PURGE") => limits::PURGE_TIMEOUT,
        _ if tries <= limits::QUICK_TRIES => limits::QUICK_TIMEOUT,
        _ => limits::TRY_TIMEOUT,
    }
}

fn parse<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Failure> {
    let unreadable = |error: serde_json::Error| {
        Failure::Final(ApiError::Refused { code: 0, reason: format!("unreadable answer: {error}") })
    };
    let envelope: Envelope = serde_json::from_slice(payload).map_err(unreadable)?;
    match envelope.error {
        Some(refusal) if refusal.is_transient() => Err(Failure::Transient(refusal.description)),
        Some(refusal) => Err(Failure::Final(ApiError::Refused { code: refusal.err_code, reason: refusal.description })),
        None => serde_json::from_slice(payload).map_err(unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_election_or_a_restart_mends_is_passing() {
        let refusal =
            |code, err_code, description: &str| ErrorReply { code, err_code, description: description.to_owned() };
        for (refusal, passing) in [
            (refusal(503, 10_008, "JetStream system temporarily unavailable"), true),
            (refusal(500, 10_118, "stream is offline"), true),
            (refusal(500, 10_119, "consumer is offline"), true),
            (refusal(400, 10_005, "no suitable peers for placement, peer offline"), true),
            (refusal(400, 10_005, "no suitable peers for placement, insufficient storage"), false),
            (refusal(503, 10_039, "JetStream not enabled for account"), false),
            (refusal(404, 10_059, "stream not found"), false),
        ] {
            assert_eq!(refusal.is_transient(), passing, "{refusal:?}");
        }
    }
}
