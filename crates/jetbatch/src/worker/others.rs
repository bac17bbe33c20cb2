//! Who else takes work in the pool, as far as that matters after a failure: by the heartbeats, read when they are needed.
use crate::bus::{Bucket, ReadError};
use domain::{Pool, witness::WITNESSES};
use std::time::{Duration, Instant};
use tokio::{sync::Mutex, time::timeout};
use wire::Heartbeat;

/// An answer that is older is asked for again.
const AGE_MAX: Duration = Duration::from_secs(3);
/// The same of one that found nobody: who started together with this one may beat in a moment.
const NOBODY_AGE_MAX: Duration = Duration::from_millis(500);
/// A failure is told without, where NATS does not say.
const WITHIN: Duration = Duration::from_secs(2);
/// More are not counted.
const ENOUGH: u32 = WITNESSES as u32 - 1;

pub struct Others {
    bucket: Bucket,
    pool: Pool,
    /// The worker's own key.
    own: String,
    known: Mutex<Option<(Instant, u32)>>,
}

impl Others {
    pub fn new(bucket: Bucket, pool: &Pool, worker: &str) -> Self {
        Self { bucket, pool: pool.clone(), own: Heartbeat::key(pool, worker), known: Mutex::default() }
    }

    /// Workers that could have taken what failed here. What cannot be read is as it was; before, somebody may be there.
    pub async fn count(&self) -> u32 {
        let mut known = self.known.lock().await;
        let before = known.map_or(1, |(_, count)| count);
        if let Some((at, count)) = *known
            && at.elapsed() < if count == 0 { NOBODY_AGE_MAX } else { AGE_MAX }
        {
            return count;
        }
        let count = match timeout(WITHIN, self.look()).await {
            Ok(Ok(count)) => count,
            Ok(Err(_)) | Err(_) => before,
        };
        *known = Some((Instant::now(), count));
        count
    }

    async fn look(&self) -> Result<u32, ReadError> {
        let mut count = 0;
        for key in self.bucket.keys_below(self.pool.as_str()).await? {
            if count < ENOUGH && key != self.own {
                count += u32::from(self.takes_work(&key).await?);
            }
        }
        Ok(count)
    }

    async fn takes_work(&self, key: &str) -> Result<bool, ReadError> {
        let beat = self.bucket.get(key).await?;
        let beat = beat.and_then(|(bytes, _)| serde_json::from_slice::<Heartbeat>(&bytes).ok());
        Ok(beat.is_some_and(|beat| beat.state.works() && !beat.draining))
    }
}
