//! `jetbatch-chaos`: a real cluster and all roles as processes, faults by seed, and a checker that knows every answer.
mod args;
mod check;
mod client;
mod faults;
mod last;
mod nats;
mod oracle;
mod plan;
mod report;
mod run;
mod seed;
mod stand;

use args::Args;
use check::{Log, Pace, judge, pace};
use clap::Parser;
use client::Client;
use faults::Faults;
use nats::{Nats, Watch};
use oracle::Oracle;
use plan::Plan;
use report::Report;
use run::{Injected, Notes, Run};
use stand::{IN_FLIGHT_MAX, Stand};
use std::{
    error::Error,
    io::Write,
    path::Path,
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::Instant,
};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What was left behind may take so long to go: see [retention] in `stand`.
const CLEAN_WITHIN: Duration = Duration::from_secs(120);
const HEAL_WITHIN: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let args = Args::parse();
    let plan = Plan::draw(&args.spec());
    if args.dry_run {
        // Whoever reads no further than he likes does no harm.
        let _ = write!(std::io::stdout(), "{plan}");
        return ExitCode::SUCCESS;
    }
    // Before there is a second thread.
    let has_mounts = stand::own_mounts();
    let runtime = tokio::runtime::Runtime::new();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(until_stopped(args, plan, has_mounts))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("jetbatch-chaos: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs until it is done, or somebody stops it: then all that it started is killed.
async fn until_stopped(args: Args, plan: Plan, has_mounts: bool) -> Outcome<bool> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = chaos(args, plan, has_mounts) => done,
        _ = tokio::signal::ctrl_c() => Err("stopped".into()),
        _ = terminate.recv() => Err("stopped".into()),
    }
}

async fn chaos(args: Args, plan: Plan, has_mounts: bool) -> Outcome<bool> {
    let folder = TempDir::with_prefix("jetbatch-chaos-")?;
    let dir = folder.path().to_owned();
    let stand = match Stand::start(&args, &args.spec(), dir.clone(), has_mounts).await {
        Ok(stand) => Arc::new(stand),
        Err(error) => {
            let dir = folder.keep();
            return Err(format!("{error}; what the processes said is in {}", dir.join("logs").display()).into());
        }
    };
    let report = on(&args, plan, stand.clone(), &dir).await;
    let orphans = stand.stop().await;
    orphans.iter().for_each(|orphan| eprintln!("a process was left behind: {orphan}"));
    let report = report?;
    let is_clean = report.is_clean() && orphans.is_empty();
    for complaint in report.complaints() {
        eprintln!("{complaint}");
    }
    report.stalls().for_each(|stall| eprintln!("{stall}"));
    print!("{report}");
    if !is_clean || args.keep {
        keep(folder, &stand);
    }
    // Its disk goes before the folder around it does.
    drop(stand);
    Ok(is_clean)
}

/// The store may lie on a disk that goes with this process.
fn keep(folder: TempDir, stand: &Stand) {
    let dir = folder.keep();
    let _ = std::process::Command::new("cp").arg("-r").arg(stand.disk.store()).arg(dir.join("store")).status();
    eprintln!("what the processes said and stored is in {}", dir.display());
}

async fn on(args: &Args, plan: Plan, stand: Arc<Stand>, dir: &Path) -> Outcome<Report> {
    let (start, began_ms, spec) = (Instant::now(), run::now_ms(), args.spec());
    let nats = Nats::connect(&stand.cluster.urls()).await?;
    let oracle = if spec.model { Oracle::facts(&args.models())? } else { Oracle::Echo };
    let bases = stand.heads.iter().map(|head| head.base.clone()).collect();
    let client = Client::new(nats.clone(), oracle, bases, dir, plan.seed)?;
    let watch = Watch::default();
    let follow = tokio::spawn(watch.clone().follow(nats.clone()));
    let faults = Arc::new(Faults::new(stand.clone(), nats, watch.clone()));
    let run = Arc::new(Run { plan, client, watch, notes: Default::default() });
    drive(args, &run, &faults).await;
    follow.abort();
    if !faults.healthy(HEAL_WITHIN).await {
        eprintln!("the NATS nodes are not healthy again");
    }
    let mut report = judge_all(&run, &stand).await;
    (report.lasted_s, report.began_ms, report.seed) = (start.elapsed().as_secs(), began_ms, run.plan.seed);
    Ok(report)
}

