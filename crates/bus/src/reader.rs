use address::{Pattern, Stream};
use std::sync::atomic::Ordering;

use async_nats::jetstream;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::api::ApiError;
use super::pull::{Arrival, Inbox, Pull, nanos};
use super::read::millis;
use super::{Bus, Raw, ReadError, limits, rest};

/// Reads a stream in order and without acknowledgements, over restarts, elections and stalls.
///
/// Every message is given once: after a stall the read goes on behind the last sequence given.
pub struct Reader {
    bus: Bus,
    plan: Plan,
    /// Where the read goes on.
    next: Start,
    /// When the stream was created that is read.
    born: Option<String>,
    /// Sequence and time of the last message given.
    last: Option<(u64, u64)>,
    live: Option<Live>,
    /// Under way where nothing is live. Kept here, so that a caller who drops `next` and calls it again, as often as
    /// he likes, does not begin it anew.
    opening: Option<BoxFuture<'static, Result<Opened, ReadError>>>,
    pending: u64,
}

/// How far a stream was read, for who reads on from there.
#[derive(Debug, Clone)]
pub struct Mark {
    born: String,
    /// Sequence of the last message.
    seq: u64,
    /// Its time; none where it was not read here.
    time_ms: Option<u64>,
}

/// A read that stands: where it goes on, and of which stream.
struct Opened {
    live: Live,
    pending: u64,
    next: Start,
    born: String,
}

/// A read that is to stand.
struct Opening {
    bus: Bus,
    plan: Plan,
    next: Start,
    born: Option<String>,
    last: Option<(u64, u64)>,
}

#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub stream: String,
    pub filter: String,
    pub start: Start,
    pub headers_only: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Start {
    Seq(u64),
    /// Milliseconds since 1970.
    Time(u64),
    /// The newest message of each subject, then all that follow.
    Newest,
}

/// A consumer on the server and the pull that stands at it.
struct Live {
    bus: Bus,
    stream: String,
    consumer: String,
    inbox: Inbox,
    epoch: watch::Receiver<u64>,
    /// Number and messages left of the pull that stands.
    pull: Option<(u64, usize)>,
    heard: Instant,
    delivered: u64,
}

enum Step {
    Message(Box<Raw>),
    Nothing,
    Lost(String),
}

impl Bus {
    /// Reads the messages whose subject matches, from a sequence on.
    pub async fn read(&self, stream: Stream, filter: &impl Pattern, from_seq: u64) -> Result<Reader, ReadError> {
        Reader::open(self, Plan::new(stream, filter, Start::Seq(from_seq.max(1)))).await
    }

    /// The same without their payloads.
    pub async fn heads(&self, stream: Stream, filter: &impl Pattern, from_seq: u64) -> Result<Reader, ReadError> {
        let plan = Plan::new(stream, filter, Start::Seq(from_seq.max(1)));
        Reader::open(self, Plan { headers_only: true, ..plan }).await
    }

    /// Goes on behind a mark; an error where the stream is another by now, or has lost what the mark is at.
    pub async fn read_on(&self, stream: Stream, filter: &impl Pattern, mark: Mark) -> Result<Reader, ReadError> {
        let plan = Plan::new(stream, filter, Start::Seq(mark.seq + 1));
        let last = mark.time_ms.map(|time_ms| (mark.seq, time_ms));
        Reader::begin(Opening { bus: self.clone(), next: plan.start, plan, born: Some(mark.born), last }).await
    }

    /// The same from what was stored at a time on, in milliseconds since 1970.
    pub async fn read_since(&self, stream: Stream, filter: &impl Pattern, ms: u64) -> Result<Reader, ReadError> {
        Reader::open(self, Plan::new(stream, filter, Start::Time(ms))).await
    }
}

impl Reader {
    pub(super) async fn open(bus: &Bus, plan: Plan) -> Result<Self, ReadError> {
        Self::begin(Opening { bus: bus.clone(), next: plan.start, plan, born: None, last: None }).await
    }

    async fn begin(opening: Opening) -> Result<Self, ReadError> {
        let (bus, plan, last) = (opening.bus.clone(), opening.plan.clone(), opening.last);
        let Opened { live, pending, next, born } = opening.until_it_stands().await?;
        Ok(Self { bus, plan, next, born: Some(born), last, live: Some(live), opening: None, pending })
    }

    /// The next message, waiting for it as long as it takes. May be dropped and called again.
    pub async fn next(&mut self) -> Result<Raw, ReadError> {
        loop {
            let Some(live) = &mut self.live else {
                self.reopen().await?;
                continue;
            };
            match live.step().await {
                Step::Nothing => {}
                Step::Lost(reason) => self.lose(&reason),
                Step::Message(raw) if self.take(&raw) => return Ok(*raw),
                Step::Message(_) => {}
            }
        }
    }

