//! The faults of a run: what is done to whom, when, and for how long.
use super::{Seconds, Spec};
use crate::seed::Seed;
use std::{collections::BTreeMap, fmt, str::FromStr};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Injection {
    pub number: u32,
    /// After the fault before it.
    pub after_ms: u64,
    pub kind: Kind,
    /// Until it is healed.
    pub hold_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// SIGKILL, and started again.
    Kill(Target),
    /// SIGSTOP, and SIGCONT.
    Freeze(Target),
    /// A NATS node loses its clients and its peers.
    Cut(u8),
    /// All NATS nodes are killed and started again.
    RestartAll,
    /// A stream that is a cache is deleted.
    Delete(Cache),
    /// The store's disk has no byte left.
    FillStore,
    /// The store cannot be reached.
    LoseStore,
    /// A stream has reached its `max_bytes`.
    FillStream(Cache),
    /// All that RESULTS holds is removed, by hand.
    PurgeResults,
    /// A worker's engine lives and misbehaves.
    Spoil(Ill, u8),
}

/// How an engine misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ill {
    /// It fails with everything, at once.
    Fails,
    /// It answers nothing.
    Hangs,
    /// It fails with everything, and is well, in turns.
    Flaps,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Worker(u8),
    Head(u8),
    Node(u8),
}

/// A stream that a fault is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    Work,
    Results,
    Status,
    Workers,
    Leases,
}

impl Cache {
    pub const fn stream(self) -> &'static str {
        match self {
            Self::Work => wire::stream::WORK.as_str(),
            Self::Results => wire::stream::RESULTS.as_str(),
            Self::Status => "KV_status",
            Self::Workers => "KV_workers",
            Self::Leases => "KV_leases",
        }
    }
}

/// What faults are counted and weighed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    KillWorker,
    KillHead,
    KillNode,
    FreezeWorker,
    FreezeHead,
    FreezeNode,
    CutNode,
    RestartAll,
    DeleteWork,
    DeleteStatus,
    DeleteWorkers,
    DeleteLeases,
    FillStore,
    LoseStore,
    FillWork,
    FillResults,
    PurgeResults,
    FailWorker,
    HangWorker,
    FlapWorker,
}

