//! WORK and the buckets are caches: whoever deletes them in the middle of a job loses nothing.
use crate::support::{Ask, LONG, Plan, Stand, jsonl, message_count};
use async_nats::jetstream::stream::{Config, StorageType};
use domain::JobId;
use futures::StreamExt;
use testkit::wait_for;
use wire::{bucket, stream};

async fn midway() -> (Stand, JobId, Vec<Ask>) {
    let stand = Plan::echo("delay_ms = 30", 8).start().await;
    let asks: Vec<Ask> = (0..1_000).map(|n| Ask::echo(format!("r{n}"), format!("say {n}"))).collect();
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.midway(id, 100).await;
    (stand, id, asks)
}

#[tokio::test]
async fn work_is_purged() {
    let (stand, id, asks) = midway().await;
    let log = stand.log().await;
    let work = log.js.get_stream(stream::WORK).await.unwrap();
    wait_for("chunks in WORK", LONG, || async { (message_count(&log.js, stream::WORK).await > 1).then_some(()) }).await;
    assert!(work.purge().await.unwrap().purged > 0);
    stand.answered(id, &asks).await;
}

#[tokio::test]
async fn work_is_deleted() {
    let (stand, id, asks) = midway().await;
    let js = stand.log().await.js;
    js.delete_stream(stream::WORK).await.unwrap();
    stand.answered(id, &asks).await;
    assert_eq!(message_count(&js, stream::WORK).await, 0);
}

/// WORK lay on the disk once, and no server changes the storage of a stream.
#[tokio::test]
async fn work_of_another_storage_is_made_anew() {
    let (mut stand, id, asks) = midway().await;
    let js = stand.log().await.js;
    let storage = async || js.get_stream(stream::WORK).await.unwrap().cached_info().config.storage;
    assert_eq!(storage().await, StorageType::Memory);
    let config = js.get_stream(stream::WORK).await.unwrap().cached_info().config.clone();
    js.delete_stream(stream::WORK).await.unwrap();
    // The head may have made it again by now.
    let _ = js.delete_stream(stream::WORK).await;
    js.create_stream(Config { storage: StorageType::File, ..config }).await.unwrap();
    stand.replace_head().await;
    assert_eq!(storage().await, StorageType::Memory);
    stand.answered(id, &asks).await;
}

#[tokio::test]
async fn the_buckets_are_deleted() {
    let (stand, id, asks) = midway().await;
    let js = stand.log().await.js;
    js.get_stream(stream::WORK).await.unwrap().purge().await.unwrap();
    js.delete_key_value(bucket::STATUS).await.unwrap();
    js.delete_key_value(bucket::WORKERS).await.unwrap();
    stand.answered(id, &asks).await;
    wait_for("a heartbeat", LONG, || async {
        let workers = js.get_key_value(bucket::WORKERS).await.ok()?;
        workers.keys().await.ok()?.next().await
    })
    .await
    .unwrap();
}

/// The same log gives the same status, whoever folds it.
#[tokio::test]
async fn the_status_is_rebuilt() {
    let stand = Plan::echo("", 8).start().await;
    let asks: Vec<Ask> = (0..100).map(|n| Ask::echo(format!("r{n}"), format!("say {n}"))).collect();
    let id = stand.http.submit("", jsonl(&asks)).await;
    let before = stand.answered(id, &asks).await;
    let kv = stand.log().await.js.get_key_value(bucket::STATUS).await.unwrap();
    let stored = kv.get(id.to_string()).await.unwrap().expect("the status is under the job's id");
    kv.purge(id.to_string()).await.unwrap();
    crate::cli::jetbatch(&["rebuild", "--config", stand.config().to_str().unwrap()], 0).await;
    assert_eq!(kv.get(id.to_string()).await.unwrap().unwrap(), stored);
    assert_eq!(stand.end(id).await, before);
}
