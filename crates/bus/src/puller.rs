use address::Stream;
use std::collections::VecDeque;
use std::time::Duration;

use async_nats::connection::State;
use futures::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::pull::{Arrival, Inbox, Pull};
use super::{ApplyError, Bus, Delivery, limits, rest};

/// Takes messages from a durable consumer, never more than it was asked for: what a puller holds, no other gets.
pub struct Puller {
    bus: Bus,
    stream: String,
    consumer: String,
    inbox: Inbox,
    epoch: watch::Receiver<u64>,
    /// Arrived and not given yet: a fetch that was dropped midway leaves them to the next.
    held: VecDeque<Delivery>,
    standing: Option<Standing>,
}

/// A pull that the server still serves.
struct Standing {
    number: u64,
    left: usize,
    until: Instant,
    /// Without heartbeats silence means nothing.
    beats: bool,
    heard: Instant,
}

#[derive(Debug, thiserror::Error)]
pub enum PullError {
    #[error("no file under streams/consumers describes {consumer} of {stream}")]
    NoFile { stream: String, consumer: String },
    #[error(transparent)]
    Restore(#[from] ApplyError),
    #[error("the connection is closed: {reason}")]
    Closed { reason: String },
}

/// The server may answer a pull this much after it expired.
const GRACE: Duration = Duration::from_secs(1);

impl Bus {
    /// A puller at a durable consumer, which is created from its file if it is not there.
    pub async fn puller(&self, stream: Stream, consumer: &str) -> Result<Puller, PullError> {
        let stream = stream.as_str();
        if self.files().consumer(stream, consumer).is_none() {
            return Err(PullError::NoFile { stream: stream.to_owned(), consumer: consumer.to_owned() });
        }
        self.await_consumer(stream, consumer).await?;
        let inbox =
            Inbox::open(self.client()).await.map_err(|error| PullError::Closed { reason: error.to_string() })?;
        Ok(Puller {
            bus: self.clone(),
            stream: stream.to_owned(),
            consumer: consumer.to_owned(),
            inbox,
            epoch: self.inner.signals.epoch(),
            held: VecDeque::new(),
            standing: None,
        })
    }

    /// Who may not make a consumer waits until someone has made it who may.
    async fn await_consumer(&self, stream: &str, consumer: &str) -> Result<(), ApplyError> {
        let mut is_told = false;
        loop {
            match self.restore(stream, consumer).await {
                Err(error) if error.is_anothers() => {
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::warn!(%error, "waiting for another jetbatch to create {stream}/{consumer}");
                    }
                }
                done => return done,
            }
            tokio::time::sleep(limits::RETRY_PAUSE).await;
        }
    }
}

impl Puller {
    /// Up to `max` messages: what is there now, or else the first to come within `wait`. None is no error.
    ///
    /// `max_bytes` bounds what is on the way at once; a message larger than that still comes, alone.
    pub async fn fetch(&mut self, max: usize, max_bytes: usize, wait: Duration) -> Result<Vec<Delivery>, PullError> {
        if max > 0 {
            self.fill(max, max_bytes, wait).await?;
        }
        let count = self.held.len().min(max);
        Ok(self.held.drain(..count).collect())
    }

    async fn fill(&mut self, max: usize, max_bytes: usize, wait: Duration) -> Result<(), PullError> {
        let until = Instant::now() + wait;
        let mut asked = 0;
        loop {
            self.absorb();
            let has_more = self.standing.is_some();
            if self.held.len() >= max || (!has_more && !self.held.is_empty()) {
                return Ok(());
            }
            if !has_more {
                let left = until.saturating_duration_since(Instant::now());
                if asked > 0 && left.is_zero() {
                    return Ok(());
                }
                // A pull that ends early and empty was turned away; the next would be, too.
                if asked > 0 {
                    rest().await;
                }
                self.ask(max, max_bytes, left).await?;
                asked += 1;
            }
            if !self.wait().await? {
                return Ok(());
            }
        }
    }

