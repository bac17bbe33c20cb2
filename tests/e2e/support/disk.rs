//! A file system that is small and can be filled.
use super::{Need, Plan, Remote, skip};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// Dropped, it is taken away.
pub struct Disk {
    dir: TempDir,
}

impl Disk {
    /// None, and a line that says so, where nothing may be mounted.
    pub fn mount(test: &str, mib: usize) -> Option<Self> {
        let dir = TempDir::with_prefix("jetbatch-disk-").unwrap();
        let size = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path()).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            skip(Need::Mount, test, "a small disk can be mounted by root alone");
            return None;
        }
        Some(Self { dir })
    }

    /// A plan whose store lies on it.
    pub fn plan(&self, plan: Plan) -> Plan {
        let objects = self.dir.path().join("store");
        plan.remote(Remote { url: objects.display().to_string(), inputs: "s3://none/".to_owned(), objects })
    }

    /// Leaves so many bytes free, about.
    pub fn fill(&self, free: u64) {
        self.clear();
        let ballast = self.dir.path().join("ballast");
        let mut blocks = 0;
        let block = vec![7_u8; 4 << 10];
        let mut file = fs::File::create(&ballast).unwrap();
        while std::io::Write::write_all(&mut file, &block).is_ok() {
            blocks += 1;
        }
        file.set_len((blocks * block.len() as u64).saturating_sub(free)).unwrap();
    }

    pub fn clear(&self) {
        let _ = fs::remove_file(self.dir.path().join("ballast"));
    }

    /// All files of the store, also those that are being written.
    pub fn files(&self) -> Vec<PathBuf> {
        fn under(dir: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() { under(&path, found) } else { found.push(path) }
            }
        }
        let mut found = Vec::new();
        under(&self.dir.path().join("store"), &mut found);
        found
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.dir.path()).status();
    }
}
