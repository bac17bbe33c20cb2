//! Frames on their way into a pipe: many write, one task drains. What is dropped halfway tears no frame.
use super::{frame, limits::OUTBOX_BYTES_MAX};
use bytes::{Buf, BytesMut};
use serde::Serialize;
use std::{
    io,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::Notify,
};

#[derive(Default)]
pub struct Outbox {
    inner: Mutex<Inner>,
    filled: Notify,
    drained: Notify,
}

#[derive(Default)]
struct Inner {
    bytes: BytesMut,
    is_closed: bool,
}

impl Outbox {
    pub fn put<T: Serialize>(&self, message: &T) -> Result<(), frame::Error> {
        let put = frame::append(&mut self.inner().bytes, message);
        self.filled.notify_one();
        put
    }

    /// Waits while too much waits to be written.
    pub async fn room(&self) {
        loop {
            let mut drained = pin!(self.drained.notified());
            drained.as_mut().enable();
            if self.has_room() {
                return;
            }
            drained.await;
        }
    }

    /// Nothing more is written, and nobody waits for room.
    pub fn close(&self) {
        self.inner().is_closed = true;
        self.filled.notify_one();
        self.drained.notify_waiters();
    }

    /// Writes until all is written of a closed outbox.
    pub async fn drain(&self, mut pipe: impl AsyncWrite + Unpin) -> io::Result<()> {
        while let Some(mut bytes) = self.next().await {
            self.drained.notify_waiters();
            while bytes.has_remaining() {
                pipe.write_buf(&mut bytes).await?;
            }
        }
        pipe.flush().await
    }

    async fn next(&self) -> Option<BytesMut> {
        loop {
            let (bytes, is_closed) = self.split();
            if !bytes.is_empty() {
                return Some(bytes);
            }
            if is_closed {
                return None;
            }
            self.filled.notified().await;
        }
    }

    fn split(&self) -> (BytesMut, bool) {
        let mut inner = self.inner();
        (inner.bytes.split(), inner.is_closed)
    }

    fn has_room(&self) -> bool {
        let inner = self.inner();
        inner.is_closed || inner.bytes.len() < OUTBOX_BYTES_MAX
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn what_is_put_is_written_in_order_and_closed_at_the_end() {
        let (outbox, mut pipe) = (Outbox::default(), Vec::new());
        for number in 0..1_000_u32 {
            outbox.put(&number).unwrap();
        }
        outbox.close();
        outbox.drain(&mut pipe).await.unwrap();
        let mut read = BytesMut::from(&pipe[..]);
        for number in 0..1_000_u32 {
            assert_eq!(frame::take(&mut read).unwrap(), Some(number));
        }
    }

    #[tokio::test]
    async fn a_full_outbox_makes_callers_wait() {
        let outbox = Outbox::default();
        assert!(outbox.room().now_or_never().is_some());
        outbox.put(&"x".repeat(OUTBOX_BYTES_MAX)).unwrap();
        let mut room = pin!(outbox.room());
        assert!(room.as_mut().now_or_never().is_none());
        let mut pipe = Vec::new();
        let mut writing = pin!(outbox.drain(&mut pipe));
        assert!(writing.as_mut().now_or_never().is_none(), "an open outbox is never done");
        room.await;
    }

    #[tokio::test]
    async fn a_closed_outbox_keeps_nobody_waiting() {
        let outbox = Outbox::default();
        outbox.put(&"x".repeat(OUTBOX_BYTES_MAX)).unwrap();
        let mut room = pin!(outbox.room());
        assert!(room.as_mut().now_or_never().is_none());
        outbox.close();
        room.await;
    }
}
