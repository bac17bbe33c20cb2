//! First starts that race settle on one id, and what does not belong together is refused.
use crate::{head, rig::Rig};
use jetbatch::{config::Config, installation, shared::Shared};
use std::sync::Arc;
use store::{Settings, Store};
use wire::bucket;

fn with_store(shared: Shared, folder: &std::path::Path) -> Shared {
    let settings = Settings::local(folder);
    let store = Store::open(&settings).unwrap();
    let config = Arc::new(Config { store: settings, ..Config::default() });
    Shared { store, config, ..shared }
}

#[tokio::test(flavor = "multi_thread")]
async fn first_starts_that_race_settle_on_one_id() {
    let rig = Rig::start().await;
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        drop(rig.bus.bucket(bucket::INSTALLATION).delete("id").await);
        let (one, two) = tokio::join!(head(&rig), head(&rig));
        let (one, two) = (with_store(one, folder.path()), with_store(two, folder.path()));
        let (one, two) = tokio::join!(installation::join(&one), installation::join(&two));
        one.unwrap();
        two.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_stores_that_race_one_is_refused_and_left_as_it_was() {
    let rig = Rig::start().await;
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (one, two) = (head(&rig).await, head(&rig).await);
    let (one, two) = (with_store(one, folders[0].path()), with_store(two, folders[1].path()));
    let joined = tokio::join!(installation::join(&one), installation::join(&two));
    let refused = [joined.0, joined.1].into_iter().filter_map(Result::err).collect::<Vec<_>>();
    assert!(matches!(&refused[..], [error] if error.is_final()), "{refused:?}");
    let marked = folders.iter().filter(|folder| folder.path().join("installation.json").exists()).count();
    assert_eq!(marked, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nats_that_lost_its_data_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = Rig::start().await;
    installation::join(&with_store(head(&first).await, folder.path())).await.unwrap();
    let second = Rig::start().await;
    let refused = installation::join(&with_store(head(&second).await, folder.path())).await.unwrap_err();
    assert!(matches!(refused, installation::Error::LogLost { .. }), "{refused:?}");
}
