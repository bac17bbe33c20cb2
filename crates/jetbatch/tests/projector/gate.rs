//! A way to the server whose two directions can be shut, so that what was sent arrives late.
use super::rig::LONG;
use std::sync::{Arc, Mutex};
use testkit::wait_for;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

pub struct Gate {
    pub url: String,
    /// To the server.
    pub up: Valve,
    pub down: Valve,
    task: JoinHandle<()>,
}

#[derive(Clone)]
pub struct Valve {
    shut: Arc<watch::Sender<bool>>,
    /// What arrived while it was shut.
    held: Arc<Mutex<Vec<u8>>>,
}

impl Gate {
    pub async fn open(server: &str) -> Self {
        let server = server.strip_prefix("nats://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let (up, down) = (Valve::new(), Valve::new());
        let valves = (up.clone(), down.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (from, back) = client.into_split();
                let (answers, to) = TcpStream::connect(&server).await.unwrap().into_split();
                tokio::spawn(valves.0.clone().carry(from, to));
                tokio::spawn(valves.1.clone().carry(answers, back));
            }
        });
        Self { url, up, down, task }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Valve {
    fn new() -> Self {
        Self { shut: Arc::new(watch::channel(false).0), held: Arc::default() }
    }

    pub fn shut(&self) {
        self.shut.send_replace(true);
    }

    pub fn open(&self) {
        self.shut.send_replace(false);
    }

    /// Waits until a text stands before the shut valve.
    pub async fn holds(&self, text: &str) {
        let is_held = || {
            let held = self.held.lock().unwrap();
            held.windows(text.len()).any(|window| window == text.as_bytes()).then_some(())
        };
        wait_for(&format!("{text} at the gate"), LONG, || async { is_held() }).await;
    }

    async fn carry(self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let (mut shut, mut buffer) = (self.shut.subscribe(), vec![0; 64 << 10]);
        loop {
            let is_shut = *shut.borrow_and_update();
            let waiting = std::mem::take(&mut *self.held.lock().unwrap());
            if !is_shut && to.write_all(&waiting).await.is_err() {
                return;
            }
            if is_shut {
                self.held.lock().unwrap().extend(waiting);
            }
            tokio::select! {
                biased;
                changed = shut.changed() => if changed.is_err() { return },
                read = from.read(&mut buffer) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(count) => self.held.lock().unwrap().extend_from_slice(&buffer[..count]),
                },
            }
        }
    }
}
