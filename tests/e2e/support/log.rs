//! What NATS holds, read beside jetbatch and not through it.
use async_nats::jetstream::{self, consumer::pull::OrderedConfig};
use domain::{Event, JobId};
use futures::StreamExt;
use testkit::nats::Server;
use wire::{Filter, Message, Stream, Subject, envelope, stream};

pub struct Log {
    pub js: jetstream::Context,
}

impl Log {
    pub async fn open(nats: &Server) -> Self {
        Self { js: jetstream::new(nats.client().await) }
    }

    /// A job's events so far, in the order of the log.
    pub async fn events(&self, job: JobId) -> Vec<Event> {
        self.read(Filter::EventsOf(job)).await.into_iter().map(|(_, event)| event).collect()
    }

    /// The lifecycle events of all jobs so far.
    pub async fn lifecycles(&self) -> Vec<(JobId, Event)> {
        self.read(Filter::JobEvents).await
    }

    async fn read(&self, filter: Filter) -> Vec<(JobId, Event)> {
        let events = self.js.get_stream(stream::EVENTS).await.unwrap();
        let filter_subject = filter.to_string();
        let consumer =
            events.create_consumer(OrderedConfig { filter_subject, ..OrderedConfig::default() }).await.unwrap();
        let pending = consumer.cached_info().num_pending as usize;
        let messages = consumer.messages().await.unwrap().take(pending);
        let decode = |message: jetstream::Message| {
            let version = message.headers.as_ref().and_then(|headers| headers.get(envelope::VERSION));
            let event = envelope::read_event(version.map(|version| version.as_str()), &message.payload).unwrap();
            match message.subject.as_str().parse() {
                Ok(Subject::JobEvent(job) | Subject::ChunkEvent(job)) => (job, event),
                other => panic!("no event: {other:?}"),
            }
        };
        messages.map(|message| decode(message.unwrap())).collect().await
    }

    /// Publishes as any client would, and gives the acknowledgement.
    pub async fn publish(&self, message: Message) -> jetstream::publish::PublishAck {
        let mut headers = async_nats::HeaderMap::new();
        for (name, value) in &message.headers {
            headers.insert(*name, value.as_str());
        }
        if let Some(id) = &message.id {
            headers.insert(async_nats::header::NATS_MESSAGE_ID, id.as_str());
        }
        self.js.publish_with_headers(message.subject, headers, message.payload).await.unwrap().await.unwrap()
    }
}

/// The subjects of all messages that a stream holds.
pub async fn subjects(js: &jetstream::Context, stream: Stream) -> Vec<Subject> {
    let stream = js.get_stream(stream).await.unwrap();
    let info = stream.info_with_subjects(">").await.unwrap();
    info.map(|subject| subject.unwrap().0.parse().unwrap()).collect().await
}

/// Messages that a stream holds.
pub async fn message_count(js: &jetstream::Context, stream: Stream) -> u64 {
    js.get_stream(stream).await.unwrap().get_info().await.unwrap().state.messages
}
