//! What the actors share: the clock, the streams, the store, chance, and what went wrong first.
use super::{answers::Files, choices::Choices, log::Log, queue::Queue, spec::Spec};
use domain::{ChunkId, JobId, Millis};
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
    pub files: Files,
    pub specs: Vec<Spec>,
    pub choices: Choices,
    pub bug: Option<Bug>,
    /// Whether anything fails but poison.
    pub faults: bool,
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
    pub const ALL: [Self; 8] = [
        Self::NoSecondLook,
        Self::NoCompare,
        Self::TellBeforeStore,
        Self::LastResultWins,
        Self::SplitTwice,
        Self::PurgeBeforeFact,
        Self::LateResultTaken,
        Self::NoSecondCleaning,
    ];
}

impl Env {
    pub fn new(choices: Choices, bug: Option<Bug>, faults: bool, traced: bool) -> Self {
        Self {
            now: 1_000_000,
            log: Log::default(),
            submits: Vec::new(),
            work: Queue::default(),
            results: BTreeMap::new(),
            files: Files::default(),
            specs: Vec::new(),
            choices,
            bug,
            faults,
            late: BTreeSet::new(),
            wrong: None,
            trace: traced.then(Vec::new),
            steps: 0,
            nonce: 0,
        }
    }

    pub const fn at(&self) -> Millis {
        Millis::new(self.now)
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

    pub const fn nonce(&mut self) -> u32 {
        self.nonce += 1;
        self.nonce
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
