//! Retry: the requests of an ended job that have no good answer become a job of their own, and no others.
use crate::{
    cli::jetbatch,
    support::{Answer, Ask, LONG, Plan, Stand, answer, assert_counts, echoes, jsonl, lines},
};
use domain::{
    Event, JobId,
    command::{CommandKind, JobCommand},
    resubmit,
};
use serde_json::json;
use testkit::wait_for;
use wire::{Message, Subject, envelope};

async fn retry(stand: &Stand, id: JobId) -> Answer {
    answer(stand.http.post(&format!("/jobs/{id}/retry"))).await
}

/// The same set-up with an engine that takes everything, at once.
async fn mend(stand: &mut Stand, echo: &str) {
    let config = std::fs::read_to_string(stand.config()).unwrap();
    assert!(config.contains(echo));
    std::fs::write(stand.config(), config.replace(echo, "")).unwrap();
    stand.workers[0].kill9().await;
    stand.add_worker();
}

/// Those of a job's requests that its error file names.
async fn failed(stand: &Stand, id: JobId, asks: &[Ask]) -> Vec<Ask> {
    let errors = lines(&stand.http.text(&format!("/jobs/{id}/errors")).await);
    let of = |line: &serde_json::Value| asks.iter().find(|ask| line["custom_id"] == ask.id).unwrap().clone();
    errors.iter().map(of).collect()
}

fn refused(answer: &Answer, words: &str) {
    let message = answer.body["error"]["message"].as_str().unwrap_or_default();
    assert!(answer.status == 409 && message.contains(words), "{words}: {answer:?}");
}

#[tokio::test]
async fn what_failed_is_retried_and_nothing_else() {
    const ECHO: &str = "refuse_containing = 'rude', fail_containing = 'boom'";
    let mut stand = Plan::echo(ECHO, 4).start().await;
    let question = |n: usize| match n % 10 {
        3 => format!("a rude one {n}"),
        7 => format!("a boom {n}"),
        _ => format!("say {n}"),
    };
    let asks: Vec<Ask> = (0..30).map(|n| Ask::echo(format!("r{n}"), question(n))).collect();
    // Blank lines count for nothing; the last line has no end.
    let input = jsonl(&asks).replace('\n', "\r\n\n").trim_end().to_owned();
    let id = stand.http.submit("?completion_window=2h&priority=high&metadata.team=a", input).await;
    assert_counts(&stand.end(id).await, [30, 24, 6, 0]);
    let bad = failed(&stand, id, &asks).await;
    assert_eq!(bad.len(), 6);

    mend(&mut stand, ECHO).await;
    let first = retry(&stand, id).await;
    assert_eq!(first.accepted(), resubmit::id(id));
    let status = stand.answered(resubmit::id(id), &bad).await;
    assert_eq!(status["metadata"], json!({"team": "a", "retry_of": id}));
    assert_eq!(status["priority"], "high");
    let events = stand.log().await.events(resubmit::id(id)).await;
    let submitted = events.iter().find_map(|event| if let Event::JobSubmitted(job) = event { Some(job) } else { None });
    assert_eq!(submitted.unwrap().window_ms, 7_200_000);

    let again = retry(&stand, id).await;
    assert_eq!((again.accepted(), &again.body["state"]), (resubmit::id(id), &json!("completed")), "twice is once");
    refused(&retry(&stand, resubmit::id(id)).await, "no request of it failed");
    assert_eq!(retry(&stand, JobId::keyed("no", "job")).await.status, 404);
}

#[tokio::test]
async fn what_a_cancel_left_is_retried() {
    let mut stand = Plan::echo("delay_ms = 100", 4).start().await;
    let asks = echoes(300);
    let id = stand.http.submit("?model=tiny", jsonl(&asks)).await;
    stand.midway(id, 20).await;
    refused(&retry(&stand, id).await, "has not ended");
    answer(stand.http.post(&format!("/jobs/{id}/cancel"))).await;
    stand.end(id).await;
    let left = failed(&stand, id, &asks).await;
    assert!((1..=280).contains(&left.len()), "{}", left.len());
    mend(&mut stand, "delay_ms = 100").await;

    // By NATS, twice.
    let log = stand.log().await;
    for _ in 0..2 {
        let control = envelope::encode(&JobCommand::new(CommandKind::Retry, id));
        let message = Message::new(Subject::Control, control).header(envelope::CONTENT_TYPE, envelope::MSGPACK);
        log.publish(message).await;
    }
    stand.answered(resubmit::id(id), &left).await;
    let by_command = jetbatch(&["retry", &id.to_string(), "--url", &stand.http.base, "--watch"], 0).await;
    assert!(by_command.stdout().contains(&resubmit::id(id).to_string()), "{}", by_command.story());
    jetbatch(&["retry", &resubmit::id(id).to_string(), "--url", &stand.http.base], 5).await;
    assert_eq!(stand.http.get("/jobs").await.body["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_cannot_be_retried_says_why() {
    let stand = Plan::echo("refuse_containing = 'rude'", 4).start().await;
    let invalid = stand.http.submit("", "{\n").await;
    assert_eq!(stand.end(invalid).await["state"], "failed");
    refused(&retry(&stand, invalid).await, "did not validate");

    let rude = [Ask::echo("a", "a rude one"), Ask::echo("b", "say b")];
    let [first, second] = [stand.http.submit("", jsonl(&rude)).await, stand.http.submit("", jsonl(&rude)).await];
    stand.end(first).await;
    std::fs::remove_dir_all(stand.path("store").join(format!("jobs/{first}"))).unwrap();
    refused(&retry(&stand, first).await, "deleted");

    // Of the input alone the door knows nothing: the new job tells.
    stand.end(second).await;
    std::fs::remove_dir_all(stand.path("store").join("uploads")).unwrap();
    let retried = retry(&stand, second).await.accepted();
    let status = wait_for("the retry's end", LONG, || async {
        stand.http.find(retried).await.filter(|status| status["state"] == "failed")
    })
    .await;
    assert_eq!(status["errors"][0]["code"], "input_not_found", "{status}");
    assert_eq!(status["metadata"]["retry_of"], json!(second));
}
