//! The pull protocol of JetStream, spoken by hand: the library's `Batch` loses its waker at a heartbeat, its
//! `Stream` prefetches, and its ordered consumer was seen to hang behind a slow-consumer cut.
use std::time::Duration;

use async_nats::{Client, Message, StatusCode, Subscriber};
use serde::Serialize;

use super::limits;

/// A place where pulled messages arrive. Each pull answers under its own subject below the inbox.
pub(super) struct Inbox {
    client: Client,
    prefix: String,
    next: u64,
    pub arrivals: Subscriber,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Pull {
    pub batch: usize,
    pub max_bytes: usize,
    /// Nanoseconds, as all durations here.
    pub expires: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub idle_heartbeat: u64,
    /// With `expires`: wait for the first message, then give what is there and end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_wait: bool,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// What arrived at an inbox.
pub(super) enum Arrival {
    Message(Message),
    Heartbeat,
    /// The pull with this number is over.
    End {
        pull: u64,
    },
    /// The consumer is gone or moved; the pull has to be asked anew.
    Lost {
        reason: String,
    },
}

impl Inbox {
    pub async fn open(client: &Client) -> Result<Self, async_nats::SubscribeError> {
        let prefix = client.new_inbox();
        let arrivals = client.subscribe(format!("{prefix}.*")).await?;
        Ok(Self { client: client.clone(), prefix, next: 0, arrivals })
    }

    /// Sends a pull and gives its number.
    pub async fn ask(&mut self, stream: &str, consumer: &str, pull: &Pull) -> Result<u64, async_nats::PublishError> {
        let number = self.next;
        self.next += 1;
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        let body = serde_json::to_vec(pull).expect("a pull is plain numbers");
        self.client.publish_with_reply(subject, format!("{}.{number}", self.prefix), body.into()).await?;
        Ok(number)
    }
}

impl Pull {
    pub fn new(batch: usize, max_bytes: usize, expires: Duration) -> Self {
        let heartbeat = if expires >= 2 * limits::HEARTBEAT { limits::HEARTBEAT } else { Duration::ZERO };
        Self { batch, max_bytes, expires: nanos(expires), idle_heartbeat: nanos(heartbeat), no_wait: false }
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Arrival {
    pub fn of(message: Message) -> Self {
        let Some(status) = message.status else { return Self::Message(message) };
        let reason = message.description.as_deref().unwrap_or_default();
        match status {
            StatusCode::OK => Self::Message(message),
            StatusCode::IDLE_HEARTBEAT => Self::Heartbeat,
            StatusCode::NOT_FOUND | StatusCode::TIMEOUT => Self::end(&message),
            StatusCode::REQUEST_TERMINATED if is_ordinary_end(reason) => Self::end(&message),
            _ => Self::Lost { reason: format!("{status} {reason}") },
        }
    }

    fn end(message: &Message) -> Self {
        let number = message.subject.rsplit('.').next().and_then(|token| token.parse().ok());
        Self::End { pull: number.unwrap_or(u64::MAX) }
    }
}

fn is_ordinary_end(reason: &str) -> bool {
    ["Message Size Exceeds MaxBytes", "Batch Completed", "Exceeded MaxWaiting", "Interest Expired"].contains(&reason)
}
