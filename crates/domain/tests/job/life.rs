//! From its submission to its end.
use super::*;

/// Also of one whose events are gone.
#[test]
fn a_status_says_whose_job_it_is() {
    let tenant = "blue".parse().unwrap();
    let job = Job::begin(id(), &Event::JobSubmitted(Submitted { tenant, ..submitted() })).unwrap();
    let status = Status::of(&job);
    assert_eq!((status.tenant, status.remains().submitted.tenant), (tenant, tenant));
}

#[test]
fn a_job_runs_to_its_end() {
    let mut job = running(8);
    assert_eq!(state(&job), State::InProgress);
    assert_eq!(job.sendable(&pool(), Timestamp::new(0)).count(), 4);
    for (segment, index) in [(0, 0), (0, 1), (0, 2), (1, 0)] {
        job.evolve(&done(segment, index, 2, 0));
    }
    assert_eq!(state(&job), State::Finalizing);
    assert_eq!(job.archivable().count(), 2);
    for segment in [1, 0] {
        job.evolve(&archived(&job.clone(), segment));
    }
    assert!(matches!(decide(Some(&job), Command::End { at: Timestamp::new(8_000) }), Err(Denied::NotWritten)));
    job.evolve(&written());
    let end = decide(Some(&job), Command::End { at: Timestamp::new(8_000) }).unwrap();
    job.evolve(&end.unwrap());
    assert_eq!(state(&job), State::Completed);
    let status = Status::of(&job);
    assert_eq!((status.requests.completed, status.usage.completion, status.attempts), (8, 8, 4));
}

/// The head's clock is set back when a job is planned, and a worker's is an hour ahead.
#[test]
fn a_clock_that_is_wrong_shows_no_end_before_the_beginning() {
    let mut job = running(2);
    let Some(planned) = &mut job.planned else { unreachable!() };
    planned.at = Timestamp::new(10);
    let Event::ChunkDone(fact) = done(0, 0, 2, 0) else { unreachable!() };
    job.evolve(&Event::ChunkDone(ChunkDone { started: Timestamp::new(HOUR * 2), ..fact }));
    assert_eq!(Status::of(&job).started_at, Some(Timestamp::new(HOUR * 2)));
    job.evolve(&archived(&job.clone(), 0));
    job.evolve(&written());
    job.evolve(&decide(Some(&job), Command::End { at: Timestamp::new(20) }).unwrap().unwrap());
    let Status { submitted_at, validated_at, started_at, ended_at, .. } = Status::of(&job);
    assert_eq!((validated_at, started_at, ended_at), (Some(submitted_at), Some(submitted_at), Some(submitted_at)));
}

#[test]
fn a_paused_job_sends_nothing_and_goes_on_where_it_stood() {
    let pause = Command::Pause { at: Timestamp::new(3_000) };
    let resume = Command::Resume { at: Timestamp::new(4_000) };
    let mut job = running(4);
    job.evolve(&decide(Some(&job), pause.clone()).unwrap().unwrap());
    assert_eq!((state(&job), job.sendable(&pool(), Timestamp::new(9_000)).count()), (State::Paused, 0));
    assert_eq!(decide(Some(&job), pause), Ok(None), "pausing twice is once");
    job.evolve(&done(0, 0, 2, 0));
    assert_eq!(job.tally.completed, 2, "what ran may end");
    job.evolve(&decide(Some(&job), resume.clone()).unwrap().unwrap());
    assert_eq!(
        (state(&job), job.epoch, job.sendable(&pool(), Timestamp::new(9_000)).count()),
        (State::InProgress, 1, 1)
    );
    assert_eq!(decide(Some(&job), resume), Ok(None));
}

#[test]
fn a_deadline_moves_both_ways_but_not_into_the_past() {
    let window = |at, window_ms| Command::Window { at: Timestamp::new(at), window_ms };
    let mut job = running(4);
    job.evolve(&decide(Some(&job), window(3_000, 2 * HOUR)).unwrap().unwrap());
    assert_eq!(job.deadline, Timestamp::new(1_000 + 2 * HOUR));
    let expire = Command::Expire { at: Timestamp::new(1_000 + HOUR), reason: None };
    assert_eq!(decide(Some(&job), expire.clone()), Err(Denied::NotDue));
    assert_eq!(decide(Some(&job), window(9_000, 5_000)), Err(Denied::Past));
    assert_eq!(decide(Some(&job), window(9_000, 31 * 24 * HOUR)), Err(Denied::TooLong));
    job.evolve(&decide(Some(&job), window(3_000, HOUR)).unwrap().unwrap());
    assert_eq!(decide(Some(&job), expire).unwrap().iter().len(), 1);
}

#[test]
fn only_what_has_ended_is_deleted() {
    let delete = Command::Delete { at: Timestamp::new(9_000) };
    let mut job = running(2);
    assert_eq!(decide(Some(&job), delete.clone()), Err(Denied::NotEnded));
    job.evolve(&done(0, 0, 2, 0));
    job.evolve(&archived(&job.clone(), 0));
    job.evolve(&written());
    job.evolve(&decide(Some(&job), Command::End { at: Timestamp::new(8_000) }).unwrap().unwrap());
    job.evolve(&decide(Some(&job), delete.clone()).unwrap().unwrap());
    assert_eq!((state(&job), job.deleted), (State::Completed, true));
    assert_eq!(decide(Some(&job), delete), Ok(None));
}

