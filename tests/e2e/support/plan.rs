//! The configuration that a test runs with.
use super::{MODEL, Stand, root};
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

pub struct Plan {
    pools: String,
    tables: String,
    nats: String,
    env: Vec<(String, String)>,
    secrets: Vec<(String, String)>,
    remote: Option<Remote>,
    pub(super) descriptors: Option<u32>,
    pub(super) is_hard: bool,
    pub(super) workers: usize,
    pub(super) is_heavy: bool,
    pub(super) is_cluster: bool,
}

/// A store that is no folder, a prefix of URLs that jobs may name as input, and where the objects lie after all.
pub struct Remote {
    pub url: String,
    pub inputs: String,
    pub objects: PathBuf,
}

impl Plan {
    /// One worker with the bundled model; with the echo engine where `JETBATCH_TEST_ENGINE` says so.
    pub fn tiny() -> Self {
        if is_echo() {
            return Self { is_heavy: true, ..Self::echo("delay_ms = 40", 8) };
        }
        let folder = root().join("models/tiny");
        let engine =
            format!("[pools.{MODEL}.engine]\nkind = 'mistralrs'\ndevice = 'cpu'\nmodel = {{ folder = {folder:?} }}\n");
        Self { is_heavy: true, ..Self::of(engine) }
    }

    /// One worker with an echo engine that does what the TOML of `echo` says, with `slots` slots and as many requests
    /// in a chunk.
    pub fn echo(echo: &str, slots: u32) -> Self {
        Self::of(format!(
            "[pools.{MODEL}]\nchunk_requests = {slots}\n[pools.{MODEL}.engine]\nkind = 'echo'\nslots = {slots}\necho = {{ {echo} }}\n"
        ))
    }

    /// One worker with these pools, as TOML.
    pub fn pools(pools: String) -> Self {
        Self { is_heavy: true, ..Self::of(pools) }
    }

    fn of(pools: String) -> Self {
        let (tables, nats, env, secrets) = Default::default();
        Self {
            pools,
            tables,
            nats,
            env,
            secrets,
            remote: None,
            descriptors: None,
            is_hard: false,
            workers: 1,
            is_heavy: false,
            is_cluster: false,
        }
    }

    /// Three servers hold three copies of each stream.
    pub fn cluster(self) -> Self {
        Self { is_cluster: true, is_heavy: true, ..self }.nats("replicas = 3")
    }

    pub fn workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// Adds tables to the configuration.
    pub fn with(mut self, tables: &str) -> Self {
        writeln!(self.tables, "{tables}").unwrap();
        self
    }

    /// Adds settings to the table `[nats]`.
    pub fn nats(mut self, settings: &str) -> Self {
        writeln!(self.nats, "{settings}").unwrap();
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A variable in the environment of the head alone.
    pub fn secret(mut self, name: &str, value: &str) -> Self {
        self.secrets.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The head begins with no more open files than these, as many systems have it.
    pub fn descriptors(self, count: u32) -> Self {
        Self { descriptors: Some(count), ..self }
    }

    /// Nor can it ask for more.
    pub fn no_more_descriptors(self, count: u32) -> Self {
        Self { descriptors: Some(count), is_hard: true, ..self }
    }

    pub fn remote(self, remote: Remote) -> Self {
        Self { remote: Some(remote), ..self }
    }

    pub async fn start(self) -> Stand {
        Stand::start(self).await
    }

    pub(super) fn vars(&self) -> Vec<(String, String)> {
        self.env.clone()
    }

    pub(super) fn head_vars(&self) -> Vec<(String, String)> {
        [self.env.as_slice(), &self.secrets].concat()
    }

    /// Where the objects of the store lie.
    pub(super) fn objects(&self, dir: &Path) -> PathBuf {
        self.remote.as_ref().map_or_else(|| dir.join("store"), |remote| remote.objects.clone())
    }

    /// Short times, so that what comes back after a crash comes back soon.
    pub(super) fn toml(&self, nats: &str, dir: &Path) -> String {
        let inputs = dir.join("inputs");
        let (store, urls) = match &self.remote {
            Some(remote) => (PathBuf::from(&remote.url), vec![&remote.inputs]),
            None => (dir.join("store"), Vec::new()),
        };
        let Self { pools, tables, nats: more, .. } = self;
        format!(
            "[nats]\nurl = '{nats}'\nack_wait_s = 3\n{more}[store]\nurl = {store:?}\nfsync = false\n[http]\nlisten = '127.0.0.1:0'\n\
             [intake]\nfile_roots = [{inputs:?}]\nurl_prefixes = {urls:?}\n[scheduler]\nreconcile_s = 1\n[worker]\ndrain_s = 5\n{pools}{tables}"
        )
    }
}

/// Whether the echo engine stands in for the bundled model.
pub fn is_echo() -> bool {
    std::env::var("JETBATCH_TEST_ENGINE").is_ok_and(|engine| engine == "echo")
}
