//! Whom a request was meant for. The door on loopback asks for no key, and a page of another site whose name resolves
//! to 127.0.0.1 is no foreign one for its reader's browser; what gives it away is the name that it asks for.
use super::error::Rejection;
use api::ErrorCode;
use axum::http::{HeaderMap, Uri, Version, header::HOST};
use std::net::{IpAddr, SocketAddr};

/// The names that a door answers to.
#[derive(Debug, Default)]
pub struct Names {
    /// None: a door that others reach answers to every name.
    own: Option<Vec<String>>,
}

impl Names {
    pub fn new(listen: SocketAddr, hosts: &[String]) -> Self {
        let own = listen.ip().is_loopback().then(|| hosts.iter().map(|host| name(host).to_ascii_lowercase()).collect());
        Self { own }
    }

    pub fn check(&self, version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), Rejection> {
        let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
        match headers.get_all(HOST).iter().count() {
            0 if version >= Version::HTTP_11 && authority.is_none() => {
                return Err(Rejection::invalid("it is missing").param("Host"));
            }
            0 | 1 => {}
            // Two who look at it may look at different ones.
            _ => return Err(Rejection::invalid("it is given twice").param("Host")),
        }
        let Some(own) = &self.own else { return Ok(()) };
        let asked = authority.or_else(|| headers.get(HOST).map(|host| host.as_bytes()));
        // Only a client of before HTTP/1.1 names none, and no browser is one.
        let Some(asked) = asked else { return Ok(()) };
        let asked = String::from_utf8_lossy(asked).to_ascii_lowercase();
        let asked = name(&asked);
        if is_loopback(asked) || own.iter().any(|own| own == asked) {
            return Ok(());
        }
        let why = format!("this door is not '{asked}'; list the names that it is reached by in http.hosts");
        Err(Rejection::new(ErrorCode::Misdirected, why).param("Host"))
    }
}

/// Without its port.
fn name(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None if host.matches(':').count() > 1 => host,
        None => host.split(':').next().unwrap_or_default(),
    }
}

fn is_loopback(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_taken(listen: &str, host: &str) -> bool {
        let names = Names::new(listen.parse().unwrap(), &["Box.Local:80".to_owned(), "10.0.0.7".to_owned()]);
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        names.check(Version::HTTP_10, &Uri::from_static("/jobs"), &headers).is_ok()
    }

    #[test]
    fn a_door_on_loopback_answers_to_loopback_and_its_names() {
        for host in [
            "localhost",
            "LOCALHOST:8800",
            "127.0.0.1:8800",
            "127.1.2.3",
            "[::1]:8800",
            "a.localhost",
            "box.local",
            "10.0.0.7:1",
        ] {
            assert!(is_taken("127.0.0.1:8800", host), "{host}");
        }
        for host in
            ["evil.example", "evil.example:8800", "127.0.0.1.evil.example", "10.0.0.8", "0.0.0.0:8800", "", "[::2]"]
        {
            assert!(!is_taken("127.0.0.1:8800", host), "{host}");
            assert!(!is_taken("[::1]:8800", host), "{host}");
            assert!(is_taken("0.0.0.0:8800", host), "{host}");
        }
        let twice = HeaderMap::from_iter(["localhost", "evil.example"].map(|host| (HOST, host.parse().unwrap())));
        for listen in ["127.0.0.1:1", "0.0.0.0:1"] {
            let names = Names::new(listen.parse().unwrap(), &[]);
            assert!(
                names.check(Version::HTTP_10, &Uri::from_static("/jobs"), &twice).is_err(),
                "{listen}: whom it was meant for"
            );
        }
        let names = Names::new("127.0.0.1:1".parse().unwrap(), &[]);
        assert!(
            names.check(Version::HTTP_10, &Uri::from_static("http://evil.example/jobs"), &HeaderMap::new()).is_err()
        );
        assert!(names.check(Version::HTTP_10, &Uri::from_static("/jobs"), &HeaderMap::new()).is_ok());
        assert!(names.check(Version::HTTP_11, &Uri::from_static("/jobs"), &HeaderMap::new()).is_err());
    }
}
