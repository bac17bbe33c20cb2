//! The worker's side: an engine that is started again when it dies.
use super::{
    End, Error, Settings,
    delay::Delay,
    limits,
    parent::{Line, Process},
};
use crate::{About, Answer, Call, Engine, Fault};
use domain::Pool;
use futures::{FutureExt, future::BoxFuture};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::watch, time::timeout};
use tokio_util::task::AbortOnDropHandle;

/// Dropped, its process is killed.
pub struct Hosted {
    about: About,
    now: watch::Receiver<Now>,
    restarts: Arc<AtomicU32>,
    wait: Duration,
    _keeper: AbortOnDropHandle<()>,
}

/// The engine's process, and the way to it. None while there is none.
#[derive(Clone, Default)]
struct Now {
    line: Option<Arc<Line>>,
    pid: Option<u32>,
    /// Why the last try to start it again failed.
    broken: Option<String>,
}

impl Now {
    fn of(process: &Process) -> Self {
        Self { line: Some(process.line()), pid: process.pid(), broken: None }
    }
}

/// What starts the process again.
struct Keeper {
    pool: Pool,
    settings: Settings,
    restarted: Box<dyn Fn() + Send + Sync>,
    about: About,
    restarts: Arc<AtomicU32>,
    reload_max: Duration,
    delay: Delay,
}

impl Hosted {
    /// Loads the engine in a new process. What is wrong with the very first one is for the caller to know, and is not
    /// tried again. `restarted` is told of each time that it is started again.
    pub async fn start(
        pool: &Pool,
        settings: Settings,
        restarted: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let (begun, wait) = (Instant::now(), settings.wait);
        let (process, about) = Process::start(&settings).await?;
        tracing::debug!(%pool, pid = process.pid(), "the engine has a process of its own");
        let (tell, now) = watch::channel(Now::of(&process));
        let restarts = Arc::new(AtomicU32::new(0));
        let keeper = Keeper {
            pool: pool.clone(),
            settings: settings.found(&about),
            restarted: Box::new(restarted),
            about: about.clone(),
            restarts: restarts.clone(),
            reload_max: limits::reload_max(begun.elapsed()),
            delay: Delay::new(),
        };
        let keeper = AbortOnDropHandle::new(tokio::spawn(keeper.keep(process, tell)));
        Ok(Self { about, now, restarts, wait, _keeper: keeper })
    }

    /// The engine's process, while there is one.
    pub fn pid(&self) -> Option<u32> {
        self.now.borrow().pid
    }

    /// The way to a process that lives.
    async fn line(&self) -> Option<Arc<Line>> {
        let lives = |now: &Now| now.line.as_ref().is_some_and(|line| !line.is_over());
        self.now.clone().wait_for(lives).await.ok()?.line.clone()
    }
}

impl Engine for Hosted {
    fn run(&self, call: Call) -> BoxFuture<'_, Result<Answer, Fault>> {
        async move {
            match timeout(self.wait, self.line()).await {
                Ok(Some(line)) => line.call(call).await,
                Ok(None) => Err(Fault::Died { message: "nothing starts it again".to_owned() }),
                Err(_) => Err(Fault::Died { message: format!("it is not back after {} s", self.wait.as_secs()) }),
            }
        }
        .boxed()
    }

    fn about(&self) -> About {
        self.about.clone()
    }

    fn ready(&self) -> BoxFuture<'_, ()> {
        self.line().map(drop).boxed()
    }

    fn beats(&self) -> u64 {
        self.now.borrow().line.as_ref().map_or(0, |line| line.beats())
    }

    fn renew(&self) -> bool {
        if let Some(line) = self.now.borrow().line.as_ref().filter(|line| !line.is_over()) {
            line.give_up();
        }
        true
    }

    fn broken(&self) -> Option<String> {
        self.now.borrow().broken.clone()
    }

    fn restarts(&self) -> u32 {
        self.restarts.load(Ordering::Relaxed)
    }
}

impl Keeper {
    async fn keep(mut self, mut process: Process, tell: watch::Sender<Now>) {
        loop {
            tell.send_replace(Now::of(&process));
            let up = Instant::now();
            let end = process.serve(self.settings.stall).await;
            tell.send_replace(Now::default());
            process = self.again(&end, up.elapsed(), &tell).await;
        }
    }

    async fn again(&mut self, end: &End, ran: Duration, tell: &watch::Sender<Now>) -> Process {
        let mut delay = self.delay.next(ran);
        let (pool, seconds) = (&self.pool, delay.as_secs_f64());
        tracing::error!(%pool, cause = %end, delay_s = seconds, "the engine died; it is started again");
        loop {
            tokio::time::sleep(delay).await;
            self.restarts.fetch_add(1, Ordering::Relaxed);
            (self.restarted)();
            match self.start().await {
                Ok(process) => {
                    tracing::info!(pool = %self.pool, pid = process.pid(), "the engine is back");
                    return process;
                }
                Err(error) => {
                    tell.send_replace(Now { broken: Some(error.to_string()), ..Now::default() });
                    delay = self.delay.next(Duration::ZERO);
                    let (pool, seconds) = (&self.pool, delay.as_secs_f64());
                    tracing::error!(%pool, %error, delay_s = seconds, "the engine could not be started again; it is tried again");
                }
            }
        }
    }

    /// An engine that finds another device (its GPU is gone, say) would run on with the wrong slots, and slowly.
    async fn start(&self) -> Result<Process, Error> {
        let limit = self.reload_max;
        let started = timeout(limit, Process::start(&self.settings)).await;
        let (process, found) = started.unwrap_or(Err(Error::Slow { limit }))?;
        if found != self.about {
            return Err(Error::Other { found: found.into(), wanted: self.about.clone().into() });
        }
        Ok(process)
    }
}
