//! Rows as an upload: request lines, made as the server takes them.
use super::apart;
use crate::cli::error::Error;
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use std::io;
use tables::{Asked, Request, Requests};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    task::JoinHandle,
};

/// Sent at once.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces that are made before the server takes them.
const AHEAD: usize = 4;

/// The request lines of an input that is being read.
pub struct Rows<I> {
    pieces: Receiver<io::Result<Bytes>>,
    reading: Reading<I>,
}

/// Who reads the rows.
pub struct Reading<I>(JoinHandle<Result<I, tables::Error>>);

/// Begins to read. A sample is drawn before.
pub async fn rows(asked: Asked) -> Result<Rows<Requests>, Error> {
    apart(|| asked.requests()).await.map(begin)
}

/// Begins to make lines.
pub fn begin<I>(requests: I) -> Rows<I>
where
    I: Iterator<Item = Result<Request, tables::Error>> + Send + 'static,
{
    let (to, pieces) = channel(AHEAD);
    let reading = Reading(tokio::task::spawn_blocking(move || fill(requests, &to)));
    Rows { pieces, reading }
}

/// Ends early where nobody takes more.
fn fill<I>(mut requests: I, to: &Sender<io::Result<Bytes>>) -> Result<I, tables::Error>
where
    I: Iterator<Item = Result<Request, tables::Error>>,
{
    let mut piece = Vec::with_capacity(PIECE_BYTES * 2);
    for request in requests.by_ref() {
        match request {
            Ok(request) => {
                piece.extend_from_slice(&request.line);
                piece.push(b'\n');
            }
            Err(error) => {
                // An upload without its end is no job.
                let _ = to.blocking_send(Err(io::Error::other("the input cannot be read")));
                return Err(error);
            }
        }
        if piece.len() >= PIECE_BYTES && to.blocking_send(Ok(std::mem::take(&mut piece).into())).is_err() {
            return Ok(requests);
        }
    }
    if !piece.is_empty() {
        let _ = to.blocking_send(Ok(piece.into()));
    }
    Ok(requests)
}

impl<I> Rows<I> {
    /// Waits for the first lines. None: there is none.
    pub async fn first(&mut self) -> Option<io::Result<Bytes>> {
        self.pieces.recv().await
    }

    /// The lines, after those that were taken already.
    pub fn split(
        self,
        first: Option<io::Result<Bytes>>,
    ) -> (impl Stream<Item = io::Result<Bytes>> + Send + 'static, Reading<I>) {
        let mut pieces = self.pieces;
        let rest = stream::poll_fn(move |context| pieces.poll_recv(context));
        (stream::iter(first).chain(rest), self.reading)
    }
}

impl<I> Reading<I> {
    /// What became of the upload: a row that could not be read explains a broken one.
    pub async fn explain<T>(self, sent: Result<T, Error>) -> Result<(I, T), Error> {
        match self.0.await.map_err(Error::failed)? {
            Ok(requests) => sent.map(|sent| (requests, sent)),
            Err(error) => Err(error.into()),
        }
    }
}
