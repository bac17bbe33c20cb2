//! Settings of the HTTP door.
use super::list;
use serde::Deserialize;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Loopback unless set. Elsewhere a request needs a key.
    pub listen: SocketAddr,
    /// Names and addresses that a door on loopback is reached by beside `localhost`, such as a proxy's.
    #[serde(deserialize_with = "list::list")]
    pub hosts: Vec<String>,
    /// A JSON body, in bytes. Streamed JSONL bodies are bounded by `intake.input_bytes_max`.
    pub json_bytes_max: usize,
    /// How long `POST /v1/chat/completions` and its like wait for their answer, in seconds.
    pub answer_s: u64,
    /// Whether a request needs a key.
    pub auth: Auth,
    /// Connections from one address at once, of IPv6 from one network of 64 bits; 0: a share of all that there may be, so
    /// that no address takes what others need, and no bound for this machine's own, such as a proxy's.
    pub connections_per_address: usize,
    /// Origins whose pages may call this door, such as `https://app.example`. None: those of no other site.
    #[serde(deserialize_with = "list::list")]
    pub cors_origins: Vec<String>,
    /// The door speaks HTTPS alone where it is given.
    pub tls: Option<HttpTls>,
}

/// Files in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpTls {
    /// The certificate, and those between it and its authority.
    pub cert: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// Unless the door listens on loopback alone.
    #[default]
    Auto,
    Required,
    /// Keys are not even looked at.
    Off,
}

impl Default for Http {
    fn default() -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 8800));
        Self {
            listen,
            hosts: Vec::new(),
            json_bytes_max: 8 << 20,
            answer_s: 600,
            auth: Auth::Auto,
            connections_per_address: 0,
            cors_origins: Vec::new(),
            tls: None,
        }
    }
}
