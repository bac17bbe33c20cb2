use std::fmt;
use std::pin::pin;
use std::time::Duration;

use async_nats::jetstream::{self, AckKind};
use async_nats::{Client, HeaderMap, RequestErrorKind, Subject};
use bytes::Bytes;

use super::read::millis;
use super::{Bus, limits, rest};

/// A message handed out by a consumer, to be answered once. Dropped, it is delivered again after `ack_wait`.
pub struct Delivery {
    pub subject: String,
    pub headers: HeaderMap,
    pub payload: Bytes,
    /// 1 at the first delivery.
    pub delivered: u64,
    pub seq: u64,
    pub stored_ms: u64,
    reply: Subject,
    client: Client,
}

#[derive(Debug, thiserror::Error)]
pub enum AckError {
    /// The consumer is gone, and with it what it knew of this delivery.
    #[error("nobody takes the acknowledgement: the consumer is gone")]
    Gone,
    #[error("the acknowledgement was not answered; the message may come again")]
    Unknown,
}

impl Delivery {
    pub(super) fn of(bus: &Bus, message: async_nats::Message) -> Option<Self> {
        let message = jetstream::Message { message, context: bus.js().clone() };
        let info = message.info().ok()?;
        let (delivered, seq, stored_ms) = (info.delivered, info.stream_sequence, millis(info.published));
        let message = message.message;
        Some(Self {
            subject: message.subject.to_string(),
            headers: message.headers.unwrap_or_default(),
            payload: message.payload,
            delivered: u64::try_from(delivered).unwrap_or(1),
            seq,
            stored_ms,
            reply: message.reply?,
            client: bus.client().clone(),
        })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get_last(name).map(|value| value.as_str())
    }

    /// Its `Nats-Msg-Id`.
    pub fn id(&self) -> Option<&str> {
        self.header("Nats-Msg-Id")
    }

    /// Done. Asked and not only told, because an ack to a consumer that is gone vanishes without a word.
    pub async fn ack(self) -> Result<(), AckError> {
        self.answer(Bytes::from_static(b"+ACK")).await
    }

    /// Done, and not asked whether that was heard: for what may come again at no cost.
    pub async fn pass(self) -> Result<(), AckError> {
        self.tell(AckKind::Ack.into()).await
    }

    /// Never again: the message leaves the work queue.
    pub async fn term(self, reason: &str) -> Result<(), AckError> {
        let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.answer(format!("+TERM {reason}").into()).await
    }

    /// Again, at once or later. A delayed nak keeps its place in `max_ack_pending`.
    pub async fn nak(self, delay: Option<Duration>) -> Result<(), AckError> {
        self.tell(AckKind::Nak(delay).into()).await
    }

    /// Still at it: the server counts `ack_wait` anew.
    pub async fn progress(&self) -> Result<(), AckError> {
        self.tell(AckKind::Progress.into()).await
    }

    /// Works to the end, and tells the server every so often that it is still at it.
    pub async fn keep<T>(&self, every: Duration, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(every) => {
                    if let Err(error) = self.progress().await {
                        tracing::warn!(%error, subject = %self.subject, "the server was not told that a message is in progress");
                    }
                }
            }
        }
    }

    async fn tell(&self, answer: Bytes) -> Result<(), AckError> {
        self.client.publish(self.reply.clone(), answer).await.map_err(|_| AckError::Unknown)
    }

    async fn answer(&self, answer: Bytes) -> Result<(), AckError> {
        let mut tries = 0;
        loop {
            let request = async_nats::Request::new().payload(answer.clone()).timeout(Some(limits::TRY_TIMEOUT));
            let Err(error) = self.client.send_request(self.reply.clone(), request).await else { return Ok(()) };
            tries += 1;
            if tries >= limits::ACK_TRIES_MAX {
                return Err(match error.kind() {
                    RequestErrorKind::NoResponders => AckError::Gone,
                    _ => AckError::Unknown,
                });
            }
            rest().await;
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, seq, delivered, payload, .. } = self;
        write!(f, "Delivery {{ {subject} #{seq}, delivery {delivered}, {} bytes }}", payload.len())
    }
}
