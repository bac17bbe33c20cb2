//! `jetbatch quote`: what a file would come to if it were submitted now.
use super::{error::Error, job, out, remote::Server, submit::Batch, text};
use crate::clock;
use api::{Eta, Quote};
use clap::Args;
use std::fmt::Write as _;

#[derive(Debug, Args)]
pub struct QuoteArgs {
    #[command(flatten)]
    batch: Batch,
    #[command(flatten)]
    server: Server,
}

pub async fn quote(args: QuoteArgs) -> Result<(), Error> {
    let client = args.server.client()?;
    let is_json = args.server.json;
    let answer = args.batch.quote(&client, is_json).await?;
    let quote: Quote = client.read(&answer)?;
    if is_json {
        out::line(&answer)?;
    } else {
        out::page(page(&quote, clock::now().get()))?;
    }
    if quote.valid {
        Ok(())
    } else {
        Err(Error::Refused { status: 422, message: "the input would not be taken".into() })
    }
}

fn page(quote: &Quote, now: u64) -> String {
    let moment = |at: api::Time| text::moment(at.ms(), now);
    let odds = |eta: &Eta| format!("{}, nine times in ten by {}", moment(eta.p50), moment(eta.p90));
    let rows = [
        ("requests", Some(text::count(quote.requests))),
        ("tokens", quote.valid.then(|| tokens(quote))),
        ("deadline", Some(moment(quote.deadline))),
        ("begins", quote.start.as_ref().map(odds)),
        ("done", quote.finish.as_ref().map(odds)),
        ("window", quote.holds.map(|holds| window(quote, holds))),
        ("shortest", quote.shortest_window.clone()),
        ("unknown", unknown(quote)),
    ];
    let mut page = job::lines(rows);
    for one in &quote.endangered {
        let _ = writeln!(page, "at risk    {}, nine times in ten done by {}", one.job, moment(one.p90_then));
    }
    for warning in &quote.warnings {
        let _ = writeln!(page, "warning    {}", job::warned(warning));
    }
    for error in &quote.errors {
        let _ = writeln!(page, "error      {}", job::line(error));
    }
    page
}

fn tokens(quote: &Quote) -> String {
    format!("about {} prompt, {} completion", text::count(quote.prompt_tokens), text::count(quote.completion_tokens))
}

fn window(quote: &Quote, holds: bool) -> String {
    let window = &quote.completion_window;
    if holds { format!("{window} holds") } else { format!("{window} does not hold with nine chances in ten") }
}

fn unknown(quote: &Quote) -> Option<String> {
    let pools = quote.unknown.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    (!pools.is_empty()).then(|| format!("no forecast: never seen at work, or without a worker: {pools}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_reads_well() {
        let json = r#"{"object":"quote","valid":true,"requests":1200,"bytes":30,"errors":[],"errors_total":0,"warnings":[],
            "prompt_tokens":5000,"completion_tokens":7000,"completion_window":"1h","deadline":3600000,
            "start":{"p10":0,"p50":0,"p90":0},"finish":{"p10":1800000,"p50":2700000,"p90":4500000},"holds":false,
            "shortest_window":"75m","endangered":[{"job":"9fdf038c-1ccd-52b8-9915-fe5dcd8ee62a","deadline":1,
            "p90_before":1,"p90_then":60000}],"unknown":[]}"#;
        let page = page(&serde_json::from_str(json).unwrap(), 0);
        for want in [
            "requests   1,200\n",
            "tokens     about 5,000 prompt, 7,000 completion",
            "done       1970-01-01T00:45:00Z (in 45 min 0 s), nine times in ten by 1970-01-01T01:15:00Z",
            "window     1h does not hold",
            "shortest   75m",
            "at risk    9fdf038c",
        ] {
            assert!(page.contains(want), "{want}: {page}");
        }
    }
}
