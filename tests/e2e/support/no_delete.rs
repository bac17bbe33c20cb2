//! A door before an S3 server that lets everything through but deletions, as a bucket's policy would.
use testkit::nats::free_port;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

const XML: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: ";

/// Dropped, it closes.
pub struct NoDelete {
    pub port: u16,
    task: JoinHandle<()>,
}

impl NoDelete {
    pub async fn before(to: u16) -> Self {
        let port = free_port();
        let door = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = door.accept().await {
                tokio::spawn(pass(client, to));
            }
        });
        Self { port, task }
    }
}

impl Drop for NoDelete {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client asks again only when it was answered, so a request begins where a read does.
async fn pass(mut client: TcpStream, to: u16) -> Option<()> {
    let mut server = TcpStream::connect(("127.0.0.1", to)).await.ok()?;
    let (mut asked, mut answered) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            n = client.read(&mut asked) => {
                let ask = &asked[..n.ok().filter(|n| *n > 0)?];
                if is_deletion(ask) {
                    return refuse(client, ask.to_vec()).await;
                }
                server.write_all(ask).await.ok()?;
            }
            n = server.read(&mut answered) => {
                client.write_all(&answered[..n.ok().filter(|n| *n > 0)?]).await.ok()?;
            }
        }
    }
}

fn is_deletion(ask: &[u8]) -> bool {
    let line = String::from_utf8_lossy(ask.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
    line.starts_with("POST ") && line.contains("?delete") || (line.starts_with("DELETE ") && !line.contains("uploadId"))
}

/// In the way of S3: the request as a whole succeeds, and of each object it is said that it may not be deleted.
async fn refuse(mut client: TcpStream, mut ask: Vec<u8>) -> Option<()> {
    let mut more = vec![0; 64 << 10];
    while !String::from_utf8_lossy(&ask).contains("</Delete>") {
        let n = client.read(&mut more).await.ok().filter(|n| *n > 0)?;
        ask.extend_from_slice(&more[..n]);
    }
    let text = String::from_utf8_lossy(&ask).into_owned();
    let keys = text.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
    let errors: String = keys
        .map(|key| format!("<Error><Key>{key}</Key><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"))
        .collect();
    let body = format!("<DeleteResult>{errors}</DeleteResult>");
    client.write_all(format!("{XML}{}\r\n\r\n{body}", body.len()).as_bytes()).await.ok()
}
