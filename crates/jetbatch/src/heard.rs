//! What is said on a subject that is in no stream, from here on.
use crate::bus::Bus;
use async_nats::Message;
use futures::StreamExt;
use std::{fmt::Display, time::Duration};
use tokio::{sync::mpsc, time::sleep};
use tokio_util::task::AbortOnDropHandle;

const PAUSE: Duration = Duration::from_secs(1);
/// Messages that wait; more are lost.
const WAITING_MAX: usize = 16;

pub struct Heard {
    messages: mpsc::Receiver<Message>,
    _task: AbortOnDropHandle<()>,
}

impl Heard {
    /// Listens until it is dropped.
    pub fn open(bus: &Bus, subject: impl Display) -> Self {
        let (tell, messages) = mpsc::channel(WAITING_MAX);
        let (client, subject) = (bus.client().clone(), subject.to_string());
        let task = tokio::spawn(async move {
            while !tell.is_closed() {
                match client.subscribe(subject.clone()).await {
                    Ok(mut said) => {
                        while let Some(message) = said.next().await {
                            let _ = tell.try_send(message);
                        }
                    }
                    Err(error) => tracing::debug!(%error, subject, "nothing can be heard; trying again"),
                }
                sleep(PAUSE).await;
            }
        });
        Self { messages, _task: AbortOnDropHandle::new(task) }
    }

    /// The next message. May be dropped and called again.
    pub async fn next(&mut self) -> Message {
        match self.messages.recv().await {
            Some(message) => message,
            None => std::future::pending().await,
        }
    }
}
