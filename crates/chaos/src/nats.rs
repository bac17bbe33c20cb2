//! The harness's own connection to NATS: it reads the log beside jetbatch, and publishes as any client can.
use crate::check::{Entry, Log};
use async_nats::{
    Client, ConnectOptions, HeaderMap,
    jetstream::{
        self,
        consumer::{DeliverPolicy, pull},
    },
};
use bytes::Bytes;
use domain::JobId;
use futures::StreamExt;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};
use wire::{Filter, Subject, envelope, stream};

/// A read that brings nothing for so long is opened again: the node behind it may be gone without a word.
const SILENCE_MAX: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(200);
const ASK_WITHIN: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Nats {
    pub js: jetstream::Context,
}

impl Nats {
    pub async fn connect(urls: &[String]) -> Result<Self, async_nats::ConnectError> {
        let options = ConnectOptions::new()
            .name("jetbatch-chaos")
            .ping_interval(Duration::from_secs(2))
            .request_timeout(Some(ASK_WITHIN))
            .retry_on_initial_connect();
        let client: Client = options.connect(urls).await?;
        Ok(Self { js: jetstream::new(client) })
    }

    /// Until it is stored, under one message id.
    pub async fn publish(&self, subject: &Subject, id: &str, payload: Bytes, give_up: Instant) -> Result<u32, String> {
        let mut tries = 0;
        loop {
            tries += 1;
            match timeout(2 * ASK_WITHIN, self.try_publish(subject, id, payload.clone())).await {
                Ok(Ok(())) => return Ok(tries),
                Ok(Err(error)) if Instant::now() > give_up => return Err(error),
                Err(_) if Instant::now() > give_up => return Err("NATS does not answer".to_owned()),
                Ok(Err(_)) | Err(_) => sleep(PAUSE).await,
            }
        }
    }

    async fn try_publish(&self, subject: &Subject, id: &str, payload: Bytes) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_MESSAGE_ID, id);
        headers.insert(envelope::CONTENT_TYPE, envelope::JSON);
        let sent = self.js.publish_with_headers(subject.to_string(), headers, payload).await;
        sent.map_err(|error| error.to_string())?.await.map(drop).map_err(|error| error.to_string())
    }

    /// The messages of a stream by subject.
    pub async fn subjects(&self, name: &str) -> Option<Vec<String>> {
        let stream = self.js.get_stream(name).await.ok()?;
        let mut subjects = stream.info_with_subjects(Filter::All.to_string()).await.ok()?;
        let mut found = Vec::new();
        while let Some(subject) = subjects.next().await {
            found.push(subject.ok()?.0);
        }
        Some(found)
    }

    async fn last_seq(&self) -> Option<u64> {
        Some(self.js.get_stream(stream::EVENTS).await.ok()?.cached_info().state.last_sequence)
    }
}

/// EVENTS as it grows.
#[derive(Clone, Default)]
pub struct Watch {
    log: Arc<Mutex<Log>>,
}

impl Watch {
    pub fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the log says of one job.
    pub fn of<T>(&self, job: JobId, look: impl FnOnce(&crate::check::Story) -> T) -> Option<T> {
        self.log().stories.get(&job).map(look)
    }

    /// Follows the log for ever, whatever becomes of the nodes.
    pub async fn follow(self, nats: Nats) {
        loop {
            let _ = self.read(&nats, None).await;
            sleep(PAUSE).await;
        }
    }

    /// Reads all that is stored now.
    pub async fn read_whole(&self, nats: &Nats, give_up: Instant) -> bool {
        let mut last = None;
        while last.is_none_or(|last| self.log().last_seq() < last) {
            if Instant::now() > give_up {
                return false;
            }
            match last {
                Some(_) => drop(self.read(nats, last).await),
                None => last = nats.last_seq().await,
            }
        }
        true
    }

    async fn read(&self, nats: &Nats, last: Option<u64>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let start_sequence = self.log().last_seq() + 1;
        let config = pull::OrderedConfig {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence },
            filter_subject: Filter::Events.to_string(),
            ..Default::default()
        };
        let stream = timeout(ASK_WITHIN, nats.js.get_stream(stream::EVENTS)).await??;
        let consumer = timeout(ASK_WITHIN, stream.create_consumer(config)).await??;
        let mut messages = timeout(ASK_WITHIN, consumer.messages()).await??;
        while let Some(message) = timeout(SILENCE_MAX, messages.next()).await? {
            self.take(&message?)?;
            if last.is_some_and(|last| self.log().last_seq() >= last) {
                break;
            }
        }
        Ok(())
    }

    fn take(&self, message: &jetstream::Message) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let info = message.info()?;
        // An ordered consumer that is made anew before its first message begins at the stream's first one.
        if info.stream_sequence <= self.log().last_seq() {
            return Ok(());
        }
        let job = match message.subject.as_str().parse()? {
            Subject::JobEvent(job) | Subject::ChunkEvent(job) => job,
            _ => return Ok(()),
        };
        let version = message.headers.as_ref().and_then(|headers| headers.get(envelope::VERSION));
        let event = envelope::read_event(version.map(|version| version.as_str()), &message.payload)?;
        let at_ms = u64::try_from(info.published.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
        let (seq, payload) = (info.stream_sequence, &message.payload);
        self.log().fold(&Entry { seq, at_ms, job, event: &event, payload });
        Ok(())
    }
}
