//! Who runs a room that several run at once, so that each piece of its work is done by one of them. No lock and no
//! vote: who is wrong about the others for a moment does a piece that another does, too, or leaves one for later.
use crate::{
    bus::{Bucket, PublishError, ReadError},
    clock,
    shared::Shared,
};
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;
use wire::{Lease, bucket};

use super::rule::RENEW_EVERY;

/// One beat: a write and a look.
const BEAT_WITHIN: Duration = Duration::from_secs(2);

pub struct Members {
    place: Place,
    names: watch::Receiver<Vec<String>>,
    _beats: AbortOnDropHandle<()>,
}

/// A member's own key, `<role>.<name>`.
#[derive(Clone)]
struct Place {
    bucket: Bucket,
    role: &'static str,
    name: String,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the member could not be written")]
    Write(#[from] PublishError),
    #[error("the members could not be read")]
    Read(#[from] ReadError),
}

impl Members {
    /// Joins, and knows the others unless NATS is silent. The server forgets a member that is silent.
    pub async fn join(shared: &Shared, role: &'static str, name: &str) -> Self {
        let place = Place { bucket: shared.bus.bucket(bucket::LEASES), role, name: name.to_owned() };
        let (tell, names) = watch::channel(vec![place.name.clone()]);
        place.beat(&tell).await;
        let beats = tokio::spawn({
            let place = place.clone();
            async move {
                loop {
                    sleep(RENEW_EVERY).await;
                    place.beat(&tell).await;
                }
            }
        });
        Self { place, names, _beats: AbortOnDropHandle::new(beats) }
    }

    /// Whether a piece of work is for this member. Among the same members, each says so of other pieces.
    pub fn owns(&self, piece: &str) -> bool {
        owner(&self.names.borrow(), piece).is_none_or(|owner| owner == self.place.name)
    }

    /// Resolves when a member came or went.
    pub async fn changed(&mut self) {
        if self.names.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// The others need not wait until this one is forgotten.
    pub async fn leave(self) {
        let Self { place, _beats, .. } = self;
        drop(_beats);
        // Where NATS is silent the key is forgotten.
        drop(timeout(BEAT_WITHIN, place.bucket.erase(&place.key())).await);
    }
}

impl Place {
    fn key(&self) -> String {
        format!("{}.{}", self.role, self.name)
    }

    async fn beat(&self, tell: &watch::Sender<Vec<String>>) {
        match timeout(BEAT_WITHIN, self.try_beat()).await {
            Ok(Ok(names)) => drop(tell.send_if_modified(|known| (*known != names).then(|| *known = names).is_some())),
            Ok(Err(error)) => tracing::debug!(role = self.role, %error, "a beat failed"),
            Err(_) => tracing::debug!(role = self.role, "a beat was not answered"),
        }
    }

    async fn try_beat(&self) -> Result<Vec<String>, Error> {
        let lease = Lease { holder: self.name.clone(), at: clock::now() };
        self.bucket.put(&self.key(), serde_json::to_vec(&lease).expect("a lease is plain JSON")).await?;
        let keys = self.bucket.keys_below(self.role).await?;
        let mut names: Vec<String> = keys.iter().filter_map(|key| Some(key.split_once('.')?.1.to_owned())).collect();
        names.sort_unstable();
        Ok(names)
    }
}

/// The member with the highest hash of piece and name: when one comes or goes, only its own pieces change hands.
fn owner<'a>(names: &'a [String], piece: &str) -> Option<&'a str> {
    if let [only] = names {
        return Some(only);
    }
    let rank = |name: &&String| *blake3::hash(format!("{name} {piece}").as_bytes()).as_bytes();
    names.iter().max_by_key(rank).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn each_piece_has_one_owner_and_keeps_it_when_others_come_and_go() {
        let (two, three) = (names(&["a", "b"]), names(&["a", "b", "c"]));
        let mut counts = [0; 3];
        for piece in (0..3_000).map(|n| format!("job {n}")) {
            let owner_of_three = owner(&three, &piece).unwrap();
            counts[three.iter().position(|name| name == owner_of_three).unwrap()] += 1;
            if owner_of_three != "c" {
                assert_eq!(owner(&two, &piece), Some(owner_of_three), "{piece}");
            }
            assert_eq!(owner(&names(&["b"]), &piece), Some("b"));
        }
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
        assert_eq!(owner(&[], "piece"), None);
    }
}
