//! Whether the log is the one that statuses and snapshots know: a submission is acknowledged only into a log that will be
//! read. Looked at when the door opens, and again with each new connection: NATS may have come back without its data.
use super::{error::Rejection, limits, status_watch::StatusWatch};
use crate::{
    bus::{Bus, ReadError},
    clock,
    log::{LogError, snapshot},
    shared::Shared,
};
use domain::trouble::{Kind, Scope, Trouble};
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use wire::stream::EVENTS;

/// Between two looks at whether the connection is still the same.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What is not known yet is asked again so soon, and what is wrong is told again so often.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct Gate(watch::Sender<View>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum View {
    /// It was not looked at yet.
    #[default]
    None,
    /// It was the right one on this connection.
    Known(u64),
    Wrong,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("EVENTS was made anew while this head ran")]
    Replaced,
    #[error("a status stands at event {seq}, and the log ends at {last}: EVENTS was lost, or lost its end")]
    Behind { seq: u64, last: u64 },
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Gate {
    /// Looks until `stop`.
    pub async fn run(&self, shared: &Shared, statuses: &StatusWatch, stop: CancellationToken) {
        stop.run_until_cancelled(async {
            statuses.completed().await;
            let mut born = None;
            loop {
                self.look(shared, statuses, &mut born).await;
            }
        })
        .await;
    }

    async fn look(&self, shared: &Shared, statuses: &StatusWatch, born: &mut Option<String>) {
        let at = connection(&shared.bus);
        match verify(shared, statuses, born.as_deref()).await {
            Ok(log) => {
                *born = Some(log);
                shared.troubles.clear(&Scope::Installation, Kind::Log);
                self.0.send_replace(View::Known(at));
                while connection(&shared.bus) == at {
                    sleep(LOOK_EVERY).await;
                }
            }
            Err(error) => {
                self.0.send_replace(View::Wrong);
                let mend =
                    "restore EVENTS; or, to begin anew, stop jetbatch and delete the snapshots and the bucket 'status'";
                let trouble = Trouble::new(Kind::Log, error.to_string(), mend, clock::now());
                shared.troubles.tell(Scope::Installation, trouble);
                sleep(AGAIN).await;
            }
        }
    }

    /// Whether the log was known when it was looked at last.
    pub fn is_open(&self) -> bool {
        matches!(*self.0.borrow(), View::Known(_))
    }

    /// Waits for a look, and passes when the log is known on this connection. To be asked before something is stored, and
    /// after it: whether that was in the log that is known.
    pub async fn pass(&self, shared: &Shared) -> Result<(), Rejection> {
        let mut view = self.0.subscribe();
        let settled = view.wait_for(|view| [View::Wrong, View::Known(connection(&shared.bus))].contains(view));
        match timeout(limits::LOG_WITHIN, settled).await {
            Ok(Ok(view)) if *view != View::Wrong => Ok(()),
            Ok(_) | Err(_) => Err(unknown(shared)),
        }
    }
}

fn unknown(shared: &Shared) -> Rejection {
    let troubles = shared.troubles.of(&Scope::Installation);
    let why = troubles.into_iter().find(|trouble| trouble.what == Kind::Log).map(|trouble| trouble.cause);
    let why = why.unwrap_or_else(|| "the log is not known yet; try again in a moment".to_owned());
    Rejection::unavailable(format!("nothing is taken: {why}"))
}

fn connection(bus: &Bus) -> u64 {
    bus.counts().reconnects
}

/// Gives when the log was created.
async fn verify(shared: &Shared, statuses: &StatusWatch, born: Option<&str>) -> Result<String, Error> {
    let most = statuses.index().most();
    let state = shared.bus.settled(EVENTS, most, born).await?;
    if born.is_some_and(|born| born != state.created) {
        return Err(Error::Replaced);
    }
    if most > state.last_seq {
        return Err(Error::Behind { seq: most, last: state.last_seq });
    }
    snapshot::is_known(shared).await?;
    Ok(state.created)
}
