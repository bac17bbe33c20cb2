use super::{Happening, board::*, draw::draw, feed::Fed};
use api::{JobRow, JobRows, PoolAhead, Worker};
use domain::{JobId, command::CommandKind, status::State};
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
};
use serde_json::json;

const NOW: u64 = 1_000_000;

fn id(name: &str) -> JobId {
    JobId::keyed("t", name)
}

fn row(name: &str, state: &str, deadline: u64) -> JobRow {
    serde_json::from_value(json!({
        "id": id(name), "state": state, "model": "tiny", "priority": "normal", "metadata": {"team": name},
        "requests": {"total": 3000, "completed": 1200, "failed": 3, "unanswered": 0, "remaining": 1797},
        "rate": 512.4, "submitted": NOW - 60_000, "deadline": deadline, "ended": null,
        "eta": [NOW + 540_000, NOW + 720_000, NOW + 900_000], "eta_moved": "worker_lost", "sla": "on_track",
        "stalled": null,
    }))
    .unwrap()
}

fn worker(name: &str, state: &str) -> Worker {
    serde_json::from_value(json!({
        "object": "worker", "name": name, "pool": "tiny", "model": "tiny", "engine": "mistralrs", "device": "cpu",
        "slots": 4, "busy": 3, "requests_per_s": 250.0, "tokens_per_s": 4000.0, "restarts": 0, "state": state,
        "since": "1970-01-01T00:00:00Z", "why": null, "started_at": "1970-01-01T00:00:00Z",
        "heard_at": "1970-01-01T00:00:00Z",
    }))
    .unwrap()
}

fn board() -> Board {
    let mut board = Board::new("http://here".to_owned());
    let changed =
        vec![row("a", "in_progress", NOW + 9_000_000), row("b", "paused", NOW + 10), row("c", "completed", NOW)];
    let order = changed.iter().map(|row| row.id).collect();
    let rows = JobRows { order, changed, has_more: false, total: 3 };
    board.apply(Happening::Fed(Fed::Jobs(Box::new(rows))));
    board.apply(Happening::Fed(Fed::Workers(vec![worker("w1", "sound"), worker("w2", "quarantined")])));
    board
}

fn press(board: &mut Board, keys: &str) -> Option<Effect> {
    let mut effect = None;
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '^' => KeyCode::Esc,
            letter => KeyCode::Char(letter),
        };
        effect = board.apply(Happening::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    }
    effect
}

fn picture(board: &Board) -> String {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| draw(frame, board, NOW)).unwrap();
    let screen = terminal.backend().buffer();
    let lines = screen.content.chunks(80).map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>());
    lines.map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_list_fits_80_columns() {
    let mut board = board();
    let shown = picture(&board);
    let line = format!(
        "{} in_progress ####------  40 % 3,000      512     12m (9m-15m)   on track",
        &id("a").to_string()[28..]
    );
    assert!(shown.contains(&line), "{shown}");
    assert!(shown.contains("tiny         2 (1 out)   -      -          #######--- 6/8      500     8,000"), "{shown}");
    assert!(shown.ends_with("q quit"), "{shown}");
    assert!(!shown.contains(&id("c").to_string()[28..]), "{shown}");
    press(&mut board, "a");
    assert!(picture(&board).contains(&id("c").to_string()[28..]));
}

#[test]
fn a_pool_shows_how_many_workers_it_needs_and_what_it_owes() {
    let mut board = board();
    let pool = |name: &str, workers, needed, owed| -> PoolAhead {
        serde_json::from_value(json!({
            "object": "pool", "pool": name, "workers": workers, "workers_needed": needed, "requests_owed": owed,
        }))
        .unwrap()
    };
    let pools = vec![pool("tiny", 1, Some(12), Some(1_234_567)), pool("none", 0, None, Some(7))];
    board.apply(Happening::Fed(Fed::Pools(pools)));
    let shown = picture(&board);
    assert!(shown.contains("tiny         2 (1 out)   12     1,234,567  #######--- 6/8      500     8,000"), "{shown}");
    assert!(shown.contains("none         0           -      7          ---------- 0/0"), "{shown}");
    let is_short: Vec<_> = board.crews().values().map(|crew| crew.is_short()).collect();
    assert_eq!(is_short, [false, true], "of what was never seen at work nobody knows");
}

#[test]
fn an_open_job_shows_its_band_against_the_deadline() {
    let mut board = board();
    press(&mut board, "\n");
    let shown = picture(&board);
    assert!(shown.contains("1,203 of 3,000 answered") && shown.contains("moved      worker lost"), "{shown}");
    let scale = shown.lines().find(|line| line.starts_with('.') || line.starts_with('=')).unwrap();
    let at = |mark: char| scale.find(mark).unwrap();
    assert!(at('-') < at('o') && at('o') < at('|') && scale.len() == 80, "{shown}");
    assert_eq!(press(&mut board, "p"), Some(Effect::Order(id("a"), CommandKind::Pause)));
}

#[test]
fn orders_are_for_the_chosen_job() {
    let mut board = board();
    assert_eq!(press(&mut board, "p"), Some(Effect::Order(id("a"), CommandKind::Pause)));
    assert_eq!(press(&mut board, "jp"), Some(Effect::Order(id("b"), CommandKind::Resume)));
    assert_eq!(press(&mut board, "jjkc"), None, "it asks first");
    assert!(picture(&board).contains(&format!("cancel job {}?", id("a"))));
    assert_eq!(press(&mut board, "n"), None);
    assert_eq!(press(&mut board, "cy"), Some(Effect::Order(id("a"), CommandKind::Cancel)));
    // A job that has ended takes none.
    assert_eq!(press(&mut board, "ajjp"), None);
    assert_eq!(press(&mut board, "q"), Some(Effect::Quit));
}

#[test]
fn a_list_is_sorted_and_filtered_and_the_choice_stays() {
    let mut board = board();
    let shown = |board: &Board| board.rows().iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(shown(&board), [id("a"), id("b")]);
    press(&mut board, "s");
    assert_eq!((shown(&board), board.selected), (vec![id("b"), id("a")], Some(id("a"))));
    press(&mut board, "/paused\n");
    assert_eq!((shown(&board), board.selected), (vec![id("b")], Some(id("b"))));
    press(&mut board, "^");
    assert_eq!(shown(&board).len(), 2);
    press(&mut board, "/q");
    assert_eq!((board.filter.as_str(), board.rows().len()), ("q", 0), "a letter of a filter is no order");
}

#[test]
fn a_job_that_ends_leaves_the_list() {
    let mut board = board();
    let ended = row("a", State::Completed.as_str(), NOW);
    let rows = JobRows { order: vec![id("a"), id("b")], changed: vec![ended], has_more: false, total: 2 };
    board.apply(Happening::Fed(Fed::Jobs(Box::new(rows))));
    assert_eq!((board.rows().len(), board.selected), (1, Some(id("b"))));
}

#[test]
fn a_lost_connection_is_seen_until_it_is_back() {
    let mut board = board();
    board.apply(Happening::Fed(Fed::Lost("gone".to_owned())));
    assert!(picture(&board).contains("NO CONNECTION"));
    board.apply(Happening::Fed(Fed::Workers(Vec::new())));
    assert!(!picture(&board).contains("NO CONNECTION"));
    let empty = picture(&Board::new(String::new()));
    assert!(empty.contains("No job was submitted yet."), "{empty}");
}
