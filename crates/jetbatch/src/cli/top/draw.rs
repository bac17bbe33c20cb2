//! The board as a picture. 80 columns and 24 lines are enough.
use super::{
    board::{Board, Crew, Input, View, done},
    keys::HELP,
};
use crate::cli::text;
use api::{JobRow, Worker};
use domain::{Pool, eta::Sla, health::Word};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Cell, Paragraph, Row, Table, TableState},
};

/// Lines for pools above the list.
const POOLS_MAX: usize = 5;
const BAR: usize = 10;
/// The rest tells when a job was submitted, and is nearly alike in all of a list.
const ID_SHOWN: usize = 28;

pub fn draw(frame: &mut Frame, board: &Board, now: u64) {
    let crews = board.crews();
    let pools = u16::try_from(crews.len().clamp(1, POOLS_MAX)).unwrap_or(1);
    let rows = [Constraint::Length(1), Constraint::Length(pools + 2), Constraint::Min(3), Constraint::Length(1)];
    let [head, above, body, foot] = Layout::vertical(rows).areas(frame.area());
    frame.render_widget(heading(board), head);
    frame.render_widget(pool_table(crews.iter().map(|(pool, crew)| (*pool, crew))), above);
    match board.view {
        View::Jobs => jobs(frame, board, now, body),
        View::Job(id) => frame.render_widget(job(board.job(id), now, body.width), body),
        View::Workers => frame.render_widget(workers(&board.workers, now), body),
        View::Help => frame.render_widget(help(), body),
    }
    frame.render_widget(footer(board), foot);
}

fn heading(board: &Board) -> Line<'static> {
    let lost = if board.is_connected() { "" } else { "  NO CONNECTION" };
    let jobs = text::plural(board.total as u64, "job");
    let filter = if board.filter.is_empty() { String::new() } else { format!("  filter '{}'", board.filter) };
    let about = format!("jetbatch {}  {jobs}  by {}{filter}", board.url, board.sort.as_str());
    Line::from(vec![Span::styled(about, bold()), Span::styled(lost, Style::new().fg(Color::Red))])
}

fn footer(board: &Board) -> Line<'static> {
    match (board.input, &board.said) {
        (Input::Cancel(id), _) => Line::styled(format!("cancel job {id}? y: yes, any other key: no"), warn()),
        (Input::Filter, _) => Line::from(format!("filter: {}_  (enter: keep, esc: all)", board.filter)),
        (Input::Orders, Some(said)) => Line::styled(said.clone(), warn()),
        (Input::Orders, None) => {
            Line::from("enter open  p pause  c cancel  s sort  / filter  a all  w workers  ?  q quit")
        }
    }
}

fn pool_table<'a>(crews: impl Iterator<Item = (&'a Pool, &'a Crew)>) -> Table<'static> {
    let rows: Vec<Row> = crews
        .take(POOLS_MAX)
        .map(|(pool, crew)| {
            let out = if crew.out > 0 { format!(" ({} out)", crew.out) } else { String::new() };
            let busy = bar(u64::from(crew.busy) * 1_000 / u64::from(crew.slots.max(1)));
            cells([
                pool.to_string(),
                format!("{}{out}", crew.workers),
                crew.needed.map_or("-".to_owned(), text::count),
                crew.owed.map_or("-".to_owned(), text::count),
                format!("{busy} {}/{}", crew.busy, crew.slots),
                text::rate(crew.requests_per_s),
                text::rate(crew.tokens_per_s),
            ])
            .style(if crew.out > 0 || crew.is_short() { warn() } else { Style::new() })
        })
        .collect();
    let widths = [12, 11, 6, 10, 19, 7, 7].map(Constraint::Length);
    Table::new(rows, widths).header(header(["POOL", "WORKERS", "NEEDED", "OWED", "SLOTS", "PER S", "TOK/S"]))
}

fn jobs(frame: &mut Frame, board: &Board, now: u64, area: Rect) {
    let rows = board.rows();
    if rows.is_empty() {
        let why = if board.total == 0 { "No job was submitted yet." } else { "No job runs. a: those that have ended" };
        frame.render_widget(Paragraph::new(why), area);
        return;
    }
    let selected = rows.iter().position(|row| Some(row.id) == board.selected);
    let table = rows.iter().map(|row| {
        let cells = [
            row.id.to_string()[ID_SHOWN..].to_owned(),
            row.state.as_str().to_owned(),
            format!("{} {:>3} %", bar(done(row)), done(row) / 10),
            text::count(row.requests.total),
            row.rate.map(text::rate).unwrap_or_default(),
            ends(row, now),
            standing(row),
        ];
        self::cells(cells).style(style(row))
    });
    let widths = [8, 11, 16, 10, 7, 14].map(Constraint::Length).into_iter().chain([Constraint::Min(8)]);
    let table = Table::new(table, widths)
        .header(header(["JOB", "STATE", "DONE", "REQUESTS", "PER S", "ENDS IN", "PROMISE"]))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    frame.render_stateful_widget(table, area, &mut TableState::new().with_selected(selected));
}

/// `12m (9m-15m)`: the middle, and where it lies with eight chances in ten.
fn ends(row: &JobRow, now: u64) -> String {
    match (row.ended, row.eta) {
        (Some(ended), _) => format!("{} ago", short(now.saturating_sub(ended))),
        (None, Some([p10, p50, p90])) => {
            let [p10, p50, p90] = [p10, p50, p90].map(|at| short(at.saturating_sub(now)));
            format!("{p50} ({p10}-{p90})")
        }
        (None, None) => "-".to_owned(),
    }
}

