//! Peak memory and CPU time of a process, as Linux keeps them. Elsewhere there is none to read.
use std::{fs, time::Duration};

/// Of `/proc/<pid>/stat`: its times are in hundredths of a second (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// Sets this process's peak back to what it uses now, where the kernel allows it.
pub fn reset_peak() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// The most resident memory since the start or the last reset, in bytes.
pub fn peak() -> Option<u64> {
    high_water(&fs::read_to_string("/proc/self/status").ok()?)
}

pub fn peak_of(pid: u32) -> Option<u64> {
    high_water(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// The CPU time that a process has used, the kernel's work for it included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu(Duration);

impl Cpu {
    pub fn own() -> Option<Self> {
        Self::of(std::process::id())
    }

    pub fn of(pid: u32) -> Option<Self> {
        ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?).map(|ticks| Self(TICK * ticks))
    }

    pub fn since(self, before: Self) -> Duration {
        self.0.saturating_sub(before.0)
    }
}

/// User's and system's. The name before them stands in brackets, and may hold anything.
fn ticks(stat: &str) -> Option<u32> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).map(str::parse::<u32>);
    Some(fields.next()?.ok()? + fields.next()?.ok()?)
}

fn high_water(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_in_bytes() {
        assert_eq!(high_water("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n"), Some(2 << 20));
        assert_eq!(high_water("Name:\tx\n"), None);
    }

    #[test]
    fn the_time_is_of_user_and_system() {
        assert_eq!(ticks("7 (a ) b) S 1 7 7 0 -1 0 0 0 0 0 250 31 9 9 20 0 3"), Some(281));
        assert_eq!(ticks("7 (a"), None);
    }
}
