use super::rig::{LONG, Rig, id};
use bytes::Bytes;
use domain::{
    Event, JobId, Tenant, Timestamp,
    event::{Cause, Priority, SegmentPlan},
    raw::RawRequest,
    submission::Submission,
    table::{Given, Map, Table},
};
use jetbatch::streams::DECLARED;
use jetbatch::{
    bus::{self, Bus},
    config::Config,
    intake,
    paths::{self, UploadRef},
    shared::Shared,
};
use std::{fmt::Write, sync::Arc};
use testkit::wait_for;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use wire::{Filter, Message, Subject, envelope, stream};

/// Several segments of 10,000 requests.
const REQUESTS: u64 = 60_000;

/// An intake on threads of its own. Dropped, nothing of it runs on, as after `kill -9`.
struct Head(Option<Runtime>);

impl Head {
    fn start(rig: &Rig) -> Self {
        let runtime = Runtime::new().unwrap();
        let (url, shared) = (rig.server.url(), rig.shared.clone());
        runtime.spawn(async move {
            let bus = connect(&url).await;
            let config = Arc::new(Config::parse("[nats]\nack_wait_s = 3\n[pools.tiny.engine]\nkind = 'echo'").unwrap());
            intake::run(Shared { bus, config, ..shared }, CancellationToken::new()).await.unwrap();
        });
        Self(Some(runtime))
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        self.0.take().unwrap().shutdown_background();
    }
}

async fn connect(url: &str) -> Bus {
    let settings = bus::Settings { ack_wait_s: 3, connect_s: 30, ..bus::Settings::default().with_url(url) };
    Bus::connect(&settings, &DECLARED, "intake").await.unwrap()
}

async fn submit(rig: &Rig, job: JobId) {
    let input = upload(rig, REQUESTS).await;
    publish(rig, job, Submission { input: Some(input.into()), ..Submission::default() }).await;
}

/// Gives when it was stored.
async fn publish(rig: &Rig, job: JobId, submission: Submission) -> u64 {
    let message = Message::new(Subject::SubmitJob(job), serde_json::to_vec(&submission).unwrap());
    let stored = rig.bus.publish(message.id(job)).await.unwrap();
    rig.bus.at(stream::SUBMIT, stored.seq).await.unwrap().unwrap().time_ms
}

async fn upload(rig: &Rig, requests: u64) -> String {
    let upload = uuid::Uuid::now_v7();
    let mut lines = String::new();
    for n in 0..requests {
        let body = r#"{"model":"tiny","messages":[{"role":"user","content":"x"}]}"#;
        writeln!(lines, r#"{{"custom_id":"{n}","method":"POST","url":"/v1/chat/completions","body":{body}}}"#).unwrap();
    }
    rig.shared
        .store
        .put(&paths::upload(UploadRef { tenant: Tenant::default(), id: upload }), Bytes::from(lines))
        .await
        .unwrap();
    format!("upload://{upload}")
}

async fn events(rig: &Rig, job: JobId) -> Vec<Event> {
    let mut reader = rig.bus.read(stream::EVENTS, &Filter::EventsOf(job), 1).await.unwrap();
    let mut found = Vec::new();
    while !reader.caught_up() {
        let raw = reader.next().await.unwrap();
        found.push(envelope::read_event(raw.header(envelope::VERSION), &raw.payload).unwrap());
    }
    found
}

async fn plans(rig: &Rig, job: JobId) -> Vec<SegmentPlan> {
    let plan = |event| match event {
        Event::SegmentPlanned(plan) => Some(plan),
        _ => None,
    };
    events(rig, job).await.into_iter().filter_map(plan).collect()
}

async fn planned(rig: &Rig, job: JobId) -> usize {
    events(rig, job).await.iter().filter(|event| matches!(event, Event::JobPlanned(_))).count()
}

/// What the first of two intakes told before it died, and what the second told, is what one alone tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_validation_that_was_cut_off_is_ended_by_another_intake() {
    let rig = Rig::start().await;
    connect(&rig.server.url()).await.apply_streams(&[]).await.unwrap();
    let (cut, whole) = (id("cut"), id("whole"));
    let first = Head::start(&rig);
    submit(&rig, cut).await;
    wait_for("the first segment", LONG, || async { (!plans(&rig, cut).await.is_empty()).then_some(()) }).await;
    drop(first);
    assert_eq!(planned(&rig, cut).await, 0, "too fast to be interrupted");

    let _heads = [Head::start(&rig), Head::start(&rig)];
    submit(&rig, whole).await;
    for job in [cut, whole] {
        wait_for("the plan", LONG, || async { (planned(&rig, job).await == 1).then_some(()) }).await;
    }
    let plans = [plans(&rig, cut).await, plans(&rig, whole).await];
    assert_eq!(plans[0], plans[1]);
    assert_eq!(plans[0].iter().map(|plan| u64::from(plan.requests)).sum::<u64>(), REQUESTS);
}

