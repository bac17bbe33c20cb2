//! `jetbatch workers`: who works, and what they are told.
use super::{
    client::{Client, Raw},
    error::Error,
    out,
    remote::Server,
    text,
};
use crate::clock;
use api::{PoolAhead, Route, Worker, Workers as All};
use clap::{Args, Subcommand};
use domain::health::Order;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Workers {
    #[command(subcommand)]
    order: Option<Verb>,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Let it finish what it has, and take nothing more
    Drain(One),
    /// Have it hand back what it has, and take nothing more
    Quarantine(One),
    /// Let it take work again, and believe it
    Trust(One),
}

#[derive(Debug, Args)]
struct One {
    /// The worker's name
    name: String,
    #[command(flatten)]
    server: Server,
}

pub async fn workers(args: Workers) -> Result<(), Error> {
    match args.order {
        None => list(&args.server).await,
        Some(Verb::Drain(one)) => tell(Order::Drain, one).await,
        Some(Verb::Quarantine(one)) => tell(Order::Quarantine, one).await,
        Some(Verb::Trust(one)) => tell(Order::Trust, one).await,
    }
}

async fn list(server: &Server) -> Result<(), Error> {
    let client = server.client()?;
    show(&client, server, client.json(client.request(Route::Workers)).await?)
}

async fn tell(order: Order, One { name, server }: One) -> Result<(), Error> {
    let client = server.client()?;
    show(&client, &server, client.json(client.request_of(Route::order(order), name)).await?)
}

fn show(client: &Client, server: &Server, answer: Raw) -> Result<(), Error> {
    if server.json {
        return out::line(answer);
    }
    let workers: All = client.read(&answer)?;
    match workers.data.is_empty() {
        true => out::line("no worker was heard of")?,
        false => out::line(table(&workers.data, clock::now().get()))?,
    }
    if workers.pools.is_empty() { Ok(()) } else { out::line(format!("\n{}", pools(&workers.pools))) }
}

fn pools(pools: &[PoolAhead]) -> String {
    let heading = ["pool", "workers", "needed", "requests owed"];
    let told = |number: Option<u64>| number.map_or("-".to_owned(), text::count);
    let rows = pools.iter().map(|pool| {
        let workers = text::count(pool.workers);
        vec![pool.pool.to_string(), workers, told(pool.workers_needed), told(pool.requests_owed)]
    });
    text::table(&std::iter::once(heading.map(str::to_owned).to_vec()).chain(rows).collect::<Vec<_>>())
}

fn table(workers: &[Worker], now: u64) -> String {
    let heading = ["name", "pool", "model", "device", "busy", "req/s", "tokens/s", "state", "since", "why"];
    let rows = workers.iter().map(|worker| {
        vec![
            worker.name.clone(),
            worker.pool.to_string(),
            worker.model.clone(),
            worker.device.clone(),
            format!("{}/{}", worker.busy, worker.slots),
            text::rate(worker.requests_per_s),
            text::rate(worker.tokens_per_s),
            worker.state.as_str().to_owned(),
            text::moment(worker.since.ms(), now),
            worker.why.clone().unwrap_or_default(),
        ]
    });
    text::table(&std::iter::once(heading.map(str::to_owned).to_vec()).chain(rows).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_reads_well() {
        let json = r#"[{"object":"pool","pool":"tiny","workers":2,"workers_needed":3,"requests_owed":12345},
            {"object":"pool","pool":"new","workers":0,"workers_needed":null,"requests_owed":7}]"#;
        let table = pools(&serde_json::from_str::<Vec<_>>(json).unwrap());
        let row = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let rows: Vec<_> = table.lines().skip(1).map(row).collect();
        assert_eq!(rows, [["tiny", "2", "3", "12,345"], ["new", "0", "-", "7"]]);
    }

    #[test]
    fn a_worker_reads_well() {
        let json = r#"{"object":"worker","name":"w1","pool":"tiny","model":"m","engine":"echo","device":"cpu","slots":4,
            "busy":1,"requests_per_s":2.5,"tokens_per_s":250.0,"restarts":0,"state":"quarantined",
            "since":"1970-01-01T00:00:01.000Z","why":"no device","started_at":"1970-01-01T00:00:00.000Z",
            "heard_at":"1970-01-01T00:00:02.000Z"}"#;
        let table = table(&[serde_json::from_str(json).unwrap()], 2_000);
        let cells = table.lines().nth(1).unwrap().split("  ").map(str::trim);
        let row = cells.filter(|cell| !cell.is_empty()).collect::<Vec<_>>();
        let since = "1970-01-01T00:00:01Z (1.0 s ago)";
        assert_eq!(row, ["w1", "tiny", "m", "cpu", "1/4", "2.5", "250", "quarantined", since, "no device"]);
    }
}
