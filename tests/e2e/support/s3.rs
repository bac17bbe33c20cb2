//! A real S3 server with one bucket, which is a folder on disk.
use super::{LONG, Need, Plan, Remote, skip};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use testkit::{
    nats::free_port,
    process::{Jetbatch, Start},
    wait_for,
};

pub const KEY: &str = "jetbatch-e2e";
/// With signs that a URL or a shell would change.
pub const SECRET: &str = "never/shown+in/a+log";
const BUCKET: &str = "batches";
const PREFIX: &str = "some/prefix";

/// On a port that stays over restarts. Dropped, it is killed.
pub struct S3 {
    process: Jetbatch,
    binary: OsString,
    port: u16,
    dir: TempDir,
}

impl S3 {
    /// None, and a line that says so, where no server is named.
    pub async fn start(test: &str) -> Option<Self> {
        let Some(binary) = std::env::var_os("JETBATCH_TEST_S3") else {
            skip(Need::S3, test, "JETBATCH_TEST_S3 names no VersityGW; sh tests/tools/build.sh s3 makes one");
            return None;
        };
        let (dir, port) = (TempDir::with_prefix("jetbatch-s3-").unwrap(), free_port());
        fs::create_dir_all(dir.path().join("data").join(BUCKET)).unwrap();
        fs::create_dir(dir.path().join("meta")).unwrap();
        let s3 = Self { process: serve(&binary, port, dir.path()), binary, port, dir };
        s3.ready().await;
        Some(s3)
    }

    /// `kill -9`, and waits for the end.
    pub async fn kill(&mut self) {
        self.process.kill9().await;
    }

    /// It takes connections and answers none.
    pub fn freeze(&self) {
        self.process.pause();
    }

    pub fn thaw(&self) {
        self.process.resume();
    }

    /// Starts it again with what it holds.
    pub async fn restart(&mut self) {
        self.process = serve(&self.binary, self.port, self.dir.path());
        self.ready().await;
    }

    /// A plan whose store is in the bucket and whose inputs may be in its folder `in`. The keys are the head's alone.
    pub fn plan(&self, plan: Plan) -> Plan {
        self.plan_at(plan, self.port)
    }

    /// The same by way of another port.
    pub fn plan_at(&self, plan: Plan, port: u16) -> Plan {
        let url = format!("http://127.0.0.1:{port}");
        let options = format!("aws_endpoint = '{url}'\naws_allow_http = 'true'\naws_region = 'us-east-1'");
        let remote =
            Remote { url: format!("s3://{BUCKET}/{PREFIX}"), inputs: self.input(""), objects: self.path(PREFIX) };
        let plan = plan.remote(remote).with(&format!("[store.options]\n{options}")).env("NO_PROXY", "127.0.0.1");
        plan.secret("AWS_ACCESS_KEY_ID", KEY).secret("AWS_SECRET_ACCESS_KEY", SECRET)
    }

    /// Lays an input into the bucket.
    pub fn put(&self, name: &str, text: &str) {
        self.put_bytes(name, text.as_bytes());
    }

    /// The same of what is no text, in folders of its own.
    pub fn put_bytes(&self, name: &str, bytes: &[u8]) {
        let path = self.path("in").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// The URL of an input in the bucket.
    pub fn input(&self, name: &str) -> String {
        format!("s3://{BUCKET}/in/{name}")
    }

    /// An object as it lies on disk.
    pub fn path(&self, key: &str) -> PathBuf {
        self.dir.path().join("data").join(BUCKET).join(key)
    }

    /// The lines of its access log that tell of an object.
    pub fn asked(&self, key: &str) -> Vec<String> {
        let said = self.process.stdout();
        said.lines().filter(|line| line.contains(key)).map(str::to_owned).collect()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    async fn ready(&self) {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
        wait_for("the S3 server", LONG, || async { client.get(self.url()).send().await.ok() }).await;
    }
}

/// What is known of an object lies in a folder beside it: not every file system takes extended attributes.
fn serve(binary: &OsString, port: u16, dir: &Path) -> Jetbatch {
    let start = Start::new(binary).env("ROOT_ACCESS_KEY", KEY).env("ROOT_SECRET_KEY", SECRET);
    let start = start.arg("--port").arg(format!("127.0.0.1:{port}")).args(["posix", "--sidecar"]);
    start.arg(dir.join("meta")).arg(dir.join("data")).spawn()
}