/// Faults and jobs at once. A run that makes no progress is given up, and what it has not done is missing at the end.
async fn drive(args: &Args, run: &Arc<Run>, faults: &Arc<Faults>) {
    let patience = Duration::from_secs(args.patience);
    let both = async { tokio::join!(run.clone().faults(faults.clone()), run.clone().jobs()) };
    tokio::select! {
        _ = both => {}
        () = run.look() => {}
        () = run.stuck(patience) => {
            eprintln!("nothing has happened for {} s: the run is given up", patience.as_secs());
        }
    }
}

async fn judge_all(run: &Run, stand: &Stand) -> Report {
    let Notes { mut injected, seen, paused, stills } = std::mem::take(&mut *run.notes());
    injected.sort_by_key(|injected| injected.at_ms);
    let mut report = Report { faults: injected, fallen: stand.fallen.load(Ordering::Relaxed), ..Report::default() };
    let done = report.faults.iter().filter(|fault| fault.skipped.is_none());
    let interrupted: u64 = done.map(|fault| u64::from(fault.fault.kind.interrupted(stand.workers.len() as u8))).sum();
    report.in_flight_max = interrupted * IN_FLIGHT_MAX;
    report.left = last::left(stand, &run.client, CLEAN_WITHIN).await;
    let log = read_again(run, &mut report).await;
    report.fold = last::rebuild(stand, &run.plan).await;
    // The statuses stand by now; where one does not, the others are not waited for as long.
    let give_up = Instant::now() + CLEAN_WITHIN;
    for job in &run.plan.jobs {
        report.requests += u64::from(job.requests);
        let Some(story) = log.stories.get(&run.client.id(job)) else {
            report.tally.lost += u64::from(job.requests);
            report.status.add(|| format!("job {} is not in the log", job.number));
            continue;
        };
        report.chunks += story.chunks;
        report.again += story.again;
        report.requests_again += story.requests_again;
        report.failed += story.failed;
        match last::ended(job, &run.client, &stand.disk.store(), give_up).await {
            Ok(ended) => {
                *report.states.entry(ended.view.state).or_default() += 1;
                report.status.take(judge(job, &ended.view, &ended.tally, story));
                report.tally.add(ended.tally);
            }
            Err(why) => {
                report.tally.lost += u64::from(job.requests);
                report.status.add(|| why);
            }
        }
    }
    for seen in seen {
        report.submitted_again += seen.retries;
        report.seen.take(seen.complaints);
        if let Some(tally) = seen.tally.filter(|tally| !tally.is_clean()) {
            report.seen.take(tally.complaints);
        }
    }
    let holds = |job: &plan::Job| matches!(job.fate, plan::Fate::Paused { .. });
    if run.plan.jobs.iter().any(holds) && !log.stories.values().any(|story| story.was_paused) {
        report.status.add(|| "no job was paused, though some were to be".to_owned());
    }
    report.pace = paced(&log, &report.faults, &paused);
    let blind: Vec<_> = report.faults.iter().filter_map(Injected::blind).collect();
    report.reasons = stills.end(&blind, &log.runs);
    report
}

/// The log once more from its start: what was seen while it grew must still be there.
async fn read_again(run: &Run, report: &mut Report) -> Log {
    let (seen, again) = (std::mem::take(&mut *run.watch.log()), Watch::default());
    let give_up = Instant::now() + HEAL_WITHIN;
    if !again.read_whole(&run.client.nats, give_up).await {
        report.log.add(|| "the log cannot be read to its end".to_owned());
    }
    let log = std::mem::take(&mut *again.log());
    report.log.take(seen.changed(&log));
    report.log.take(log.complaints.clone());
    report.worked_late = log.worked_late;
    log
}

fn paced(log: &Log, faults: &[Injected], paused: &[(u64, u64)]) -> Pace {
    let times: Vec<u64> = faults.iter().filter(|fault| fault.skipped.is_none()).map(|fault| fault.at_ms).collect();
    pace(log.stories.values(), &log.done_ms, &times, paused)
}
