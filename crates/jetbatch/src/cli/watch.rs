//! Follows a job to its end.
use super::{
    client::{Client, Raw},
    error::Error,
    job::{line, more_errors, warned},
    meter::Meter,
    text,
};
use api::Job;
use domain::{JobId, status::State};
use std::time::{Duration, Instant};

/// A status is one key to read, so asking often is cheap, and an ask that fails costs nothing but itself.
const EVERY: Duration = Duration::from_millis(100);
/// How long a server may be away before a watch gives up: it may be starting again.
pub const AWAY_MAX: Duration = Duration::from_secs(60);

/// How long a submission waits for what validation finds: millions of lines take longer.
const VALIDATED_WITHIN: Duration = Duration::from_secs(10);
const ERRORS_SHOWN: usize = 10;

/// How often to look, and who else looks.
pub struct Pace<F> {
    pub every: Duration,
    pub look: F,
}

/// The job's last status, as the server wrote it and as we read it.
pub async fn watch(client: &Client, id: JobId, meter: &mut Meter) -> Result<(Raw, Job), Error> {
    follow(client, id, meter, Pace { every: EVERY, look: |_: &Job| {} }).await
}

pub async fn follow(
    client: &Client,
    id: JobId,
    meter: &mut Meter,
    mut pace: Pace<impl FnMut(&Job)>,
) -> Result<(Raw, Job), Error> {
    let mut watch = Watch::new(client, id, meter);
    loop {
        let (status, job) = watch.look().await?;
        (pace.look)(&job);
        if job.state.is_terminal() {
            return Ok((status, job));
        }
        tokio::time::sleep(pace.every).await;
    }
}

/// A job that is looked at now and then.
pub struct Watch<'a> {
    client: &'a Client,
    id: JobId,
    meter: &'a mut Meter,
    is_warned: bool,
}

impl<'a> Watch<'a> {
    pub const fn new(client: &'a Client, id: JobId, meter: &'a mut Meter) -> Self {
        Self { client, id, meter, is_warned: false }
    }

    /// Its status as the server wrote it and as we read it, shown.
    pub async fn look(&mut self) -> Result<(Raw, Job), Error> {
        let status = patient(self.client, self.id, self.meter).await?;
        let job: Job = self.client.read(&status)?;
        if !self.is_warned && job.state != State::Validating {
            self.is_warned = true;
            warnings(&job).iter().for_each(|line| self.meter.say(line));
        }
        self.meter.show(&job);
        Ok((status, job))
    }
}

/// A watch outlives a restart of the server.
async fn patient(client: &Client, id: JobId, meter: &Meter) -> Result<Raw, Error> {
    let since = Instant::now();
    let mut is_said = false;
    loop {
        match client.status(id).await {
            Err(error) if error.is_passing() && since.elapsed() < AWAY_MAX => {
                if !std::mem::replace(&mut is_said, true) {
                    meter.say(&format!("{error}; trying again for {} s", AWAY_MAX.as_secs()));
                }
                tokio::time::sleep(EVERY).await;
            }
            answer => return answer,
        }
    }
}

/// The job as it is once its input is validated; None where that takes longer than a caller waits.
pub async fn validated(client: &Client, id: JobId) -> Option<Job> {
    let since = Instant::now();
    while since.elapsed() < VALIDATED_WITHIN {
        match client.job(id).await {
            Ok(job) if job.state != State::Validating => return Some(job),
            // The job is taken: what is not known yet is no failure of the submission.
            Ok(_) | Err(_) => tokio::time::sleep(EVERY).await,
        }
    }
    None
}

/// What is said of requests that will be answered with an error.
pub fn warnings(job: &Job) -> Vec<String> {
    let (of_requests, others): (Vec<_>, Vec<_>) = job.warnings.iter().partition(|warning| warning.is_of_requests());
    let others = others.into_iter().map(|warning| format!("warning: {}", warning.message));
    let count: u64 = of_requests.iter().map(|warning| warning.count).sum();
    if count == 0 {
        return others.collect();
    }
    let total = text::plural(job.requests.total, "request");
    let heading = format!("warning: {} of {total} will be answered with an error", text::count(count));
    let refused = of_requests.into_iter().map(|warning| format!("  {}", warned(warning)));
    std::iter::once(heading).chain(refused).chain(others).collect()
}

/// What is said of an input that failed validation.
pub fn errors(job: &Job) -> Vec<String> {
    let shown = job.errors.iter().take(ERRORS_SHOWN).map(|error| format!("  {}", line(error)));
    let heading = format!("the input of job {} failed validation, and nothing of it ran:", job.id);
    let more = more_errors(job, job.errors.len().min(ERRORS_SHOWN)).map(|more| format!("  {more}"));
    std::iter::once(heading).chain(shown).chain(more).collect()
}

/// A watched job that ended otherwise than completed, or without one good answer, is an exit code of its own.
pub fn verdict(job: &Job) -> Result<(), Error> {
    match job.state {
        State::Completed if job.is_all_failed() => Err(Error::AllFailed { id: job.id, requests: job.requests.total }),
        State::Completed => Ok(()),
        state => Err(Error::Ended { id: job.id, state }),
    }
}
