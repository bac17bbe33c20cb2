//! `jetbatch limits`: what tenants may have at the doors. It talks to NATS, so a limit that shuts everybody out can be raised.
use super::{admin::Link, config, error::Error, out};
use crate::quota;
use api::{AllLimits, TenantLimits};
use clap::{Args, Subcommand};
use domain::{
    Tenant,
    audit::What,
    quota::{self as domain_quota, Limit, Most},
};

#[derive(Debug, Args)]
pub struct Limits {
    #[command(subcommand)]
    what: Verb,
    #[command(flatten)]
    config: config::File,
    /// Print JSON for scripts
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show what tenants may have
    List,
    /// Change what a tenant may have, at every door at once: `jetbatch limits set blue running_jobs=10 stored_bytes=unlimited`
    Set {
        /// Whose limits
        tenant: Tenant,
        /// `requests_per_s`, `running_jobs`, `queued_requests`, `stored_bytes` or `uploads`, then `=` and a number,
        /// `unlimited`, or nothing: as heads are configured
        #[arg(required = true, value_parser = change)]
        limits: Vec<Change>,
    },
}

/// A limit, and what it is to be; nothing: as heads are configured.
type Change = (Limit, Option<Most>);

fn change(text: &str) -> Result<Change, String> {
    let (name, most) = text.split_once('=').ok_or("write it as NAME=NUMBER")?;
    let limit = name.parse().map_err(|_| format!("use some of {}", super::text::words(Limit::ALL)))?;
    let most = Some(most).filter(|most| !most.is_empty()).map(str::parse).transpose();
    Ok((limit, most.map_err(|error: domain_quota::NoMost| error.to_string())?))
}

pub async fn limits(args: Limits) -> Result<(), Error> {
    let link = Link::open(&args.config).await?;
    let done = act(&link, args.what, args.json).await;
    done.and(link.close().await)
}

async fn act(link: &Link, what: Verb, is_json: bool) -> Result<(), Error> {
    let bucket = quota::bucket(&link.bus);
    if let Verb::Set { tenant, limits } = what {
        link.open_streams().await?;
        let changed = quota::change(&bucket, tenant, |old| changed(old, &limits)).await.map_err(failed)?;
        link.record(What::SetLimits, tenant).await;
        let all = quota::shown(link.config(), &[(tenant, changed)].into());
        return show(
            AllLimits { data: all.data.into_iter().filter(|one| one.tenant == tenant).collect(), ..all },
            is_json,
        );
    }
    show(quota::shown(link.config(), &quota::list(&bucket).await.map_err(failed)?), is_json)
}

fn changed(mut limits: domain_quota::Limits, changes: &[Change]) -> domain_quota::Limits {
    for (limit, most) in changes {
        match most {
            Some(most) => limits.set(*limit, *most),
            None => limits.unset(*limit),
        }
    }
    limits
}

fn show(all: AllLimits, is_json: bool) -> Result<(), Error> {
    if is_json {
        return out::line(serde_json::to_string(&all).expect("limits are plain JSON"));
    }
    let names = Limit::ALL.iter().map(|limit| limit.as_str().to_owned());
    let row = |tenant: &str, limits: &domain_quota::Limits| {
        let cells = Limit::ALL.iter().map(|limit| limits.get(*limit).unwrap_or(Most::Unlimited).to_string());
        std::iter::once(tenant.to_owned()).chain(cells).collect::<Vec<_>>()
    };
    let heading = std::iter::once("tenant".to_owned()).chain(names).collect();
    let tenants = all.data.iter().map(|TenantLimits { tenant, limits, .. }| row(tenant.as_str(), limits));
    let rows: Vec<_> = std::iter::once(heading).chain(tenants).chain([row("(all others)", &all.default)]).collect();
    out::line(super::text::table(&rows))
}

fn failed(error: quota::Error) -> Error {
    match &error {
        quota::Error::Contended(_) => Error::Refused { status: 409, message: error.to_string() },
        quota::Error::Read(_) | quota::Error::Write(_) => Error::failed(error),
    }
}
