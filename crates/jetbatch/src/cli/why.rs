//! `jetbatch why`: where a job's time went.
use super::{client::Raw, error::Error, out, remote::Server, text};
use api::{ChunkAttempt, Route, StageSum, Timeline, WaitedFor};
use clap::Args;
use domain::JobId;
use std::fmt::Write as _;

#[derive(Debug, Args)]
pub struct Why {
    /// The job's id
    id: JobId,
    #[command(flatten)]
    server: Server,
}

pub async fn why(args: Why) -> Result<(), Error> {
    let client = args.server.client()?;
    let answer: Raw = client.json(client.request_of(Route::Timeline, args.id)).await?;
    if args.server.json {
        return out::line(answer);
    }
    out::page(page(&client.read(&answer)?))
}

fn page(timeline: &Timeline) -> String {
    let mut page = format!("{}\n\n", timeline.why);
    let took = timeline.until.ms().saturating_sub(timeline.submitted_at.ms());
    page += &text::table(&timeline.stages.iter().map(|sum| stage(*sum, took)).collect::<Vec<_>>());
    let (runs, failed) = (text::plural(timeline.attempts, "chunk run"), text::count(timeline.attempts_failed));
    let _ = writeln!(page, "\n\n{runs}, {failed} of them failed");
    let rows: Vec<_> = timeline.notable.iter().map(attempt).collect();
    if !rows.is_empty() {
        let heading = ["chunk", "attempt", "worker", "took", "ended", "failed of"].map(str::to_owned).to_vec();
        let _ = writeln!(page, "{}", text::table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>()));
    }
    for WaitedFor { job, ms } in &timeline.waited_for {
        let job = job.map_or_else(|| "another tenant's jobs".to_owned(), |job| job.to_string());
        let _ = writeln!(page, "it waited for {job}, which ran for {} meanwhile", text::span(*ms));
    }
    if timeline.partial {
        page += "there was more than was read\n";
    }
    page
}

fn stage(StageSum { stage, ms }: StageSum, took: u64) -> Vec<String> {
    let percent = ms as f64 / took.max(1) as f64 * 100.0;
    vec![stage.as_str().replace('_', " "), text::span(ms), format!("{percent:.0} %")]
}

fn attempt(attempt: &ChunkAttempt) -> Vec<String> {
    let took = attempt.started_at.map(|from| text::span(attempt.ended_at.ms().saturating_sub(from.ms())));
    let said = attempt.reason.as_deref().unwrap_or_default().chars().take(100).collect::<String>();
    let lost = format!("delivered {} times: a worker was lost with it", attempt.delivered);
    let failed = match attempt.class {
        Some(class) => format!("{}: {said}", class.as_str()),
        None if attempt.delivered > 1 => lost,
        None => String::new(),
    };
    let chunk = format!("{}.{}", attempt.segment, attempt.chunk);
    let number = attempt.attempt.to_string();
    vec![chunk, number, attempt.worker.clone(), took.unwrap_or_default(), attempt.ended_at.to_string(), failed]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_stands_first() {
        let json = r#"{"id":"9fdf038c-1ccd-52b8-9915-fe5dcd8ee62a","object":"timeline","state":"completed",
            "submitted_at":0,"until":100000,"deadline":90000,"sla":"missed","why":"It was late.",
            "stages":[{"stage":"waiting_jobs","ms":75000},{"stage":"running","ms":25000}],"spans":[],
            "attempts":3,"attempts_failed":1,"notable":[{"segment":0,"chunk":4,"attempt":1,"worker":"w1",
            "started_at":null,"ended_at":1000,"delivered":1,"class":"timeout","reason":"no token"}],
            "waited_for":[{"job":"9fdf038c-1ccd-52b8-9915-fe5dcd8ee62a","ms":75000}],"partial":false}"#;
        let page = page(&serde_json::from_str(json).unwrap());
        let mut lines = page.lines();
        assert_eq!(lines.next(), Some("It was late."));
        for want in
            ["waiting jobs  1 min 15 s  75 %", "3 chunk runs, 1 of them failed", "timeout: no token", "meanwhile"]
        {
            assert!(page.contains(want), "{page}");
        }
    }
}
