//! Rows as an upload: request lines, made as the server takes them.
use super::apart;
use crate::cli::error::Error;
use bytes::Bytes;
use futures::{Stream, stream::poll_fn};
use std::io;
use tables::{Asked, Requests};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    task::JoinHandle,
};

/// Sent at once.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces that are made before the server takes them.
const AHEAD: usize = 4;

/// The request lines of an input that is being read.
pub struct Rows {
    pieces: Receiver<io::Result<Bytes>>,
    reading: Reading,
}

/// Who reads the rows.
pub struct Reading(JoinHandle<Result<(), tables::Error>>);

/// Begins to read. A sample is drawn before.
pub async fn rows(asked: Asked) -> Result<Rows, Error> {
    let requests = apart(|| asked.requests()).await?;
    let (to, pieces) = channel(AHEAD);
    let reading = Reading(tokio::task::spawn_blocking(move || fill(requests, &to)));
    Ok(Rows { pieces, reading })
}

/// Ends early where nobody takes more.
fn fill(requests: Requests, to: &Sender<io::Result<Bytes>>) -> Result<(), tables::Error> {
    let mut piece = Vec::with_capacity(PIECE_BYTES * 2);
    for request in requests {
        match request {
            Ok(request) => {
                piece.extend_from_slice(request.line.as_bytes());
                piece.push(b'\n');
            }
            Err(error) => {
                // An upload without its end is no job.
                let _ = to.blocking_send(Err(io::Error::other("the input cannot be read")));
                return Err(error);
            }
        }
        if piece.len() >= PIECE_BYTES && to.blocking_send(Ok(std::mem::take(&mut piece).into())).is_err() {
            return Ok(());
        }
    }
    let _ = to.blocking_send(Ok(piece.into()));
    Ok(())
}

impl Rows {
    pub fn split(self) -> (impl Stream<Item = io::Result<Bytes>> + Send + 'static, Reading) {
        let mut pieces = self.pieces;
        (poll_fn(move |context| pieces.poll_recv(context)), self.reading)
    }
}

impl Reading {
    /// What became of the upload: a row that could not be read explains a broken one.
    pub async fn explain<T>(self, sent: Result<T, Error>) -> Result<T, Error> {
        match self.0.await.map_err(Error::failed)? {
            Ok(()) => sent,
            Err(error) => Err(error.into()),
        }
    }
}
