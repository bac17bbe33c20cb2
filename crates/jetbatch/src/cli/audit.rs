//! `jetbatch audit`: who did what, when, from where, to which job.
use super::{error::Error, out, remote::Server};
use api::{AuditPage, AuditQuery, Done, Route};
use clap::Args;
use domain::{JobId, Tenant};

const PAGE: usize = 1_000;

#[derive(Debug, Args)]
pub struct Audit {
    /// What was done to this job
    #[arg(long)]
    job: Option<JobId>,
    /// What this tenant did
    #[arg(long)]
    tenant: Option<Tenant>,
    /// How long ago at most: 90s, 30m, 1h, 7d [default: 1d, of a job all]
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    #[command(flatten)]
    server: Server,
}

/// All of it, the oldest first, page by page.
pub async fn audit(args: Audit) -> Result<(), Error> {
    let Audit { job, tenant, since, server } = args;
    let client = server.client()?;
    let mut query = AuditQuery { job, tenant, since, after: None, limit: Some(PAGE) };
    loop {
        let page: AuditPage = client.json(client.request(Route::Audit).query(&query)).await?;
        for done in &page.data {
            let json = || serde_json::to_string(done).expect("a record is plain JSON");
            out::line(if server.json { json() } else { line(done) })?;
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(()),
        }
    }
}

fn line(done: &Done) -> String {
    let by = done.by.as_ref().map_or_else(|| "nobody known".to_owned(), |by| format!("{} (key {})", by.name, by.key));
    let to = [done.job.map(|job| format!(" job {job}")), done.on.as_deref().map(|on| format!(" {}", on))];
    let to: String = to.into_iter().flatten().collect();
    format!("{}  {}{to}  by {by} of {} from {}", done.at, done.what.as_str(), done.tenant, done.from)
}
