//! How many copies of a model a CPU gets where nobody says.
use std::{fs, thread};

/// All copies together take at most this part of the machine's memory: 1 of so many.
const MEMORY_SHARE: u64 = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    Given(usize),
    /// One for each core, as far as the memory goes.
    Fitting,
}

impl Copies {
    /// `first`: the bytes that the first copy took, where they are known.
    pub fn count(self, first: Option<u64>) -> usize {
        match (self, first, machine()) {
            (Self::Given(count), ..) => count,
            (Self::Fitting, Some(first), Some(machine)) => fitting(cores(), first, machine),
            (Self::Fitting, ..) => 1,
        }
    }
}

fn fitting(cores: usize, copy: u64, machine: u64) -> usize {
    let room = machine / MEMORY_SHARE / copy.max(1);
    cores.min(usize::try_from(room).unwrap_or(usize::MAX)).max(1)
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Bytes that this process has written to and holds, where the system tells.
pub fn used() -> Option<u64> {
    kib(&fs::read_to_string("/proc/self/status").ok()?, "RssAnon:")
}

/// Bytes of the machine, or of the container where that has fewer.
fn machine() -> Option<u64> {
    let all = kib(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")?;
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|limit| limit.trim().parse().ok());
    Some(limit.map_or(all, |limit: u64| limit.min(all)))
}

fn kib(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn each_core_gets_a_copy_while_they_are_an_eighth_of_the_memory() {
        for (cores, copy, machine, count) in
            [(2, GIB / 8, 24 * GIB, 2), (64, GIB / 8, 24 * GIB, 24), (64, 4 * GIB, 24 * GIB, 1), (8, 0, GIB, 8)]
        {
            assert_eq!(fitting(cores, copy, machine), count, "{cores} cores, {copy} of {machine} bytes");
        }
        assert_eq!(Copies::Given(7).count(None), 7);
        assert_eq!(Copies::Fitting.count(None), 1);
    }

    #[test]
    fn sizes_are_read_in_kib() {
        assert_eq!(kib("MemFree: 1 kB\nMemTotal:       24 kB\n", "MemTotal:"), Some(24 << 10));
        assert_eq!(kib("MemFree: 1 kB\n", "MemTotal:"), None);
        #[cfg(target_os = "linux")]
        assert!(used().unwrap() < machine().unwrap());
    }
}