    /// Messages that were still to come when the last one was given, or when the read began.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    pub fn caught_up(&self) -> bool {
        self.pending == 0
    }

    /// When the stream was created that is read.
    pub fn born(&self) -> &str {
        self.born.as_deref().unwrap_or_default()
    }

    /// Whether a message is new, and if so notes it as given.
    fn take(&mut self, raw: &Raw) -> bool {
        if matches!(self.next, Start::Seq(next) if raw.seq < next) {
            return false;
        }
        self.next = Start::Seq(raw.seq + 1);
        self.last = Some((raw.seq, raw.time_ms));
        self.pending = raw.pending;
        true
    }

    fn lose(&mut self, reason: &str) {
        tracing::debug!(stream = self.plan.stream, reason, "read is opened again");
        self.bus.inner.counts.reads_reopened.fetch_add(1, Ordering::Relaxed);
        self.live = None;
    }

    async fn reopen(&mut self) -> Result<(), ReadError> {
        let opening = self.opening.get_or_insert_with(|| {
            let (bus, plan, born) = (self.bus.clone(), self.plan.clone(), self.born.clone());
            let opening = Opening { bus, plan, next: self.next, born, last: self.last };
            async move {
                rest().await;
                opening.until_it_stands().await
            }
            .boxed()
        });
        let opened = opening.await;
        self.opening = None;
        let Opened { live, pending, next, born } = opened?;
        (self.live, self.pending, self.next, self.born) = (Some(live), pending, next, Some(born));
        Ok(())
    }
}

impl Mark {
    /// Behind the message `seq` of the stream that was created then, which was not read here.
    pub fn new(born: &str, seq: u64) -> Self {
        Self { born: born.to_owned(), seq, time_ms: None }
    }

    /// When the stream was created.
    pub fn born(&self) -> &str {
        &self.born
    }

    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// A message was read.
    pub const fn pass(&mut self, seq: u64, time_ms: u64) {
        (self.seq, self.time_ms) = (seq, Some(time_ms));
    }
}

impl Opening {
    /// Only a stream that is gone, or a refusal, ends a read.
    async fn until_it_stands(mut self) -> Result<Opened, ReadError> {
        loop {
            match self.try_once().await {
                Err(error @ ReadError::Unavailable { .. }) => tracing::warn!(%error, "a read waits for JetStream"),
                done => return done,
            }
            rest().await;
        }
    }

    async fn try_once(&mut self) -> Result<Opened, ReadError> {
        let born = self.check().await?;
        let (live, pending) = Live::open(&self.bus, &self.plan, self.next).await?;
        Ok(Opened { live, pending, next: self.next, born })
    }

    /// Whether the stream is still the one that was read. A cache that was made anew is read from its start; of a
    /// log that was, or that lost its end, the reader knows things that never happened.
    async fn check(&mut self) -> Result<String, ReadError> {
        self.bus.revive(&self.plan.stream).await;
        let is_cache = self.bus.files().stream(&self.plan.stream).is_some_and(|file| file.is_cache);
        let read = if let Start::Seq(next) = self.next
            && !is_cache
        {
            next - 1
        } else {
            0
        };
        let state = self.bus.settled_of(&self.plan.stream, read, self.born.as_deref()).await?;
        let is_other = self.born.as_ref().is_some_and(|born| *born != state.created);
        let is_behind = matches!(self.next, Start::Seq(next) if next > state.last_seq + 1);
        let is_refilled = !is_other && !is_behind && self.is_refilled().await?;
        if is_other || is_behind || is_refilled {
            if !is_cache {
                return Err(ReadError::Replaced { stream: self.plan.stream.clone(), last: state.last_seq });
            }
            tracing::warn!(stream = self.plan.stream, "the stream was made anew; reading it from its start");
            (self.next, self.last) = (self.plan.start, None);
        }
        self.born = Some(state.created.clone());
        Ok(state.created)
    }

    /// Whether another message has the place of the last one given: the stream lost its end, and has grown since.
    async fn is_refilled(&self) -> Result<bool, ReadError> {
        let Some((seq, time_ms)) = self.last else { return Ok(false) };
        let found = self.bus.at_of(&self.plan.stream, seq).await?;
        Ok(found.is_some_and(|found| found.time_ms != time_ms))
    }
}

