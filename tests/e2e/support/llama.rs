//! llama.cpp's own server with the bundled model.
use super::{LONG, Need, root, skip};
use std::{ffi::OsString, path::PathBuf, time::Duration};
use tempfile::TempDir;
use testkit::{
    nats::free_port,
    process::{Jetbatch, Start},
    wait_for,
};

/// Dropped, it is killed.
pub struct Llama {
    pub url: String,
    port: u16,
    slots: u32,
    more: &'static [&'static str],
    python: OsString,
    process: Jetbatch,
    dir: TempDir,
}

impl Llama {
    /// None, and a line that says so, where there is none.
    pub async fn start(test: &str, slots: u32) -> Option<Self> {
        Self::with(test, slots, &[]).await
    }

    /// One that makes embeddings, too.
    pub async fn embedding(test: &str, slots: u32) -> Option<Self> {
        Self::with(test, slots, &["embeddings"]).await
    }

    async fn with(test: &str, slots: u32, more: &'static [&'static str]) -> Option<Self> {
        let Some(python) = std::env::var_os("JETBATCH_TEST_LLAMA") else {
            let why = "JETBATCH_TEST_LLAMA names no Python with llama.cpp; sh tests/tools/build.sh llama makes one";
            skip(Need::Llama, test, why);
            return None;
        };
        let (dir, port) = (TempDir::with_prefix("jetbatch-llama-").unwrap(), free_port());
        let model =
            Start::new(&python).arg(tool("model.py")).arg(root().join("models/tiny")).arg(dir.path().join("tiny.gguf"));
        assert!(model.spawn().exit(LONG).await.success());
        let process = serve(&python, &dir, port, slots, more);
        let llama = Self { url: format!("http://127.0.0.1:{port}"), port, slots, more, python, process, dir };
        llama.ready().await;
        Some(llama)
    }

    pub async fn ready(&self) {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build().unwrap();
        let url = format!("{}/health", self.url);
        let healthy = || async { client.get(&url).send().await.ok().filter(|answer| answer.status() == 200) };
        wait_for("llama.cpp's server", LONG, healthy).await;
    }

    pub async fn kill9(&mut self) {
        self.process.kill9().await;
    }

    /// The same again, in the same place, where it was killed.
    pub async fn again(&mut self) {
        self.process = serve(&self.python, &self.dir, self.port, self.slots, self.more);
        self.ready().await;
    }

    pub fn pause(&self) {
        self.process.pause();
    }

    pub fn resume(&self) {
        self.process.resume();
    }
}

fn serve(python: &OsString, dir: &TempDir, port: u16, slots: u32, more: &[&str]) -> Jetbatch {
    let args = [port.to_string(), slots.to_string()];
    Start::new(python).arg(tool("serve.py")).arg(dir.path().join("tiny.gguf")).args(args).args(more).spawn()
}

fn tool(name: &str) -> PathBuf {
    root().join("tests/tools/llama").join(name)
}
