use address::{BucketName, Message};
use bytes::Bytes;

use super::reader::{Plan, Start};
use super::{Append, Bus, PublishError, Raw, ReadError, Reader, StreamState};

const OPERATION: &str = "KV-Operation";
/// Set by the server on the message it leaves where a key expired.
const MARKER: &str = "Nats-Marker-Reason";

/// A key-value bucket, the same that `nats kv` and async-nats open.
#[derive(Clone)]
pub struct Bucket {
    bus: Bus,
    stream: String,
    prefix: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Put,
    /// Deleted, purged or expired.
    Delete,
}

#[derive(Debug, Clone)]
pub struct Entry {
    pub key: String,
    pub value: Bytes,
    pub rev: u64,
    pub op: Op,
    pub time_ms: u64,
    /// How many entries follow; 0 is caught up.
    pub pending: u64,
}

/// The entries of a bucket: first the newest of each key, then every change.
pub struct Watch {
    bucket: Bucket,
    reader: Reader,
}

impl Bus {
    pub fn bucket(&self, name: BucketName) -> Bucket {
        Bucket { bus: self.clone(), stream: format!("KV_{name}"), prefix: format!("$KV.{name}.") }
    }
}

impl Bucket {
    /// A key's value and revision, from any replica: with three of them possibly a moment old.
    pub async fn get(&self, key: &str) -> Result<Option<(Bytes, u64)>, ReadError> {
        let raw = self.bus.replica(&self.stream, &self.subject(key)).await?;
        Ok(raw.filter(|raw| op(raw) == Op::Put).map(|raw| (raw.payload, raw.seq)))
    }

    /// What was written of a key last, from the stream's leader, so that no write answered before is missed. Of a
    /// deletion, too: its revision is the one to write against.
    pub async fn last(&self, key: &str) -> Result<Option<Entry>, ReadError> {
        let raw = self.bus.newest(&self.stream, &self.subject(key)).await?;
        Ok(raw.map(|raw| self.entry(raw)))
    }

    /// The state of the stream behind it.
    pub async fn state(&self) -> Result<StreamState, ReadError> {
        self.bus.state_of(&self.stream).await
    }

    /// Makes the bucket anew where it is gone; every bucket is a cache.
    pub async fn ensure(&self) {
        self.bus.revive(&self.stream).await;
    }

    /// Whether a key was there and was deleted.
    pub async fn was_deleted(&self, key: &str) -> Result<bool, ReadError> {
        let raw = self.bus.replica(&self.stream, &self.subject(key)).await?;
        Ok(raw.is_some_and(|raw| op(&raw) == Op::Delete))
    }

    /// Writes a key, whatever it held, and gives its revision.
    pub async fn put(&self, key: &str, value: impl Into<Bytes>) -> Result<u64, PublishError> {
        self.write(Message::spelled(self.subject(key), value)).await
    }

    /// Writes a key if its revision is still `rev` (0: the key was never written).
    pub async fn update(&self, key: &str, value: impl Into<Bytes>, rev: u64) -> Result<Append, PublishError> {
        let id = uuid::Uuid::now_v7();
        self.bus.append(Message::spelled(self.subject(key), value).id(id), rev).await
    }

    /// Deletes a key if its revision is still `rev`.
    pub async fn remove(&self, key: &str, rev: u64) -> Result<Append, PublishError> {
        let id = uuid::Uuid::now_v7();
        self.bus.append(Message::spelled(self.subject(key), Bytes::new()).header(OPERATION, "DEL").id(id), rev).await
    }

    pub async fn delete(&self, key: &str) -> Result<(), PublishError> {
        self.write(Message::spelled(self.subject(key), Bytes::new()).header(OPERATION, "DEL")).await.map(drop)
    }

    /// The changes of one key, of a wildcard, or of all keys (`>`).
    pub async fn watch(&self, keys: &str) -> Result<Watch, ReadError> {
        Ok(Watch { bucket: self.clone(), reader: self.read(keys, false).await? })
    }

    pub async fn keys(&self) -> Result<Vec<String>, ReadError> {
        let mut reader = self.read(">", true).await?;
        let mut keys = Vec::new();
        while !reader.caught_up() {
            let entry = self.entry(reader.next().await?);
            if entry.op == Op::Put {
                keys.push(entry.key);
            }
        }
        Ok(keys)
    }

    /// The keys `<prefix>.<one token>`, without a consumer to be made for it. Also those that were deleted.
    pub async fn keys_below(&self, prefix: &str) -> Result<Vec<String>, ReadError> {
        let subjects = self.bus.subject_counts(&self.stream, &self.subject(&format!("{prefix}.*"))).await?;
        let keys = subjects.into_keys().filter_map(|subject| Some(subject.strip_prefix(&self.prefix)?.to_owned()));
        Ok(keys.collect())
    }

    /// Removes a key and leaves no sign that there was one.
    pub async fn erase(&self, key: &str) -> Result<(), ReadError> {
        self.bus.purge_of(&self.stream, &self.subject(key)).await.map(drop)
    }

    async fn read(&self, keys: &str, headers_only: bool) -> Result<Reader, ReadError> {
        let (stream, filter) = (self.stream.clone(), self.subject(keys));
        Reader::open(&self.bus, Plan { stream, filter, start: Start::Newest, headers_only }).await
    }

    /// A put may be sent twice: the second copy says the same, and one client's messages keep their order.
    async fn write(&self, message: Message) -> Result<u64, PublishError> {
        let mut out = self.bus.address(message)?;
        out.repeatable = true;
        Ok(self.bus.persist(&out).await?.seq)
    }

    fn subject(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn entry(&self, raw: Raw) -> Entry {
        let key = raw.subject.strip_prefix(&self.prefix).unwrap_or(&raw.subject).to_owned();
        let op = op(&raw);
        Entry { key, op, value: raw.payload, rev: raw.seq, time_ms: raw.time_ms, pending: raw.pending }
    }
}

impl Watch {
    /// The next change, waiting for it as long as it takes. May be dropped and called again.
    pub async fn next(&mut self) -> Result<Entry, ReadError> {
        Ok(self.bucket.entry(self.reader.next().await?))
    }

    pub fn caught_up(&self) -> bool {
        self.reader.caught_up()
    }
}

fn op(raw: &Raw) -> Op {
    match (raw.header(OPERATION), raw.header(MARKER)) {
        (Some("DEL" | "PURGE"), _) | (_, Some(_)) => Op::Delete,
        _ => Op::Put,
    }
}
