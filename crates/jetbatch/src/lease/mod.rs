//! One leader for each role that has one, and standbys: a key in the bucket `leases` that is taken by compare-and-set,
//! renewed every second, and forgotten by the server when its holder is silent.
//!
//! A lease spares work done twice; it guards no data. A holder that was stopped or cut off learns late that it leads no
//! more, so what a leader writes is compared and set by itself.
mod key;
mod members;
mod rule;

use crate::shared::Shared;
use key::Lease;
use rule::Term;
use std::{error::Error, pin::pin, time::Duration};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

pub use members::Members;
pub use rule::{FORGOTTEN_AFTER, TAKEOVER_MAX};

/// How long a room may take to end when the lease is lost; then it is dropped, as by a crash.
const END_WITHIN: Duration = Duration::from_secs(6);

/// Runs `room` whenever `holder` leads `role`, until `stop`, or until the room ends by itself. A room whose lease is
/// lost is told to end, and begins anew with the next lease. Without NATS it waits, however long.
pub async fn lead<R, E>(
    shared: &Shared,
    role: &'static str,
    holder: &str,
    stop: CancellationToken,
    mut room: impl FnMut(CancellationToken) -> R,
) -> Result<(), E>
where
    R: Future<Output = Result<(), E>>,
    E: Error + 'static,
{
    let lease = Lease::new(&shared.bus, role, holder);
    let mut ended = None;
    shared.metrics.leader(role, false);
    while ended.is_none() {
        let Some(term) = stop.run_until_cancelled(lease.take()).await else { break };
        tracing::info!(role, holder, "leads");
        shared.metrics.leader(role, true);
        ended = lead_until_lost(&lease, term, &stop, &mut room).await;
        shared.metrics.leader(role, false);
    }
    lease.release().await;
    ended.unwrap_or(Ok(()))
}

/// Until the room ends, or (none) the lease is lost and so the room is over.
async fn lead_until_lost<R, E>(
    lease: &Lease,
    term: Term,
    stop: &CancellationToken,
    room: &mut impl FnMut(CancellationToken) -> R,
) -> Option<Result<(), E>>
where
    R: Future<Output = Result<(), E>>,
    E: Error + 'static,
{
    // A task of its own: a room that computes must not cost the lease.
    let keeper = AbortOnDropHandle::new(tokio::spawn(lease.clone().keep(term)));
    let token = stop.child_token();
    let mut room = pin!(room(token.clone()));
    let loss = tokio::select! {
        ended = &mut room => return Some(ended),
        loss = keeper => loss,
    };
    let why = loss.map_or_else(|error| error.to_string(), |loss| loss.to_string());
    tracing::warn!(role = lease.role(), holder = lease.holder(), why, "leads no more");
    token.cancel();
    match timeout(END_WITHIN, room).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(role = lease.role(), error = &error as &dyn Error, "the room ended badly"),
        Err(_) => tracing::warn!(role = lease.role(), "the room did not end in time and is dropped"),
    }
    None
}