impl Sort {
    pub const ALL: [(Self, &'static str, u32); 20] = [
        (Self::KillWorker, "kill-worker", 20),
        (Self::KillHead, "kill-head", 20),
        (Self::KillNode, "kill-node", 12),
        (Self::FreezeWorker, "freeze-worker", 9),
        (Self::FreezeHead, "freeze-head", 9),
        (Self::FreezeNode, "freeze-node", 6),
        (Self::CutNode, "cut-node", 8),
        (Self::RestartAll, "restart-all", 3),
        (Self::DeleteWork, "delete-work", 3),
        (Self::DeleteStatus, "delete-status", 2),
        (Self::DeleteWorkers, "delete-workers", 1),
        (Self::DeleteLeases, "delete-leases", 1),
        (Self::FillStore, "fill-store", 2),
        (Self::LoseStore, "lose-store", 2),
        (Self::FillWork, "fill-work", 1),
        (Self::FillResults, "fill-results", 1),
        (Self::PurgeResults, "purge-results", 2),
        (Self::FailWorker, "fail-worker", 4),
        (Self::HangWorker, "hang-worker", 3),
        (Self::FlapWorker, "flap-worker", 3),
    ];

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(sort, ..)| *sort == self).map_or("", |(_, name, _)| name)
    }

    pub const fn is_kill(self) -> bool {
        matches!(self, Self::KillWorker | Self::KillHead | Self::KillNode)
    }

    /// How long it lasts, shortest and longest.
    const fn hold_ms(self) -> (u64, u64) {
        match self {
            Self::KillWorker | Self::KillHead | Self::KillNode => (100, 3_000),
            // Some longer than a worker may be silent.
            Self::FreezeWorker | Self::FreezeHead => (500, 8_000),
            // Long enough that its clients must see for themselves that it does not answer.
            Self::FreezeNode => (1_000, 15_000),
            Self::CutNode => (1_000, 6_000),
            Self::RestartAll => (0, 2_000),
            Self::DeleteWork | Self::DeleteStatus | Self::DeleteWorkers | Self::DeleteLeases | Self::PurgeResults => {
                (0, 0)
            }
            Self::FillStore | Self::LoseStore | Self::FillWork | Self::FillResults => (1_000, 5_000),
            Self::FailWorker | Self::HangWorker | Self::FlapWorker => (1_000, 12_000),
        }
    }

    fn kind(self, spec: &Spec, seed: &mut Seed) -> Kind {
        let mut one = |count: u8| seed.below(u64::from(count.max(1))) as u8;
        match self {
            Self::KillWorker => Kind::Kill(Target::Worker(one(spec.workers))),
            Self::KillHead => Kind::Kill(Target::Head(one(spec.heads))),
            Self::KillNode => Kind::Kill(Target::Node(one(spec.nodes))),
            Self::FreezeWorker => Kind::Freeze(Target::Worker(one(spec.workers))),
            Self::FreezeHead => Kind::Freeze(Target::Head(one(spec.heads))),
            Self::FreezeNode => Kind::Freeze(Target::Node(one(spec.nodes))),
            Self::CutNode => Kind::Cut(one(spec.nodes)),
            Self::RestartAll => Kind::RestartAll,
            Self::DeleteWork => Kind::Delete(Cache::Work),
            Self::DeleteStatus => Kind::Delete(Cache::Status),
            Self::DeleteWorkers => Kind::Delete(Cache::Workers),
            Self::DeleteLeases => Kind::Delete(Cache::Leases),
            Self::FillStore => Kind::FillStore,
            Self::LoseStore => Kind::LoseStore,
            Self::FillWork => Kind::FillStream(Cache::Work),
            Self::FillResults => Kind::FillStream(Cache::Results),
            Self::PurgeResults => Kind::PurgeResults,
            Self::FailWorker => Kind::Spoil(Ill::Fails, one(spec.workers)),
            Self::HangWorker => Kind::Spoil(Ill::Hangs, one(spec.workers)),
            Self::FlapWorker => Kind::Spoil(Ill::Flaps, one(spec.workers)),
        }
    }
}

impl Kind {
    /// Of so many workers, those whose deliveries may come again: the server hears no more of them, or not in time.
    pub const fn interrupted(self, workers: u8) -> u8 {
        match self {
            Self::Kill(Target::Worker(_)) | Self::Freeze(Target::Worker(_)) => 1,
            Self::Kill(Target::Node(_)) | Self::Freeze(Target::Node(_)) | Self::Cut(_) | Self::RestartAll => workers,
            Self::Delete(Cache::Work | Cache::Results) | Self::FillStream(_) => workers,
            Self::Kill(Target::Head(_)) | Self::Freeze(Target::Head(_)) | Self::Delete(_) => 0,
            // What a bad worker hands back comes as a new delivery.
            Self::FillStore | Self::LoseStore | Self::PurgeResults | Self::Spoil(..) => 0,
        }
    }

    /// Whether it breaks who tells of jobs, and not who does their work.
    pub const fn blinds(self) -> bool {
        match self {
            Self::Kill(Target::Head(_) | Target::Node(_)) | Self::Freeze(Target::Head(_) | Target::Node(_)) => true,
            Self::Cut(_) | Self::RestartAll | Self::Delete(Cache::Status | Cache::Leases) => true,
            Self::Kill(Target::Worker(_)) | Self::Freeze(Target::Worker(_)) | Self::Delete(_) => false,
            Self::FillStore | Self::LoseStore | Self::FillStream(_) | Self::PurgeResults | Self::Spoil(..) => false,
        }
    }

