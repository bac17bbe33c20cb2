//! `retry`: the requests of an ended job that have no good answer, submitted as a job of their own. The error file says
//! which they are, the old input what they were; both are read once, side by side, in memory bounded by a block of each.
//! Done twice it writes the same file and submits the same job.
use crate::{
    bus::{PublishError, ReadError},
    log::{self, LogError},
    paths::{self, Kind, UploadRef},
    shared::Shared,
};
use bytes::Bytes;
use domain::{
    Job, JobId,
    lines::{Line, Lines},
    resubmit::{self, NoRetry},
    status::Status,
};
use futures::{StreamExt, stream::BoxStream};
use std::collections::VecDeque;
use store::StoreError;
use wire::{Message, Owner, Subject, envelope, line};

const BLOCK_BYTES: u64 = 1 << 20;
/// As much of an error line as holds its number.
const HEAD_BYTES: usize = 128;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no such job")]
    Unknown,
    #[error(transparent)]
    NoRetry(#[from] NoRetry),
    #[error("the job's events could not be read")]
    Log(#[from] LogError),
    #[error("the log could not be read")]
    Read(#[from] ReadError),
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("the retry could not be submitted")]
    Publish(#[from] PublishError),
    /// Its input or its error file is gone, or is not the one that was written.
    #[error("the job's files do not hold its failed requests any more")]
    Lost,
}

/// Gives the new job, and whether it is new.
pub async fn resubmit(shared: &Shared, of: JobId, trace: Option<&str>) -> Result<(JobId, bool), Error> {
    let job = log::job(&shared.bus, of).await?.ok_or(Error::Unknown)?.job;
    if job.deleted {
        return Err(NoRetry::Deleted.into());
    }
    let status = Status::of(&job);
    resubmit::may(&status)?;
    let id = resubmit::id(of);
    if shared.bus.last(&Subject::JobEvent(id)).await?.is_some() {
        return Ok((id, false));
    }
    match gather(shared, &job).await {
        Ok(requests) => tracing::info!(job = %of, retry = %id, requests, "failed requests are submitted again"),
        // Submitted all the same: the new job fails for want of its input, and so tells whoever asked for it.
        Err(error @ Error::Lost) => tracing::error!(job = %of, retry = %id, %error, "the retry will fail"),
        Err(error) => return Err(error),
    }
    submit(shared, &job, trace).await?;
    Ok((id, true))
}

async fn submit(shared: &Shared, job: &Job, trace: Option<&str>) -> Result<(), Error> {
    let id = resubmit::id(job.id);
    let mut submission = resubmit::submission(job);
    let fingerprint = blake3::hash(format!("{}:{}", resubmit::OF, job.id).as_bytes()).to_hex().to_string();
    submission.input = Some(format!("upload://{}", id.uuid()).into());
    submission.fingerprint = Some(fingerprint.clone());
    let message = Message::new(Subject::SubmitJob(id), envelope::encode(&submission)).id(format!("{id}:{fingerprint}"));
    let message = message.header(envelope::CONTENT_TYPE, envelope::MSGPACK);
    let owner = Owner { tenant: job.submitted.tenant, pools: job.submitted.pools.clone() };
    shared.bus.publish(wire::trace::put(owner.put(message), trace)).await?;
    Ok(())
}

/// Writes the input of the new job, and gives the number of its requests.
async fn gather(shared: &Shared, job: &Job) -> Result<u64, Error> {
    let input = &job.planned.as_ref().ok_or(Error::Lost)?.input;
    let blocks = open(shared, input).await?;
    let errors = open(shared, &paths::file(job.id, Kind::Errors, job.losses())).await?;
    let upload = UploadRef { tenant: job.submitted.tenant, id: resubmit::id(job.id).uuid() };
    let writer = shared.store.writer(&paths::upload(upload)).await?;
    pick(blocks, Numbers::new(job.id, errors), writer).await.map_err(lost)
}

type Blocks = BoxStream<'static, Result<Bytes, StoreError>>;

async fn open(shared: &Shared, path: &str) -> Result<Blocks, Error> {
    let bytes = shared.store.size(path).await?.ok_or(Error::Lost)?;
    Ok(shared.store.blocks(path.to_owned(), 0..bytes, BLOCK_BYTES).boxed())
}

fn lost(error: Error) -> Error {
    match error {
        Error::Store(error) if error.is_not_found() => Error::Lost,
        other => other,
    }
}

async fn pick(mut blocks: Blocks, numbers: Numbers, mut to: store::Writer) -> Result<u64, Error> {
    // Every line was taken once: none is too long now.
    let (mut lines, mut picker) = (Lines::new(usize::MAX / 2), Picker { numbers, seen: 0, picked: 0, out: Vec::new() });
    while let Some(block) = blocks.next().await {
        let block = block?;
        let ends = block.iter().filter(|b| **b == b'\n').count() as u64;
        picker.numbers.read_to(picker.seen + ends).await?;
        lines.feed(&block, |line| picker.take(&line));
        to.write(std::mem::take(&mut picker.out).into()).await?;
    }
    picker.numbers.read_to(u64::MAX).await?;
    lines.finish(|line| picker.take(&line));
    to.write(std::mem::take(&mut picker.out).into()).await?;
    if picker.picked == 0 || !picker.numbers.known.is_empty() {
        return Err(Error::Lost);
    }
    to.finish().await?;
    Ok(picker.picked)
}

struct Picker {
    numbers: Numbers,
    /// Requests of the input so far.
    seen: u64,
    picked: u64,
    out: Vec<u8>,
}

impl Picker {
    fn take(&mut self, line: &Line<'_>) {
        let number = self.seen;
        self.seen += 1;
        let Line::Text { text, .. } = line else { return };
        if self.numbers.known.front() == Some(&number) {
            self.numbers.known.pop_front();
            self.picked += 1;
            self.out.extend_from_slice(text);
            self.out.push(b'\n');
        }
    }
}

/// The requests that the error file names, ascending.
struct Numbers {
    job: JobId,
    blocks: Blocks,
    /// How the line begins that is being read.
    head: Vec<u8>,
    last: Option<u64>,
    /// Read, and not yet found in the input.
    known: VecDeque<u64>,
}

impl Numbers {
    fn new(job: JobId, blocks: Blocks) -> Self {
        Self { job, blocks, head: Vec::new(), last: None, known: VecDeque::new() }
    }

    /// Reads on until all below `number` are known.
    async fn read_to(&mut self, number: u64) -> Result<(), Error> {
        while self.last.is_none_or(|last| last < number) {
            let Some(block) = self.blocks.next().await else { return Ok(()) };
            self.feed(&block?)?;
        }
        Ok(())
    }

    fn feed(&mut self, block: &[u8]) -> Result<(), Error> {
        for piece in block.split_inclusive(|b| *b == b'\n') {
            let room = HEAD_BYTES - self.head.len();
            self.head.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                let number = line::number(&self.head, self.job).ok_or(Error::Lost)?;
                if self.last.is_some_and(|last| number <= last) {
                    return Err(Error::Lost);
                }
                self.head.clear();
                self.last = Some(number);
                self.known.push_back(number);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use store::{Settings, Store};

    /// A file in blocks of so many bytes.
    fn blocks(file: &[u8], size: usize) -> Blocks {
        let blocks: Vec<_> = file.chunks(size).map(|block| Ok(Bytes::copy_from_slice(block))).collect();
        stream::iter(blocks).boxed()
    }

    fn errors(job: JobId, numbers: &[u64]) -> Vec<u8> {
        let mut file = Vec::new();
        for number in numbers {
            let line = Bytes::from(format!(r#"{{"custom_id":"r{number}","body":{{}}}}"#));
            line::error(
                &mut file,
                job,
                *number,
                &line::custom_id(&line),
                "c",
                &"m".repeat(50 * (*number as usize % 7)),
            );
        }
        file
    }

    async fn picked(input: &[u8], errors: &[u8], size: usize) -> Result<String, Error> {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Settings::local(folder.path())).unwrap();
        let numbers = Numbers::new(JobId::keyed("t", "k"), blocks(errors, size));
        let count = pick(blocks(input, size), numbers, store.writer("x").await.unwrap()).await?;
        let bytes = store.range("x", 0..store.size("x").await.unwrap().unwrap()).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(text.lines().count() as u64, count);
        Ok(text)
    }

    #[tokio::test]
    async fn the_failed_lines_are_picked_whatever_the_blocks() {
        let input = b"\xef\xbb\xbfr0\r\n\n r1\nr2\n  \nr3\nr4\nr5";
        let job = JobId::keyed("t", "k");
        for (numbers, want) in [
            (&[0][..], "r0\n"),
            (&[5], "r5\n"),
            (&[1, 3, 4], "r1\nr3\nr4\n"),
            (&[0, 1, 2, 3, 4, 5], "r0\nr1\nr2\nr3\nr4\nr5\n"),
        ] {
            let errors = errors(job, numbers);
            for size in [1, 2, 3, 7, 64, 4096] {
                assert_eq!(picked(input, &errors, size).await.unwrap(), want, "{numbers:?} in blocks of {size}");
            }
        }
    }

    #[tokio::test]
    async fn files_that_do_not_fit_are_refused() {
        let job = JobId::keyed("t", "k");
        let other = errors(JobId::keyed("t", "other"), &[0]);
        let mut twice = errors(job, &[1]);
        twice.extend_from_slice(&errors(job, &[1]));
        for errors in [errors(job, &[2]), other, b"no line of ours\n".to_vec(), Vec::new(), twice] {
            assert!(matches!(picked(b"r0\nr1\n", &errors, 16).await, Err(Error::Lost)), "{errors:?}");
        }
    }
}
