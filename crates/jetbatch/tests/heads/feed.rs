use super::rig::{LONG, Rig, done, id};
use futures::FutureExt;
use jetbatch::{
    log::{Keep, Log},
    shared::Shared,
};
use serde::Deserialize;
use testkit::wait_for;
use tokio::time::timeout;

/// Readers of EVENTS that the server knows.
async fn readers(rig: &Rig) -> usize {
    #[derive(Deserialize)]
    struct Names {
        consumers: Option<Vec<String>>,
    }
    let answer = rig.server.client().await.request("$JS.API.CONSUMER.NAMES.EVENTS", "".into()).await.unwrap();
    let names: Names = serde_json::from_slice(&answer.payload).unwrap();
    names.consumers.unwrap_or_default().iter().filter(|name| name.starts_with("read-")).count()
}

async fn one_reader(rig: &Rig) {
    wait_for("one reader", LONG, || async { (readers(rig).await == 1).then_some(()) }).await;
}

async fn open(shared: &Shared) -> Log {
    Log::resume(shared, Keep::All).await.unwrap()
}

/// All in turns, as rooms do that wait for other things, too.
async fn fold(logs: &mut [Log], until: u64) {
    for log in logs {
        while log.seq() < until {
            timeout(LONG, log.next()).await.expect("an event that is stored comes").unwrap();
        }
        assert!(log.next().now_or_never().is_none(), "no event comes twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_of_one_process_read_the_log_once() {
    let mut rig = Rig::start().await;
    let job = id("a");
    rig.plan(job, 2).await;
    let mut logs = vec![open(&rig.shared).await, open(&rig.shared).await];
    fold(&mut logs, 4).await;
    rig.run(job, 0).await;
    fold(&mut logs, 14).await;
    one_reader(&rig).await;

    logs.push(open(&rig.shared).await);
    rig.tell(job, &done(1, 0)).await;
    fold(&mut logs, 15).await;
    one_reader(&rig).await;

    rig.server.kill().await;
    rig.server.restart().await;
    rig.tell(job, &done(1, 1)).await;
    fold(&mut logs, 16).await;
    one_reader(&rig).await;
    let folded = logs[0].job(&job).unwrap().clone();
    assert!(logs.iter().all(|log| log.job(&job) == Some(&folded) && log.caught_up()));

    drop(logs);
    wait_for("no reader", LONG, || async { (readers(&rig).await == 0).then_some(()) }).await;
}
