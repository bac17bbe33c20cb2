//! `GET /events` as it comes in.
use super::Happening;
use crate::cli::{client::Client, error::Error};
use api::{JobRows, PoolAhead, Route, Worker};
use reqwest::Response;
use std::time::Duration;
use tokio::{sync::mpsc::Sender, time::sleep};

/// As many as the server gives.
const JOBS: u32 = 100;
const AGAIN_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, PartialEq)]
pub enum Fed {
    Jobs(Box<JobRows>),
    Workers(Vec<Worker>),
    Pools(Vec<PoolAhead>),
    /// There is no connection, for this reason.
    Lost(String),
}

pub async fn open(client: &Client) -> Result<Response, Error> {
    client.send(client.request(Route::Live).query(&[("limit", JOBS)])).await
}

/// Until nobody listens.
pub async fn run(client: Client, mut response: Response, to: Sender<Happening>) {
    loop {
        let lost = match read(&client, &mut response, &to).await {
            Ok(()) => "the server ended it".to_owned(),
            Err(error) => error.to_string(),
        };
        if to.send(Happening::Fed(Fed::Lost(lost))).await.is_err() {
            return;
        }
        response = loop {
            sleep(AGAIN_AFTER).await;
            match open(&client).await {
                Ok(response) => break response,
                Err(_) if to.is_closed() => return,
                Err(_) => {}
            }
        };
    }
}

async fn read(client: &Client, response: &mut Response, to: &Sender<Happening>) -> Result<(), Error> {
    let mut events = Events::default();
    while let Some(piece) = client.piece(response).await? {
        for fed in events.feed(&piece) {
            if to.send(Happening::Fed(fed)).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Server-sent events from a stream of pieces, as far as this server sends them: one line of data each.
#[derive(Default)]
struct Events {
    open: Vec<u8>,
    name: String,
}

impl Events {
    fn feed(&mut self, piece: &[u8]) -> Vec<Fed> {
        self.open.extend_from_slice(piece);
        let mut fed = Vec::new();
        while let Some(end) = self.open.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.open.drain(..=end).collect();
            fed.extend(self.line(String::from_utf8_lossy(&line).trim_end()));
        }
        fed
    }

    fn line(&mut self, line: &str) -> Option<Fed> {
        if let Some(name) = line.strip_prefix("event:") {
            name.trim().clone_into(&mut self.name);
        }
        let data = line.strip_prefix("data:")?.trim();
        match self.name.as_str() {
            "jobs" => serde_json::from_str(data).ok().map(Fed::Jobs),
            "pools" => serde_json::from_str(data).ok().map(Fed::Pools),
            "workers" => serde_json::from_str(data).ok().map(Fed::Workers),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_wherever_the_pieces_end() {
        let text = b": hello\n\nevent: workers\ndata: []\n\nevent: odd\ndata: 1\n\n\
            event: jobs\ndata: {\"order\":[],\"changed\":[],\"has_more\":false,\"total\":3}\n\n";
        let rows = JobRows { order: Vec::new(), changed: Vec::new(), has_more: false, total: 3 };
        for size in [1, 7, text.len()] {
            let mut events = Events::default();
            let fed: Vec<Fed> = text.chunks(size).flat_map(|piece| events.feed(piece)).collect();
            assert_eq!(fed, [Fed::Workers(Vec::new()), Fed::Jobs(Box::new(rows.clone()))]);
        }
    }
}
