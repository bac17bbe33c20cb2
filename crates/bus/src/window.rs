use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use address::Message;
use tokio::task::{JoinError, JoinSet};

use super::{Bus, PublishError, Stored, limits};

type Publish = Pin<Box<dyn Future<Output = Result<Stored, PublishError>> + Send>>;

/// Publishes many messages with a bounded number of them unacknowledged, each tried like [`Bus::publish`].
///
/// Messages are sent in the order of `push`, but a message that has to be tried again may land later than one pushed
/// after it. Dropping a window gives up what is not acknowledged: end with `flush`.
pub struct Window {
    bus: Bus,
    max: usize,
    bytes: usize,
    tasks: JoinSet<(usize, Result<Stored, PublishError>)>,
}

impl Bus {
    pub fn window(&self, max: usize) -> Window {
        Window { bus: self.clone(), max: max.max(1), bytes: 0, tasks: JoinSet::new() }
    }
}

impl Window {
    /// Sends one message, after waiting for room. An error is that of an earlier message, and then this one was not
    /// sent, or of this one.
    pub async fn push(&mut self, message: Message) -> Result<(), PublishError> {
        let size = message.payload.len();
        while let Some(done) = self.tasks.try_join_next() {
            self.settle(done)?;
        }
        while !self.has_room(size) {
            self.settle_one().await?;
        }
        let bus = self.bus.clone();
        let mut publish: Publish = Box::pin(async move { bus.publish(message).await });
        // The first poll sends: done here and not in the task, it keeps the order.
        match futures::poll!(&mut publish) {
            Poll::Ready(result) => result.map(drop),
            Poll::Pending => {
                self.bytes += size;
                self.tasks.spawn(async move { (size, publish.await) });
                Ok(())
            }
        }
    }

    /// Waits until everything pushed is stored. The first error is returned, after all others have come to an end.
    pub async fn flush(&mut self) -> Result<(), PublishError> {
        let mut result = Ok(());
        while !self.tasks.is_empty() {
            result = result.and(self.settle_one().await);
        }
        result
    }

    fn has_room(&self, size: usize) -> bool {
        self.tasks.is_empty() || (self.tasks.len() < self.max && self.bytes + size <= limits::WINDOW_BYTES_MAX)
    }

    async fn settle_one(&mut self) -> Result<(), PublishError> {
        match self.tasks.join_next().await {
            Some(done) => self.settle(done),
            None => Ok(()),
        }
    }

    fn settle(&mut self, done: Result<(usize, Result<Stored, PublishError>), JoinError>) -> Result<(), PublishError> {
        let (size, result) = done.expect("a publish neither panics nor is cancelled while its window lives");
        self.bytes -= size;
        result.map(drop)
    }
}