#[test]
fn the_first_terminal_state_wins() {
    let cancel = Command::Cancel { at: Timestamp::new(3_000) };
    let mut job = running(4);
    job.evolve(&done(0, 0, 2, 0));
    job.evolve(&decide(Some(&job), cancel.clone()).unwrap().unwrap());
    assert_eq!(state(&job), State::Cancelling);
    assert_eq!(job.sendable(&pool(), Timestamp::new(9_000)).count(), 0, "a cancelled job sends nothing");
    assert_eq!(decide(Some(&job), cancel.clone()), Ok(None), "cancelling twice is once");
    job.evolve(&done(0, 1, 2, 0));
    assert_eq!(job.tally.completed, 2, "what was not done by the cancel stays without an answer");
    job.evolve(&archived(&job.clone(), 0));
    job.evolve(&written());
    job.evolve(&decide(Some(&job), Command::End { at: Timestamp::new(8_000) }).unwrap().unwrap());
    let ended = job.clone();
    for late in [done(0, 1, 2, 0), failed(0, 1, 1), written(), Event::JobSubmitted(submitted())] {
        job.evolve(&late);
    }
    assert_eq!(job, ended);
    assert_eq!((state(&job), Status::of(&job).requests.unanswered), (State::Cancelled, 2));
    let late = decide(Some(&job), Command::Expire { at: Timestamp::new(HOUR * 2), reason: None });
    assert_eq!(late, Err(Denied::Ended(State::Cancelled)));
}

/// Facts are no part of the compare-and-set: the last answer may stand between a cancel's decision and its event.
#[test]
fn a_cancel_that_comes_after_the_last_answer_gives_nothing_up() {
    let mut job = running(2);
    let cancel = decide(Some(&job), Command::Cancel { at: Timestamp::new(3_000) }).unwrap();
    job.evolve(&done(0, 0, 2, 0));
    job.evolve(&cancel.unwrap());
    assert_eq!((state(&job), job.outcome()), (State::Finalizing, Outcome::Completed));
}

#[test]
fn one_key_names_one_body() {
    let job = running(2);
    let again = |fingerprint: &str| {
        let submitted = Submitted { fingerprint: fingerprint.into(), ..submitted() };
        decide(Some(&job), Command::Submit(Box::new(submitted))).unwrap_err()
    };
    assert_eq!(again("f"), Denied::Exists);
    assert_eq!(again("g"), Denied::Conflict);
}

#[test]
fn a_deadline_expires_what_is_unfinished_and_no_more() {
    let mut job = running(4);
    let expire = |at| Command::Expire { at: Timestamp::new(at), reason: None };
    assert_eq!(decide(Some(&job), expire(2_000)), Err(Denied::NotDue));
    let late = expire(HOUR + 1_000);
    assert_eq!(decide(Some(&job), late.clone()).unwrap().iter().len(), 1);
    job.evolve(&done(0, 0, 2, 0));
    job.evolve(&done(0, 1, 1, 1));
    assert_eq!(decide(Some(&job), late), Ok(None), "all is answered: it ends as completed");
}

#[test]
fn a_plan_that_names_what_is_not_there_is_no_plan() {
    let plan = plans(4).remove(0);
    let spoilt = |spoil: fn(&mut SegmentPlan)| {
        let mut plan = plan.clone();
        spoil(&mut plan);
        let mut job = Job::begin(id(), &Event::JobSubmitted(submitted())).unwrap();
        job.evolve(&Event::SegmentPlanned(plan));
        job.open.is_empty()
    };
    assert!(!spoilt(|_| {}));
    assert!(spoilt(|plan| plan.chunks[0].pool = 7));
    assert!(spoilt(|plan| plan.chunks[0].runs[0] = (u32::MAX, 2)));
    assert!(spoilt(|plan| plan.chunks[0].runs = vec![(0, u32::MAX), (0, u32::MAX)]));
}

#[test]
fn a_cancel_before_the_plan_ends_with_nothing() {
    let mut job = Job::begin(id(), &Event::JobSubmitted(submitted())).unwrap();
    job.evolve(&decide(Some(&job), Command::Cancel { at: Timestamp::new(1_500) }).unwrap().unwrap());
    assert!(job.is_archived() && job.total() == 0);
    let planned =
        Planned { at: Timestamp::new(2_000), input: "x".into(), requests: 9, segments: 1, bytes: 9, warnings: vec![] };
    assert_eq!(decide(Some(&job), Command::Plan(planned)), Err(Denied::Validated));
}

/// What is decided of a plan in which requests will be refused.
fn planned_with_warnings(strict: bool) -> Job {
    let mut job = Job::begin(id(), &Event::JobSubmitted(Submitted { strict, ..submitted() })).unwrap();
    let warning = Warning {
        code: Code::UnsupportedParameter,
        param: Some("body.stream".into()),
        count: 3,
        line: 5,
        message: "no".into(),
    };
    let warnings = vec![warning];
    let planned =
        Planned { at: Timestamp::new(2_000), input: "x".into(), requests: 9, segments: 1, bytes: 9, warnings };
    job.evolve(&decide(Some(&job), Command::Plan(planned)).unwrap().unwrap());
    job
}

#[test]
fn requests_that_will_be_refused_refuse_a_strict_job_alone() {
    let lenient = Status::of(&planned_with_warnings(false));
    assert_eq!((lenient.state, lenient.warnings[0].count, lenient.errors_total), (State::InProgress, 3, 0));
    let strict = Status::of(&planned_with_warnings(true));
    assert_eq!((strict.state, strict.warnings.len(), strict.errors_total), (State::Failed, 0, 3));
    assert_eq!((strict.errors[0].line, strict.errors[0].param.as_deref()), (Some(5), Some("body.stream")));
}
