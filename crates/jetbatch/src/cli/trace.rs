//! `jetbatch trace`: a job's spans as a tree, from the event log: no collector is needed.
use super::{client::Raw, error::Error, out, remote::Server, text};
use api::{ChunkAttempt, Route, StageSpan, Timeline};
use clap::Args;
use domain::JobId;

/// Columns of the bar that shows when.
const BAR: u64 = 32;
/// Stretches that have a row of their own, the longest; what is left is one row.
const ROWS: usize = 24;
/// Of a reason.
const REASON_CHARS: usize = 60;

#[derive(Debug, Args)]
pub struct Trace {
    /// The job's id
    id: JobId,
    #[command(flatten)]
    server: Server,
}

pub async fn trace(args: Trace) -> Result<(), Error> {
    let client = args.server.client()?;
    let answer: Raw = client.json(client.request_of(Route::Timeline, args.id)).await?;
    if args.server.json {
        return out::line(answer);
    }
    out::page(tree(&client.read(&answer)?))
}

/// From when to when, within the whole.
#[derive(Clone, Copy)]
struct Scale {
    from: u64,
    until: u64,
}

impl Scale {
    /// When it began, how long it took, and where it stands in the whole. Something is seen of the shortest.
    fn cells(self, from: u64, until: u64) -> [String; 3] {
        let whole = self.until.saturating_sub(self.from).max(1);
        let at = |ms: u64| (ms.saturating_sub(self.from).min(whole) * BAR / whole).min(BAR);
        let (begin, end) = (at(from).min(BAR - 1), at(until));
        let length = end.saturating_sub(begin).max(1);
        let bar = format!(
            "{}{}{}",
            " ".repeat(begin as usize),
            "#".repeat(length as usize),
            " ".repeat((BAR - begin - length) as usize)
        );
        [
            format!("+{}", text::span(from.saturating_sub(self.from))),
            text::span(until.saturating_sub(from)),
            format!("|{bar}|"),
        ]
    }
}

fn tree(timeline: &Timeline) -> String {
    let scale = Scale { from: timeline.submitted_at.ms(), until: timeline.until.ms() };
    let outcome = timeline.sla.map_or_else(String::new, |sla| format!(", {}", sla.as_str().replace('_', " ")));
    let state = format!("job {}{outcome}", timeline.state.as_str().replace('_', " "));
    let mut rows = vec![row(state, scale.cells(scale.from, scale.until), String::new())];
    let (shown, rest) = longest(&timeline.spans);
    for (place, span) in shown.iter().enumerate() {
        let is_last = place + 1 == shown.len() && rest.is_empty();
        let name = format!("+- {}", span.stage.as_str().replace('_', " "));
        rows.push(row(name, scale.cells(span.from.ms(), span.until.ms()), String::new()));
        let within = |attempt: &&ChunkAttempt| belongs(attempt, span, &shown, place);
        rows.extend(timeline.notable.iter().filter(within).map(|attempt| chunk(attempt, scale, is_last)));
    }
    if !rest.is_empty() {
        let ms = rest.iter().map(|span| span.until.ms().saturating_sub(span.from.ms())).sum();
        let name =
            format!("+- {}, each shorter", text::plural(rest.len() as u64, "stretch").replace("stretchs", "stretches"));
        rows.push(vec![name, String::new(), text::span(ms), String::new(), String::new()]);
    }
    let (runs, failed) = (text::plural(timeline.attempts, "chunk run"), text::count(timeline.attempts_failed));
    let told = timeline.notable.len();
    format!(
        "{}\n\n{runs}, {failed} of them failed; {told} are shown: the slowest, the first and the last that failed\n",
        text::table(&rows)
    )
}

/// The longest stretches in their order, and those that are left.
fn longest(spans: &[StageSpan]) -> (Vec<StageSpan>, Vec<StageSpan>) {
    let ms = |span: &StageSpan| span.until.ms().saturating_sub(span.from.ms());
    let mut all = spans.to_vec();
    all.sort_by_key(|span| std::cmp::Reverse(ms(span)));
    let rest = all.split_off(ROWS.min(all.len()));
    all.sort_by_key(|span| span.from.ms());
    (all, rest)
}

/// Whether it ended in this stretch; one that ended in none that is shown stands with the one before.
fn belongs(attempt: &ChunkAttempt, span: &StageSpan, shown: &[StageSpan], place: usize) -> bool {
    let ended = attempt.ended_at.ms();
    let next = shown.get(place + 1).map_or(u64::MAX, |next| next.from.ms());
    (place == 0 || ended > span.from.ms()) && ended <= next
}

fn chunk(attempt: &ChunkAttempt, scale: Scale, is_last: bool) -> Vec<String> {
    let ended = attempt.ended_at.ms();
    let began = attempt.started_at.map_or(ended, |at| at.ms());
    let lane = if is_last { "   " } else { "|  " };
    let name = format!("{lane}+- chunk {}.{}, attempt {}", attempt.segment, attempt.chunk, attempt.attempt);
    row(name, scale.cells(began, ended), said(attempt))
}

fn said(attempt: &ChunkAttempt) -> String {
    let reason: String = attempt.reason.as_deref().unwrap_or_default().chars().take(REASON_CHARS).collect();
    match attempt.class {
        Some(class) => format!("{}: {}: {reason}", attempt.worker, class.as_str()),
        None if attempt.delivered > 1 => {
            format!("{}, after {}", attempt.worker, text::plural(u64::from(attempt.delivered) - 1, "lost worker"))
        }
        None => attempt.worker.clone(),
    }
}

fn row(name: String, [from, took, bar]: [String; 3], said: String) -> Vec<String> {
    vec![name, from, took, bar, said]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_tree_shows_what_ran_when_and_what_failed() {
        let attempt = |chunk: u32, from: Option<u64>, until: u64, class: Option<&str>| {
            json!({"segment": 0, "chunk": chunk, "attempt": 1, "worker": "w1", "started_at": from, "ended_at": until,
                   "delivered": 1, "class": class, "reason": class.map(|_| "no token")})
        };
        let spans: Vec<_> = (0..40_u64)
            .map(|n| json!({"stage": if n % 2 == 0 { "running" } else { "retrying" }, "from": n * 1_000, "until": n * 1_000 + 1_000}))
            .collect();
        let whole = json!({"id": "9fdf038c-1ccd-52b8-9915-fe5dcd8ee62a", "object": "timeline", "state": "completed",
            "submitted_at": 0, "until": 40_000, "deadline": 90_000, "sla": "met", "why": "It was done.", "stages": [],
            "spans": spans, "attempts": 900, "attempts_failed": 1, "waited_for": [], "partial": false,
            "notable": [attempt(4, Some(500), 800, None), attempt(7, None, 39_900, Some("timeout"))]});
        let tree = tree(&serde_json::from_value(whole).unwrap());
        let lines: Vec<&str> = tree.lines().collect();
        assert!(lines[0].starts_with("job completed, met") && lines[0].contains(&"#".repeat(32)), "{tree}");
        assert!(lines[1].starts_with("+- running") && lines[2].starts_with("|  +- chunk 0.4, attempt 1"), "{tree}");
        assert!(tree.contains("w1: timeout: no token") && tree.contains("+- 16 stretches, each shorter"), "{tree}");
        assert!(tree.contains("900 chunk runs, 1 of them failed; 2 are shown"), "{tree}");
        assert!(lines.len() < 32 && lines.iter().all(|line| line.chars().count() <= 140), "{tree}");
    }
}