/// The lines of a table are made once: from then on nobody looks at the table, here or on another head.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_validation_was_cut_off_gives_the_lines_that_it_gave() {
    let rig = Rig::start().await;
    connect(&rig.server.url()).await.apply_streams(&[]).await.unwrap();
    let (cut, whole) = (id("cut"), id("whole"));
    let first = Head::start(&rig);
    let table = submit_table(&rig, cut).await;
    wait_for("the first segment", LONG, || async { (!plans(&rig, cut).await.is_empty()).then_some(()) }).await;
    drop(first);
    assert_eq!(planned(&rig, cut).await, 0, "too fast to be interrupted");
    rig.shared.store.delete(&table).await.unwrap();

    let _heads = [Head::start(&rig), Head::start(&rig)];
    submit_table(&rig, whole).await;
    for job in [cut, whole] {
        wait_for("the plan", LONG, || async { (planned(&rig, job).await == 1).then_some(()) }).await;
    }
    assert_eq!(plans(&rig, cut).await, plans(&rig, whole).await);
    assert_eq!(plans(&rig, cut).await.iter().map(|plan| u64::from(plan.requests)).sum::<u64>(), REQUESTS);
    let lines = async |job| {
        let (store, path) = (&rig.shared.store, paths::input(job));
        store.range(&path, 0..store.size(&path).await.unwrap().unwrap()).await.unwrap()
    };
    assert!(lines(cut).await == lines(whole).await);
}

/// A CSV. Gives its path.
async fn submit_table(rig: &Rig, job: JobId) -> String {
    let of = UploadRef { tenant: Tenant::default(), id: uuid::Uuid::now_v7() };
    let mut text = "id,text\n".to_owned();
    (0..REQUESTS).for_each(|n| writeln!(text, "{n},What is {n}?").unwrap());
    rig.shared.store.put(&paths::upload(of), Bytes::from(text)).await.unwrap();
    let map = Map {
        prompt_column: Some("text".to_owned()),
        id_column: Some("id".to_owned()),
        format: Some("csv".to_owned()),
        ..Map::default()
    };
    let given = Given::Table(Box::new(Table { url: format!("upload://{}", of.id), map }));
    publish(rig, job, Submission { input: Some(given), model: Some("tiny".into()), ..Submission::default() }).await;
    paths::upload(of)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_input_leaves_no_copy() {
    let (rig, job) = (Rig::start().await, id("bad"));
    let _heads = [Head::start(&rig), Head::start(&rig)];
    let request = r#"{"custom_id": "a", "method": "POST", "url": "/v1/nothing", "body": {}}"#;
    let requests = vec![RawRequest::parse(request).unwrap()];
    publish(&rig, job, Submission { requests: Some(requests), ..Submission::default() }).await;
    let is_rejected = || async { matches!(events(&rig, job).await.last(), Some(Event::JobRejected(_))).then_some(()) };
    wait_for("the verdict", LONG, is_rejected).await;
    let is_gone = || async { rig.shared.store.size(&paths::input(job)).await.unwrap().is_none().then_some(()) };
    wait_for("the copy's removal", LONG, is_gone).await;
}

/// Which event it was in all of the log.
async fn place(rig: &Rig, job: JobId, name: &str) -> Option<u64> {
    let mut from = 1;
    while let Some(raw) = rig.bus.next_on(&Subject::JobEvent(job), from).await.unwrap() {
        if raw.header(envelope::TYPE) == Some(name) {
            return Some(raw.seq);
        }
        from = raw.seq + 1;
    }
    None
}

/// More large inputs than there are places for, and a small one behind them: every job begins at once, and the small one
/// waits for none of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_input_does_not_wait_behind_large_ones() {
    let (rig, small) = (Rig::start().await, id("small"));
    connect(&rig.server.url()).await.apply_streams(&[]).await.unwrap();
    let large = ["a", "b", "c", "d", "e", "f", "g"].map(id);
    for job in large {
        submit(&rig, job).await;
    }
    let input = Some(upload(&rig, 1).await.into());
    publish(&rig, small, Submission { input, priority: Some(Priority::High), ..Submission::default() }).await;
    let _head = Head::start(&rig);
    let is_planned = |job| {
        let rig = &rig;
        move || async move { place(rig, job, "JobPlanned").await }
    };
    let planned = wait_for("the small one's plan", LONG, is_planned(small)).await;
    let mut begun = Vec::new();
    for job in large {
        begun.push(place(&rig, job, "JobSubmitted").await.unwrap());
        let its = wait_for("a large one's plan", LONG, is_planned(job)).await;
        assert!(planned < its, "{planned} {its}");
    }
    assert!(begun.iter().all(|begun| *begun < planned));
}

/// The window begins at the publish, and not when an intake comes to it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_after_its_window_expires() {
    let (rig, late) = (Rig::start().await, id("late"));
    connect(&rig.server.url()).await.apply_streams(&[]).await.unwrap();
    let window = Some("1s".to_owned());
    let input = Some(upload(&rig, 1).await.into());
    let stored = publish(&rig, late, Submission { input, completion_window: window, ..Submission::default() }).await;
    let is_over = || async { (jetbatch::clock::now() >= Timestamp::new(stored + 1_000)).then_some(()) };
    wait_for("the window's end", LONG, is_over).await;
    let _head = Head::start(&rig);
    wait_for("the end", LONG, || place(&rig, late, "JobClosing")).await;
    let [Event::JobSubmitted(submitted), Event::JobClosing(closing)] = &events(&rig, late).await[..] else {
        panic!("{:?}", events(&rig, late).await)
    };
    assert_eq!((submitted.at, closing.cause), (Timestamp::new(stored), Cause::Expired));
    wait_for("the acknowledgement", LONG, || async {
        (rig.bus.state(stream::SUBMIT).await.unwrap().messages == 0).then_some(())
    })
    .await;
}
