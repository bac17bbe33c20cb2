//! A TCP proxy that can be cut: what goes through it is dropped, and who comes is turned away.
use std::{io, time::Duration};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// A node's link to the world.
pub struct Gate(watch::Sender<bool>);

impl Gate {
    pub fn open() -> Self {
        Self(watch::channel(true).0)
    }

    pub fn cut(&self) {
        self.0.send_replace(false);
    }

    pub fn heal(&self) {
        self.0.send_replace(true);
    }

    fn watch(&self) -> Watch {
        self.0.subscribe()
    }
}

type Watch = watch::Receiver<bool>;

pub struct Proxy {
    pub port: u16,
    task: JoinHandle<()>,
}

impl Proxy {
    /// To a port of this machine, as long as all gates are open.
    pub async fn to(target: u16, gates: &[&Gate]) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let gates: Vec<Watch> = gates.iter().map(|gate| gate.watch()).collect();
        Ok(Self { port, task: tokio::spawn(serve(listener, target, gates)) })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, target: u16, gates: Vec<Watch>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        if is_open(&gates) {
            tokio::spawn(pass(client, target, gates.clone()));
        }
    }
}

async fn pass(mut client: TcpStream, target: u16, mut gates: Vec<Watch>) {
    let through = async {
        let server = TcpStream::connect(("127.0.0.1", target));
        let Ok(Ok(mut server)) = tokio::time::timeout(CONNECT_WITHIN, server).await else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let _ = copy_bidirectional(&mut client, &mut server).await;
    };
    tokio::select! {
        () = through => {}
        () = cut(&mut gates) => {}
    }
}

fn is_open(gates: &[Watch]) -> bool {
    gates.iter().all(|gate| *gate.borrow())
}

/// Resolves when one of the gates is cut.
async fn cut(gates: &mut [Watch]) {
    let waits = gates.iter_mut().map(|gate| {
        Box::pin(async move {
            if gate.wait_for(|open| !open).await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    });
    futures::future::select_all(waits).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn echo() -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = socket.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        port
    }

    async fn ask(port: u16) -> io::Result<TcpStream> {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
        socket.write_all(b"x").await?;
        socket.read_u8().await?;
        Ok(socket)
    }

    #[tokio::test]
    async fn a_cut_drops_what_goes_through_and_turns_away_who_comes() {
        let (one, other) = (Gate::open(), Gate::open());
        let proxy = Proxy::to(echo().await, &[&one, &other]).await.unwrap();
        let mut socket = ask(proxy.port).await.unwrap();
        other.cut();
        assert_eq!(socket.read(&mut [0]).await.unwrap_or(0), 0);
        assert!(ask(proxy.port).await.is_err());
        other.heal();
        assert!(ask(proxy.port).await.is_ok());
    }
}