    pub const fn sort(self) -> Sort {
        match self {
            Self::Kill(Target::Worker(_)) => Sort::KillWorker,
            Self::Kill(Target::Head(_)) => Sort::KillHead,
            Self::Kill(Target::Node(_)) => Sort::KillNode,
            Self::Freeze(Target::Worker(_)) => Sort::FreezeWorker,
            Self::Freeze(Target::Head(_)) => Sort::FreezeHead,
            Self::Freeze(Target::Node(_)) => Sort::FreezeNode,
            Self::Cut(_) => Sort::CutNode,
            Self::RestartAll => Sort::RestartAll,
            Self::Delete(Cache::Work | Cache::Results) => Sort::DeleteWork,
            Self::Delete(Cache::Status) => Sort::DeleteStatus,
            Self::Delete(Cache::Workers) => Sort::DeleteWorkers,
            Self::Delete(Cache::Leases) => Sort::DeleteLeases,
            Self::FillStore => Sort::FillStore,
            Self::LoseStore => Sort::LoseStore,
            Self::FillStream(Cache::Results) => Sort::FillResults,
            Self::FillStream(_) => Sort::FillWork,
            Self::PurgeResults => Sort::PurgeResults,
            Self::Spoil(Ill::Fails, _) => Sort::FailWorker,
            Self::Spoil(Ill::Hangs, _) => Sort::HangWorker,
            Self::Spoil(Ill::Flaps, _) => Sort::FlapWorker,
        }
    }
}

/// How likely each sort is. `kill-head=3,cut-node` are those two alone, the first three times as likely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weights(BTreeMap<Sort, u32>);

impl Default for Weights {
    fn default() -> Self {
        Self(Sort::ALL.into_iter().map(|(sort, _, weight)| (sort, weight)).collect())
    }
}

impl FromStr for Weights {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(weight).collect::<Result<_, _>>().map(Self)
    }
}

fn weight(text: &str) -> Result<(Sort, u32), String> {
    let (name, weight) = text.split_once('=').unwrap_or((text, "1"));
    let names = || Sort::ALL.map(|(_, name, _)| name).join(", ");
    let found = Sort::ALL.into_iter().find(|(_, known, _)| *known == name.trim());
    let (sort, ..) = found.ok_or_else(|| format!("'{name}' is no fault; there are {}", names()))?;
    let weight = weight.trim().parse().ok().filter(|weight| *weight > 0);
    Ok((sort, weight.ok_or_else(|| format!("the weight of {name} must be a whole number above 0"))?))
}

impl Weights {
    pub fn has(&self, sort: Sort) -> bool {
        self.0.contains_key(&sort)
    }
}

pub fn draw(spec: &Spec, seed: &mut Seed) -> Vec<Injection> {
    let weights: Vec<(Sort, u32)> = spec.weights.0.iter().map(|(sort, weight)| (*sort, *weight)).collect();
    (0..spec.faults).map(|number| one(spec, number, &weights, seed)).collect()
}

fn one(spec: &Spec, number: u32, weights: &[(Sort, u32)], seed: &mut Seed) -> Injection {
    let after_ms = seed.between(spec.gap_ms * 2 / 5, spec.gap_ms * 8 / 5);
    let sort = seed.weighed(weights);
    let (least, most) = sort.hold_ms();
    let hold_ms = seed.between(least, most);
    Injection { number, after_ms, kind: sort.kind(spec, seed), hold_ms }
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, after_ms, kind, hold_ms } = self;
        write!(f, "fault {number} after {}: {kind} for {}", Seconds(*after_ms), Seconds(*hold_ms))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sort().name())?;
        match self {
            Self::Kill(Target::Worker(n) | Target::Head(n) | Target::Node(n))
            | Self::Freeze(Target::Worker(n) | Target::Head(n) | Target::Node(n))
            | Self::Cut(n)
            | Self::Spoil(_, n) => write!(f, " {n}"),
            Self::RestartAll | Self::Delete(_) | Self::FillStore | Self::LoseStore | Self::FillStream(_) => Ok(()),
            Self::PurgeResults => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_read() {
        assert_eq!("kill-head=3,cut-node".parse(), Ok(Weights([(Sort::KillHead, 3), (Sort::CutNode, 1)].into())));
        assert!("kill".parse::<Weights>().unwrap_err().contains("kill-worker"));
        assert!("kill-head=0".parse::<Weights>().unwrap_err().contains("above 0"));
    }

    #[test]
    fn every_sort_has_its_kind() {
        let spec = crate::plan::tests::spec(1);
        for (sort, ..) in Sort::ALL {
            assert_eq!(sort.kind(&spec, &mut Seed::new(1)).sort(), sort);
        }
    }
}
