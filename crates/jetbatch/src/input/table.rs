//! A table as an input. It becomes an object of request lines before anything is validated: made once, whole or not at all,
//! and from then on all that the job knows of the table. So a validation that begins again, here or on another head, reads
//! the same lines, and what lies behind intake knows no tables.
use super::source::{SourceError, refused};
use crate::{
    mapped::{Mapped, wrong},
    shared::Shared,
};
use bytes::Bytes;
use domain::{
    event::{Code, LineError},
    limits::REASON_CHARS_MAX,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};
use store::{Store, StoreError};
use tables::{Asked, Files, Remote, Spot};
use tokio::{runtime::Handle, sync::mpsc};

/// Lines that are written at once, and how many such pieces are made before they are.
const PIECE_BYTES: usize = 256 << 10;
const AHEAD: usize = 4;

/// The objects that a table is, by name, and what is wanted of them.
#[derive(Clone)]
pub struct Table {
    pub files: Vec<Object>,
    pub mapped: Mapped,
}

/// An object of a store, and what it is called.
#[derive(Clone)]
pub struct Object {
    pub name: String,
    pub store: Store,
    pub path: String,
    pub bytes: u64,
}

/// What the store said no to. A reader of tables takes it for a broken file, and the rows for bad ones.
type Failed = Arc<Mutex<Option<StoreError>>>;

struct Reading {
    object: Object,
    runtime: Handle,
    failed: Failed,
}

impl tables::Source for Reading {
    fn bytes(&self) -> u64 {
        self.object.bytes
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let Object { store, path, .. } = &self.object;
        self.runtime.block_on(store.exact(path, range)).map_err(|error| {
            let said = io::Error::other(error.to_string());
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            said
        })
    }
}

impl Table {
    /// Writes its request lines. It is there whole, or not at all.
    pub async fn render(&self, shared: &Shared, path: &str) -> Result<(), SourceError> {
        let intake = &shared.config.intake;
        let (to, mut lines) = mpsc::channel(AHEAD);
        let maker = Maker { bytes_max: intake.input_bytes_max, lines_max: intake.input_lines_max, to };
        let (table, runtime) = (self.clone(), Handle::current());
        let making = tokio::task::spawn_blocking(move || table.read(&runtime, |asked| maker.make(asked)));
        let mut writer = shared.store.writer(path).await?;
        while let Some(piece) = lines.recv().await {
            writer.write(piece).await?;
        }
        making.await.unwrap_or_else(|error| Err(panicked(&error)))?;
        writer.finish().await?;
        Ok(())
    }

    /// What is wrong with some lines, with the places of their rows.
    pub async fn explain(&self, errors: &mut [LineError]) {
        let wanted: BTreeSet<u64> = errors.iter().filter_map(|error| error.line).collect();
        if wanted.is_empty() {
            return;
        }
        let (table, runtime) = (self.clone(), Handle::current());
        let found = move || table.read(&runtime, |asked| asked.spots(&wanted).map_err(said));
        match tokio::task::spawn_blocking(found).await.unwrap_or_else(|error| Err(panicked(&error))) {
            Ok(spots) => errors.iter_mut().for_each(|error| self.place(error, &spots)),
            Err(error) => tracing::warn!(%error, "where the bad rows of a table stand was not found out"),
        }
    }

    fn place(&self, error: &mut LineError, spots: &BTreeMap<u64, Spot>) {
        let Some(spot) = error.line.and_then(|line| spots.get(&line)) else { return };
        let column = error.param.as_deref().and_then(|param| self.mapped.spec.column_of(param));
        let column = column.map(|column| format!(", column `{column}`")).unwrap_or_default();
        let message = format!("{spot}{column}: {}", error.message);
        error.message = message.chars().take(REASON_CHARS_MAX).collect();
    }

    /// Does something with its rows. That takes a thread of its own.
    fn read<T>(self, runtime: &Handle, work: impl FnOnce(Asked) -> Result<T, SourceError>) -> Result<T, SourceError> {
        let failed = Failed::default();
        let remote = |object: Object| {
            let name = object.name.clone();
            (name, Remote(Arc::new(Reading { object, runtime: runtime.clone(), failed: failed.clone() })))
        };
        let files = Files::elsewhere(self.files.into_iter().map(remote).collect());
        let Mapped { spec, said: kind, pick, .. } = self.mapped;
        let asked = files.and_then(|files| Asked::new(files, &spec, kind, pick));
        let done = asked.map_err(said).and_then(work);
        match failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            None => done,
            Some(StoreError::NotFound { .. }) => Err(gone()),
            Some(error) => Err(error.into()),
        }
    }
}

/// A reader that a broken file leads astray would do so each time.
fn panicked(error: &tokio::task::JoinError) -> SourceError {
    tracing::error!(%error, "the reader of a table failed");
    SourceError::Refused(refused(Code::InvalidSubmission, "input: the file cannot be read: its format's reader failed"))
}

fn gone() -> SourceError {
    SourceError::Refused(refused(Code::InputNotFound, "input: it was removed while it was read"))
}

fn said(error: tables::Error) -> SourceError {
    let field = if matches!(error, tables::Error::Asked(_)) { "map" } else { "url" };
    SourceError::Refused(wrong(field, error.to_string()))
}

/// Makes lines as they are taken.
struct Maker {
    bytes_max: u64,
    lines_max: u64,
    to: mpsc::Sender<Bytes>,
}

impl Maker {
    fn make(self, asked: Asked) -> Result<(), SourceError> {
        let (mut piece, mut bytes, mut lines) = (Vec::with_capacity(PIECE_BYTES * 2), 0, 0);
        for request in asked.requests().map_err(said)? {
            let line = request.map_err(said)?.line;
            piece.extend_from_slice(&line);
            piece.push(b'\n');
            (bytes, lines) = (bytes + line.len() as u64 + 1, lines + 1);
            if bytes > self.bytes_max {
                return Err(SourceError::Refused(self.large()));
            }
            // Nobody takes more; or validation is to say that there are too many.
            if (piece.len() >= PIECE_BYTES && !self.send(&mut piece)) || lines > self.lines_max {
                break;
            }
        }
        self.send(&mut piece);
        Ok(())
    }

    fn send(&self, piece: &mut Vec<u8>) -> bool {
        let piece = std::mem::take(piece);
        piece.is_empty() || self.to.blocking_send(piece.into()).is_ok()
    }

    fn large(&self) -> LineError {
        let max = self.bytes_max;
        refused(Code::FileTooLarge, format!("the table's requests have more than {max} bytes (intake.input_bytes_max)"))
    }
}
