use super::*;
use domain::event::File;
use jetbatch::paths::{self, Kind};

async fn part(stand: &Stand, segment: u32, kind: Kind, text: &'static str) {
    stand.store.put(&paths::part(job("a"), segment, kind, 0), Bytes::from_static(text.as_bytes())).await.unwrap();
}

fn results(what: &str) -> String {
    format!("/jobs/{}/{what}", job("a"))
}

#[tokio::test]
async fn what_is_archived_can_be_read_while_the_job_runs() {
    let stand = stand().await;
    part(&stand, 0, Kind::Output, "0\n").await;
    part(&stand, 1, Kind::Errors, "e\n").await;
    part(&stand, 2, Kind::Output, "2\n").await;
    for (prefix, output, errors) in [(0, "", ""), (1, "0\n", ""), (3, "0\n2\n", "e\n")] {
        stand.put(Status { archived_prefix: prefix, ..status(job("a"), State::InProgress) }).await;
        let response = stand.get(&results("results")).await;
        assert_eq!(response.headers()["jetbatch-state"], "in_progress");
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        assert_eq!(response.text().await.unwrap(), output);
        assert_eq!(stand.get(&results("errors")).await.text().await.unwrap(), errors);
    }
}

#[tokio::test]
async fn the_files_of_an_ended_job_can_be_resumed() {
    let stand = stand().await;
    let text: String = (0..300_000).map(|n| format!("{n}\n")).collect();
    let path = paths::file(job("a"), Kind::Output, 0);
    stand.store.put(&path, Bytes::from(text.clone())).await.unwrap();
    let output = Some(File { path, bytes: text.len() as u64 });
    stand.put(Status { output, ..status(job("a"), State::Completed) }).await;

    let all = stand.get(&results("results")).await;
    assert_eq!(all.headers()["jetbatch-state"], "completed");
    assert_eq!(all.headers()["content-length"], text.len().to_string());
    assert_eq!(all.text().await.unwrap(), text);
    let range = |range: &'static str| stand.request(Method::GET, &results("results")).header("Range", range).send();
    let rest = range("bytes=1500000-").await.unwrap();
    assert_eq!(rest.status(), 206);
    assert_eq!(rest.headers()["content-range"], format!("bytes 1500000-{}/{}", text.len() - 1, text.len()));
    assert_eq!(rest.text().await.unwrap(), text[1_500_000..]);
    assert_eq!(range("bytes=3-5").await.unwrap().text().await.unwrap(), text[3..6]);
    let beyond = range("bytes=99999999-").await.unwrap();
    assert_eq!(beyond.headers()["content-range"], format!("bytes */{}", text.len()));
    assert_eq!(refusal(beyond).await.0, 416);

    let none = stand.get(&results("errors")).await;
    assert_eq!(none.headers()["content-length"], "0");
    assert_eq!(none.text().await.unwrap(), "");
    let head = stand.request(Method::HEAD, &results("results")).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], text.len().to_string());
}
