//! Keys on NATS: made, listed, revoked and rotated. The bucket `keys` has each with the hash of its secret; the secret
//! itself is given to whoever asked for the key, and is nowhere else. A secret is 256 random bits, so a plain hash keeps it.
mod ring;

pub use ring::Ring;

use crate::{
    bus::{Append, Bucket, Bus, Entry, Op, PublishError, ReadError},
    clock,
};
use domain::key::{Digest, Draft, Fault, Key, KeyId, SECRET_BYTES, Token};
use std::cmp::Reverse;
use wire::{StoredKey, bucket};

/// Of one who writes against others who write the same key.
const TRIES_MAX: u32 = 8;

/// A key, and what is shown of it this once.
#[derive(Debug)]
pub struct Made {
    pub key: Key,
    pub token: Token,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error("there is no key {0}")]
    Unknown(KeyId),
    #[error("key {0} is revoked, and that is for good; make another")]
    Revoked(KeyId),
    #[error("others change key {0} at the same time; try again")]
    Contended(KeyId),
    #[error("key {0} cannot be read; it may be of a newer jetbatch")]
    Strange(KeyId),
    #[error("the keys could not be read")]
    Read(#[from] ReadError),
    #[error("the key could not be stored")]
    Write(#[from] PublishError),
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// Where they are.
pub fn bucket(bus: &Bus) -> Bucket {
    bus.bucket(bucket::KEYS)
}

/// Makes a key that nobody has.
pub async fn create(bucket: &Bucket, draft: Draft) -> Result<Made, Error> {
    let token = Token { id: KeyId::new(u64::from_be_bytes(random()?)), secret: random()? };
    let key = draft.key(token.id, digest(&token), clock::now())?;
    match bucket.update(&token.id.to_string(), json(&key), 0).await? {
        Append::Stored(_) => Ok(Made { key, token }),
        Append::Conflict => Err(Error::Contended(token.id)),
    }
}

/// All of them, the newest first. What cannot be read is left out.
pub async fn list(bucket: &Bucket) -> Result<Vec<Key>, Error> {
    let (mut watch, mut keys) = (bucket.watch(">").await?, Vec::new());
    while !watch.caught_up() {
        keys.extend(read(&watch.next().await?));
    }
    keys.sort_unstable_by_key(|key| Reverse((key.created, key.id)));
    Ok(keys)
}

pub async fn find(bucket: &Bucket, id: KeyId) -> Result<Key, Error> {
    last(bucket, id).await.map(|(key, _)| key)
}

/// Takes a key back. Done twice it is done once.
pub async fn revoke(bucket: &Bucket, id: KeyId) -> Result<Key, Error> {
    let revoke = |mut key: Key| {
        key.revoke(clock::now());
        Ok(key)
    };
    change(bucket, id, revoke).await
}

/// Gives a key another secret; the old one is taken for `grace` longer.
pub async fn rotate(bucket: &Bucket, id: KeyId, grace: Option<&str>) -> Result<Made, Error> {
    let token = Token { id, secret: random()? };
    let rotate = |mut key: Key| {
        if key.revoked.is_some() {
            return Err(Error::Revoked(id));
        }
        key.rotate(digest(&token), grace, clock::now())?;
        Ok(key)
    };
    let key = change(bucket, id, rotate).await?;
    Ok(Made { key, token })
}

/// Compared and set, so that no revocation is written over.
async fn change(bucket: &Bucket, id: KeyId, to: impl Fn(Key) -> Result<Key, Error>) -> Result<Key, Error> {
    for _ in 0..TRIES_MAX {
        let (old, rev) = last(bucket, id).await?;
        let key = to(old)?;
        if let Append::Stored(_) = bucket.update(&id.to_string(), json(&key), rev).await? {
            return Ok(key);
        }
    }
    Err(Error::Contended(id))
}

async fn last(bucket: &Bucket, id: KeyId) -> Result<(Key, u64), Error> {
    let entry = bucket.last(&id.to_string()).await?.filter(|entry| entry.op == Op::Put);
    let entry = entry.ok_or(Error::Unknown(id))?;
    Ok((read(&entry).ok_or(Error::Strange(id))?, entry.rev))
}

/// None: it is gone, or of a newer jetbatch, and what that means by it is not known here.
fn read(entry: &Entry) -> Option<Key> {
    let stored = serde_json::from_slice::<StoredKey>(&entry.value).ok().filter(|_| entry.op == Op::Put);
    stored.filter(|stored| stored.v <= StoredKey::VERSION && stored.key.id.to_string() == entry.key).map(|it| it.key)
}

fn json(key: &Key) -> Vec<u8> {
    serde_json::to_vec(&StoredKey::new(key.clone())).expect("a key is plain JSON")
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(Error::Random)?;
    Ok(bytes)
}

fn digest(token: &Token) -> Digest {
    Digest(hash(&token.secret).to_hex().to_string())
}

/// Whether a hash is that of a token's secret. Hashes are compared in a time that tells nothing of them.
fn is_of(digest: &Digest, token: &Token) -> bool {
    blake3::Hash::from_hex(&digest.0).is_ok_and(|known| known == hash(&token.secret))
}

fn hash(secret: &[u8; SECRET_BYTES]) -> blake3::Hash {
    blake3::hash(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_hash_alone() {
        let token = Token { id: KeyId::new(1), secret: random().unwrap() };
        let other = Token { secret: random().unwrap(), ..token.clone() };
        assert!(is_of(&digest(&token), &token) && !is_of(&digest(&token), &other));
        assert!(!is_of(&Digest(String::new()), &token));
        assert!(!token.reveal().contains(&digest(&token).0));
    }
}
