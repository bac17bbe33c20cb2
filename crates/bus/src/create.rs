use serde_json::{Value, json};
use std::time::Duration;

use super::api::ApiError;
use super::apply::Target;
use super::{ApplyError, Bus, Change, limits};

/// Notes on a stream the `max_bytes` of its file, where the server had less to give.
pub(super) const SHRUNK_FROM: &str = "jetbatch.shrunk_from";
/// Notes on a stream the `storage` of its file, where the server had no memory to give.
pub(super) const MOVED_FROM: &str = "jetbatch.moved_from";

/// How often, and for how long, a stream that finds no room waits for other processes to make some.
const WAITS_MAX: u32 = 20;
const WAIT: Duration = Duration::from_millis(250);

/// The streams that one apply created, with the `max_bytes` they got.
#[derive(Default)]
pub(super) struct Fresh(Vec<Created>);

struct Created {
    name: String,
    file: Value,
    bytes: i64,
    /// It was to lie in memory, and lies on the disk.
    is_moved: bool,
}

impl Bus {
    /// Creates a stream or consumer.
    ///
    /// A stream that the server has no memory for goes to the disk. A server reserves `max_bytes`, and a small one has less than the files ask for. Then the largest of the
    /// streams created now is halved, until all have their place; streams that were there before are let be.
    pub(super) async fn create(&self, target: &Target<'_>, fresh: &mut Fresh) -> Result<Change, ApplyError> {
        let mut own = Created::new(target);
        let mut waits = 0;
        loop {
            let error = match self.api::<Value>(&target.verb("CREATE"), &target.body(&own.config())).await {
                Ok(_) => break,
                Err(error) => error,
            };
            let is_tight = error.is_tight();
            if error.is_short_of_memory() && own.may_move() {
                own.is_moved = true;
                continue;
            }
            let done = match fresh.larger_than(own.bytes) {
                Some(other) if is_tight => self.halve(other).await,
                _ if is_tight && own.may_halve() => own.halve(),
                // Another process that starts now holds the large ones, and is about to halve them.
                _ if is_tight && waits < WAITS_MAX => {
                    waits += 1;
                    tokio::time::sleep(WAIT).await;
                    true
                }
                _ => false,
            };
            if !done {
                return Err(target.refused(Vec::new(), error));
            }
        }
        fresh.0.push(own);
        Ok(Change::Created { what: target.what.clone() })
    }

    async fn halve(&self, stream: &mut Created) -> bool {
        stream.halve();
        let updated: Result<Value, ApiError> =
            self.api(&format!("STREAM.UPDATE.{}", stream.name), &stream.config()).await;
        updated.is_ok()
    }
}

impl Created {
    fn new(target: &Target<'_>) -> Self {
        let bytes = target.file["max_bytes"].as_i64().unwrap_or(0);
        Self { name: target.what.clone(), file: target.file.clone(), bytes, is_moved: false }
    }

    fn asked(&self) -> i64 {
        self.file["max_bytes"].as_i64().unwrap_or(0)
    }

    fn may_move(&self) -> bool {
        self.file["storage"] == json!("memory") && !self.is_moved
    }

    fn may_halve(&self) -> bool {
        self.bytes > 1 && self.bytes / 2 >= self.asked() / limits::SHRINK_MAX
    }

    fn halve(&mut self) -> bool {
        self.bytes /= 2;
        true
    }

    fn config(&self) -> Value {
        let mut config = self.file.clone();
        if self.bytes != self.asked() {
            config["max_bytes"] = json!(self.bytes);
            config["metadata"][SHRUNK_FROM] = json!(self.asked().to_string());
        }
        if self.is_moved {
            config["storage"] = json!("file");
            config["metadata"][MOVED_FROM] = self.file["storage"].clone();
        }
        config
    }
}

impl Fresh {
    fn larger_than(&mut self, bytes: i64) -> Option<&mut Created> {
        self.0.iter_mut().filter(|stream| stream.bytes > bytes && stream.may_halve()).max_by_key(|stream| stream.bytes)
    }

    /// Says which streams are smaller than their files.
    pub fn tell(&self) {
        for Created { name, .. } in self.0.iter().filter(|stream| stream.is_moved) {
            tracing::warn!(
                stream = name,
                "the server has no memory for the stream: it lies on the disk, which is slower"
            );
        }
        for Created { name, bytes, .. } in self.0.iter().filter(|stream| stream.bytes != stream.asked()) {
            tracing::warn!(
                stream = name,
                max_bytes = bytes,
                "the server has little storage: the stream is smaller than its file"
            );
        }
    }
}