fn standing(row: &JobRow) -> String {
    let sla = row.sla.map(Sla::as_str).unwrap_or_default();
    match &row.stalled {
        Some(cause) => cause.clone(),
        None => sla.replace('_', " "),
    }
}

fn style(row: &JobRow) -> Style {
    match row.sla {
        Some(Sla::Missed) => Style::new().fg(Color::Red),
        Some(Sla::AtRisk | Sla::Stalled) => warn(),
        _ => Style::new(),
    }
}

fn job(row: Option<&JobRow>, now: u64, width: u16) -> Paragraph<'static> {
    let Some(row) = row else { return Paragraph::new("This job is not among the newest any more.") };
    let counts = row.requests;
    let answered = counts.total - counts.remaining.min(counts.total);
    let moment = |at: u64| text::moment(at, now);
    let far = |at: u64| text::span(at.saturating_sub(now));
    let labels: Vec<String> = row.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let lines = [
        ("job", Some(row.id.to_string())),
        ("state", Some(row.state.as_str().to_owned())),
        ("model", row.model.clone()),
        ("priority", Some(<&str>::from(row.priority).to_owned())),
        ("metadata", (!labels.is_empty()).then(|| labels.join(", "))),
        ("requests", Some(format!("{} of {} answered", text::count(answered), text::count(counts.total)))),
        ("failed", (counts.failed > 0).then(|| text::count(counts.failed))),
        ("rate", row.rate.map(|rate| format!("{} requests/s", text::rate(rate)))),
        ("submitted", Some(moment(row.submitted))),
        ("ended", row.ended.map(moment)),
        ("eta", row.eta.map(|[_, p50, _]| moment(p50))),
        ("band", row.eta.map(|[p10, _, p90]| format!("in {} to {}, eight times in ten", far(p10), far(p90)))),
        ("moved", row.eta_moved.filter(|_| row.eta.is_some()).map(|why| why.as_str().replace('_', " "))),
        ("deadline", Some(moment(row.deadline))),
        ("promise", row.sla.map(|sla| sla.as_str().replace('_', " "))),
        ("waits for", row.stalled.clone()),
    ];
    let lines = lines.into_iter().filter_map(|(name, value)| Some(Line::from(format!("{name:<10} {}", value?))));
    let scale = [Line::default(), Line::from(scale(row, now, usize::from(width)))];
    Paragraph::new(lines.chain(scale).collect::<Vec<_>>()).style(style(row))
}

/// From the submission to the deadline, or to where the band ends: what has passed, the band, its middle, the deadline.
fn scale(row: &JobRow, now: u64, width: usize) -> String {
    let band = row.eta.filter(|_| row.ended.is_none());
    let end = row.deadline.max(band.map_or(0, |[.., p90]| p90)).max(row.submitted + 1);
    let last = width.max(2) - 1;
    let at = |time: u64| {
        let part = u128::from(time.saturating_sub(row.submitted)) * last as u128 / u128::from(end - row.submitted);
        usize::try_from(part).unwrap_or(last).min(last)
    };
    let mut line = vec!['.'; last + 1];
    line[..at(row.ended.unwrap_or(now))].fill('=');
    if let Some([p10, p50, p90]) = band {
        line[at(p10)..=at(p90)].fill('-');
        line[at(p50)] = 'o';
    }
    line[at(row.deadline)] = '|';
    line.into_iter().collect()
}

fn workers(workers: &[Worker], now: u64) -> Table<'static> {
    let rows: Vec<Row> = workers
        .iter()
        .map(|worker| {
            let since = short(now.saturating_sub(worker.since.ms()));
            let state = format!("{} {since}", worker.state.as_str().replace('_', " "));
            cells([
                worker.name.clone(),
                worker.pool.to_string(),
                format!("{}/{}", worker.busy, worker.slots),
                text::rate(worker.requests_per_s),
                text::rate(worker.tokens_per_s),
                state,
                worker.why.clone().unwrap_or_default(),
            ])
            .style(if worker.state == Word::Sound { Style::new() } else { warn() })
        })
        .collect();
    let widths = [18, 10, 7, 6, 7, 14].map(Constraint::Length).into_iter().chain([Constraint::Min(10)]);
    Table::new(rows, widths).header(header(["WORKER", "POOL", "SLOTS", "PER S", "TOK/S", "STATE", "WHY"]))
}

fn help() -> Paragraph<'static> {
    Paragraph::new(HELP.iter().map(|(key, does)| Line::from(format!("{key:<16} {does}"))).collect::<Vec<_>>())
}

fn cells<const N: usize>(cells: [String; N]) -> Row<'static> {
    Row::new(cells.map(Cell::from))
}

fn header<const N: usize>(names: [&'static str; N]) -> Row<'static> {
    Row::new(names).style(bold())
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn warn() -> Style {
    Style::new().fg(Color::Yellow)
}

/// Of thousandths.
fn bar(thousandths: u64) -> String {
    let full = usize::try_from(thousandths).unwrap_or(0).min(1_000) * BAR / 1_000;
    format!("{}{}", "#".repeat(full), "-".repeat(BAR - full))
}

/// A length of time in as few letters as tell it.
fn short(ms: u64) -> String {
    let s = ms / 1_000;
    match s {
        0..60 => format!("{s}s"),
        60..3_600 => format!("{}m", s / 60),
        3_600..86_400 => format!("{}h{}m", s / 3_600, s % 3_600 / 60),
        _ => format!("{}d{}h", s / 86_400, s % 86_400 / 3_600),
    }
}
