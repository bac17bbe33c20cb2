//! `jetbatch top`: jobs, pools and workers in a terminal, as they change.
mod board;
mod draw;
mod feed;
mod keys;
#[cfg(test)]
mod tests;

use super::{client::Client, error::Error, remote::Server};
use board::{Board, Effect};
use clap::Args;
use ratatui::{DefaultTerminal, crossterm::event};
use std::{
    io::{IsTerminal, stdout},
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc::{Receiver, Sender, channel},
    time::interval,
};

#[derive(Debug, Args)]
pub struct Top {
    #[command(flatten)]
    server: Server,
}

/// What happens while it is looked at.
pub enum Happening {
    Key(event::KeyEvent),
    /// The terminal has another size.
    Resized,
    Fed(feed::Fed),
    /// What became of an order.
    Said(String),
}

/// Times on the screen move on even where nothing happens.
const DRAW_EVERY: Duration = Duration::from_secs(1);
const KEYS_EVERY: Duration = Duration::from_millis(100);
const ROOM: usize = 256;

pub async fn top(args: Top) -> Result<(), Error> {
    if !stdout().is_terminal() {
        return Err(Error::Usage(
            "top draws on a terminal; use `jetbatch jobs` and `jetbatch workers` here".to_owned(),
        ));
    }
    let client = args.server.client()?;
    let (sender, happenings) = channel(ROOM);
    // Said before the screen is taken: a wrong address is an error on the command line, not a picture.
    let first = feed::open(&client).await?;
    tokio::spawn(feed::run(client.clone(), first, sender.clone()));
    let keys = sender.clone();
    std::thread::spawn(move || read_keys(&keys));
    let mut terminal = ratatui::try_init().map_err(Error::failed)?;
    let shown = show(&mut terminal, Board::new(args.server.url), &client, happenings, &sender).await;
    ratatui::restore();
    shown
}

/// Until nobody looks any more.
fn read_keys(to: &Sender<Happening>) {
    while !to.is_closed() {
        let happening = match event::poll(KEYS_EVERY).and_then(|is_there| is_there.then(event::read).transpose()) {
            Ok(Some(event::Event::Key(key))) => Happening::Key(key),
            Ok(Some(event::Event::Resize(..))) => Happening::Resized,
            Ok(_) => continue,
            Err(_) => return,
        };
        if to.blocking_send(happening).is_err() {
            return;
        }
    }
}

async fn show(
    terminal: &mut DefaultTerminal,
    mut board: Board,
    client: &Client,
    mut happenings: Receiver<Happening>,
    sender: &Sender<Happening>,
) -> Result<(), Error> {
    let mut terminated = signal(SignalKind::terminate()).map_err(Error::failed)?;
    let mut tick = interval(DRAW_EVERY);
    loop {
        let now = crate::clock::now().get();
        terminal.draw(|frame| draw::draw(frame, &board, now)).map_err(Error::failed)?;
        let happening = tokio::select! {
            happening = happenings.recv() => happening,
            _ = tick.tick() => continue,
            _ = terminated.recv() => None,
        };
        let Some(happening) = happening else { return Ok(()) };
        match board.apply(happening) {
            None => {}
            Some(Effect::Quit) => return Ok(()),
            Some(Effect::Order(id, kind)) => drop(tokio::spawn(order(client.clone(), id, kind, sender.clone()))),
        }
    }
}

async fn order(client: Client, id: domain::JobId, kind: domain::command::CommandKind, to: Sender<Happening>) {
    let said = match client.send(client.request_of(api::Route::command(kind), id)).await {
        Ok(_) => format!("{}: told job {id}", kind.as_str()),
        Err(error) => error.to_string(),
    };
    let _ = to.send(Happening::Said(said)).await;
}
