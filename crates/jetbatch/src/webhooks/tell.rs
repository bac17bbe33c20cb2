//! From EVENTS and ALERTS to HOOKS: what a job's end or alert gives, to the URL that its job or its tenant names.
use super::{CONSUMER, Error};
use crate::{
    bus::{AckError, Delivery, PublishError, ReadError},
    clock,
    log::{self, LogError},
    shared::Shared,
};
use domain::{
    Event, JobId, Tenant, Timestamp,
    webhook::{self, HookId, Topic},
};
use serde_json::{Map, Value, json};
use std::{collections::HashMap, time::Duration};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wire::{
    Hook, Message, SlaAlert, Subject,
    envelope::{self, DecodeError},
    stream::{ALERTS, EVENTS},
};

const WAIT: Duration = Duration::from_secs(20);
const PULL_MAX: usize = 64;
const PULL_BYTES: usize = 4 << 20;
/// Jobs whose first events are remembered.
const OWNERS_MAX: usize = 10_000;
const AGAIN: Duration = Duration::from_secs(5);
/// Of what a newer jetbatch can read, which may lead by then.
const LATER: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
pub enum Source {
    Events,
    Alerts,
}

/// What may pass: the message comes again.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("the job's first event could not be read")]
    Read(#[from] ReadError),
    #[error("the hook could not be stored")]
    Publish(#[from] PublishError),
    #[error("an event cannot be read here")]
    Event(#[from] DecodeError),
    #[error("the job's first event cannot be read here")]
    First(#[from] LogError),
}

impl Failed {
    const fn wait(&self) -> Duration {
        match self {
            Self::Read(_) | Self::Publish(_) => AGAIN,
            Self::Event(_) | Self::First(_) => LATER,
        }
    }
}

/// Until `stop`.
pub async fn run(shared: &Shared, source: Source, stop: &CancellationToken) -> Result<(), Error> {
    let from = match source {
        Source::Events => EVENTS,
        Source::Alerts => ALERTS,
    };
    let mut puller = shared.bus.puller(from, CONSUMER).await?;
    let mut owners = Owners::default();
    while let Some(pulled) = stop.run_until_cancelled(puller.fetch(PULL_MAX, PULL_BYTES, WAIT)).await {
        let mut tasks = JoinSet::new();
        for delivery in pulled? {
            match make(shared, source, &delivery, &mut owners) {
                Ok(None) => note(delivery.pass().await),
                Ok(Some(made)) => drop(tasks.spawn(tell(shared.clone(), delivery, Ok(made)))),
                Err(error) => drop(tasks.spawn(tell(shared.clone(), delivery, Err(error)))),
            }
        }
        stop.run_until_cancelled(tasks.join_all()).await;
    }
    Ok(())
}

/// The hook first, then the ack: a crash in between makes it again, under the same id.
async fn tell(shared: Shared, delivery: Delivery, made: Result<(Given, Option<Owner>), Failed>) {
    let put = async {
        let (given, owner) = made?;
        put(&shared, given, owner).await
    };
    let answered = match put.await {
        Ok(()) => delivery.ack().await,
        Err(error) => {
            let wait = error.wait();
            tracing::warn!(error = &error as &dyn std::error::Error, "a webhook could not be made; it is tried again");
            delivery.nak(Some(wait)).await
        }
    };
    note(answered);
}

fn note(answered: Result<(), AckError>) {
    if let Err(error) = answered {
        tracing::debug!(%error, "an event for webhooks comes again, and does no harm");
    }
}

/// What a message gives, and whose job it is of where that is known.
fn make(
    shared: &Shared,
    source: Source,
    delivery: &Delivery,
    owners: &mut Owners,
) -> Result<Option<(Given, Option<Owner>)>, Failed> {
    if !is_news(shared, delivery) {
        return Ok(None);
    }
    let given = match source {
        Source::Events => of_event(delivery, owners)?,
        Source::Alerts => of_alert(delivery),
    };
    Ok(given.map(|given| {
        let owner = owners.0.remove(&given.job);
        (given, owner)
    }))
}

/// Whose a job is, and the URL that it names itself.
type Owner = (Tenant, Option<String>);

/// Those of the jobs that began lately, so that their first events need not be read again at their ends.
#[derive(Default)]
struct Owners(HashMap<JobId, Owner>);

impl Owners {
    fn note(&mut self, job: JobId, event: Event) {
        let Event::JobSubmitted(submitted) = event else { return };
        if self.0.len() >= OWNERS_MAX {
            self.0.clear();
        }
        self.0.insert(job, (submitted.tenant, submitted.webhook_url));
    }
}

/// What a message gives.
struct Given {
    job: JobId,
    topic: Topic,
    at: Timestamp,
    more: Map<String, Value>,
}

fn of_event(delivery: &Delivery, owners: &mut Owners) -> Result<Option<Given>, DecodeError> {
    let Ok(Subject::JobEvent(job)) = delivery.subject.parse() else { return Ok(None) };
    let event = envelope::read_event(delivery.header(envelope::VERSION), &delivery.payload)?;
    let given = Topic::of_event(&event).map(|(topic, at)| Given { job, topic, at, more: Map::new() });
    owners.note(job, event);
    Ok(given)
}

fn of_alert(delivery: &Delivery) -> Option<Given> {
    let alert: SlaAlert = serde_json::from_slice(&delivery.payload).ok()?;
    let topic = Topic::of_alarm(alert.alarm?)?;
    Some(Given { job: alert.job, topic, at: alert.at, more: standing(&alert) })
}

/// Times in seconds, as all of a webhook.
fn standing(alert: &SlaAlert) -> Map<String, Value> {
    let seconds = |at: Timestamp| at.get() / 1_000;
    let eta = alert.eta.map(|eta| json!({"p10": seconds(eta.p10), "p50": seconds(eta.p50), "p90": seconds(eta.p90)}));
    [
        ("deadline", seconds(alert.deadline).into()),
        ("remaining", alert.remaining.into()),
        ("eta", eta.into()),
        ("why", alert.why.clone().into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into_iter()
    .collect()
}

/// What is older than any hook is tried is history: a log of long ago is gone through once.
fn is_news(shared: &Shared, delivery: &Delivery) -> bool {
    clock::now().since(Timestamp::new(delivery.stored_ms)) < shared.config.webhooks.pace().retry_ms
}

async fn put(shared: &Shared, given: Given, owner: Option<Owner>) -> Result<(), Failed> {
    let Given { job, topic, at, more } = given;
    let owner = match owner {
        None => asked(shared, job).await?,
        known => known,
    };
    let Some((tenant, own)) = owner else { return Ok(()) };
    let Some(url) = shared.config.webhook_url(tenant, own.as_deref()) else { return Ok(()) };
    let id = HookId::of(job, topic, at);
    let hook = Hook { id, topic, job, tenant, url: url.to_owned(), body: webhook::body(id, topic, job, at, more) };
    let payload = serde_json::to_vec(&hook).expect("a hook is plain JSON");
    shared.bus.offer(Message::new(Subject::Hook(job, id), payload).id(id)).await?;
    tracing::debug!(%job, webhook = %id, topic = topic.as_str(), "a webhook waits to be sent");
    Ok(())
}

async fn asked(shared: &Shared, job: JobId) -> Result<Option<Owner>, Failed> {
    let first = shared.bus.next_on(&Subject::JobEvent(job), 1).await?;
    Ok(match first.as_ref().map(log::decode).transpose()? {
        Some((_, Event::JobSubmitted(submitted))) => Some((submitted.tenant, submitted.webhook_url)),
        // The log was cut above its beginning.
        Some(_) | None => None,
    })
}
