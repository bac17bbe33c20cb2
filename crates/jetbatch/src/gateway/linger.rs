//! A socket that ends as its client can bear it. Who is refused in the middle of a body sends on for a moment; a socket that
//! was closed by then would answer with a reset, and a client that sees one loses the answer that says why.
use super::limits;
use std::{
    future::Future,
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

const BLOCK_BYTES: usize = 16 << 10;

pub struct Linger<T> {
    socket: T,
    /// Nothing more is written, and what comes is passed over.
    ended: Option<Ended>,
}

struct Ended {
    until: Pin<Box<Sleep>>,
    /// Bytes that may still be passed over.
    left: usize,
}

impl<T> Linger<T> {
    pub const fn new(socket: T) -> Self {
        Self { socket, ended: None }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Linger<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Linger<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// The end of what is written, then all that comes until the client ends, too.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { socket, ended } = &mut *self;
        if ended.is_none() {
            ready!(Pin::new(&mut *socket).poll_shutdown(cx))?;
        }
        let fresh = || Ended { until: Box::pin(sleep(limits::LINGER_WITHIN)), left: limits::LINGER_BYTES_MAX };
        ended.get_or_insert_with(fresh).poll(Pin::new(socket), cx).map(Ok)
    }
}

impl Ended {
    fn poll(&mut self, mut socket: Pin<&mut impl AsyncRead>, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [MaybeUninit::uninit(); BLOCK_BYTES];
        while self.left > 0 && self.until.as_mut().poll(cx).is_pending() {
            let mut block = ReadBuf::uninit(&mut space);
            let read = ready!(socket.as_mut().poll_read(cx, &mut block));
            let count = block.filled().len();
            if read.is_err() || count == 0 {
                break;
            }
            self.left = self.left.saturating_sub(count);
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test(start_paused = true)]
    async fn it_takes_what_a_client_still_sends_and_waits_no_longer_than_it_may() {
        let (client, server) = duplex(64);
        let (mut from, mut to) = tokio::io::split(client);
        let mut server = Linger::new(server);
        server.write_all(b"refused").await.unwrap();
        let closing = tokio::spawn(async move { server.shutdown().await });
        to.write_all(&[0; 4096]).await.unwrap();
        let mut answer = String::new();
        from.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "refused");
        let began = tokio::time::Instant::now();
        closing.await.unwrap().unwrap();
        assert_eq!(began.elapsed().as_secs(), limits::LINGER_WITHIN.as_secs(), "the client never ends");
    }
}
