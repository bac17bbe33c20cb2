//! Who works, and what they are told. The list is what the workers beat; an order goes to the worker itself.
use super::{
    app::App,
    error::{Answer, Rejection},
    limits,
    state::AppState,
};
use api::{ErrorCode, Kind, PoolAhead, Worker, Workers};
use axum::{Json, response::IntoResponse};
use domain::{WorkerName, health::Order};
use futures::future::try_join_all;
use std::time::Duration;
use tokio::time::timeout;
use wire::{Heartbeat, Ordered, Orders};

/// A worker that beats is heard of within this time.
const BEAT_WITHIN: Duration = Duration::from_secs(32);

/// `GET /workers`.
pub async fn many(app: App) -> Answer {
    let (workers, pools) = all(&app);
    Ok(Json(Workers::new(workers, pools)).into_response())
}

/// `POST /workers/{name}/<order>`: told to each worker of the name, of which there is one for each of its pools.
pub async fn tell(order: Order, app: App, name: String) -> Answer {
    let named: Vec<_> = beats(&app).into_iter().filter(|beat| beat.worker == name).collect();
    if named.is_empty() {
        let message = format!("there is no worker '{name}'; GET /workers has all");
        return Err(Rejection::new(ErrorCode::WorkerNotFound, message));
    }
    let told = try_join_all(named.iter().map(|beat| ask(&app, beat, order))).await?;
    Ok(Json(Workers::new(told.into_iter().map(shown).collect(), vec![])).into_response())
}

/// All of them, and their pools, as a client sees them.
pub fn all(app: &AppState) -> (Vec<Worker>, Vec<PoolAhead>) {
    let workers: Vec<_> = beats(app).into_iter().map(shown).collect();
    let pools = PoolAhead::all(&workers, app.pools.now().as_deref());
    (workers, pools)
}

/// Those that were heard of lately, by pool and name.
pub fn beats(app: &AppState) -> Vec<Heartbeat> {
    let mut beats: Vec<_> = app.workers.within(BEAT_WITHIN).into_iter().map(|(_, beat)| beat).collect();
    beats.sort_by(|a, b| (&a.pool, &a.worker).cmp(&(&b.pool, &b.worker)));
    beats
}

async fn ask(app: &AppState, beat: &Heartbeat, order: Order) -> Result<Heartbeat, Rejection> {
    let subject = Orders(beat.pool.clone(), WorkerName::of(&beat.worker)).to_string();
    let order = serde_json::to_vec(&Ordered { order }).expect("an order is plain JSON");
    let asked = app.shared.bus.client().request(subject, order.into());
    let silent = || {
        let message = format!("worker '{}' of pool '{}' does not answer; try again", beat.worker, beat.pool);
        Rejection::unavailable(message)
    };
    let reply = timeout(limits::STATUS_WITHIN, asked).await.map_err(|_| silent())?.map_err(|_| silent())?;
    // Its rates are those of its last beat.
    let now: Heartbeat = serde_json::from_slice(&reply.payload).map_err(|_| silent())?;
    Ok(Heartbeat { request_rate: beat.request_rate, token_rate: beat.token_rate, ..now })
}

fn shown(beat: Heartbeat) -> Worker {
    Worker {
        object: Kind::Worker,
        name: beat.worker,
        pool: beat.pool,
        model: beat.model,
        engine: beat.engine,
        device: beat.device,
        slots: beat.slots,
        busy: beat.busy,
        requests_per_s: beat.request_rate,
        tokens_per_s: beat.token_rate,
        restarts: beat.restarts,
        state: beat.state,
        since: beat.since.into(),
        why: beat.why,
        servers: beat.servers,
        started_at: beat.started.into(),
        heard_at: beat.at.into(),
    }
}
