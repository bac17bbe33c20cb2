//! What the actors share: the clock, the streams, the store, chance, and what went wrong first.
use super::{
    answers::Files,
    choices::Choices,
    log::Log,
    queue::Queue,
    spec::{POOLS, Spec},
};
use domain::{ChunkId, JobId, Timestamp, life, schedule::Moment};
use std::collections::{BTreeMap, BTreeSet};

/// A job by its number in the run.
pub type Number = usize;

/// Mistakes that can be planted, to see that they are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The worker tells of a result before it is stored.
    TellBeforeStore,
    /// The worker does not look again after it waited for a place.
    NoSecondLook,
    /// The last result of a chunk stands, not the first.
    LastResultWins,
    /// The archiver writes chunks that were split beside their halves.
    SplitTwice,
    /// The archiver does not compare what it reads with what the log told of it.
    LateResultTaken,
    /// The archiver removes results before it tells of the segment.
    PurgeBeforeFact,
    /// The archiver leaves what it wrote after a job's end was cleaned up.
    NoSecondCleaning,
    /// Lifecycle events are appended without comparing.
    NoCompare,
    /// Nobody is asked anything after a failure: whatever fails anywhere counts.
    NoControl,
    /// A scheduler that starts again sends to pools that are not configured any more.
    OldPools,
    /// What WORK refuses of one job is taken for a failure of all.
    RefusalStopsAll,
    /// A snapshot of events that the log has lost is read on from.
    SnapshotAhead,
    /// The archiver does not look whose requests a result answers.
    StaleResultTaken,
    /// A cancelled job waits for its files for ever.
    NoAbandon,
    /// One worker's failures are believed though others are there to ask.
    NoWitnesses,
}

/// What holds in a run.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Whether anything fails but poison.
    pub faults: bool,
    /// See [`super::world::Setup::judged`].
    pub judged: bool,
}

/// What went wrong: which invariant, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    pub what: &'static str,
    pub detail: String,
}

/// What a publisher hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    Fine,
    /// Stored, but the acknowledgement is lost.
    Unheard,
    /// Not stored.
    Lost,
}

pub struct Env {
    pub now: u64,
    pub log: Log,
    pub submits: Vec<Submit>,
    pub work: Queue,
    /// The first result of a chunk, until its segment is archived.
    pub results: BTreeMap<(Number, ChunkId), super::answers::Answers>,
    /// Results that were taken from under the archivers.
    pub lost: BTreeSet<(Number, ChunkId)>,
    pub files: Files,
    pub specs: Vec<Spec>,
    pub choices: Choices,
    pub bug: Option<Bug>,
    /// Whether anything fails but poison.
    pub faults: bool,
    pub judged: bool,
    /// Pools that are configured.
    pub pools: [bool; POOLS.len()],
    /// Workers that take work, and their pools.
    pub crew: Vec<(usize, usize)>,
    /// Workers, their pools, and how often they died at work.
    pub deaths: Vec<(usize, usize, u32)>,
    /// Jobs of which WORK takes nothing.
    pub refused: BTreeSet<Number>,
    /// The store takes nothing until then.
    pub store_until: u64,
    /// The log has lost its end at some time.
    pub is_cut: bool,
    /// Results stored after their job's end, of which nobody may hear any more. Known to stay until the archiver starts
    /// again.
    pub late: BTreeSet<(Number, ChunkId)>,
    pub wrong: Option<Wrong>,
    pub trace: Option<Vec<String>>,
    pub steps: u64,
    nonce: u32,
}

/// A submission in SUBMIT, hidden until then from intakes.
pub struct Submit {
    pub job: Number,
    pub hidden: u64,
}

impl Bug {
    /// Those that show soon come first.
    pub const ALL: [Self; 15] = [
        Self::NoSecondLook,
        Self::NoCompare,
        Self::TellBeforeStore,
        Self::LastResultWins,
        Self::SplitTwice,
        Self::PurgeBeforeFact,
        Self::LateResultTaken,
        Self::NoSecondCleaning,
        Self::NoControl,
        Self::OldPools,
        Self::RefusalStopsAll,
        Self::SnapshotAhead,
        Self::StaleResultTaken,
        Self::NoAbandon,
        Self::NoWitnesses,
    ];
}

impl Env {
    pub fn new(choices: Choices, bug: Option<Bug>, rules: Rules, traced: bool) -> Self {
        Self {
            now: 1_000_000,
            log: Log::default(),
            submits: Vec::new(),
            work: Queue::default(),
            results: BTreeMap::new(),
            lost: BTreeSet::new(),
            files: Files::default(),
            specs: Vec::new(),
            choices,
            bug,
            faults: rules.faults,
            judged: rules.judged,
            pools: [true; POOLS.len()],
            crew: Vec::new(),
            deaths: Vec::new(),
            refused: BTreeSet::new(),
            store_until: 0,
            is_cut: false,
            late: BTreeSet::new(),
            wrong: None,
            trace: traced.then(Vec::new),
            steps: 0,
            nonce: 0,
        }
    }

    pub const fn at(&self) -> Timestamp {
        Timestamp::new(self.now)
    }

    pub fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    pub fn pick(&mut self, n: usize) -> usize {
        self.choices.pick(n)
    }

    /// Whether a fault strikes that strikes once in `n` times.
    pub fn strikes(&mut self, n: usize) -> bool {
        self.faults && self.choices.chance(n)
    }

    pub fn link(&mut self) -> Link {
        if !self.strikes(32) {
            return Link::Fine;
        }
        [Link::Unheard, Link::Lost][self.choices.pick(2)]
    }

    /// Workers of a pool that take work, beside one.
    pub fn others(&self, worker: usize, pool: usize) -> u32 {
        self.crew.iter().filter(|(number, of)| *number != worker && *of == pool).count() as u32
    }

    /// The worker that is likely to have been lost with a chunk.
    pub fn suspect(&self, pool: usize) -> Option<usize> {
        let of_pool = self.deaths.iter().filter(|(_, of, _)| *of == pool);
        let deaths: Vec<_> = of_pool.map(|(number, _, deaths)| (number.to_string(), *deaths)).collect();
        life::suspect(deaths.iter().map(|(name, deaths)| (name.as_str(), *deaths)))?.parse().ok()
    }

    /// Whether the store takes what is written now.
    pub const fn stores(&self) -> bool {
        self.now >= self.store_until
    }

    pub const fn nonce(&mut self) -> u32 {
        self.nonce += 1;
        self.nonce
    }

    pub const fn moment(&self) -> Moment {
        Moment::new(self.now)
    }

    pub fn number(&self, id: JobId) -> Number {
        self.specs.iter().position(|spec| spec.id == id).expect("only these jobs are sent")
    }

    /// A line of the story.
    pub fn tell(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>9} ms  {}", now - 1_000_000, line()));
        }
    }

    /// Keeps what went wrong first.
    pub fn wrong(&mut self, what: &'static str, detail: impl FnOnce() -> String) {
        if self.wrong.is_none() {
            let detail = detail();
            self.tell(|| format!("WRONG: {what}: {detail}"));
            self.wrong = Some(Wrong { what, detail });
        }
    }

    pub fn expect(&mut self, holds: bool, what: &'static str, detail: impl FnOnce() -> String) {
        if !holds {
            self.wrong(what, detail);
        }
    }
}
