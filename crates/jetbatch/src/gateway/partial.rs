//! The lines of a job that runs: the parts of its first segments, in order.
use super::{error::Rejection, limits::DOWNLOAD_BLOCK_BYTES};
use crate::paths::{self, Kind};
use bytes::Bytes;
use domain::JobId;
use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use std::{collections::BTreeMap, vec};
use store::{Store, StoreError};

/// What is archived so far.
///
/// When the job ends, the parts are put together into one file, and are deleted only after that file is there. So:
/// the parts are listed first, and the file is looked for after. No file: nothing was deleted before, and a segment
/// without a part has no such lines. A file: it begins with the very bytes of the parts, and takes their place, also
/// for a part that goes while it is being read.
pub struct Partial {
    store: Store,
    job: JobId,
    kind: Kind,
    /// Results of the job that were lost before.
    losses: u32,
    left: vec::IntoIter<(String, u64)>,
    now: Option<BoxStream<'static, Result<Bytes, StoreError>>>,
    /// Bytes that there are.
    pub size: u64,
    sent: u64,
    /// Where the lines end that this is to give; None: where they end when the last of them is read.
    until: Option<u64>,
    is_file: bool,
}

impl Partial {
    pub async fn open(store: &Store, job: JobId, kind: Kind, segments: u32, losses: u32) -> Result<Self, Rejection> {
        let listed = store.list(&paths::parts(job)).await?;
        let is_file = store.size(&paths::file(job, kind, losses)).await?.is_some();
        // Of a segment that was written more than once, what knew of most losses stands.
        let mut parts = BTreeMap::new();
        for (path, bytes) in listed {
            if let Some((segment, of, losses)) = paths::parse_part(&path).filter(|(segment, ..)| *segment < segments)
                && of == kind
            {
                let known = parts.entry(segment).or_insert((losses, path.clone(), bytes));
                if known.0 < losses {
                    *known = (losses, path, bytes);
                }
            }
        }
        let parts: Vec<_> = parts.into_values().map(|(_, path, bytes)| (path, bytes)).collect();
        let size = parts.iter().map(|(_, bytes)| bytes).sum();
        let left = if is_file { Vec::new() } else { parts };
        let mut partial = Self {
            store: store.clone(),
            job,
            kind,
            losses,
            left: left.into_iter(),
            now: None,
            size,
            sent: 0,
            until: None,
            is_file: false,
        };
        if is_file {
            partial.take_file().await?;
        }
        Ok(partial)
    }

    /// All the bytes that there were when this was opened, from `from` on. The bytes of a job's lines never change, so
    /// what follows on them can be asked for later.
    pub async fn range(mut self, from: u64) -> Result<Self, Rejection> {
        self.until = Some(self.size);
        let mut skip = from;
        while let Some((path, bytes)) = self.left.next() {
            if skip < bytes {
                self.read(path, skip, bytes);
                break;
            }
            skip -= bytes;
        }
        self.sent = from;
        if self.is_file {
            self.take_file().await?;
        }
        Ok(self)
    }

