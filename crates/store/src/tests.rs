use super::*;
use std::{os::unix::fs::PermissionsExt, time::Duration};

fn open() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&Settings::local(folder.path().join("a/b"))).unwrap();
    (folder, store)
}

fn text(bytes: usize) -> Bytes {
    (0..bytes).map(|i| (i % 251) as u8).collect()
}

async fn read(store: &Store, path: &str, range: std::ops::Range<u64>) -> Vec<u8> {
    let blocks: Vec<Bytes> = store.stream(path.to_owned(), range).try_collect().await.unwrap();
    blocks.concat()
}

#[test]
fn a_new_folder_is_its_owners_alone() {
    let (folder, _store) = open();
    let mode = |path: &str| std::fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("a"), mode("a/b")), (0o700, 0o700));
}

#[tokio::test]
async fn what_is_put_is_read() {
    let (_folder, store) = open();
    store.put("jobs/x/input.jsonl", Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(store.size("jobs/x/input.jsonl").await.unwrap(), Some(5));
    assert_eq!(store.range("jobs/x/input.jsonl", 1..3).await.unwrap(), "el");
    assert_eq!(store.range("jobs/x/input.jsonl", 2..2).await.unwrap(), "");
    assert_eq!(std::fs::read(store.local_path("jobs/x/input.jsonl").unwrap()).unwrap(), b"hello");
    store.delete("jobs/x/input.jsonl").await.unwrap();
    store.delete("jobs/x/input.jsonl").await.unwrap();
    assert_eq!(store.size("jobs/x/input.jsonl").await.unwrap(), None);
    assert!(store.range("jobs/x/input.jsonl", 0..1).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_written_file_is_whole_whatever_the_pieces() {
    let (_folder, store) = open();
    let whole = text((5 << 20) + 17);
    for piece in [1000, 1 << 20, 3 << 20] {
        let mut writer = store.writer("out").await.unwrap();
        for part in whole.chunks(piece) {
            writer.write(Bytes::copy_from_slice(part)).await.unwrap();
        }
        assert_eq!(writer.finish().await.unwrap(), whole.len() as u64);
        assert_eq!(read(&store, "out", 0..whole.len() as u64).await, whole);
    }
    assert_eq!(read(&store, "out", 7..(4 << 20) + 9).await, whole[7..(4 << 20) + 9]);
}

#[tokio::test]
async fn an_empty_file_can_be_written() {
    let (_folder, store) = open();
    assert_eq!(store.writer("out").await.unwrap().finish().await.unwrap(), 0);
    assert_eq!(store.size("out").await.unwrap(), Some(0));
}

#[tokio::test]
async fn nothing_is_seen_of_a_file_that_is_not_finished() {
    let (_folder, store) = open();
    let mut writer = store.writer("uploads/x").await.unwrap();
    writer.write(text(3 << 20)).await.unwrap();
    assert_eq!(store.size("uploads/x").await.unwrap(), None);
    assert_eq!(store.list("uploads").await.unwrap(), []);
    drop(writer);
    let folder = store.local_path("uploads").unwrap();
    let gone = async {
        while std::fs::read_dir(&folder).is_ok_and(|files| files.count() > 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.expect("nothing is left of it");
}

#[tokio::test]
async fn a_rewritten_file_is_the_old_one_until_it_is_the_new_one() {
    let (_folder, store) = open();
    store.put("out", Bytes::from_static(b"old")).await.unwrap();
    let mut writer = store.writer("out").await.unwrap();
    writer.write(text(2 << 20)).await.unwrap();
    assert_eq!(store.range("out", 0..3).await.unwrap(), "old");
    writer.finish().await.unwrap();
    assert_eq!(store.size("out").await.unwrap(), Some(2 << 20));
}

#[tokio::test]
async fn a_stream_that_ends_early_is_an_error() {
    let (_folder, store) = open();
    store.put("out", text(10)).await.unwrap();
    let blocks: Vec<_> = store.stream("out".into(), 0..11).collect().await;
    assert!(matches!(blocks[..], [Err(StoreError::Io { .. })]), "{blocks:?}");
    let absent: Vec<_> = store.stream("none".into(), 0..11).collect().await;
    assert!(matches!(absent[..], [Err(StoreError::NotFound { .. })]), "{absent:?}");
}

#[tokio::test]
async fn folders_are_listed_and_deleted() {
    let (_folder, store) = open();
    for path in ["jobs/a/parts/1", "jobs/a/parts/0", "jobs/b/parts/0"] {
        store.put(path, Bytes::from_static(b"x")).await.unwrap();
    }
    let mut parts = store.list("jobs/a/parts").await.unwrap();
    parts.sort();
    assert_eq!(parts, [("jobs/a/parts/0".to_owned(), 1), ("jobs/a/parts/1".to_owned(), 1)]);
    store.delete_under("jobs/a/parts").await.unwrap();
    store.delete_under("jobs/a/parts").await.unwrap();
    assert_eq!(store.list("jobs/a/parts").await.unwrap(), []);
    assert_eq!(store.list("jobs/b/parts").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_path_cannot_leave_the_store() {
    let (folder, store) = open();
    std::fs::write(folder.path().join("secret"), "x").unwrap();
    for path in ["../secret", "../../secret", "jobs/../../../secret"] {
        assert!(store.size(path).await.is_err(), "{path}");
        assert!(store.writer(path).await.is_err(), "{path}");
    }
}

#[tokio::test]
async fn files_elsewhere_are_read_by_url() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("Prompts of mine, 100% ü.jsonl");
    std::fs::write(&path, "line\n").unwrap();
    let url = url::Url::from_file_path(&path).unwrap();
    let object = external(url.as_str(), &Settings::default()).await.unwrap().unwrap();
    assert_eq!(object.bytes, 5);
    let blocks: Vec<Bytes> = object.stream().try_collect().await.unwrap();
    assert_eq!(blocks.concat(), b"line\n");
    assert!(external(&format!("{url}x"), &Settings::default()).await.unwrap().is_none());
    let folder = url::Url::from_file_path(folder.path()).unwrap();
    assert!(external(folder.as_str(), &Settings::default()).await.is_err());
}

#[tokio::test]
async fn the_probe_leaves_nothing() {
    let (_folder, store) = open();
    store.probe().await.unwrap();
    assert_eq!(store.list("").await.unwrap(), []);
}

#[test]
fn mistakes_in_the_settings_are_named() {
    let open = |url: &str, option: Option<&str>| {
        let options = option.map(|name| (name.to_owned(), "hunter2".to_owned())).into_iter().collect();
        let settings = Settings { url: url.to_owned(), options, ..Settings::default() };
        assert!(!format!("{settings:?}").contains("hunter2"));
        Store::open(&settings).err().map(|e| e.to_string()).unwrap_or_default()
    };
    assert!(open("ftp://host/x", None).contains("s3://"));
    assert!(open("s3://bucket/x", Some("aws_endpiont")).contains("aws_endpiont"));
    assert!(open("/tmp", Some("aws_endpoint")).contains("aws_endpoint"));
    assert_eq!(open("s3://bucket/x", Some("aws_region")), "");
    assert!(serde_json::from_str::<Settings>(r#"{"urll":"x"}"#).unwrap_err().to_string().contains("urll"));
}

#[test]
fn a_bucket_prefix_stands_before_every_path() {
    let url = "s3://bucket/a/b".to_owned();
    let options = [("aws_region".to_owned(), "x".to_owned())].into();
    let store = Store::open(&Settings { url, options, ..Settings::default() }).unwrap();
    let at = store.at("jobs/x").unwrap();
    assert_eq!(at.as_ref(), "a/b/jobs/x");
    assert_eq!(store.name(&at), "jobs/x");
    assert_eq!(store.local_path("jobs/x"), None);
}

#[tokio::test]
async fn a_bucket_is_written_and_read_like_a_folder() {
    let inner = Arc::new(object_store::memory::InMemory::new());
    let store = Store {
        inner: inner.clone(),
        prefix: Path::from("a/b"),
        root: None,
        is_synced: false,
        passing: None,
        folders: Arc::default(),
        keeps: Keeps::default(),
    };
    let whole = text((17 << 20) + 5);
    let mut writer = store.writer("jobs/x/output.jsonl").await.unwrap();
    for part in whole.chunks(100_000) {
        writer.write(Bytes::copy_from_slice(part)).await.unwrap();
    }
    assert_eq!(store.size("jobs/x/output.jsonl").await.unwrap(), None);
    assert_eq!(writer.finish().await.unwrap(), whole.len() as u64);
    assert_eq!(read(&store, "jobs/x/output.jsonl", 0..whole.len() as u64).await, whole);
    assert_eq!(inner.head(&Path::from("a/b/jobs/x/output.jsonl")).await.unwrap().size, whole.len() as u64);
    assert_eq!(store.list("jobs").await.unwrap(), [("jobs/x/output.jsonl".to_owned(), whole.len() as u64)]);
    store.probe().await.unwrap();
    store.delete_under("jobs").await.unwrap();
    assert_eq!(store.list("").await.unwrap(), []);
}

/// What is soon deleted lies where all else does.
#[tokio::test]
async fn a_passing_object_is_one_of_the_store() {
    let (_folder, store) = open();
    for size in [5, (3 << 20) + 5] {
        let whole = text(size);
        let mut writer = store.passing().writer("uploads/x").await.unwrap();
        writer.write(whole.clone()).await.unwrap();
        assert_eq!(writer.finish().await.unwrap(), whole.len() as u64);
        assert_eq!(read(&store, "uploads/x", 0..whole.len() as u64).await, whole);
        store.delete("uploads/x").await.unwrap();
        assert_eq!(store.passing().size("uploads/x").await.unwrap(), None);
    }
}