impl Live {
    async fn open(bus: &Bus, plan: &Plan, start: Start) -> Result<(Self, u64), ReadError> {
        #[derive(Deserialize)]
        struct Created {
            num_pending: u64,
        }
        let epoch = bus.inner.signals.epoch();
        let inbox = Inbox::open(bus.client()).await.map_err(|error| plan.unavailable(&error.to_string()))?;
        let consumer = format!("read-{}", uuid::Uuid::now_v7().simple());
        let verb = format!("CONSUMER.CREATE.{}.{consumer}", plan.stream);
        let created: Result<Created, ApiError> = bus.api(&verb, &plan.request(&consumer, start)).await;
        let created = created.map_err(|error| ReadError::from_api(&plan.stream, &plan.stream, error))?;
        let (bus, stream) = (bus.clone(), plan.stream.clone());
        let heard = Instant::now();
        let live = Self { bus, stream, consumer, inbox, epoch, pull: None, heard, delivered: 0 };
        Ok((live, created.num_pending))
    }

    /// Waits for one arrival. Nothing is lost if it is dropped while it waits.
    async fn step(&mut self) -> Step {
        if self.pull.is_none() {
            let bytes = limits::READ_BYTES_MAX.max(2 * self.bus.client().max_payload());
            let pull = Pull::new(limits::READ_MESSAGES_MAX, bytes, limits::READ_EXPIRES);
            match self.inbox.ask(&self.stream, &self.consumer, &pull).await {
                Ok(number) => self.pull = Some((number, pull.batch)),
                Err(error) => return Step::Lost(error.to_string()),
            }
            self.heard = Instant::now();
        }
        let wait = timeout_at(self.heard + limits::SILENCE_MAX, self.inbox.arrivals.next());
        let arrival = tokio::select! {
            biased;
            arrival = wait => arrival,
            _ = self.epoch.changed() => return Step::Lost("the connection was made anew".to_owned()),
        };
        match arrival {
            Ok(Some(message)) => self.hear(Arrival::of(message)),
            Ok(None) => Step::Lost("the subscription ended".to_owned()),
            Err(_) => Step::Lost("no heartbeat came".to_owned()),
        }
    }

    fn hear(&mut self, arrival: Arrival) -> Step {
        self.heard = Instant::now();
        match arrival {
            Arrival::Heartbeat => Step::Nothing,
            Arrival::Lost { reason } => Step::Lost(reason),
            Arrival::End { pull } => {
                self.pull.take_if(|(number, _)| *number == pull);
                Step::Nothing
            }
            Arrival::Message(message) => self.receive(message),
        }
    }

    fn receive(&mut self, message: async_nats::Message) -> Step {
        let message = jetstream::Message { message, context: self.bus.js().clone() };
        let Ok(info) = message.info() else { return Step::Nothing };
        let (seq, time_ms, pending) = (info.stream_sequence, millis(info.published), info.pending);
        self.delivered += 1;
        if info.consumer_sequence != self.delivered {
            return Step::Lost(format!("message {} of the read is missing", self.delivered));
        }
        self.pull = self.pull.take().and_then(|(number, left)| (left > 1).then_some((number, left - 1)));
        let message = message.message;
        let headers = message.headers.unwrap_or_default();
        let (subject, payload) = (message.subject.to_string(), message.payload);
        Step::Message(Box::new(Raw { subject, seq, headers, payload, time_ms, pending }))
    }
}

impl Drop for Live {
    /// Readers come and go; the server holds a thousand consumers a stream at most.
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let subject = format!("$JS.API.CONSUMER.DELETE.{}.{}", self.stream, self.consumer);
        let client = self.bus.client().clone();
        runtime.spawn(async move { client.publish(subject, "".into()).await });
    }
}

impl Plan {
    fn new(stream: Stream, filter: &impl Pattern, start: Start) -> Self {
        Self { stream: stream.to_string(), filter: filter.to_string(), start, headers_only: false }
    }

    fn request(&self, consumer: &str, start: Start) -> Value {
        let mut config = json!({
            "name": consumer,
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": true,
            "num_replicas": 1,
            "inactive_threshold": nanos(limits::READER_IDLE),
            "headers_only": self.headers_only,
        });
        match start {
            Start::Seq(seq) => {
                config["deliver_policy"] = json!("by_start_sequence");
                config["opt_start_seq"] = json!(seq);
            }
            Start::Time(ms) => {
                let time = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
                config["deliver_policy"] = json!("by_start_time");
                config["opt_start_time"] = json!(time.unwrap_or(jiff::Timestamp::MAX).to_string());
            }
            Start::Newest => config["deliver_policy"] = json!("last_per_subject"),
        }
        config["filter_subject"] = json!(self.filter);
        json!({"stream_name": self.stream, "config": config, "action": "create"})
    }

    fn unavailable(&self, reason: &str) -> ReadError {
        ReadError::Unavailable { what: self.stream.clone(), seconds: 0, reason: reason.to_owned() }
    }
}
