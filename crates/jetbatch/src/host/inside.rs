//! The engine's process, `jetbatch engine-host`: a first frame says what to load, and each of the others is a call, or
//! takes one back. It ends when its stdin does, and not before: a signal to stop is for the worker, which drains.
use super::{
    frame::{self, Ask, Load, Ready, Tell},
    limits::{ASKS_MAX, BEAT_EVERY, LAST_WORDS, READ_BYTES},
    outbox::Outbox,
};
use crate::telemetry;
use bytes::BytesMut;
use engine::{Answer, Call, Engine, Fault};
use futures::{
    FutureExt,
    future::{AbortHandle, Abortable},
};
use nix::{
    sys::signal::{self, Signal},
    unistd,
};
use std::{
    any::Any,
    collections::HashMap,
    fs::File,
    io::{self, Read},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    net::unix::pipe,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use tokio_util::task::AbortOnDropHandle;

/// Of two processes the kernel, short of memory, shall rather kill this one.
const OOM_SCORE: &str = "500";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("engine-host is started by a worker, and talks to it through pipes: {0}")]
    Pipes(#[from] io::Error),
    #[error("the worker sent {0}")]
    Frame(#[from] frame::Error),
    #[error("the worker sent what comes at another time")]
    Strange,
    #[error(transparent)]
    Telemetry(#[from] telemetry::InitError),
}

/// What the thread at stdin reads.
type Asks = mpsc::Receiver<Result<Ask, frame::Error>>;

/// Loads the engine that the worker names, and answers its calls.
pub async fn run() -> Result<(), Error> {
    keep_signals()?;
    let (stdin, stdout) = pipes()?;
    prepare();
    let outbox = Arc::new(Outbox::default());
    let tells = outbox.clone();
    let writer = tokio::spawn(async move { tells.drain(stdout).await });
    let mut asks = listen(stdin)?;
    let Some(load) = first(&mut asks).await? else { return Ok(()) };
    let _telemetry = telemetry::init(&load.telemetry, "engine")?;
    let loaded = tokio::select! {
        loaded = engine::load(&load.spec) => loaded,
        more = next(&mut asks) => return more.and_then(|more| more.map_or(Ok(()), |_| Err(Error::Strange))),
    };
    match loaded {
        Ok(engine) => {
            outbox.put(&Tell::Ready(Ready::new(engine.about())))?;
            let desk = Desk { engine, outbox, running: Arc::default() };
            let _beats = AbortOnDropHandle::new(tokio::spawn(desk.clone().beat()));
            desk.serve(&mut asks).await
        }
        Err(error) => {
            outbox.put(&Tell::Failed(error.to_string()))?;
            outbox.close();
            // A worker that does not listen any more has no use for it.
            drop(writer.await);
            Ok(())
        }
    }
}

async fn next(asks: &mut Asks) -> Result<Option<Ask>, Error> {
    Ok(asks.recv().await.transpose()?)
}

async fn first(asks: &mut Asks) -> Result<Option<Load>, Error> {
    match next(asks).await? {
        Some(Ask::Load(load)) => Ok(Some(*load)),
        Some(Ask::Call { .. } | Ask::Cancel { .. }) => Err(Error::Strange),
        None => Ok(None),
    }
}

/// A listener that never looks: the signals do nothing.
fn keep_signals() -> io::Result<()> {
    drop((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?));
    Ok(())
}

/// Stdin and stdout, out of the engine's reach: a library that prints does so to stderr, and one that reads finds
/// nothing.
fn pipes() -> io::Result<(File, pipe::Sender)> {
    let (stdin, stdout) = (unistd::dup(io::stdin())?, unistd::dup(io::stdout())?);
    let stdout = pipe::Sender::from_owned_fd(stdout)?;
    unistd::dup2_stdin(File::open("/dev/null")?)?;
    unistd::dup2_stdout(io::stderr())?;
    Ok((stdin.into(), stdout))
}

#[cfg(target_os = "linux")]
fn prepare() {
    // Neither is worth a failure: a name for `top`, and a hint for the kernel.
    let _ = nix::sys::prctl::set_name(c"jetbatch-engine");
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
}

#[cfg(not(target_os = "linux"))]
fn prepare() {}

/// Reads stdin on a thread of its own, so that its end is noticed whatever the engine does to the others.
fn listen(stdin: File) -> io::Result<Asks> {
    let (tell, asks) = mpsc::channel(ASKS_MAX);
    std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        hear(stdin, &tell);
        drop(tell);
        // Whoever hangs in the engine now would hang for ever, and with it the device's memory.
        std::thread::sleep(LAST_WORDS);
        let _ = signal::kill(unistd::getpid(), Signal::SIGKILL);
    })?;
    Ok(asks)
}

fn hear(mut stdin: File, tell: &mpsc::Sender<Result<Ask, frame::Error>>) {
    let (mut read, mut part) = (BytesMut::new(), vec![0; READ_BYTES]);
    loop {
        while let Some(ask) = frame::take(&mut read).transpose() {
            let is_over = ask.is_err();
            if tell.blocking_send(ask).is_err() || is_over {
                return;
            }
        }
        match stdin.read(&mut part) {
            Ok(0) => return,
            Ok(bytes) => read.extend_from_slice(&part[..bytes]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// The calls that run.
#[derive(Clone)]
struct Desk {
    engine: Arc<dyn Engine>,
    outbox: Arc<Outbox>,
    running: Arc<Mutex<HashMap<u64, AbortHandle>>>,
}

impl Desk {
    async fn serve(&self, asks: &mut Asks) -> Result<(), Error> {
        while let Some(ask) = next(asks).await? {
            match ask {
                Ask::Call { id, endpoint, body, key } => self.begin(id, Call { endpoint, body, key }),
                Ask::Cancel { id } => self.cancel(id),
                Ask::Load(_) => return Err(Error::Strange),
            }
        }
        Ok(())
    }

    async fn beat(self) {
        let mut told = 0;
        loop {
            tokio::time::sleep(BEAT_EVERY).await;
            let beats = self.engine.beats();
            if beats != told {
                told = beats;
                // A byte or two are never too long.
                let _ = self.outbox.put(&Tell::Beat);
            }
        }
    }

    fn begin(&self, id: u64, call: Call) {
        let (abort, registration) = AbortHandle::new_pair();
        self.running().insert(id, abort);
        let desk = self.clone();
        tokio::spawn(async move {
            let answered = Abortable::new(answer(&*desk.engine, call), registration).await;
            desk.running().remove(&id);
            if let Ok(outcome) = answered {
                desk.tell(id, outcome);
            }
        });
    }

    fn cancel(&self, id: u64) {
        if let Some(call) = self.running().remove(&id) {
            call.abort();
        }
    }

    fn tell(&self, id: u64, outcome: Result<Answer, Fault>) {
        let tell = match outcome {
            Ok(answer) => Tell::Answer { id, answer },
            Err(fault) => Tell::Fault { id, fault },
        };
        if let Err(error) = self.outbox.put(&tell) {
            let fault = Fault::Internal { message: format!("the answer makes {error}") };
            // A few words are never too long.
            let _ = self.outbox.put(&Tell::Fault { id, fault });
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<u64, AbortHandle>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An engine that panicked is not to be trusted with another call, and says that it died.
async fn answer(engine: &dyn Engine, call: Call) -> Result<Answer, Fault> {
    let outcome = AssertUnwindSafe(async move { engine.run(call).await }).catch_unwind().await;
    outcome.unwrap_or_else(|panic| Err(Fault::Died { message: format!("it panicked: {}", words(&*panic)) }))
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}