    /// It ends with an error where the lines cannot be read, and never short of them.
    pub fn stream(self) -> impl Stream<Item = Result<Bytes, StoreError>> + Send + 'static {
        stream::try_unfold(self, Self::next)
    }

    async fn next(mut self) -> Result<Option<(Bytes, Self)>, StoreError> {
        loop {
            let block = match &mut self.now {
                Some(now) => now.next().await,
                None => match self.left.next() {
                    Some((path, bytes)) => {
                        self.read(path, 0, bytes);
                        continue;
                    }
                    None => return Ok(None),
                },
            };
            match block {
                Some(Ok(bytes)) => {
                    self.sent += bytes.len() as u64;
                    return Ok(Some((bytes, self)));
                }
                Some(Err(error)) if error.is_not_found() && !self.is_file => self.take_file().await?,
                Some(Err(error)) => return Err(error),
                None => self.now = None,
            }
        }
    }

    /// Goes on in the job's file, behind what was sent.
    async fn take_file(&mut self) -> Result<(), StoreError> {
        let path = paths::file(self.job, self.kind, self.losses);
        let bytes = self.store.size(&path).await?.ok_or(StoreError::NotFound { path: path.clone() })?;
        self.left = Vec::new().into_iter();
        self.is_file = true;
        self.size = bytes;
        self.read(path, self.sent, self.until.map_or(bytes, |until| until.min(bytes)));
        Ok(())
    }

    fn read(&mut self, path: String, from: u64, to: u64) {
        self.now = Some(self.store.blocks(path, from..to, DOWNLOAD_BLOCK_BYTES).boxed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::TryStreamExt;
    use store::Settings;

    struct Job {
        _folder: tempfile::TempDir,
        store: Store,
        id: JobId,
    }

    impl Job {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(&Settings::local(folder.path())).unwrap();
            Self { _folder: folder, store, id: JobId::keyed("t", "a") }
        }

        async fn part(&self, segment: u32, kind: Kind, text: &'static str) {
            self.store.put(&paths::part(self.id, segment, kind, 0), Bytes::from_static(text.as_bytes())).await.unwrap();
        }

        async fn end(&self, output: &'static str) {
            self.store
                .put(&paths::file(self.id, Kind::Output, 0), Bytes::from_static(output.as_bytes()))
                .await
                .unwrap();
            self.store.delete_under(&paths::parts(self.id)).await.unwrap();
        }

        async fn open(&self, segments: u32) -> Partial {
            Partial::open(&self.store, self.id, Kind::Output, segments, 0).await.unwrap()
        }
    }

    async fn text(lines: impl Stream<Item = Result<Bytes, StoreError>>) -> String {
        let blocks: Vec<Bytes> = lines.try_collect().await.unwrap();
        String::from_utf8(blocks.concat()).unwrap()
    }

    #[tokio::test]
    async fn the_archived_prefix_is_read_in_order() {
        let job = Job::new();
        for (segment, kind, line) in
            [(2, Kind::Output, "2\n"), (0, Kind::Output, "0\n"), (1, Kind::Errors, "e\n"), (10, Kind::Output, "10\n")]
        {
            job.part(segment, kind, line).await;
        }
        assert_eq!(text(job.open(0).await.stream()).await, "");
        assert_eq!(text(job.open(2).await.stream()).await, "0\n");
        assert_eq!(text(job.open(11).await.stream()).await, "0\n2\n10\n");
    }

    #[tokio::test]
    async fn a_job_that_ended_meanwhile_is_read_from_its_file() {
        let job = Job::new();
        job.part(0, Kind::Output, "0\n").await;
        job.end("0\n1\n").await;
        assert_eq!(text(job.open(1).await.stream()).await, "0\n1\n");
    }

    #[tokio::test]
    async fn a_job_that_ends_while_it_is_read_goes_on_in_its_file() {
        let job = Job::new();
        job.part(0, Kind::Output, "0\n").await;
        job.part(1, Kind::Output, "1\n").await;
        let mut lines = Box::pin(job.open(2).await.stream());
        assert_eq!(lines.next().await.unwrap().unwrap(), "0\n");
        job.end("0\n1\n2\n").await;
        assert_eq!(text(lines).await, "1\n2\n");
    }

    #[tokio::test]
    async fn a_range_begins_and_ends_where_it_says() {
        let job = Job::new();
        for (segment, line) in [(0, "abc\n"), (1, "de\n"), (2, "f\n")] {
            job.part(segment, Kind::Output, line).await;
        }
        for from in 0..9 {
            let partial = job.open(3).await.range(from).await.unwrap();
            assert_eq!((partial.size, text(partial.stream()).await.as_str()), (9, &"abc\nde\nf\n"[from as usize..]));
        }
        // The job ends before the range is read: what is new is no part of it.
        let partial = job.open(3).await.range(5).await.unwrap();
        job.end("abc\nde\nf\nnew\n").await;
        assert_eq!(text(partial.stream()).await, "e\nf\n");
        let ended = job.open(3).await.range(9).await.unwrap();
        assert_eq!((ended.size, text(ended.stream()).await.as_str()), (13, "new\n"));
    }
}
