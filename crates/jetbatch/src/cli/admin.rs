//! The commands that talk to NATS: `streams`, `rebuild`, `log`, `doctor`.
use super::{config, engines, error::Error, out, text};
use crate::{
    audit,
    bus::{Bus, ConnectError, Difference, doctor, server::Server},
    chain::chain,
    clock,
    config::Config,
    projector, serve, troubles,
};
use clap::{Args, Subcommand};
use domain::{
    JobId, Tenant,
    audit::{Entry, What},
    trouble::Kind,
};
use serde_json::json;
use std::cmp::Reverse;
use wire::{Filter, Told, envelope, saved, stream::EVENTS};

#[derive(Debug, Args)]
pub struct Streams {
    #[command(subcommand)]
    what: Verb,
    #[command(flatten)]
    config: config::File,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Verb {
    /// Create what is missing, update what differs; `serve` does this at its start
    Apply,
    /// Only say what is missing or differs; exit code 1 if anything is
    Check,
}

#[derive(Debug, Args)]
pub struct Rebuild {
    /// Change nothing: fold the whole log into a second bucket, and name the jobs whose status differs by a byte; exit code
    /// 1 if any does
    #[arg(long)]
    compare: bool,
    /// Leave the second bucket, `status_rebuilt`, where it is
    #[arg(long, requires = "compare")]
    keep: bool,
    #[command(flatten)]
    config: config::File,
}

#[derive(Debug, Args)]
pub struct Log {
    /// The events of one job only
    #[arg(long)]
    job: Option<JobId>,
    #[command(flatten)]
    config: config::File,
}

#[derive(Debug, Args)]
pub struct Doctor {
    /// Look at engines in place of NATS: load each pool's, as its worker would, and compare what it answers to 64 prompts
    /// alone and together; exit code 1 if any mixes them up
    #[arg(long)]
    engine: bool,
    #[command(flatten)]
    config: config::File,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// A connection, and the server below it where it is our own: that one is stopped when all is done.
pub struct Link {
    pub bus: Bus,
    server: Option<Server>,
    config: Config,
}

impl Link {
    pub async fn open(config: &config::File) -> Result<Self, Error> {
        let mut config = config.load()?;
        let (server, nats) = serve::nats(&config).await.map_err(Error::failed)?;
        let bus = serve::connect(&nats, "jetbatch cli", server.as_ref()).await.map_err(|error| unconnected(&error))?;
        config.nats = nats;
        if let Ok(folder) = config.nats.data_dir.canonicalize() {
            // Our own server names its folder in full, and is known by it.
            config.nats.data_dir = folder;
        }
        Ok(Self { bus, server, config })
    }

    /// As it is configured, by its own file.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Records what was done past the doors.
    pub async fn record(&self, what: What, on: impl ToString) {
        let entry = Entry { on: Some(on.to_string()), ..Entry::by_nats(what, Tenant::DEFAULT, clock::now()) };
        audit::tell(&self.bus, &entry, uuid::Uuid::now_v7()).await;
    }

    fn pools(&self) -> Vec<String> {
        serve::pools(&self.config)
    }

    /// Creates what is missing, as `serve` does at its start.
    pub async fn open_streams(&self) -> Result<(), Error> {
        self.bus.open_streams(&self.pools()).await.map(drop).map_err(Error::failed)
    }

