//! What each key does.
use super::board::{Board, Effect, Input, View};
use domain::command::CommandKind;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

pub const HELP: [(&str, &str); 12] = [
    ("up, down, j, k", "choose a job; page up, page down: ten"),
    ("enter", "open it"),
    ("esc", "back"),
    ("p", "pause it, or let it go on"),
    ("c", "cancel it; asks first"),
    ("s", "sort by newest, deadline, end, done"),
    ("a", "show the jobs that have ended, too"),
    ("/", "filter by id, state, model, metadata; esc: all"),
    ("w", "workers"),
    ("?", "this help"),
    ("q, ctrl-c", "quit: jobs go on"),
    ("", "The list shows the newest 100 jobs."),
];

const PAGE: isize = 10;

pub fn press(board: &mut Board, key: KeyEvent) -> Option<Effect> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
        return Some(Effect::Quit);
    }
    match board.input {
        Input::Orders => order(board, key.code),
        Input::Filter => {
            write(board, key.code);
            None
        }
        Input::Cancel(id) => {
            board.input = Input::Orders;
            (key.code == KeyCode::Char('y')).then_some(Effect::Order(id, CommandKind::Cancel))
        }
    }
}

fn order(board: &mut Board, key: KeyCode) -> Option<Effect> {
    match key {
        KeyCode::Char('q') => return Some(Effect::Quit),
        KeyCode::Char('p') => return pause(board),
        KeyCode::Char('c') => ask(board),
        KeyCode::Up | KeyCode::Char('k') => board.step(-1),
        KeyCode::Down | KeyCode::Char('j') => board.step(1),
        KeyCode::PageUp => board.step(-PAGE),
        KeyCode::PageDown => board.step(PAGE),
        KeyCode::Home => board.step(isize::MIN),
        KeyCode::End => board.step(isize::MAX),
        KeyCode::Enter => board.view = board.selected.map_or(View::Jobs, View::Job),
        KeyCode::Esc => back(board),
        KeyCode::Char('s') => board.sort = board.sort.next(),
        KeyCode::Char('a') => {
            board.is_all = !board.is_all;
            board.keep_selected();
        }
        KeyCode::Char('/') => (board.view, board.input) = (View::Jobs, Input::Filter),
        KeyCode::Char('w') => board.view = toggled(board.view, View::Workers),
        KeyCode::Char('?' | 'h') => board.view = toggled(board.view, View::Help),
        _ => {}
    }
    None
}

fn toggled(now: View, wanted: View) -> View {
    if now == wanted { View::Jobs } else { wanted }
}

/// One step: from a view to the list, from a filtered list to the whole one.
fn back(board: &mut Board) {
    if board.view == View::Jobs {
        board.filter.clear();
        board.keep_selected();
    }
    board.view = View::Jobs;
    board.said = None;
}

fn write(board: &mut Board, key: KeyCode) {
    match key {
        KeyCode::Char(letter) => board.filter.push(letter),
        KeyCode::Backspace => drop(board.filter.pop()),
        KeyCode::Esc => {
            board.filter.clear();
            board.input = Input::Orders;
        }
        KeyCode::Enter => board.input = Input::Orders,
        _ => {}
    }
    board.keep_selected();
}

/// The job that is open, or chosen in the list.
fn meant(board: &Board) -> Option<&api::JobRow> {
    let id = match board.view {
        View::Job(id) => Some(id),
        View::Jobs => board.selected,
        View::Workers | View::Help => None,
    };
    board.job(id?)
}

fn pause(board: &Board) -> Option<Effect> {
    let row = meant(board).filter(|row| !row.state.is_terminal())?;
    let kind = if row.state == domain::status::State::Paused { CommandKind::Resume } else { CommandKind::Pause };
    Some(Effect::Order(row.id, kind))
}

fn ask(board: &mut Board) {
    if let Some(row) = meant(board).filter(|row| !row.state.is_terminal()) {
        board.input = Input::Cancel(row.id);
    }
}
