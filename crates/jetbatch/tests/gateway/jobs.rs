use super::*;
use domain::command::{CommandKind, JobCommand};
use futures::StreamExt;
use serde_json::json;
use testkit::wait_for;
use wire::Subject;
use wire::bucket;
use wire::stream;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_status_is_deleted_is_gone() {
    let stand = stand().await;
    for name in ["kept", "gone"] {
        stand.put(status(job(name), State::Completed)).await;
    }
    let listed = || async {
        let jobs = json(stand.get("/jobs").await).await["data"].as_array().unwrap().clone();
        jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    wait_for("both to be listed", WAIT, || async { (listed().await.len() == 2).then_some(()) }).await;
    stand.bus.bucket(bucket::STATUS).delete(&job("gone").to_string()).await.unwrap();
    wait_for("one to be listed", WAIT, || async { (listed().await == [job("kept").to_string()]).then_some(()) }).await;
    assert_eq!(refusal(stand.get(&format!("/jobs/{}", job("gone"))).await).await.0, 404);
    assert_eq!(refusal(stand.get(&format!("/jobs?after={}", job("gone"))).await).await.0, 400);
}

#[tokio::test]
async fn a_job_is_shown_as_it_stands() {
    let stand = stand().await;
    let path = format!("/jobs/{}", job("a"));
    assert_eq!(refusal(stand.get(&path).await).await, (404, "job_not_found".into(), None));
    assert_eq!(refusal(stand.get("/jobs/7").await).await, (400, "invalid_request".into(), Some("id".into())));
    // One that was submitted a moment ago is waited for: it is put there when the door has asked for it in vain.
    // Heard on the door's own connection: of another one's interest its messages may know too late.
    let mut looks = stand.bus.client().subscribe("$JS.API.DIRECT.GET.KV_status.>").await.unwrap();
    let (got, ()) = tokio::join!(stand.get(&path), async {
        looks.next().await.unwrap();
        stand.put(status(job("a"), State::Validating)).await;
    });
    assert_eq!(json(got).await["state"], "validating");
    stand.put(status(job("a"), State::Completed)).await;
    assert_eq!(json(stand.get(&path).await).await["state"], "completed");
}

#[tokio::test]
async fn jobs_are_listed_newest_first() {
    let stand = stand().await;
    for n in 0..5_u64 {
        let state = if n == 3 { State::Completed } else { State::InProgress };
        let submitted_at = Timestamp::new(1_700_000_000_000 + n);
        stand.put(Status { submitted_at, ..status(job(&n.to_string()), state) }).await;
    }
    let ids = |page: &Value| -> Vec<String> {
        page["data"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = testkit::wait_for("all jobs", WAIT, || async {
        let page = json(stand.get("/jobs?limit=2").await).await;
        (page["has_more"] == true && ids(&page)[0] == job("4").to_string()).then_some(page)
    });
    let first = all.await;
    assert_eq!(ids(&first), [job("4").to_string(), job("3").to_string()]);
    let next = first["next"].as_str().unwrap();
    let second = json(stand.get(&format!("/jobs?limit=3&after={next}")).await).await;
    assert_eq!(ids(&second), [job("2").to_string(), job("1").to_string(), job("0").to_string()]);
    assert_eq!((&second["has_more"], &second["next"]), (&json!(false), &Value::Null));
    let completed = json(stand.get("/jobs?state=completed&model=tiny").await).await;
    assert_eq!(ids(&completed), [job("3").to_string()]);
    assert_eq!(refusal(stand.get("/jobs?state=done").await).await.2.as_deref(), Some("state"));
    assert_eq!(refusal(stand.get(&format!("/jobs?after={}", job("none"))).await).await.2.as_deref(), Some("after"));
}

#[tokio::test]
async fn a_cancel_is_sent_and_may_be_sent_again() {
    let stand = stand().await;
    let cancel = |name: &str| stand.request(Method::POST, &format!("/jobs/{}/cancel", job(name))).send();
    assert_eq!(refusal(cancel("none").await.unwrap()).await.0, 404);
    stand.put(status(job("a"), State::InProgress)).await;
    assert_eq!(cancel("a").await.unwrap().status(), 202);
    assert_eq!(cancel("a").await.unwrap().status(), 202);
    let sent = stand.bus.state(stream::SUBMIT).await.unwrap().messages;
    assert_eq!(sent, 2, "the first may have come with the last answer");
    let raw = stand.bus.next_on(&Subject::ControlJob(job("a")), 1).await.unwrap().unwrap();
    let command: JobCommand = envelope::decode("command", &raw.payload).unwrap();
    assert_eq!(command, JobCommand::new(CommandKind::Cancel, job("a")));
    for (state, code) in [(State::Cancelled, 202), (State::Completed, 409), (State::Failed, 409), (State::Expired, 409)]
    {
        stand.put(status(job("b"), state)).await;
        assert_eq!(cancel("b").await.unwrap().status(), code, "{state:?}");
    }
}

#[tokio::test]
async fn events_show_every_change_until_the_end() {
    let stand = stand().await;
    stand.put(status(job("a"), State::Validating)).await;
    let response = stand.get(&format!("/jobs/{}/events", job("a"))).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut feed = Feed { pieces: Box::pin(response.bytes_stream()), text: String::new() };
    assert_eq!(feed.state().await.as_deref(), Some("validating"));
    for state in [State::InProgress, State::Finalizing, State::Completed] {
        stand.put(status(job("a"), state)).await;
        assert_eq!(feed.state().await.as_deref(), Some(state.as_str()));
    }
    assert_eq!(feed.state().await, None);
    let ended = stand.get(&format!("/jobs/{}/events", job("a"))).await.text().await.unwrap();
    assert!(ended.contains("event: status") && ended.contains("\"completed\""), "{ended}");
}

struct Feed {
    pieces: std::pin::Pin<Box<dyn futures::Stream<Item = reqwest::Result<Bytes>>>>,
    text: String,
}

impl Feed {
    /// The state in the next event.
    async fn state(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: ")).map(str::to_owned);
                self.text = rest.to_owned();
                let Some(data) = data else { continue };
                let job: Value = serde_json::from_str(&data).unwrap();
                return job["state"].as_str().map(str::to_owned);
            }
            self.text.push_str(std::str::from_utf8(&self.pieces.next().await?.unwrap()).unwrap());
        }
    }
}

#[tokio::test]
async fn an_order_waits_for_an_input_that_is_being_validated() {
    let stand = stand().await;
    let id = job("a");
    stand.put(status(id, State::Validating)).await;
    let path = format!("/jobs/{id}/pause");
    let (answer, ()) = tokio::join!(stand.post(&path, &Value::Null), stand.put(status(id, State::InProgress)));
    assert_eq!(answer.status(), 202);
}

/// Every read of a key is heard on the subject it is asked for by.
#[tokio::test]
async fn a_list_reads_no_key() {
    let stand = stand().await;
    for name in ["a", "b"] {
        stand.put(status(job(name), State::Completed)).await;
    }
    wait_for("both to be listed", WAIT, || async {
        let page = json(stand.get("/jobs").await).await;
        (page["data"].as_array().unwrap().len() == 2).then_some(())
    })
    .await;
    let one = async |name: &str| stand.get(&format!("/jobs/{}", job(name))).await;
    let alone = json(one("a").await).await;
    // A read that is answered late is asked again; this one has its answer.
    let mut reads = stand.bus.client().subscribe("$JS.API.DIRECT.GET.KV_status.>").await.unwrap();
    let page = json(stand.get("/jobs").await).await;
    assert!(page["data"].as_array().unwrap().contains(&alone), "a row is the job as it is alone");
    assert_eq!(one("b").await.status(), 200);
    let read = reads.next().await.unwrap();
    assert!(read.subject.ends_with(&job("b").to_string()), "the list read {}", read.subject);
}
