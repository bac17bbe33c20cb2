//! Which installation this is. Store and NATS carry one id, so that two installations that meet by accident say so
//! before either takes the other's work. The store also says of which log it is: where NATS came back empty, it is told
//! before a submission is acknowledged into a log that nobody knows.
mod settings;

pub use settings::agree;

use crate::{
    bus::{Append, Op, PublishError, ReadError},
    chain::chain,
    clock,
    log::snapshot,
    paths,
    shared::Shared,
};
use domain::trouble::{Kind, Scope, Trouble};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use store::{Rights, StoreError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::{bucket, stream::EVENTS};

/// The key in the bucket `installation`.
const KEY: &str = "id";
/// An object of this kind is small; more of it is not read.
const BYTES_MAX: u64 = 4 << 10;
/// How often rights are tried again, or what could not be found out.
const EVERY: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(2);
/// Looks at the store for one try of all rights.
const RIGHTS_EVERY: u32 = 6;

/// What stands in the store, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    id: Uuid,
    /// When the log of this installation was created, as the server tells it.
    log: String,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the store {url} is of installation {store}, and NATS is of installation {nats}: two installations meet. Give \
         this head its own NATS, or the store of the other heads (store.url)"
    )]
    Another { url: String, store: Uuid, nats: Uuid },
    #[error(
        "the store {url} carries no installation's id, and NATS is of installation {nats}: this is not the store of the \
         other heads. Give this head theirs (store.url); or, if the store was emptied on purpose, let go of the old id \
         with `nats kv del installation id`"
    )]
    OtherStore { url: String, nats: Uuid },
    #[error(
        "the store {url} is of installation {store}, and NATS knows none and has another log: NATS lost its data, or is \
         another. Restore it; or, to begin anew with this store, delete '{object}', the snapshots and the jobs from it",
        object = paths::INSTALLATION
    )]
    LogLost { url: String, store: Uuid },
    #[error("the store cannot be asked which installation it is of")]
    Store(#[from] StoreError),
    #[error("NATS cannot be asked which installation it is of")]
    Read(#[from] ReadError),
    #[error("NATS cannot be told which installation it is of")]
    Write(#[from] PublishError),
    #[error("the store gave no answer")]
    Silent,
    #[error("'{0}' in the store cannot be read")]
    Broken(&'static str),
}

impl Error {
    /// Whether asking again cannot help.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Another { .. } | Self::OtherStore { .. } | Self::LogLost { .. } | Self::Broken(_))
    }
}

/// What follows from what stands on both sides.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Same,
    /// Neither has an id.
    Begin,
    /// NATS has the log that the store knows, and forgot the id.
    Remember(Uuid),
    Another(Uuid, Uuid),
    OtherStore(Uuid),
    LogLost(Uuid),
}

/// `log`: when EVENTS was created; none where the log does not outlive its server.
fn judge(store: Option<&Mark>, nats: Option<Uuid>, log: Option<&str>) -> Verdict {
    match (store, nats) {
        (None, None) => Verdict::Begin,
        (Some(mark), Some(nats)) if mark.id == nats => Verdict::Same,
        (Some(mark), Some(nats)) => Verdict::Another(mark.id, nats),
        (None, Some(nats)) => Verdict::OtherStore(nats),
        (Some(mark), None) if log.is_none_or(|log| mark.log == log) => Verdict::Remember(mark.id),
        (Some(mark), None) => Verdict::LogLost(mark.id),
    }
}

/// Holds store and NATS against each other. A first start gives both their id; of two that race, one settles it.
pub async fn join(shared: &Shared) -> Result<(), Error> {
    if shared.config.store.url.starts_with("memory:") {
        return Ok(());
    }
    let (url, log) = (shared.config.store.url.clone(), shared.bus.state(EVENTS).await?.created);
    let (mark, nats) = (mark(shared).await?, known(shared).await?);
    match judge(mark.as_ref(), nats, snapshot::are_kept(shared).then_some(&*log)) {
        Verdict::Same => Ok(()),
        Verdict::Begin => begin(shared, log).await,
        Verdict::Remember(id) => remember(shared, id).await,
        Verdict::Another(store, nats) => Err(Error::Another { url, store, nats }),
        Verdict::OtherStore(nats) => Err(Error::OtherStore { url, nats }),
        Verdict::LogLost(store) => Err(Error::LogLost { url, store }),
    }
}

/// The store first: where this ends in between, its log tells that the id is NATS's, too.
async fn begin(shared: &Shared, log: String) -> Result<(), Error> {
    let ours = Mark { id: Uuid::now_v7(), log };
    let bytes = serde_json::to_vec(&ours).expect("a mark is plain JSON");
    let is_ours = shared.store.create(paths::INSTALLATION, bytes.into()).await?;
    // Another head may have been faster.
    let mark = mark(shared).await?.ok_or(Error::Broken(paths::INSTALLATION))?;
    let joined = remember(shared, mark.id).await;
    if is_ours && matches!(joined, Err(Error::Another { .. })) {
        // A store that is nobody's is left as it was.
        shared.store.delete(paths::INSTALLATION).await?;
    }
    joined
}

/// Gives NATS the id, unless it has one.
async fn remember(shared: &Shared, id: Uuid) -> Result<(), Error> {
    let bucket = shared.bus.bucket(bucket::INSTALLATION);
    let last = bucket.last(KEY).await?;
    let is_free = last.as_ref().is_none_or(|entry| entry.op == Op::Delete);
    if is_free && let Append::Stored(_) = bucket.update(KEY, id.to_string(), last.map_or(0, |entry| entry.rev)).await? {
        tracing::info!(installation = %id, "store and NATS belong together");
        return Ok(());
    }
    match known(shared).await? {
        Some(nats) if nats != id => Err(Error::Another { url: shared.config.store.url.clone(), store: id, nats }),
        Some(_) | None => Ok(()),
    }
}

async fn mark(shared: &Shared) -> Result<Option<Mark>, Error> {
    let Some(bytes) = shared.store.size(paths::INSTALLATION).await? else { return Ok(None) };
    match shared.store.range(paths::INSTALLATION, 0..bytes.min(BYTES_MAX)).await {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|_| Error::Broken(paths::INSTALLATION)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn known(shared: &Shared) -> Result<Option<Uuid>, Error> {
    let held = shared.bus.bucket(bucket::INSTALLATION).get(KEY).await?;
    Ok(held.and_then(|(id, _)| std::str::from_utf8(&id).ok()?.parse().ok()))
}

/// Finds out what the start could not, and looks again from time to time at what the store allows. Ends where store and
/// NATS turn out to be of two installations.
pub async fn watch(shared: Shared, mut is_joined: bool, stop: CancellationToken) -> Result<(), Error> {
    for round in 1_u32.. {
        if !is_joined {
            match join(&shared).await {
                Err(error) if error.is_final() => return Err(error),
                joined => is_joined = told(&shared, joined),
            }
        }
        // Each try writes; where all was well, a question is enough most times.
        let is_well = shared.troubles.of(&Scope::Installation).iter().all(|trouble| !is_of_store(trouble.what));
        if !is_well || round.is_multiple_of(RIGHTS_EVERY) || shared.store.probe().await.is_err() {
            rights(&shared).await;
        }
        let pause = if is_joined { EVERY } else { SOON };
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            break;
        }
    }
    Ok(())
}

const fn is_of_store(kind: Kind) -> bool {
    matches!(kind, Kind::Rights | Kind::Store)
}

/// Until it is known nothing is acknowledged.
pub fn told(shared: &Shared, joined: Result<(), Error>) -> bool {
    match joined {
        Ok(()) => shared.troubles.clear(&Scope::Installation, Kind::Identity),
        Err(ref error) => {
            let cause = chain(error);
            let mend = "see that the store and NATS answer (jetbatch doctor)";
            tell(shared, Trouble::new(Kind::Identity, cause, mend, clock::now()));
        }
    }
    joined.is_ok()
}

/// What the store lets us do, tried with an object of its own.
pub async fn rights(shared: &Shared) {
    match shared.store.rights().await {
        Ok(rights) => show(shared, rights),
        Err(error) => {
            let cause = chain(&error);
            let mend = "see that it is there and that its keys are right (store.url, store.options)";
            tell(shared, Trouble::new(Kind::Store, cause, mend, clock::now()));
        }
    }
}

/// The store answers; what it does not allow is told.
pub fn show(shared: &Shared, rights: Rights) {
    shared.troubles.clear(&Scope::Installation, Kind::Store);
    match rights {
        Rights::All => shared.troubles.clear(&Scope::Installation, Kind::Rights),
        Rights::NoDelete(why) => tell(shared, no_delete(&shared.config.store.url, &why)),
    }
}

fn no_delete(url: &str, why: &str) -> Trouble {
    let cause = format!(
        "the store {url} refuses to delete ({why}): the parts of outputs, old snapshots and the files of deleted jobs stay"
    );
    let mend = "allow it (s3:DeleteObject), or accept that with store.delete = \"never\"";
    Trouble::new(Kind::Rights, cause, mend, clock::now())
}

fn tell(shared: &Shared, trouble: Trouble) {
    shared.troubles.tell(Scope::Installation, trouble);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_are_of_one_installation() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mark = |id| Mark { id, log: "born".into() };
        for (store, nats, log, want) in [
            (None, None, Some("born"), Verdict::Begin),
            (Some(mark(one)), Some(one), Some("born"), Verdict::Same),
            (Some(mark(one)), Some(one), Some("again"), Verdict::Same),
            (Some(mark(one)), Some(two), Some("born"), Verdict::Another(one, two)),
            (None, Some(two), Some("born"), Verdict::OtherStore(two)),
            (Some(mark(one)), None, Some("born"), Verdict::Remember(one)),
            (Some(mark(one)), None, Some("again"), Verdict::LogLost(one)),
            (Some(mark(one)), None, None, Verdict::Remember(one)),
        ] {
            assert_eq!(judge(store.as_ref(), nats, log), want, "{store:?} {nats:?} {log:?}");
        }
    }
}
