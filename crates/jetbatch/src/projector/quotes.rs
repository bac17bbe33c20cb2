//! Questions that the fold answers: what a job would come to if it were submitted now, what tenants used. Nothing is
//! remembered of them, so a projector that is killed loses nothing but who waits, and he asks again.
use super::run::Projector;
use crate::{bus::Bus, clock};
use async_nats::Message;
use domain::{foresight::Asked, usage};
use futures::StreamExt;
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt::Display, time::Duration};
use tokio::{sync::mpsc, time::sleep};
use tokio_util::task::AbortOnDropHandle;

const PAUSE: Duration = Duration::from_secs(1);
/// Questions that wait: each costs some passes over all jobs. More are left unanswered.
const WAITING_MAX: usize = 16;

pub struct Questions {
    asked: mpsc::Receiver<Message>,
    _task: AbortOnDropHandle<()>,
}

impl Questions {
    /// Listens on a subject from here on, until it is dropped.
    pub fn open(bus: &Bus, subject: impl Display) -> Self {
        let (tell, asked) = mpsc::channel(WAITING_MAX);
        let (client, subject) = (bus.client().clone(), subject.to_string());
        let task = tokio::spawn(async move {
            while !tell.is_closed() {
                match client.subscribe(subject.clone()).await {
                    Ok(mut questions) => {
                        while let Some(message) = questions.next().await {
                            // Where the queue is full, nobody answers in time anyway.
                            let _ = tell.try_send(message);
                        }
                    }
                    Err(error) => tracing::debug!(%error, "questions cannot be heard; trying again"),
                }
                sleep(PAUSE).await;
            }
        });
        Self { asked, _task: AbortOnDropHandle::new(task) }
    }

    /// The next question. May be dropped and called again.
    pub async fn next(&mut self) -> Message {
        match self.asked.recv().await {
            Some(message) => message,
            None => std::future::pending().await,
        }
    }
}

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
        let client = self.shared.bus.client().clone();
        tokio::spawn(async move {
            if let Err(error) = client.publish(reply, said.into()).await {
                tracing::debug!(%error, "a question was not answered");
            }
        });
    }
}
