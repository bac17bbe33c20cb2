//! Follows a job to its end.
use super::{
    client::{Client, Raw},
    error::Error,
    job::Job,
    meter::Meter,
};
use domain::status::State;
use std::time::{Duration, Instant};

/// A status is one key to read, so asking often is cheap, and an ask that fails costs nothing but itself.
const EVERY: Duration = Duration::from_millis(100);
/// How long a server may be away before a watch gives up: it may be starting again.
const AWAY_MAX: Duration = Duration::from_secs(60);

/// How often to look, and who else looks.
pub struct Pace<F> {
    pub every: Duration,
    pub look: F,
}

/// The job's last status, as the server wrote it and as we read it.
pub async fn watch(client: &Client, id: &str, meter: &mut Meter) -> Result<(Raw, Job), Error> {
    follow(client, id, meter, Pace { every: EVERY, look: |_: &Job| {} }).await
}

pub async fn follow(
    client: &Client,
    id: &str,
    meter: &mut Meter,
    mut pace: Pace<impl FnMut(&Job)>,
) -> Result<(Raw, Job), Error> {
    loop {
        let status = patient(client, id, meter).await?;
        let job: Job = client.read(&status)?;
        (pace.look)(&job);
        meter.show(&job);
        if job.state.is_terminal() {
            return Ok((status, job));
        }
        tokio::time::sleep(pace.every).await;
    }
}

/// A watch outlives a restart of the server.
async fn patient(client: &Client, id: &str, meter: &Meter) -> Result<Raw, Error> {
    let since = Instant::now();
    let mut is_said = false;
    loop {
        match client.status(id).await {
            Err(error @ (Error::Unreachable { .. } | Error::Unavailable(_))) if since.elapsed() < AWAY_MAX => {
                if !std::mem::replace(&mut is_said, true) {
                    meter.say(&format!("{error}; trying again for {} s", AWAY_MAX.as_secs()));
                }
                tokio::time::sleep(EVERY).await;
            }
            answer => return answer,
        }
    }
}

/// A watched job that ended otherwise than completed is an exit code of its own.
pub fn verdict(job: &Job) -> Result<(), Error> {
    match job.state {
        State::Completed => Ok(()),
        state => Err(Error::Ended { id: job.id.clone(), state }),
    }
}
