//! One run: jobs and faults side by side, as planned, until every job has ended.
use crate::{
    check::{Complaints, Look, Says, Stills, Tally},
    client::Client,
    faults::{Done, Faults},
    nats::Watch,
    plan::{Fate, Injection, Job, Plan},
};
use domain::{JobId, command::CommandKind};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

const LOOK: Duration = Duration::from_millis(100);
const LOOK_STILL: Duration = Duration::from_millis(500);
/// A job that came further so lately is not asked for a reason.
const MOVED_MS: u64 = 5_000;
/// After a fault somebody else tells of jobs, when the lease has run out and the log is folded.
const SETTLE_MS: u64 = 8_000;
/// A status may be so far behind the log, in the middle of faults.
const STATUS_WITHIN: Duration = Duration::from_secs(120);

/// All that is needed to drive jobs.
pub struct Run {
    pub plan: Plan,
    pub client: Client,
    pub watch: Watch,
    pub notes: Mutex<Notes>,
}

/// What has been done and seen so far.
#[derive(Debug, Default)]
pub struct Notes {
    pub injected: Vec<Injected>,
    pub seen: Vec<Seen>,
    /// When a job was held on purpose.
    pub paused: Vec<(u64, u64)>,
    pub stills: Stills,
}

/// A fault as it was done.
#[derive(Debug, PartialEq, Eq)]
pub struct Injected {
    pub at_ms: u64,
    /// When all was as before.
    pub healed_ms: u64,
    pub fault: Injection,
    /// Why it was not, if it was not.
    pub skipped: Option<String>,
}

impl Injected {
    /// When nobody could tell of jobs.
    pub fn blind(&self) -> Option<(u64, u64)> {
        self.fault.kind.blinds().then_some((self.at_ms, self.healed_ms + SETTLE_MS))
    }
}

/// What a job's client saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Tries of its submission beyond the first.
    pub retries: u64,
    pub tally: Option<Tally>,
    pub complaints: Complaints,
}

/// Of the clock that all processes share.
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or_default()
}

impl Run {
    pub fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub async fn jobs(self: Arc<Self>) {
        let (start, mut tasks) = (Instant::now(), JoinSet::new());
        for number in 0..self.plan.jobs.len() {
            tokio::time::sleep_until(start + Duration::from_millis(self.plan.jobs[number].at_ms)).await;
            let run = self.clone();
            tasks.spawn(async move { run.job(&run.plan.jobs[number]).await });
            while tasks.try_join_next().is_some() {}
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn job(&self, job: &Job) {
        let mut seen = Seen::default();
        if let Err(why) = self.live(job, &mut seen).await {
            seen.complaints.add(|| format!("job {}: {why}", job.number));
        }
        self.notes().seen.push(seen);
    }

    async fn live(&self, job: &Job, seen: &mut Seen) -> Result<(), String> {
        seen.retries = u64::from(self.client.submit(job).await? - 1);
        if job.twice {
            self.client.submit(job).await?;
        }
        let id = self.client.id(job);
        match job.fate {
            Fate::Cancelled { permille } => {
                self.midway(job, id, permille).await;
                self.client.command(job, CommandKind::Cancel).await?;
            }
            Fate::Paused { permille, for_ms } => {
                self.midway(job, id, permille).await;
                self.pause(job, for_ms).await?;
            }
            Fate::Answered | Fate::Expired { .. } | Fate::Rejected => {}
        }
        while !self.watch.of(id, |story| story.ended).unwrap_or(false) {
            sleep(LOOK).await;
        }
        seen.tally = Some(self.download(job, id).await?);
        Ok(())
    }

    /// Waits until so much of a job is answered, or it is over.
    async fn midway(&self, job: &Job, id: JobId, permille: u32) {
        let wanted = u64::from(job.requests) * u64::from(permille) / 1_000;
        let is_there = || self.watch.of(id, |story| story.ended || story.answered() >= wanted).unwrap_or(false);
        while !is_there() {
            sleep(LOOK).await;
        }
    }

    async fn pause(&self, job: &Job, for_ms: u64) -> Result<(), String> {
        let from = now_ms();
        self.client.command(job, CommandKind::Pause).await?;
        sleep(Duration::from_millis(for_ms)).await;
        self.client.command(job, CommandKind::Resume).await?;
        self.notes().paused.push((from, now_ms()));
        Ok(())
    }

    /// What a client gets, while faults go on.
    async fn download(&self, job: &Job, id: JobId) -> Result<Tally, String> {
        let give_up = Instant::now() + STATUS_WITHIN;
        let mut last: Option<api::Job> = None;
        while Instant::now() < give_up {
            match self.client.view(id).await {
                Some(view) if view.state.is_terminal() => {
                    if let Some(tally) = self.client.check(job, &view).await {
                        return Ok(tally);
                    }
                }
                other => last = other.or(last),
            }
            sleep(LOOK).await;
        }
        Err(format!(
            "it has ended, and {} s later its status or files could not be read: {last:?}",
            STATUS_WITHIN.as_secs()
        ))
    }

    pub async fn faults(self: Arc<Self>, faults: Arc<Faults>) {
        let mut tasks = JoinSet::new();
        for &fault in &self.plan.faults {
            sleep(Duration::from_millis(fault.after_ms)).await;
            let (hold, faults, run) = (faults.hold(&fault).await, faults.clone(), self.clone());
            tasks.spawn(async move {
                let at_ms = now_ms();
                let injected = note(&fault, at_ms, faults.perform(&fault, hold).await);
                run.notes().injected.push(injected);
            });
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Looks at the jobs that run, for ever.
    pub async fn look(&self) {
        loop {
            sleep(LOOK_STILL).await;
            let (at_ms, still) = (now_ms(), self.watch.log().still());
            let looks = still.into_iter().map(|(job, since_ms)| self.look_at(job, since_ms, at_ms));
            let looks = futures::future::join_all(looks).await;
            self.notes().stills.round(at_ms, &looks);
        }
    }

    async fn look_at(&self, job: JobId, since_ms: u64, at_ms: u64) -> Look {
        let is_asked = at_ms.saturating_sub(since_ms) > MOVED_MS;
        let says = if is_asked { self.client.says(job).await } else { Says::Nothing };
        Look { job, since_ms, says }
    }

    /// Waits until the log has stood still for so long. To be raced against what should end before.
    pub async fn stuck(&self, patience: Duration) {
        let (mut last, mut since) = (0, Instant::now());
        while since.elapsed() < patience {
            let seq = self.watch.log().last_seq();
            if seq != last {
                (last, since) = (seq, Instant::now());
            }
            sleep(LOOK).await;
        }
    }
}

fn note(fault: &Injection, at_ms: u64, done: std::io::Result<Done>) -> Injected {
    let skipped = match done {
        Ok(Done::Injected) => None,
        Ok(Done::Skipped(why)) => Some(why),
        Err(error) => Some(error.to_string()),
    };
    match &skipped {
        None => eprintln!("{fault} (from {at_ms})"),
        Some(why) => eprintln!("{fault}: skipped: {why}"),
    }
    Injected { at_ms, healed_ms: now_ms(), fault: *fault, skipped }
}
