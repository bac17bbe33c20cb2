//! A second job for the requests of a first one that have no good answer: the first one's end stands for ever.
use crate::{
    Job, JobId,
    limits::METADATA_PAIRS_MAX,
    status::{Counts, State, Status},
    submission::Submission,
};

/// The metadata that names the first job.
pub const OF: &str = "retry_of";

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRetry {
    #[error("the job has not ended; wait for its end, or cancel it first")]
    NotEnded,
    #[error("the job's input did not validate, so no request of it was run; correct it and submit it anew")]
    Invalid,
    #[error("the job ended before its input was validated, so no request of it was run; submit it anew")]
    Unplanned,
    #[error("no request of it failed")]
    Nothing,
    #[error("the job ended without its files; submit its requests anew")]
    Abandoned,
    #[error("the job's files were deleted, and its requests with them; submit them anew")]
    Deleted,
}

/// The job that retries another one: asked for twice it is one.
pub fn id(of: JobId) -> JobId {
    JobId::retry(of)
}

/// Whether a job has anything to retry.
pub fn may(status: &Status) -> Result<(), NoRetry> {
    match status.reason {
        Some(_) => Err(NoRetry::Abandoned),
        None => check(status.state, status.requests),
    }
}

/// Whether a job in this state, with these counts, has anything to retry.
const fn check(state: State, counts: Counts) -> Result<(), NoRetry> {
    match state {
        State::Failed => Err(NoRetry::Invalid),
        State::Completed | State::Expired | State::Cancelled if counts.total == 0 => Err(NoRetry::Unplanned),
        State::Completed | State::Expired | State::Cancelled if counts.failed + counts.unanswered == 0 => {
            Err(NoRetry::Nothing)
        }
        State::Completed | State::Expired | State::Cancelled => Ok(()),
        State::Validating | State::InProgress | State::Paused | State::Finalizing | State::Cancelling => {
            Err(NoRetry::NotEnded)
        }
    }
}

/// All of the new job but its input. Priority and window are those that held at the end. Where the metadata is full
/// already, the id alone tells whose retry it is.
pub fn submission(job: &Job) -> Submission {
    let first = &job.submitted;
    let mut metadata = first.metadata.clone();
    if metadata.len() < METADATA_PAIRS_MAX || metadata.contains_key(OF) {
        metadata.insert(OF.to_owned(), job.id.to_string());
    }
    let window_s = job.deadline.since(first.at).div_ceil(1_000);
    Submission {
        id: Some(id(job.id)),
        model: first.model.clone(),
        endpoint: first.endpoint.clone(),
        completion_window: Some(format!("{window_s}s")),
        priority: Some(job.priority),
        metadata,
        webhook_url: first.webhook_url.clone(),
        ..Submission::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Event, Timestamp,
        event::{DeadlineMoved, Input, Priority, PriorityChanged, Submitted},
    };

    fn counts(completed: u64, failed: u64, unanswered: u64) -> Counts {
        Counts { total: completed + failed + unanswered, completed, failed, unanswered, remaining: 0 }
    }

    #[test]
    fn what_ended_with_failures_is_retried_and_nothing_else() {
        for (state, counts, refusal) in [
            (State::Completed, counts(9, 1, 0), None),
            (State::Cancelled, counts(0, 0, 9), None),
            (State::Expired, counts(1, 1, 1), None),
            (State::Completed, counts(9, 0, 0), Some(NoRetry::Nothing)),
            (State::Cancelled, counts(0, 0, 0), Some(NoRetry::Unplanned)),
            (State::Failed, counts(0, 0, 0), Some(NoRetry::Invalid)),
            (State::Cancelling, counts(1, 1, 1), Some(NoRetry::NotEnded)),
            (State::Finalizing, counts(1, 1, 0), Some(NoRetry::NotEnded)),
        ] {
            assert_eq!(check(state, counts).err(), refusal, "{state:?} {counts:?}");
        }
        let running = State::ALL.iter().copied().filter(|state| !state.is_terminal());
        assert!(running.into_iter().all(|state| check(state, counts(0, 1, 0)) == Err(NoRetry::NotEnded)));
    }

    fn job(pairs: usize) -> Job {
        let submitted = Submitted {
            fingerprint: "f".into(),
            model: Some("tiny".into()),
            metadata: (0..pairs).map(|n| (format!("k{n}"), "v".to_owned())).collect(),
            ..Submitted::new(Timestamp::new(1_000), Input::Inline, 3_600_000)
        };
        Job::begin(JobId::keyed("default", "k"), &Event::JobSubmitted(submitted)).unwrap()
    }

    #[test]
    fn a_retry_is_as_its_job_was_at_the_end() {
        let mut job = job(1);
        let at = Timestamp::new(2_000);
        job.evolve(&Event::DeadlineMoved(DeadlineMoved { at, deadline: Timestamp::new(7_201_000) }));
        job.evolve(&Event::PriorityChanged(PriorityChanged { at, priority: Priority::High }));
        let again = submission(&job);
        assert_eq!(
            (again.id, again.model.as_deref(), again.priority),
            (Some(id(job.id)), Some("tiny"), job.priority.into())
        );
        assert_eq!(again.completion_window.as_deref(), Some("7200s"));
        assert_eq!((again.metadata["k0"].as_str(), &again.metadata[OF]), ("v", &job.id.to_string()));
        assert_ne!(id(id(job.id)), id(job.id), "a retry can be retried");
    }

    #[test]
    fn full_metadata_stays_legal() {
        let again = Submission { input: Some("x".into()), ..submission(&job(METADATA_PAIRS_MAX)) };
        let again = again.check().unwrap();
        assert_eq!((again.window_ms(), again.metadata.len()), (3_600_000, METADATA_PAIRS_MAX));
    }
}
