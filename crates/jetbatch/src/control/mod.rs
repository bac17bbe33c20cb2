//! Commands from `jobs.control`, `jobs.control.<job>` and `tenant.<tenant>.jobs.control`, and the jobs that are made of others. They are carried out by every head and not by the leader alone: a command is compared
//! and set on its own job's events and needs no fold of the others, so a cancel does not wait for the next leader.
mod resubmit;
mod unlogged;

use crate::{
    audit,
    bus::{AckError, Delivery, PullError},
    clock,
    command::{self, execute},
    log, payload,
    shared::Shared,
};
use domain::{
    Event, JobId, Tenant, Timestamp,
    command::{CommandKind, JobCommand},
    decide::Denied,
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;
use wire::{Subject, envelope, stream};

const CONSUMER: &str = "control";
const WAIT: Duration = Duration::from_secs(20);
const AT_ONCE: usize = 16;
const BYTES: usize = 1 << 20;
/// Retries that run at once: each reads two files and writes one.
const RETRIES_AT_ONCE: usize = 2;
/// A command for a job that does not exist yet waits for it so long.
const UNKNOWN_MS: u64 = 600_000;
/// Less than a room is given to stop.
const END_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("commands cannot be pulled")]
    Pull(#[from] PullError),
}

/// Until `stop`. The command in hand may end then, for a while; without NATS it comes again.
pub async fn run(shared: Shared, stop: CancellationToken) -> Result<(), Error> {
    let given_up = async {
        stop.cancelled().await;
        tokio::time::sleep(END_WITHIN).await;
    };
    tokio::select! {
        done = work(shared, &stop) => done,
        () = given_up => Ok(()),
    }
}

async fn work(shared: Shared, stop: &CancellationToken) -> Result<(), Error> {
    let mut puller = shared.bus.puller(stream::SUBMIT, CONSUMER).await?;
    // Beside the others, for as long as a large input takes. What is dropped at the end is delivered again.
    let (mut retries, places) = (JoinSet::new(), Arc::new(Semaphore::new(RETRIES_AT_ONCE)));
    loop {
        let pulled = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            pulled = puller.fetch(AT_ONCE, BYTES, WAIT) => pulled?,
        };
        for delivery in pulled {
            match read(&delivery) {
                Err(why) => drop_it(delivery, &why).await,
                Ok(command) => match may(&shared, &delivery, &command).await {
                    Err(error) => answer(delivery, &command, End::Again(error.into())).await,
                    Ok(false) => answer(delivery, &command, End::Unknown).await,
                    Ok(true) if command.kind == CommandKind::Retry => {
                        retries.spawn(retry(shared.clone(), delivery, command, places.clone()));
                    }
                    Ok(true) => {
                        let end = carry_out(&shared, &command).await;
                        record(&shared, &delivery, &command, &end).await;
                        answer(delivery, &command, end).await;
                    }
                },
            }
        }
        while retries.try_join_next().is_some() {}
    }
}

/// What a command came to.
enum End {
    Done,
    /// There is no such job.
    Unknown,
    Refused(String),
    Again(Box<dyn std::error::Error + Send + Sync>),
}

async fn record(shared: &Shared, delivery: &Delivery, command: &JobCommand, end: &End) {
    if matches!(end, End::Done) {
        audit::past(&shared.bus, delivery, audit::what(command.kind), command.job).await;
    }
}

async fn answer(delivery: Delivery, command: &JobCommand, end: End) {
    let (job, kind) = (command.job, command.kind.as_str());
    let answered = match end {
        End::Done => delivery.ack().await,
        // Its submission may stand in SUBMIT still, behind others.
        End::Unknown if is_fresh(&delivery) => delivery.nak(Some(Duration::from_secs(1))).await,
        End::Unknown => {
            tracing::info!(%job, command = kind, "command refused: there is no such job");
            delivery.ack().await
        }
        End::Refused(why) => {
            tracing::info!(%job, command = kind, why, "command refused");
            delivery.ack().await
        }
        End::Again(error) => {
            tracing::warn!(%job, command = kind, error = &*error as &dyn std::error::Error, "a command is tried again");
            delivery.nak(Some(Duration::from_secs(1))).await
        }
    };
    note(answered);
}

async fn drop_it(delivery: Delivery, why: &str) {
    tracing::warn!(why, "a message on jobs.control is no command; it is dropped");
    note(delivery.ack().await);
}

