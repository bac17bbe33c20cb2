//! `jetbatch usage`: what a tenant used, day by day.
use super::{client::Raw, error::Error, out, remote::Server, text};
use api::{Route, UsageDays, UsageQuery, UsedAmounts};
use clap::Args;
use domain::usage::Day;

#[derive(Debug, Args)]
pub struct Usage {
    /// The first day, such as 2026-11-01 [default: 29 days before the last]
    #[arg(long)]
    from: Option<Day>,
    /// The last day [default: today], in UTC
    #[arg(long)]
    to: Option<Day>,
    /// For admins: another tenant's, or '*' for all
    #[arg(long)]
    tenant: Option<String>,
    #[command(flatten)]
    server: Server,
}

pub async fn usage(args: Usage) -> Result<(), Error> {
    let Usage { from, to, tenant, server } = args;
    let client = server.client()?;
    let query = UsageQuery { from, to, tenant };
    let answer: Raw = client.json(client.request(Route::Usage).query(&query)).await?;
    if server.json {
        return out::line(&answer);
    }
    let days: UsageDays = client.read(&answer)?;
    if days.data.is_empty() {
        return out::line(format!("nothing was used from {} to {}", days.from, days.to));
    }
    out::line(text::table(&rows(&days)))
}

fn rows(days: &UsageDays) -> Vec<Vec<String>> {
    let heading = ["tenant", "day", "jobs", "requests", "prompt", "completion", "cached", "in", "out"];
    let row = |tenant: String, day: String, used: &UsedAmounts| {
        let counts = [used.jobs, used.requests, used.prompt_tokens, used.completion_tokens, used.cached_tokens];
        let bytes = [used.input_bytes, used.output_bytes].map(text::bytes);
        [tenant, day].into_iter().chain(counts.map(text::count)).chain(bytes).collect::<Vec<_>>()
    };
    let heading = heading.map(str::to_owned).to_vec();
    let all = days.data.iter().map(|day| row(day.tenant.to_string(), day.date.to_string(), &day.used));
    std::iter::once(heading).chain(all).chain([row("total".to_owned(), String::new(), &days.total)]).collect()
}
