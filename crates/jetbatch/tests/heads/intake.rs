use super::rig::{LONG, Rig, id};
use bytes::Bytes;
use domain::{Event, JobId, event::SegmentPlan, raw::RawRequest, submission::Submission};
use jetbatch::{
    bus::{self, Bus},
    config::Config,
    intake,
    shared::Shared,
    store::paths,
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
    Bus::connect(&settings, "intake").await.unwrap()
}

async fn submit(rig: &Rig, job: JobId) {
    let upload = uuid::Uuid::now_v7();
    let mut lines = String::new();
    for n in 0..REQUESTS {
        let body = r#"{"model":"tiny","messages":[{"role":"user","content":"x"}]}"#;
        writeln!(lines, r#"{{"custom_id":"{n}","method":"POST","url":"/v1/chat/completions","body":{body}}}"#).unwrap();
    }
    rig.shared.store.put(&paths::upload(upload), Bytes::from(lines)).await.unwrap();
    let submission = Submission { id: Some(job), input: Some(format!("upload://{upload}")), ..Submission::default() };
    rig.bus
        .publish(Message::new(Subject::SubmitJob(job), serde_json::to_vec(&submission).unwrap()).id(job))
        .await
        .unwrap();
}

async fn events(rig: &Rig, job: JobId) -> Vec<Event> {
    let mut reader = rig.bus.read(stream::EVENTS, vec![Filter::EventsOf(job).to_string()], 1).await.unwrap();
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

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_input_leaves_no_copy() {
    let (rig, job) = (Rig::start().await, id("bad"));
    let _heads = [Head::start(&rig), Head::start(&rig)];
    let request = r#"{"custom_id": "a", "method": "POST", "url": "/v1/nothing", "body": {}}"#;
    let requests = vec![RawRequest::parse(request).unwrap()];
    let submission = Submission { id: Some(job), requests: Some(requests), ..Submission::default() };
    rig.bus
        .publish(Message::new(Subject::SubmitJob(job), serde_json::to_vec(&submission).unwrap()).id(job))
        .await
        .unwrap();
    let is_rejected = || async { matches!(events(&rig, job).await.last(), Some(Event::JobRejected(_))).then_some(()) };
    wait_for("the verdict", LONG, is_rejected).await;
    let is_gone = || async { rig.shared.store.size(&paths::input(job)).await.unwrap().is_none().then_some(()) };
    wait_for("the copy's removal", LONG, is_gone).await;
}
