//! What the tests share: a set-up of processes, the requests and their right answers, and the log as NATS holds it.
mod ask;
mod disk;
mod http;
mod llama;
mod log;
mod no_delete;
mod odd;
mod plan;
mod s3;
mod stand;

pub use ask::{Ask, answers_in, asks, echoes, jsonl, lines, split_in};
pub use disk::Disk;
pub use http::{Answer, Http, answer};
pub use llama::Llama;
pub use log::{Log, message_count, subjects};
pub use no_delete::NoDelete;
pub use odd::{Fault, Odd};
pub use plan::{Plan, Remote, is_echo};
pub use s3::{KEY, S3, SECRET};
pub use stand::{Stand, assert_counts, completed, room};

use std::{path::PathBuf, time::Duration};

/// The longest that anything here may take on a slow, busy machine. A test that passes waits for far less.
pub const LONG: Duration = Duration::from_secs(180);
/// The model and the pool that all requests name.
pub const MODEL: &str = "tiny";

/// The repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// What a test may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Nats,
    Jaeger,
    S3,
    Curl,
    /// llama.cpp's server.
    Llama,
    /// OpenAI's own client.
    Openai,
    /// What holds a door against its document.
    Schemathesis,
    /// What renders a chart, and what holds it against Kubernetes.
    Helm,
    Kube,
    /// A browser, and what drives it.
    Page,
    /// What checks alert rules.
    Promtool,
    /// What checks units.
    Systemd,
    /// The bundled model.
    Model,
    /// To mount a file system.
    Mount,
}

impl Need {
    const ALL: [(&str, Self); 14] = [
        ("nats", Self::Nats),
        ("jaeger", Self::Jaeger),
        ("s3", Self::S3),
        ("curl", Self::Curl),
        ("llama", Self::Llama),
        ("openai", Self::Openai),
        ("schemathesis", Self::Schemathesis),
        ("helm", Self::Helm),
        ("kube", Self::Kube),
        ("page", Self::Page),
        ("promtool", Self::Promtool),
        ("systemd", Self::Systemd),
        ("model", Self::Model),
        ("mount", Self::Mount),
    ];

    /// Those of a list such as `nats,s3`.
    fn list(text: &str) -> Vec<Self> {
        let need = |name: &str| {
            let found = Self::ALL.iter().find(|(known, _)| *known == name);
            found.unwrap_or_else(|| panic!("JETBATCH_TEST_REQUIRE: no test needs '{name}'")).1
        };
        text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(need).collect()
    }
}

/// A test that lacks what it needs says so on its own lines, also where output is captured. Where the environment's
/// JETBATCH_TEST_REQUIRE lists that, it fails.
pub fn skip(need: Need, what: &str, why: &str) {
    use std::io::Write;
    let required = Need::list(&std::env::var("JETBATCH_TEST_REQUIRE").unwrap_or_default());
    assert!(!required.contains(&need), "{what}: {why}, and JETBATCH_TEST_REQUIRE wants it");
    let _ = writeln!(std::io::stderr(), "\n*** SKIPPED: {what}: {why} ***\n");
}

#[test]
fn what_is_required_is_known() {
    assert_eq!(Need::list(" nats, s3,"), [Need::Nats, Need::S3]);
    assert_eq!(Need::list(""), []);
    assert!(std::panic::catch_unwind(|| Need::list("natz")).is_err());
}
