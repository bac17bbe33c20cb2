//! How far the jobs are, counted from the log while they run: where two counts part, work waits.
use crate::{
    bus::{Bus, Reader},
    cli::error::Error,
};
use serde::Serialize;
use std::{
    fmt,
    time::{Duration, Instant},
};
use tokio::{task::JoinHandle, time::interval};
use tokio_util::sync::CancellationToken;
use wire::{Filter, envelope, stream};

const EVERY: Duration = Duration::from_millis(200);

/// Events of each kind by then.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Phases {
    ms: u64,
    submitted: u64,
    planned: u64,
    done: u64,
    archived: u64,
    written: u64,
    ended: u64,
}

pub struct Watch {
    stop: CancellationToken,
    task: JoinHandle<Result<Vec<Phases>, Error>>,
}

impl Watch {
    pub async fn begin(bus: &Bus) -> Result<Self, Error> {
        let reader = bus.heads(stream::EVENTS, &Filter::Events, 1).await.map_err(Error::failed)?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(count(reader, stop.clone()));
        Ok(Self { stop, task })
    }

    pub async fn end(self) -> Result<Vec<Phases>, Error> {
        self.stop.cancel();
        self.task.await.map_err(Error::failed)?
    }
}

async fn count(mut reader: Reader, stop: CancellationToken) -> Result<Vec<Phases>, Error> {
    let (begun, mut now, mut seen, mut tick) = (Instant::now(), Phases::default(), Vec::new(), interval(EVERY));
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(seen),
            _ = tick.tick() => seen.push(Phases { ms: begun.elapsed().as_millis() as u64, ..now.clone() }),
            event = reader.next() => {
                let event = event.map_err(Error::failed)?;
                event.header(envelope::TYPE).into_iter().for_each(|kind| now.note(kind));
            }
        }
    }
}

impl Phases {
    fn note(&mut self, kind: &str) {
        let count = match kind {
            "JobSubmitted" => &mut self.submitted,
            "JobPlanned" => &mut self.planned,
            "ChunkDone" => &mut self.done,
            "SegmentArchived" => &mut self.archived,
            "OutputWritten" => &mut self.written,
            "JobEnded" => &mut self.ended,
            _ => return,
        };
        *count += 1;
    }
}

impl fmt::Display for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ms, submitted, planned, done, archived, written, ended } = self;
        write!(
            f,
            "{ms:>6} ms  submitted {submitted:>6}  planned {planned:>6}  done {done:>6}  archived {archived:>6}  \
             written {written:>6}  ended {ended:>6}"
        )
    }
}