fn note(answered: Result<(), AckError>) {
    if let Err(error) = answered {
        tracing::warn!(%error, "a command was not acknowledged; it comes again and does no harm");
    }
}

async fn retry(shared: Shared, delivery: Delivery, command: JobCommand, places: Arc<Semaphore>) {
    let beat = Duration::from_secs(shared.config.nats.ack_wait_s.max(3)) / 3;
    let trace = wire::trace::read(|name| delivery.header(name));
    let work = async {
        let _place = places.acquire().await;
        resubmit::resubmit(&shared, command.job, trace.as_deref()).await
    };
    let end = match delivery.keep(beat, work).await {
        Ok((id, is_new)) => {
            tracing::info!(job = %command.job, retry = %id, is_new, "retry");
            End::Done
        }
        Err(resubmit::Error::Unknown) => End::Unknown,
        Err(resubmit::Error::NoRetry(refusal)) => End::Refused(refusal.to_string()),
        Err(error) => End::Again(error.into()),
    };
    record(&shared, &delivery, &command, &end).await;
    answer(delivery, &command, end).await;
}

fn read(delivery: &Delivery) -> Result<JobCommand, String> {
    payload::read(delivery.header(envelope::CONTENT_TYPE), &delivery.payload)
}

/// Whether there is such a job for who asks. A door has looked whose it is; who publishes past the doors is of the tenant in
/// his subject, or of `default`, and other tenants' jobs are not there for him. Nor is one that nobody knows yet: whose it
/// will be, its first event says.
async fn may(shared: &Shared, delivery: &Delivery, command: &JobCommand) -> Result<bool, unlogged::Error> {
    let asks = match delivery.subject.parse() {
        Ok(Subject::ControlJob(job)) if job == command.job => return Ok(true),
        Ok(Subject::ControlOf(tenant)) => tenant,
        Ok(_) | Err(_) => Tenant::default(),
    };
    Ok(tenant(shared, command.job).await? == Some(asks))
}

/// Whose a job is, as its first event says, or what is left of its status.
async fn tenant(shared: &Shared, job: JobId) -> Result<Option<Tenant>, unlogged::Error> {
    let first = shared.bus.next_on(&Subject::JobEvent(job), 1).await?;
    if let Some(Ok((_, Event::JobSubmitted(submitted)))) = first.as_ref().map(log::decode) {
        return Ok(Some(submitted.tenant));
    }
    Ok(unlogged::find(shared, job).await?.map(|stored| stored.status.tenant))
}

async fn carry_out(shared: &Shared, command: &JobCommand) -> End {
    let meant = match command.stamped(clock::now()) {
        Ok(Some(meant)) => meant,
        Ok(None) => return End::Done,
        Err(mistake) => return End::Refused(mistake.to_string()),
    };
    let mut done = execute(&shared.bus, command.job, None, meant.clone(), None).await;
    // The last answer may have come between, and a cancel of what runs does nothing to what is answered.
    if command.kind == CommandKind::Cancel && matches!(done, Ok(true)) {
        done = execute(&shared.bus, command.job, None, meant, None).await.map(|_| true);
    }
    match done {
        Ok(done) => {
            tracing::info!(job = %command.job, command = command.kind.as_str(), done, "command");
            End::Done
        }
        Err(command::Error::Denied(Denied::Unknown)) => unlogged(shared, command).await,
        Err(command::Error::Denied(refusal)) => End::Refused(refusal.to_string()),
        Err(error) => End::Again(error.into()),
    }
}

/// The log does not know the job.
async fn unlogged(shared: &Shared, command: &JobCommand) -> End {
    let stored = match unlogged::find(shared, command.job).await {
        Ok(Some(stored)) => stored,
        Ok(None) => return End::Unknown,
        Err(error) => return End::Again(error.into()),
    };
    if command.kind != CommandKind::Cancel {
        return End::Refused(unlogged::refusal(&stored));
    }
    match unlogged::cancel(shared, &stored).await {
        Ok(true) => {
            tracing::warn!(job = %command.job, "a job whose events are gone from the log was cancelled");
            End::Done
        }
        Ok(false) => End::Again("another event of the job came first".into()),
        Err(unlogged::Error::Command(command::Error::Denied(refusal))) => End::Refused(refusal.to_string()),
        Err(error) => End::Again(error.into()),
    }
}

fn is_fresh(delivery: &Delivery) -> bool {
    clock::now().since(Timestamp::new(delivery.stored_ms)) < UNKNOWN_MS
}
