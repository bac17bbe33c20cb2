use super::*;
use crate::paths;
use domain::{
    Event,
    event::{At, Input, Planned, Rejected, SegmentPlan, Submitted},
};
use std::collections::HashMap;

const NOW: Timestamp = Timestamp::new(1_000_000);
const AGE: Age = Age::Ms(1_000);
const OLD: Timestamp = Timestamp::new(999_000);
const YOUNG: Timestamp = Timestamp::new(999_001);

#[derive(Default)]
struct Scene {
    upload_refs: UploadRefs,
    active: HashMap<JobId, Job>,
    found: Found,
}

fn job(name: &str) -> JobId {
    JobId::keyed("t", name)
}

fn upload(n: u128) -> UploadRef {
    UploadRef { tenant: domain::Tenant::default(), id: Uuid::from_u128(n) }
}

fn named(n: u128) -> Input {
    Input::Stored(paths::upload(upload(n)))
}

fn submitted(input: Input) -> Event {
    Event::JobSubmitted(Submitted::new(Timestamp::new(1), input, 1_000))
}

fn deleted() -> Event {
    Event::JobDeleted(At { at: NOW })
}

fn rejected() -> Event {
    Event::JobRejected(Rejected { at: NOW, errors: Vec::new(), errors_total: 1 })
}

impl Scene {
    fn tell(&mut self, name: &str, events: impl IntoIterator<Item = Event>) {
        events.into_iter().for_each(|event| self.upload_refs.note(job(name), &event));
    }

    /// A job of two segments, the first of them archived.
    fn runs(&mut self, name: &str) {
        let mut running = Job::begin(job(name), &submitted(Input::Inline)).unwrap();
        let plan = |segment| SegmentPlan {
            segment,
            offset: 0,
            bytes: 1,
            first: 0,
            requests: 1,
            pools: Vec::new(),
            chunks: Vec::new(),
        };
        [0, 1].into_iter().for_each(|segment| running.evolve(&Event::SegmentPlanned(plan(segment))));
        let planned = Planned { at: NOW, input: String::new(), requests: 2, segments: 2, bytes: 2, warnings: vec![] };
        running.evolve(&Event::JobPlanned(planned));
        running.open.remove(&0);
        self.active.insert(job(name), running);
    }

    fn sees(&mut self, name: &str, parts: bool, segments: &[u32]) {
        self.found.jobs.insert(job(name), Traces { parts, segments: segments.iter().copied().collect() });
    }

    fn orphans(&mut self, age: Age) -> Vec<Chore> {
        self.found.at = NOW;
        orphans(&self.found, &self.upload_refs, age, |id| self.active.get(id))
    }
}

#[test]
fn a_running_job_loses_what_its_archived_segments_left_and_nothing_else() {
    let mut scene = Scene::default();
    scene.runs("a");
    scene.sees("a", true, &[0, 1]);
    assert_eq!(scene.orphans(AGE), [Chore::Segment(job("a"), 0)]);
}

#[test]
fn a_job_being_validated_loses_nothing() {
    let mut scene = Scene::default();
    scene.active.insert(job("a"), Job::begin(job("a"), &submitted(Input::Inline)).unwrap());
    scene.sees("a", true, &[0]);
    assert_eq!(scene.orphans(AGE), []);
}

#[test]
fn a_job_that_ended_keeps_its_files_and_nothing_beside() {
    for (parts, segments, chores) in
        [(false, &[][..], vec![]), (true, &[], vec![Chore::Rest(job("a"))]), (false, &[7], vec![Chore::Rest(job("a"))])]
    {
        let mut scene = Scene::default();
        scene.sees("a", parts, segments);
        assert_eq!(scene.orphans(AGE), chores);
    }
}

#[test]
fn a_deleted_job_keeps_nothing() {
    let mut scene = Scene::default();
    scene.tell("a", [submitted(Input::Inline), deleted()]);
    scene.sees("a", false, &[]);
    assert_eq!(scene.orphans(AGE), [Chore::Job(job("a"))]);
    scene.upload_refs.forget(|_| true, |_| true);
    assert_eq!(scene.orphans(AGE), [Chore::Job(job("a"))]);
    scene.upload_refs.forget(|_| false, |_| true);
    assert!(!scene.upload_refs.is_deleted(job("a")));
}

/// Each row: the events of two jobs that name the upload, and whether it goes while it is young, and when it is old.
#[test]
fn an_upload_goes_with_the_last_job_that_names_it() {
    let submit = || submitted(named(1));
    for (a, b, young, old) in [
        (vec![], vec![], false, true),
        (vec![submit()], vec![], false, false),
        (vec![submit(), rejected()], vec![], false, true),
        (vec![submit(), rejected()], vec![submit()], false, false),
        (vec![submit(), deleted()], vec![], true, true),
        (vec![submit(), deleted()], vec![submit()], false, false),
        (vec![submit(), deleted()], vec![submit(), rejected()], true, true),
        (vec![submit(), deleted()], vec![submit(), deleted()], true, true),
        (vec![submit(), rejected(), deleted()], vec![], true, true),
        (vec![submit(), rejected(), deleted()], vec![submit()], false, false),
        (vec![submit(), deleted(), deleted()], vec![submit()], false, false),
    ] {
        for (written, goes) in [(YOUNG, young), (OLD, old)] {
            let mut scene = Scene::default();
            scene.tell("a", a.clone());
            scene.tell("b", b.clone());
            scene.found.uploads.insert(upload(1), written);
            let chores = if goes { vec![Chore::Upload(upload(1))] } else { vec![] };
            assert_eq!(scene.orphans(AGE), chores, "{a:?} {b:?} {written:?}");
        }
    }
}

#[test]
fn never_keeps_what_no_job_took() {
    let mut scene = Scene::default();
    scene.found.uploads.insert(upload(1), Timestamp::new(0));
    assert_eq!(scene.orphans(Age::Never), []);
    scene.tell("a", [submitted(named(1)), deleted()]);
    assert_eq!(scene.orphans(Age::Never), [Chore::Upload(upload(1))]);
}