    async fn ask(&mut self, max: usize, max_bytes: usize, wait: Duration) -> Result<(), PullError> {
        let bytes = max_bytes.max(self.bus.client().max_payload() + limits::MESSAGE_OVERHEAD_BYTES);
        let mut pull = Pull::new(max - self.held.len(), bytes, wait.max(Duration::from_millis(1)));
        pull.no_wait = true;
        let asked = self.inbox.ask(&self.stream, &self.consumer, &pull).await;
        let number = asked.map_err(|error| PullError::Closed { reason: error.to_string() })?;
        let now = Instant::now();
        let (until, beats) = (now + wait + GRACE, pull.idle_heartbeat > 0);
        self.standing = Some(Standing { number, left: pull.batch, until, beats, heard: now });
        Ok(())
    }

    /// Waits for one arrival, or for the standing pull to be given up. False: nothing more is to come.
    async fn wait(&mut self) -> Result<bool, PullError> {
        let Some(standing) = &self.standing else { return Ok(true) };
        let deadline = standing.deadline();
        let arrival = tokio::select! {
            biased;
            arrival = timeout_at(deadline, self.inbox.arrivals.next()) => arrival,
            _ = self.epoch.changed() => return self.lose("the connection was made anew").await,
        };
        match arrival {
            Ok(Some(message)) => match self.hear(Arrival::of(message)) {
                Some(reason) => self.lose(&reason).await,
                None => Ok(true),
            },
            Ok(None) => Err(PullError::Closed { reason: "the subscription ended".to_owned() }),
            Err(_) if self.standing.take().is_some_and(|pull| Instant::now() >= pull.until) => Ok(false),
            Err(_) => self.lose("no heartbeat came").await,
        }
    }

    fn absorb(&mut self) {
        while let Some(Some(message)) = self.inbox.arrivals.next().now_or_never() {
            if let Some(reason) = self.hear(Arrival::of(message)) {
                tracing::debug!(stream = self.stream, consumer = self.consumer, reason, "pull was lost");
                self.standing = None;
            }
        }
    }

    /// Takes note of an arrival; gives the reason if the pull is lost.
    fn hear(&mut self, arrival: Arrival) -> Option<String> {
        let now = Instant::now();
        match arrival {
            Arrival::Heartbeat => {
                self.standing.iter_mut().for_each(|pull| pull.heard = now);
                None
            }
            Arrival::End { pull } => {
                self.standing.take_if(|standing| standing.number == pull);
                None
            }
            Arrival::Lost { reason } => Some(reason),
            Arrival::Message(message) => {
                self.held.extend(Delivery::of(&self.bus, message));
                self.standing = self.standing.take().and_then(|pull| pull.one_less(now));
                None
            }
        }
    }

    async fn lose(&mut self, reason: &str) -> Result<bool, PullError> {
        tracing::debug!(stream = self.stream, consumer = self.consumer, reason, "pull is asked again");
        self.standing = None;
        match self.bus.restore_if_gone(&self.stream, &self.consumer).await {
            Err(error @ ApplyError::Unavailable { .. }) => tracing::warn!(%error, "a pull waits for JetStream"),
            Err(error) if error.is_anothers() => tracing::warn!(%error, "a pull waits for its consumer"),
            done => done?,
        }
        rest().await;
        // Pulls that wait for a connection would all be sent with it, and take more than was asked for.
        while self.bus.client().connection_state() != State::Connected {
            rest().await;
        }
        Ok(true)
    }
}

impl Drop for Puller {
    /// What is held and was never given goes back at once.
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        for delivery in self.held.drain(..) {
            runtime.spawn(delivery.nak(None));
        }
    }
}

impl Standing {
    fn deadline(&self) -> Instant {
        if self.beats { self.until.min(self.heard + limits::SILENCE_MAX) } else { self.until }
    }

    fn one_less(self, now: Instant) -> Option<Self> {
        (self.left > 1).then(|| Self { left: self.left - 1, heard: now, ..self })
    }
}
