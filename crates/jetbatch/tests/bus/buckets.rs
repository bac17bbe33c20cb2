use futures::{StreamExt, TryStreamExt};
use jetbatch::bus::{Append, Op};
use testkit::wait_for;
use wire::bucket;

use super::{WAIT, stand};

#[tokio::test]
async fn a_key_is_put_read_and_deleted() {
    let (_server, bus) = stand().await;
    let bucket = bus.bucket(bucket::STATUS);
    assert_eq!(bucket.get("a").await.unwrap(), None);
    let rev = bucket.put("a", "one").await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap(), Some(("one".into(), rev)));
    let Append::Stored(next) = bucket.update("a", "two", rev).await.unwrap() else { panic!("a conflict") };
    assert_eq!(bucket.update("a", "three", rev).await.unwrap(), Append::Conflict);
    assert_eq!(bucket.get("a").await.unwrap(), Some(("two".into(), next)));
    bucket.put("b", "other").await.unwrap();
    bucket.delete("a").await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap(), None);
    assert_eq!(bucket.keys().await.unwrap(), ["b"]);
}

#[tokio::test]
async fn the_client_library_opens_the_same_bucket() {
    let (_server, bus) = stand().await;
    bus.bucket(bucket::STATUS).put("a", "one").await.unwrap();
    let store = bus.js().get_key_value("status").await.unwrap();
    assert_eq!(store.get("a").await.unwrap().unwrap(), "one");
    store.put("b", "two".into()).await.unwrap();
    store.delete("a").await.unwrap();
    assert_eq!(store.keys().await.unwrap().try_collect::<Vec<_>>().await.unwrap(), ["b"]);
    assert_eq!(bus.bucket(bucket::STATUS).keys().await.unwrap(), ["b"]);
    assert_eq!(store.watch_all().await.unwrap().by_ref().take(0).count().await, 0);
}

#[tokio::test]
async fn a_watch_gives_what_is_there_and_what_follows() {
    let (mut server, bus) = stand().await;
    let bucket = bus.bucket(bucket::STATUS);
    for key in ["a", "b", "a"] {
        bucket.put(key, key).await.unwrap();
    }
    let mut watch = bucket.watch(">").await.unwrap();
    let first = [watch.next().await.unwrap(), watch.next().await.unwrap()];
    assert_eq!(first.map(|entry| (entry.key, entry.pending)), [("b".into(), 1), ("a".into(), 0)]);
    assert!(watch.caught_up());
    server.kill().await;
    server.restart().await;
    bucket.delete("b").await.unwrap();
    let gone = watch.next().await.unwrap();
    assert_eq!((gone.key.as_str(), gone.op), ("b", Op::Delete));
}

#[tokio::test]
async fn a_silent_worker_disappears() {
    let (_server, bus) = stand().await;
    let mut config = bus.js().get_stream("KV_workers").await.unwrap().cached_info().config.clone();
    (config.max_age, config.duplicate_window) = (std::time::Duration::from_secs(1), std::time::Duration::from_secs(1));
    bus.js().update_stream(&config).await.unwrap();
    let bucket = bus.bucket(bucket::WORKERS);
    bucket.put("w", "alive").await.unwrap();
    let mut watch = bucket.watch("w").await.unwrap();
    assert_eq!(watch.next().await.unwrap().op, Op::Put);
    wait_for("the heartbeat to expire", WAIT, || async { bucket.get("w").await.unwrap().is_none().then_some(()) })
        .await;
    assert_eq!(watch.next().await.unwrap().op, Op::Delete);
}

/// The bucket is a cache: deleted, it comes back with the next write.
#[tokio::test]
async fn a_deleted_bucket_comes_back() {
    let (_server, bus) = stand().await;
    let bucket = bus.bucket(bucket::STATUS);
    bucket.put("a", "one").await.unwrap();
    let mut watch = bucket.watch(">").await.unwrap();
    assert_eq!(watch.next().await.unwrap().key, "a");
    bus.js().delete_key_value("status").await.unwrap();
    bucket.put("b", "two").await.unwrap();
    assert_eq!(watch.next().await.unwrap().key, "b", "and so does who watches it");
    assert_eq!(bucket.keys().await.unwrap(), ["b"]);
}
