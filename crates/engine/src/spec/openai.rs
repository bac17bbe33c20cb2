//! What a server elsewhere takes.
use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::Check;

/// An engine of kind `openai`: servers that speak OpenAI's HTTP, such as vLLM, llama.cpp's server, SGLang or a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Openai {
    /// `http://host:port`, or as far as `/v1`. All of them serve the same models.
    pub base_urls: Vec<String>,
    /// The model's name there, in place of the request's own. Default: the request's own; where it names none, the model
    /// that the server lists, if that is one.
    pub model: Option<String>,
    /// The environment variable that holds the key. Default: none is sent.
    pub api_key_env: Option<String>,
    /// Sent along with every request.
    pub headers: BTreeMap<String, String>,
    /// PEM file of the authority that signed the servers' certificates, beside the system's.
    pub ca: Option<PathBuf>,
    /// Calls at once at each server. Default: `auto`.
    pub slots: Slots,
    /// The most that `auto` comes to. Default: 256.
    pub slots_max: Option<usize>,
    /// Default: `auto`.
    pub stream: Stream,
    /// The longest that one call may take, s. Default: 600.
    pub call_seconds_max: Option<u64>,
    /// Default: `off`.
    pub check: Check,
}

impl Openai {
    /// One server with every default.
    pub fn at(base_url: impl Into<String>) -> Self {
        Self {
            base_urls: vec![base_url.into()],
            model: None,
            api_key_env: None,
            headers: BTreeMap::new(),
            ca: None,
            slots: Slots::Auto,
            slots_max: None,
            stream: Stream::default(),
            call_seconds_max: None,
            check: Check::default(),
        }
    }
}

/// A number, or `auto`: as many as make the server fastest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Slots {
    #[default]
    Auto,
    Fixed(usize),
}

/// Whether answers are streamed between server and worker; they come whole into the output in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Where a server would not notice otherwise that nobody waits for an answer any more (llama.cpp's).
    #[default]
    Auto,
    On,
    Off,
}
