//! A job's status as the door shows it, against what was done to the job, its lines and its log.
use super::{Complaints, Story, Tally};
use crate::plan::{Fate, Job};
use domain::status::{Counts, State};

pub fn judge(job: &Job, view: &api::Job, tally: &Tally, story: &Story) -> Complaints {
    let mut found = Complaints::default();
    let mut claim = |is_so: bool, what: &str| {
        if !is_so {
            found.add(|| format!("job {} ({}): {what}: {view:?} against {tally:?}", job.number, job.fate));
        }
    };
    let Counts { total, completed, failed, unanswered, remaining } = view.requests;
    claim(is_legal(job.fate, view.state), "its state is not one that this job can end in");
    claim(total == completed + failed + unanswered + remaining, "its counts do not add up");
    claim(remaining == 0 || view.state == State::Failed, "it has ended and requests remain");
    claim(has_all(job, view), "its total is not what was asked");
    claim(completed == tally.answered, "its answers are not those of the output");
    claim(failed == tally.refused + tally.failed, "its failures are not those of the errors");
    claim(unanswered == tally.unanswered, "its unanswered requests are not those of the errors");
    claim((view.errors_total > 0) == (view.state == State::Failed), "only an input that is not valid has errors");
    claim(story.state() == Some(view.state), "its state is not what the log says");
    claim(story.counts() == Some(view.requests), "its counts are not what the log says");
    found
}

fn has_all(job: &Job, view: &api::Job) -> bool {
    match view.state {
        State::Failed => view.requests.total == 0,
        // Closed before its input was read.
        State::Cancelled | State::Expired if view.requests.total == 0 => true,
        _ => view.requests.total == u64::from(job.requests),
    }
}

const fn is_legal(fate: Fate, state: State) -> bool {
    match (fate, state) {
        (Fate::Answered | Fate::Paused { .. }, State::Completed) => true,
        // What comes too late finds a job that is done.
        (Fate::Cancelled { .. }, State::Cancelled | State::Completed) => true,
        (Fate::Expired { .. }, State::Expired | State::Completed) => true,
        (Fate::Rejected, State::Failed) => true,
        _ => false,
    }
}
