//! What is on the screen, and what a key does to it. Knows no terminal.
use super::{Happening, feed::Fed, keys};
use api::{JobRow, PoolAhead, Worker};
use domain::{JobId, Pool, command::CommandKind};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

pub struct Board {
    pub url: String,
    jobs: HashMap<JobId, JobRow>,
    /// Newest first.
    order: Vec<JobId>,
    pub total: usize,
    pub workers: Vec<Worker>,
    pools: Vec<PoolAhead>,
    pub view: View,
    pub sort: Sort,
    pub is_all: bool,
    pub filter: String,
    /// The job that the next order is for.
    pub selected: Option<JobId>,
    pub input: Input,
    pub said: Option<String>,
    pub is_lost: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    Jobs,
    Job(JobId),
    Workers,
    Help,
}

/// What the keys write to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    Orders,
    Filter,
    /// Whether to cancel this job.
    Cancel(JobId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Newest,
    Deadline,
    End,
    Done,
}

impl Sort {
    pub const fn next(self) -> Self {
        match self {
            Self::Newest => Self::Deadline,
            Self::Deadline => Self::End,
            Self::End => Self::Done,
            Self::Done => Self::Newest,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Deadline => "deadline",
            Self::End => "end",
            Self::Done => "done",
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    Quit,
    Order(JobId, CommandKind),
}

/// The workers of a pool together.
#[derive(Debug, Default, PartialEq)]
pub struct Crew {
    pub workers: usize,
    /// Those that take no work now.
    pub out: usize,
    pub busy: u32,
    pub slots: u32,
    pub requests_per_s: f64,
    pub tokens_per_s: f64,
    /// Workers that would keep every deadline, and requests that its jobs owe, if anybody knows.
    pub needed: Option<u64>,
    pub owed: Option<u64>,
}

impl Crew {
    /// Whether more are needed than take work now.
    pub fn is_short(&self) -> bool {
        self.needed.is_some_and(|needed| needed > (self.workers - self.out) as u64)
    }
}

impl Board {
    pub fn new(url: String) -> Self {
        Self {
            url,
            jobs: HashMap::new(),
            order: Vec::new(),
            total: 0,
            workers: Vec::new(),
            pools: Vec::new(),
            view: View::Jobs,
            sort: Sort::Newest,
            is_all: false,
            filter: String::new(),
            selected: None,
            input: Input::Orders,
            said: None,
            is_lost: false,
        }
    }

    pub fn apply(&mut self, happening: Happening) -> Option<Effect> {
        match happening {
            Happening::Key(key) => return keys::press(self, key),
            Happening::Resized => {}
            Happening::Fed(fed) => self.fed(fed),
            Happening::Said(said) => self.said = Some(said),
        }
        None
    }

    fn fed(&mut self, fed: Fed) {
        match fed {
            Fed::Jobs(rows) => {
                self.jobs.extend(rows.changed.into_iter().map(|row| (row.id, row)));
                self.jobs.retain(|id, _| rows.order.contains(id));
                (self.order, self.total) = (rows.order, rows.total);
                self.keep_selected();
            }
            Fed::Workers(workers) => self.workers = workers,
            Fed::Pools(pools) => self.pools = pools,
            Fed::Lost(why) => {
                self.is_lost = true;
                self.said = Some(format!("no connection, trying again: {why}"));
                return;
            }
        }
        if std::mem::take(&mut self.is_lost) {
            self.said = None;
        }
    }

    /// What the list shows, in its order.
    pub fn rows(&self) -> Vec<&JobRow> {
        let rows = self.order.iter().filter_map(|id| self.jobs.get(id));
        let mut rows: Vec<&JobRow> = rows.filter(|row| self.is_wanted(row)).collect();
        match self.sort {
            Sort::Newest => {}
            Sort::Deadline => rows.sort_by_key(|row| row.deadline),
            Sort::End => rows.sort_by_key(|row| row.eta.map_or(u64::MAX, |[_, p50, _]| p50)),
            Sort::Done => rows.sort_by_key(|row| Reverse(done(row))),
        }
        rows
    }

    fn is_wanted(&self, row: &JobRow) -> bool {
        let words = || {
            let labels = row.metadata.iter().flat_map(|(key, value)| [key.clone(), value.clone()]);
            labels.chain([row.id.to_string(), row.state.as_str().to_owned()]).chain(row.model.clone())
        };
        let is_found = self.filter.is_empty() || words().any(|word| word.contains(&self.filter));
        is_found && (self.is_all || !row.state.is_terminal())
    }

    pub fn job(&self, id: JobId) -> Option<&JobRow> {
        self.jobs.get(&id)
    }

    pub fn is_connected(&self) -> bool {
        !self.is_lost
    }

    /// The selection stays on its job, wherever that moves.
    pub fn keep_selected(&mut self) {
        let rows = self.rows();
        let is_there = rows.iter().any(|row| Some(row.id) == self.selected);
        if !is_there {
            self.selected = rows.first().map(|row| row.id);
        }
    }

    pub fn step(&mut self, by: isize) {
        let rows = self.rows();
        let at = rows.iter().position(|row| Some(row.id) == self.selected).unwrap_or(0);
        let at = at.saturating_add_signed(by).min(rows.len().saturating_sub(1));
        self.selected = rows.get(at).map(|row| row.id);
    }

    pub fn crews(&self) -> BTreeMap<&Pool, Crew> {
        let mut crews: BTreeMap<&Pool, Crew> = BTreeMap::new();
        for worker in &self.workers {
            let crew = crews.entry(&worker.pool).or_default();
            crew.workers += 1;
            crew.out += usize::from(!worker.state.works());
            crew.busy += worker.busy;
            crew.slots += worker.slots;
            crew.requests_per_s += worker.requests_per_s;
            crew.tokens_per_s += worker.tokens_per_s;
        }
        for pool in &self.pools {
            let crew = crews.entry(&pool.pool).or_default();
            (crew.needed, crew.owed) = (pool.workers_needed, pool.requests_owed);
        }
        crews
    }
}

/// Answered, in thousandths.
pub fn done(row: &JobRow) -> u64 {
    let counts = row.requests;
    (counts.total - counts.remaining.min(counts.total)) * 1_000 / counts.total.max(1)
}
