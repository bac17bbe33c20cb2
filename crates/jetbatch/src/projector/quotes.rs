//! Questions about jobs that there are not: what one would come to if it were submitted now. Nothing is remembered of
//! them, so a projector that is killed loses nothing but who waits, and he asks again.
use super::run::Projector;
use crate::{bus::Bus, clock};
use async_nats::Message;
use domain::foresight::Asked;
use futures::StreamExt;
use std::time::Duration;
use tokio::{sync::mpsc, time::sleep};
use tokio_util::task::AbortOnDropHandle;
use wire::Quotes as Subject;

const PAUSE: Duration = Duration::from_secs(1);
/// Questions that wait: each costs some passes over all jobs. More are left unanswered.
const WAITING_MAX: usize = 16;

pub struct Quotes {
    asked: mpsc::Receiver<Message>,
    _task: AbortOnDropHandle<()>,
}

impl Quotes {
    /// Listens from here on, until it is dropped.
    pub fn open(bus: &Bus) -> Self {
        let (tell, asked) = mpsc::channel(WAITING_MAX);
        let client = bus.client().clone();
        let task = tokio::spawn(async move {
            while !tell.is_closed() {
                match client.subscribe(Subject.to_string()).await {
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
        let Some(reply) = message.reply else { return };
        let said = match serde_json::from_slice::<Asked>(&message.payload) {
            Ok(asked) => {
                let now = clock::now();
                let workers = self.stalls.workers(asked.pools(), now);
                let quoted = self.foresight.quote(&self.log, &workers, &asked, now);
                serde_json::to_vec(&quoted).expect("a quote is plain JSON")
            }
            Err(error) => serde_json::json!({"error": error.to_string()}).to_string().into_bytes(),
        };
        let client = self.shared.bus.client().clone();
        tokio::spawn(async move {
            if let Err(error) = client.publish(reply, said.into()).await {
                tracing::debug!(%error, "a quote was not answered");
            }
        });
    }
}
