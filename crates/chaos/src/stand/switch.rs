//! A file that a worker's engine misbehaves by, as long as it is there.
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

pub struct Switch {
    name: &'static str,
    path: PathBuf,
}

impl Switch {
    pub const FOLDER: &'static str = "switches";

    /// Everything fails.
    pub fn fail(dir: &Path, worker: u8) -> Self {
        let path = dir.join(Self::FOLDER).join(format!("fail-{worker}"));
        Self { name: "JETBATCH__POOLS__CHAOS__ENGINE__ECHO__FAIL_WHILE", path }
    }

    /// Nothing is answered.
    pub fn hang(dir: &Path, worker: u8) -> Self {
        let path = dir.join(Self::FOLDER).join(format!("hang-{worker}"));
        Self { name: "JETBATCH__POOLS__CHAOS__ENGINE__ECHO__HANG_WHILE", path }
    }

    /// What tells the engine of it.
    pub fn env(self) -> (&'static str, String) {
        (self.name, self.path.display().to_string())
    }

    /// Puts it on for so long.
    pub async fn hold(&self, time: Duration) -> io::Result<()> {
        fs::write(&self.path, "")?;
        tokio::time::sleep(time).await;
        fs::remove_file(&self.path)
    }
}
