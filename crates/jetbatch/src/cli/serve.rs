//! `jetbatch serve`.
use super::{config, error::Error, nats, out};
use crate::{
    serve::{self, Roles, Running},
    telemetry,
};
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use wire::Subject;

#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    config: config::File,
    /// The rooms this process runs
    #[arg(long, default_value = "gateway,intake,scheduler,worker,archiver,projector,webhooks")]
    roles: Roles,
}

/// SIGHUP.
const HANGUP: u32 = 1;

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// None where whoever started us wants us to outlive the terminal, as `nohup` does.
    hangup: Option<Signal>,
}

impl Signals {
    fn new() -> Result<Self, Error> {
        let on = |kind| signal(kind).map_err(Error::failed);
        let hangup = if is_hangup_ignored() { None } else { Some(on(SignalKind::hangup())?) };
        Ok(Self { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())?, hangup })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = heard(self.hangup.as_mut()) => {}
        }
    }
}

async fn heard(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// As the kernel tells it: a listener would undo it.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (HANGUP - 1)) != 0
}

pub async fn serve(args: Serve) -> Result<(), Error> {
    let config = args.config.load()?;
    let role = if args.roles == Roles::all() { "all".to_owned() } else { args.roles.to_string() };
    let _telemetry = telemetry::init(&config.telemetry, &role).map_err(Error::failed)?;
    let mut signals = Signals::new()?;
    let scheme = if config.http.tls.is_some() { "https" } else { "http" };
    let running = tokio::select! {
        running = serve::start(config, args.roles.clone()) => running.map_err(Error::failed)?,
        () = signals.next() => return Ok(()),
    };
    announce(&running, scheme, &args.roles)?;
    until_told(running, &mut signals).await
}

fn announce(running: &Running, scheme: &str, roles: &Roles) -> Result<(), Error> {
    let door = running.http.map(|address| format!(" at {scheme}://{address}")).unwrap_or_default();
    let nats = running.nats().map(|url| format!("; NATS at {url} ({WRITE}; {})", publish())).unwrap_or_default();
    out::line(format!("jetbatch is up{door} ({roles}){nats}"))
}

/// What gives the `nats` command the own server's address and login.
pub const WRITE: &str = "jetbatch nats context";

/// How a job is submitted there then, but for the job.
pub fn publish() -> String {
    format!("nats --context {} pub {} ...", nats::CONTEXT, Subject::Submit)
}

/// Until a signal or a failure; then room after room stops. A second signal drops everything: what ran is not
/// acknowledged, so another worker is given it.
async fn until_told(mut running: Running, signals: &mut Signals) -> Result<(), Error> {
    let failure = tokio::select! {
        failure = running.failed() => Some(failure),
        () = signals.next() => None,
    };
    match &failure {
        Some(failure) => tracing::error!(error = crate::chain::chain(failure), "stopping, because a room failed"),
        None => tracing::info!("stopping; a second signal stops at once"),
    }
    let stopped = tokio::select! {
        stopped = running.stop() => stopped.map_err(Error::failed),
        () = signals.next() => Err(Error::Failed("stopped at once; what was running is done again".to_owned())),
    };
    failure.map_or(stopped, |failure| Err(Error::failed(failure)))
}
