use super::{Error, Role, Running};
use crate::bus;
use std::time::Duration;

/// Beyond what a worker may drain for, and for every other room.
const STOP_LIMIT: Duration = Duration::from_secs(10);

type Ended = Result<(tokio::task::Id, Result<(), Error>), tokio::task::JoinError>;

impl Running {
    /// The process of the nats-server that was started here.
    pub fn server_pid(&self) -> Option<u32> {
        self.server.as_ref().and_then(bus::server::Server::pid)
    }

    /// How our own nats-server is connected to.
    pub fn link(&self) -> bus::Settings {
        self.server.as_ref().map(|server| server.settings(&bus::Settings::default())).unwrap_or_default()
    }

    /// Where our own nats-server is reached, if it is ours.
    pub fn nats(&self) -> Option<&str> {
        self.server.as_ref().map(bus::server::Server::url)
    }

    /// Resolves when something ends that should have gone on.
    pub async fn failed(&mut self) -> Error {
        tokio::select! {
            Some(ended) = self.rooms.join_next_with_id() => match self.note(ended) {
                (role, Ok(())) => Error::Ended { role },
                (_, Err(error)) => error,
            },
            () = gone(self.server.as_mut()) => Error::ServerEnded,
        }
    }

    fn note(&mut self, ended: Ended) -> (Role, Result<(), Error>) {
        let id = ended.as_ref().map_or_else(tokio::task::JoinError::id, |(id, _)| *id);
        let role = self.live.remove(&id).unwrap_or(Role::Worker);
        match ended {
            Ok((_, result)) => (role, result),
            Err(source) => (role, Err(Error::Panicked { role, source })),
        }
    }

    /// Stops room after room, in the order of [`Role`], and the nats-server last. Gives the first error.
    pub async fn stop(mut self) -> Result<(), Error> {
        let mut outcome = Ok(());
        for role in Role::ALL.iter().copied() {
            let limit = if role == Role::Worker { self.drain.saturating_add(STOP_LIMIT) } else { STOP_LIMIT };
            let stopped = tokio::time::timeout(limit, self.halt(role)).await;
            outcome = outcome.and(stopped.unwrap_or(Err(Error::Stuck { role, limit })));
        }
        self.rooms.shutdown().await;
        self.troubles.leave().await;
        if let Some(server) = self.server.take() {
            let stopped = server.stop().await.map_err(Error::Server);
            outcome = outcome.and(stopped);
        }
        outcome
    }

    async fn halt(&mut self, role: Role) -> Result<(), Error> {
        if let Some(stop) = self.stops.get(&role) {
            stop.cancel();
        }
        let mut outcome = Ok(());
        while self.live.values().any(|live| *live == role) {
            let Some(ended) = self.rooms.join_next_with_id().await else { break };
            outcome = outcome.and(self.note(ended).1);
        }
        outcome
    }
}

async fn gone(server: Option<&mut bus::server::Server>) {
    match server {
        Some(server) => server.ended().await,
        None => std::future::pending().await,
    }
}
