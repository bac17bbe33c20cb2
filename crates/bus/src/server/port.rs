//! Which port a server takes. The folder's own of the last time, so that its address stays; for a fresh folder the one
//! that the `nats` command tries by itself; any other where that is taken. Another installation, or another NATS, may
//! have either: it is left alone.
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

const NOTE: &str = "port";
/// On loopback a port that nobody has refuses at once.
const REFUSED_WITHIN: Duration = Duration::from_millis(200);

/// None: any that is free.
pub fn choose(dir: &Path, usual: u16) -> Option<u16> {
    let last = fs::read_to_string(dir.join(NOTE)).ok().and_then(|text| text.trim().parse().ok());
    last.into_iter().chain([usual]).find(|port| *port != 0 && is_free(*port))
}

/// For the next start.
pub fn note(dir: &Path, port: u16) -> io::Result<()> {
    fs::write(dir.join(NOTE), port.to_string())
}

/// Asked twice: some systems let one process listen on loopback beside another that listens everywhere.
pub fn is_free(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, REFUSED_WITHIN).is_err() && TcpListener::bind(address).is_ok()
}

pub fn url(port: u16) -> String {
    format!("nats://{}:{port}", Ipv4Addr::LOCALHOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken() -> (TcpListener, u16) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    #[test]
    fn the_last_port_goes_before_the_usual_one_and_none_is_taken_twice() {
        let dir = tempfile::tempdir().unwrap();
        let ((last_held, last), (usual_held, usual)) = (taken(), taken());
        assert_eq!(choose(dir.path(), usual), None);
        drop(usual_held);
        assert_eq!(choose(dir.path(), usual), Some(usual));
        assert_eq!(choose(dir.path(), 0), None);
        note(dir.path(), last).unwrap();
        assert_eq!(choose(dir.path(), usual), Some(usual));
        drop(last_held);
        assert_eq!(choose(dir.path(), usual), Some(last));
    }
}