    pub async fn close(self) -> Result<(), Error> {
        match self.server {
            Some(server) => server.stop().await.map_err(Error::failed),
            None => Ok(()),
        }
    }
}

fn unconnected(error: &ConnectError) -> Error {
    match error {
        ConnectError::Unreachable { .. } => Error::NoNats(chain(error)),
        _ => Error::Failed(chain(error)),
    }
}

pub async fn streams(args: Streams) -> Result<(), Error> {
    let link = Link::open(&args.config).await?;
    let outcome = match args.what {
        Verb::Apply => apply(&link).await,
        Verb::Check => check(&link).await,
    };
    outcome.and(link.close().await)
}

async fn apply(link: &Link) -> Result<(), Error> {
    let changes = link.bus.apply_streams(&link.pools()).await.map_err(Error::failed)?;
    for change in &changes {
        out::line(change)?;
    }
    if changes.is_empty() { out::line("every stream and consumer is as its file says") } else { Ok(()) }
}

async fn check(link: &Link) -> Result<(), Error> {
    let found = link.bus.check_streams(&link.pools()).await.map_err(Error::failed)?;
    for difference in &found {
        out::line(difference)?;
    }
    match found.len() as u64 {
        0 => out::line("every stream and consumer is as its file says"),
        n => Err(Error::Failed(format!("{}; {}", text::plural(n, "difference"), mend(&found)))),
    }
}

/// What another stream has cannot be had by asking again.
fn mend(found: &[Difference]) -> &'static str {
    if found.iter().any(|one| matches!(one, Difference::Taken { .. })) {
        return "free the subject first, then `jetbatch streams apply` mends the rest";
    }
    "`jetbatch streams apply` mends it"
}

pub async fn rebuild(args: Rebuild) -> Result<(), Error> {
    let link = Link::open(&args.config).await?;
    if args.compare {
        let found = projector::compare(&link.bus, args.keep).await.map_err(Error::failed);
        return found.and_then(|found| tell(&found)).and(link.close().await);
    }
    let report = projector::rebuild(&link.bus).await.map_err(Error::failed);
    let closed = link.close().await;
    out::line(report?)?;
    closed
}

pub async fn log(args: Log) -> Result<(), Error> {
    let link = Link::open(&args.config).await?;
    let filter = args.job.map_or(Filter::Events, Filter::EventsOf);
    print(&link.bus, &filter).await.and(link.close().await)
}

/// Up to the event that is the last one now.
async fn print(bus: &Bus, filter: &Filter) -> Result<(), Error> {
    let Some(last) = bus.last_of(EVENTS, filter).await.map_err(Error::failed)? else { return Ok(()) };
    let mut reader = bus.read(EVENTS, filter, 1).await.map_err(Error::failed)?;
    loop {
        let raw = reader.next().await.map_err(Error::failed)?;
        out::line(saved::line(&raw.subject, raw.header(envelope::VERSION), &raw.payload))?;
        if raw.seq >= last.seq {
            return Ok(());
        }
    }
}

fn tell(found: &projector::Comparison) -> Result<(), Error> {
    out::line(found)?;
    match found.differing.len() as u64 {
        0 => Ok(()),
        n => Err(Error::Failed(format!("{} from the log; `jetbatch rebuild` mends it", text::plural(n, "difference")))),
    }
}

pub async fn doctor(args: Doctor) -> Result<(), Error> {
    if args.engine {
        return engines::doctor(&args.config, args.json).await;
    }
    let link = Link::open(&args.config).await?;
    let findings = findings(&link).await;
    let closed = link.close().await;
    let findings = findings?;
    if args.json {
        out::line(as_json(&findings))?
    } else {
        show(&findings)?
    }
    closed?;
    verdict(&findings)
}

/// Of the set-up, and what the heads tell now; the gravest first.
async fn findings(link: &Link) -> Result<Vec<doctor::Finding>, Error> {
    let facts = doctor::gather(&link.bus, &link.config.nats, &link.pools()).await.map_err(Error::failed)?;
    let told = troubles::read(&link.bus).await.map_err(Error::failed)?;
    let mut findings = doctor::judge(&facts);
    findings.extend(told.into_iter().map(finding));
    findings.sort_by_key(|finding| Reverse(finding.severity));
    Ok(findings)
}

/// What a head tells. Only where another store or a broken log is involved is data in danger; else work waits.
fn finding(told: Told) -> doctor::Finding {
    let Told { scope, head, trouble, .. } = told;
    let severity = match trouble.what {
        Kind::Identity | Kind::Log => doctor::Severity::Danger,
        _ => doctor::Severity::Warning,
    };
    let since = text::moment(trouble.since.get(), clock::now().get());
    let what = format!("{scope}: {} ({})", trouble.cause, trouble.what.as_str());
    doctor::Finding { severity, what, why: format!("told by {head}, since {since}"), mend: trouble.mend }
}

fn show(findings: &[doctor::Finding]) -> Result<(), Error> {
    if findings.is_empty() {
        return out::line("nothing was found that endangers data");
    }
    findings.iter().try_for_each(out::line)
}

fn as_json(findings: &[doctor::Finding]) -> serde_json::Value {
    let one = |finding: &doctor::Finding| json!({"severity": finding.severity.to_string(), "what": finding.what, "why": finding.why, "mend": finding.mend});
    findings.iter().map(one).collect()
}

fn verdict(findings: &[doctor::Finding]) -> Result<(), Error> {
    let dangers = findings.iter().filter(|finding| finding.severity == doctor::Severity::Danger).count();
    match dangers as u64 {
        0 => Ok(()),
        n => Err(Error::Failed(format!("{} to data", text::plural(n, "danger")))),
    }
}
