//! Questions that the fold answers: what a job would come to if it were submitted now, what tenants used. Nothing is
//! remembered of them, so a projector that is killed loses nothing but who waits, and he asks again. What is told unasked
//! stands here, too.
use super::run::Projector;
use crate::clock;
use async_nats::{Message, Subject};
use domain::{Timestamp, foresight::Asked, usage};
use serde::{Serialize, de::DeserializeOwned};
use wire::Aheads;

impl Projector {
    pub fn quote(&self, message: Message) {
        self.answer(message, |asked: Asked| {
            let now = clock::now();
            let workers = self.stalls.workers(asked.pools(), now);
            self.foresight.quote(&self.log, &workers, &asked, now)
        });
    }

    pub fn tell_usage(&self, message: Message) {
        self.answer(message, |asked: usage::Asked| usage::Told { rows: self.usage.told(&asked) });
    }

    fn answer<A: DeserializeOwned, T: Serialize>(&self, message: Message, to: impl FnOnce(A) -> T) {
        let Some(reply) = message.reply else { return };
        let said = match serde_json::from_slice::<A>(&message.payload) {
            Ok(asked) => serde_json::to_vec(&to(asked)).expect("an answer is plain JSON"),
            Err(error) => serde_json::json!({"error": error.to_string()}).to_string().into_bytes(),
        };
        self.say(reply, said);
    }

    /// What pools have before them, to whoever listens, and as a metric.
    pub fn tell_ahead(&self, now: Timestamp) {
        let ahead = self.foresight.ahead(&self.log, now);
        self.shared.metrics.needed(&ahead);
        self.say(Aheads.to_string().into(), serde_json::to_vec(&ahead).expect("what is ahead is plain JSON"));
    }

    fn say(&self, to: Subject, said: Vec<u8>) {
        let client = self.shared.bus.client().clone();
        tokio::spawn(async move {
            if let Err(error) = client.publish(to, said.into()).await {
                tracing::debug!(%error, "nobody was told");
            }
        });
    }
}
