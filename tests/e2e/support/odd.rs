//! A door before a server of an engine that is out of order now and then.
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What it does instead of letting a call through.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Status, headers with their line ends, body.
    Says(u16, &'static str, &'static str),
    /// Half of the server's answer.
    Half,
    /// Nothing at all.
    Closes,
}

/// Each of its answers is the last on its connection, whatever the headers say. Dropped, it closes.
pub struct Odd {
    pub url: String,
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

struct Inner {
    to: String,
    /// What befalls a call, and each how many-th.
    faults: Mutex<Vec<(usize, Fault)>>,
    calls: AtomicUsize,
}

impl Odd {
    pub async fn before(url: &str) -> Self {
        let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (faults, calls) = Default::default();
        let inner = Arc::new(Inner { to: url.trim_start_matches("http://").to_owned(), faults, calls });
        let (url, serving) = (format!("http://{}", door.local_addr().unwrap()), inner.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = door.accept().await {
                tokio::spawn(pass(serving.clone(), client));
            }
        });
        Self { url, inner, task }
    }

    /// From now on: every so many-th call meets its fault.
    pub fn now(&self, faults: &[(usize, Fault)]) {
        *self.inner.faults.lock().unwrap() = faults.to_vec();
    }

    pub fn calls(&self) -> usize {
        self.inner.calls.load(Ordering::Relaxed)
    }
}

impl Drop for Odd {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(inner: Arc<Inner>, mut client: TcpStream) -> Option<()> {
    let ask = request(&mut client).await?;
    let fault = if ask.starts_with(b"POST") { inner.next() } else { None };
    match fault {
        Some(Fault::Closes) => None,
        Some(Fault::Says(status, headers, body)) => {
            let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}");
            client.write_all(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await.ok()
        }
        fault => {
            let mut server = TcpStream::connect(&inner.to).await.ok()?;
            server.write_all(&last(&ask)).await.ok()?;
            let mut answer = Vec::new();
            relay(&mut server, &mut client, matches!(fault, Some(Fault::Half)), &mut answer).await
        }
    }
}

/// As it comes, so that a caller who leaves is noticed; half of it only when all is there.
async fn relay(server: &mut TcpStream, client: &mut TcpStream, half: bool, answer: &mut Vec<u8>) -> Option<()> {
    let (mut block, mut gone) = (vec![0; 16 << 10], [0; 1]);
    loop {
        tokio::select! {
            n = server.read(&mut block) => {
                let n = n.ok()?;
                match (n, half) {
                    (0, true) => return client.write_all(&answer[..answer.len() / 2]).await.ok(),
                    (0, false) => return Some(()),
                    (n, true) => answer.extend_from_slice(&block[..n]),
                    (n, false) => client.write_all(&block[..n]).await.ok()?,
                }
            }
            n = client.read(&mut gone) => if n.ok()? == 0 { return None },
        }
    }
}

async fn request(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut ask = Vec::new();
    loop {
        if client.read_buf(&mut ask).await.ok()? == 0 {
            return None;
        }
        let Some(end) = ask.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&ask[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if ask.len() >= end + 4 + length.unwrap_or(0) {
            return Some(ask);
        }
    }
}

/// The server is to end the connection with its answer.
fn last(ask: &[u8]) -> Vec<u8> {
    let line = ask.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    [&ask[..line], b"connection: close\r\n", &ask[line..]].concat()
}

impl Inner {
    fn next(&self) -> Option<Fault> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let faults = self.faults.lock().unwrap();
        faults.iter().find(|(every, _)| number.is_multiple_of(*every)).map(|(_, fault)| fault.clone())
    }
}
