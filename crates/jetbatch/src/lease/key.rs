//! One role's key in the bucket: looked at, taken, renewed, given up.
use super::rule::{self, Claim, LOOK_EVERY, Standing, TERM, Term, Watch};
use crate::{
    bus::{Append, Bucket, Bus, Entry, Op, PublishError, ReadError},
    clock,
};
use std::{future::pending, time::Duration};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use wire::bucket;

/// Before a failed write is tried again.
const PAUSE: Duration = Duration::from_millis(250);
/// A write that takes longer may have no bucket to go to.
const MEND_AFTER: Duration = Duration::from_millis(400);
/// A standby need not wait for a lease to be forgotten, but a stop need not wait for NATS either.
const RELEASE_WITHIN: Duration = Duration::from_secs(2);

/// Why a lease is not in hand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    #[error("'{0}' holds the lease")]
    Held(String),
    #[error("the lease could not be written in time")]
    Late,
}

#[derive(Clone)]
pub struct Lease {
    bucket: Bucket,
    role: &'static str,
    holder: String,
}

impl Lease {
    pub fn new(bus: &Bus, role: &'static str, holder: &str) -> Self {
        Self { bucket: bus.bucket(bucket::LEASES), role, holder: holder.to_owned() }
    }

    pub fn role(&self) -> &'static str {
        self.role
    }

    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// Stands by until the lease is taken.
    pub async fn take(&self) -> Term {
        let (mut told, mut watch) = (None, Watch::default());
        loop {
            match self.try_take(&mut watch).await {
                Ok(term) => return term,
                Err(loss) if told.as_ref() == Some(&loss) => {}
                Err(loss) => {
                    tracing::info!(role = self.role, holder = self.holder, why = %loss, "stands by");
                    told = Some(loss);
                }
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn try_take(&self, watch: &mut Watch) -> Result<Term, Loss> {
        let until = Instant::now() + TERM;
        let rev = timeout_at(until, self.look(watch)).await.unwrap_or(Err(Loss::Late))?;
        self.write(rev, until).await
    }

    /// Renews the lease until it is lost.
    pub async fn keep(self, mut term: Term) -> Loss {
        loop {
            sleep_until(term.renew_at().into()).await;
            // A process that was stopped wakes up here.
            if term.is_over(Instant::now().into_std()) {
                return Loss::Late;
            }
            match self.write(term.rev, term.ends_at().into()).await {
                Ok(next) => term = next,
                Err(loss) => return loss,
            }
        }
    }

    /// Gives the lease up if it is ours.
    pub async fn release(&self) {
        if timeout(RELEASE_WITHIN, self.try_release()).await.is_err() {
            tracing::debug!(role = self.role, "the lease was not given up; it will be forgotten");
        }
    }

    async fn try_release(&self) {
        while let Ok(Standing::Held { rev, holder }) = self.standing().await {
            if holder != self.holder || !matches!(self.bucket.remove(self.role, rev).await, Ok(Append::Conflict)) {
                return;
            }
        }
    }

    /// Writes the lease against a revision. Where another write came first, that one says whether it was ours.
    async fn write(&self, mut rev: u64, until: Instant) -> Result<Term, Loss> {
        let write = async {
            loop {
                let asked = Instant::now().into_std();
                match self.put(rev).await {
                    Ok(Append::Stored(rev)) => return Ok(Term::new(rev, asked)),
                    Ok(Append::Conflict) => rev = self.look(&mut Watch::default()).await?,
                    Err(error) => {
                        tracing::debug!(role = self.role, %error, "the lease is not written yet");
                        sleep(PAUSE).await;
                    }
                }
            }
        };
        timeout_at(until, write).await.unwrap_or(Err(Loss::Late))
    }

    async fn put(&self, rev: u64) -> Result<Append, PublishError> {
        let lease = wire::Lease { holder: self.holder.clone(), at: clock::now() };
        let lease = serde_json::to_vec(&lease).expect("a lease is plain JSON");
        let mend = async {
            sleep(MEND_AFTER).await;
            self.bucket.ensure().await;
            pending().await
        };
        tokio::select! {
            written = self.bucket.update(self.role, lease, rev) => written,
            never = mend => never,
        }
    }

    /// The revision to write against, where the lease may be taken.
    async fn look(&self, watch: &mut Watch) -> Result<u64, Loss> {
        let standing = match self.standing().await {
            Err(ReadError::NoStream { .. }) => {
                self.bucket.ensure().await;
                Standing::Nothing
            }
            standing => standing.map_err(|_| Loss::Late)?,
        };
        match rule::claim(standing, &self.holder, watch, Instant::now().into_std()) {
            Claim::Take { rev } => Ok(rev),
            Claim::Wait { holder } => Err(Loss::Held(holder)),
        }
    }

    async fn standing(&self) -> Result<Standing, ReadError> {
        Ok(self.bucket.last(self.role).await?.map_or(Standing::Nothing, standing))
    }
}

/// A value that is no lease is somebody's all the same, until it is forgotten.
fn standing(entry: Entry) -> Standing {
    let Entry { rev, op, value, .. } = entry;
    match (op, serde_json::from_slice::<wire::Lease>(&value)) {
        (Op::Delete, _) => Standing::Released { rev },
        (Op::Put, Ok(lease)) => Standing::Held { rev, holder: lease.holder },
        (Op::Put, Err(_)) => Standing::Held { rev, holder: "unknown".to_owned() },
    }
}
