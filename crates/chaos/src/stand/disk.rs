//! The disk under the store: a small file system of this process's own, so that it can be full without anyone else
//! being short of room. It goes with the process, however that ends.
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
    sys::statvfs::statvfs,
    unistd::{Gid, Uid},
};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Room enough for any run; it takes memory only as it is used.
const SIZE: &str = "size=12g";

const MARGIN_BYTES: u64 = 64 << 10;

pub struct Disk {
    dir: PathBuf,
    is_own: bool,
}

/// Leaves the mounts of the machine for a copy of its own. To be called before there is a second thread.
pub fn own_mounts() -> bool {
    let (uid, gid) = (Uid::current(), Gid::current());
    let alone = unshare(CloneFlags::CLONE_NEWNS)
        .or_else(|_| unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).and_then(|()| stay(uid, gid)));
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    alone.and_then(|()| mount(None::<&str>, "/", None::<&str>, private, None::<&str>)).is_ok()
}

/// The same user in the new namespace as outside.
fn stay(uid: Uid, gid: Gid) -> nix::Result<()> {
    let write = |name: &str, text: String| {
        fs::write(format!("/proc/self/{name}"), text)
            .map_err(|error| nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or_default()))
    };
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("{uid} {uid} 1"))?;
    write("gid_map", format!("{gid} {gid} 1"))
}

impl Disk {
    /// With a file system of its own where `own_mounts` could be had.
    pub fn open(dir: &Path, has_mounts: bool) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let is_own = has_mounts && mount(Some("tmpfs"), dir, Some("tmpfs"), MsFlags::empty(), Some(SIZE)).is_ok();
        let disk = Self { dir: dir.to_owned(), is_own };
        fs::create_dir_all(disk.store())?;
        Ok(disk)
    }

    pub fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// Leaves no room. False where the disk is not its own.
    pub fn fill(&self) -> bool {
        // It cannot be made smaller than what it holds, and that grows meanwhile.
        self.is_own && (1..=8).any(|margin| self.shrink(margin * MARGIN_BYTES)) && self.stuff().is_ok()
    }

    pub fn free(&self) {
        if self.is_own {
            self.resize(SIZE);
            let _ = fs::remove_file(self.filler());
        }
    }

    fn shrink(&self, margin: u64) -> bool {
        let Ok(now) = statvfs(&self.dir) else { return false };
        let used = (now.blocks() - now.blocks_free()) * now.fragment_size();
        self.resize(&format!("size={}", used + margin))
    }

    /// Takes what room is left.
    fn stuff(&self) -> io::Result<()> {
        let mut filler = fs::File::create(self.filler())?;
        while filler.write_all(&[0; 4_096]).is_ok() {}
        Ok(())
    }

    fn filler(&self) -> PathBuf {
        self.dir.join("filler")
    }

    /// Puts a file in the store's place: nothing can be read or written.
    pub fn lose(&self) -> io::Result<()> {
        fs::rename(self.store(), self.away())?;
        fs::write(self.store(), b"")
    }

    pub fn find(&self) -> io::Result<()> {
        if self.away().exists() {
            fs::remove_file(self.store())?;
            fs::rename(self.away(), self.store())?;
        }
        Ok(())
    }

    fn away(&self) -> PathBuf {
        self.dir.join("store.away")
    }

    fn resize(&self, size: &str) -> bool {
        let flags = MsFlags::MS_REMOUNT;
        mount(Some("tmpfs"), &self.dir, Some("tmpfs"), flags, Some(size)).is_ok()
    }
}

/// The folder around it can be removed then.
impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_own {
            let _ = umount2(&self.dir, MntFlags::MNT_DETACH);
        }
    }
}
