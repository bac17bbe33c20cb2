//! Writes and alerts under way: many jobs at once, one write a job, and a pause between two of one job.
use super::{
    Error,
    stored::{self, Value, Written},
};
use crate::bus::{Bucket, Bus, PublishError};
use domain::{
    JobId,
    alarm::Watch,
    eta::Sla,
    status::{Live, State},
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::{cmp::Reverse, collections::BinaryHeap, future::pending};
use tokio::time::{Instant, sleep_until};
use wire::{Message, bucket};

/// Writes and alerts under way at once.
const RUNNING_MAX: usize = 64;

pub struct Writer {
    bus: Bus,
    bucket: Bucket,
    running: FuturesUnordered<BoxFuture<'static, Done>>,
    queue: BinaryHeap<Reverse<(Instant, JobId)>>,
}

/// What the writer has to tell.
pub enum Turn {
    /// A job's write is due.
    Due(JobId),
    Done(Done),
}

/// What had been told of a job, for when an alert is not published.
pub enum Before {
    End(Option<Sla>),
    Watch(Box<Watch>),
}

pub enum Done {
    Wrote { job: JobId, since: Option<u64>, live: Live, result: Result<Written, Error> },
    Alerted { job: JobId, before: Before, result: Result<(), PublishError> },
    Removed { job: JobId, result: Result<Option<State>, Error> },
}

impl Writer {
    pub fn new(bus: &Bus) -> Self {
        let (running, queue) = (FuturesUnordered::new(), BinaryHeap::new());
        Self { bus: bus.clone(), bucket: bus.bucket(bucket::STATUS), running, queue }
    }

    pub fn queue(&mut self, job: JobId, at: Instant) {
        self.queue.push(Reverse((at, job)));
    }

    /// Against the revision `rev`.
    pub fn write(&mut self, job: JobId, value: Value, rev: u64, since: Option<u64>) {
        let (bus, bucket) = (self.bus.clone(), self.bucket.clone());
        let write = async move {
            let live = value.version.live.clone();
            let result = stored::put(&bus, &bucket, job, value, rev).await;
            Done::Wrote { job, since, live, result }
        };
        self.running.push(write.boxed());
    }

    pub fn remove(&mut self, job: JobId) {
        let bucket = self.bucket.clone();
        let remove = async move { Done::Removed { job, result: stored::remove(&bucket, job).await } };
        self.running.push(remove.boxed());
    }

    /// `before`: what had been told of the job until now.
    pub fn alert(&mut self, job: JobId, before: Before, alert: Message) {
        let bus = self.bus.clone();
        let done = async move {
            let result = bus.publish(alert).await.map(drop);
            Done::Alerted { job, before, result }
        };
        self.running.push(done.boxed());
    }

    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// May be dropped and called again.
    pub async fn next(&mut self) -> Turn {
        let due = self.due();
        tokio::select! {
            biased;
            Some(done) = self.running.next() => Turn::Done(done),
            Some(job) = wait(due) => {
                self.queue.pop();
                Turn::Due(job)
            }
            else => pending().await,
        }
    }

    /// The next write of the queue, as long as there is room for it.
    fn due(&self) -> Option<(Instant, JobId)> {
        self.queue.peek().filter(|_| self.running.len() < RUNNING_MAX).map(|Reverse(next)| *next)
    }
}

async fn wait(due: Option<(Instant, JobId)>) -> Option<JobId> {
    let (at, job) = due?;
    if at > Instant::now() {
        sleep_until(at).await;
    }
    Some(job)
}
