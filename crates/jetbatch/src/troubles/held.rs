//! What a head tells, and what of it is not written yet.
use domain::trouble::{Kind, Scope, Trouble};
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::Duration,
};
use tokio::time::Instant;

/// A trouble that was not told again for so long is over: the room that told it is gone.
pub const TOLD_FOR: Duration = Duration::from_secs(30);
/// Troubles that one head tells; of more there is no need.
const TOLD_MAX: usize = 1_000;

pub type Place = (Scope, Kind);

#[derive(Default)]
pub struct Held {
    told: BTreeMap<Place, Standing>,
    /// What was written, or alerted, and is told no more.
    over: BTreeMap<Place, Trouble>,
}

struct Standing {
    trouble: Trouble,
    told: Instant,
    is_found: bool,
    /// It stands in the bucket as it is told.
    is_written: bool,
    is_alerted: bool,
}

/// One thing to do at NATS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    Write { scope: Scope, trouble: Trouble, is_found: bool, is_new: bool },
    Withdraw { scope: Scope, trouble: Trouble },
}

impl Held {
    /// Whether that is news.
    pub fn tell(&mut self, scope: Scope, trouble: Trouble, is_found: bool, now: Instant) -> bool {
        let is_full = self.told.len() >= TOLD_MAX;
        match self.told.entry((scope, trouble.what)) {
            Entry::Occupied(mut held) => {
                let held = held.get_mut();
                // Who does the work knows better.
                if is_found && !held.is_found {
                    return false;
                }
                held.told = now;
                let is_news = !held.trouble.says(&trouble) || held.is_found != is_found;
                if is_news {
                    let since = held.trouble.since;
                    held.trouble = Trouble { since, ..trouble };
                    (held.is_found, held.is_written) = (is_found, false);
                }
                is_news
            }
            Entry::Vacant(_) if is_full => false,
            Entry::Vacant(place) => {
                let (scope, _) = place.key();
                tracing::warn!(%scope, what = trouble.what.as_str(), cause = trouble.cause, mend = trouble.mend, "trouble");
                // It began again before its end was told.
                let before = self.over.remove(place.key());
                let is_alerted = before.is_some();
                place.insert(Standing { trouble, told: now, is_found, is_written: false, is_alerted });
                true
            }
        }
    }

    pub fn clear(&mut self, scope: &Scope, kind: Kind) -> bool {
        let place = (scope.clone(), kind);
        let Some(held) = self.told.remove(&place) else { return false };
        tracing::info!(%scope, what = kind.as_str(), cause = held.trouble.cause, "the trouble is over");
        self.over.insert(place, held.trouble);
        true
    }

    /// Ends what was found before and is not among `found`.
    pub fn clear_found(&mut self, found: &BTreeSet<Place>) -> bool {
        let gone = self.told.iter().filter(|(place, held)| held.is_found && !found.contains(place));
        let gone: Vec<Place> = gone.map(|(place, _)| place.clone()).collect();
        gone.iter().fold(false, |any, (scope, kind)| self.clear(scope, *kind) || any)
    }

    pub fn clear_all(&mut self) {
        let told = std::mem::take(&mut self.told);
        self.over.extend(told.into_iter().map(|(place, held)| (place, held.trouble)));
    }

    /// Ends what was not told again in time.
    pub fn expire(&mut self, now: Instant) -> bool {
        let late = |held: &Standing| now.duration_since(held.told) > TOLD_FOR;
        let gone: Vec<Place> =
            self.told.iter().filter(|(_, held)| late(held)).map(|(place, _)| place.clone()).collect();
        gone.iter().fold(false, |any, (scope, kind)| self.clear(scope, *kind) || any)
    }

    /// All that lasts is to be written once more.
    pub fn again(&mut self) {
        self.told.values_mut().for_each(|held| held.is_written = false);
    }

    pub fn tasks(&self) -> Vec<Task> {
        let open = self.told.iter().filter(|(_, held)| !held.is_written || !held.is_alerted);
        let write = open.map(|((scope, _), held)| Task::Write {
            scope: scope.clone(),
            trouble: held.trouble.clone(),
            is_found: held.is_found,
            is_new: !held.is_alerted,
        });
        let over = self
            .over
            .iter()
            .map(|((scope, _), trouble)| Task::Withdraw { scope: scope.clone(), trouble: trouble.clone() });
        over.chain(write).collect()
    }

    pub fn done(&mut self, task: &Task) {
        match task {
            Task::Write { scope, trouble, .. } => {
                if let Some(held) = self.told.get_mut(&(scope.clone(), trouble.what)) {
                    held.is_written = held.trouble == *trouble;
                    held.is_alerted = true;
                }
            }
            Task::Withdraw { scope, trouble } => drop(self.over.remove(&(scope.clone(), trouble.what))),
        }
    }

    pub fn of(&self, scope: &Scope) -> Vec<Trouble> {
        self.told.iter().filter(|((held, _), _)| held == scope).map(|(_, held)| held.trouble.clone()).collect()
    }

    /// By the kind of scope, and what.
    pub fn counts(&self) -> BTreeMap<(&'static str, Kind), u64> {
        let mut counts = BTreeMap::new();
        self.told.keys().for_each(|(scope, kind)| *counts.entry((scope.kind(), *kind)).or_default() += 1);
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Timestamp;

    fn trouble(cause: &str, since: u64) -> Trouble {
        Trouble::new(Kind::Store, cause, "mend it", Timestamp::new(since))
    }

    #[test]
    fn what_is_told_again_is_no_news_and_the_first_since_stands() {
        let (mut held, now) = (Held::default(), Instant::now());
        assert!(held.tell(Scope::Installation, trouble("a", 1), false, now));
        let tasks = held.tasks();
        assert!(matches!(&tasks[..], [Task::Write { is_new: true, .. }]));
        held.done(&tasks[0]);
        assert!(!held.tell(Scope::Installation, trouble("a", 2), false, now));
        assert_eq!(held.tasks(), []);
        assert!(held.tell(Scope::Installation, trouble("b", 3), false, now));
        let told = Task::Write { scope: Scope::Installation, trouble: trouble("b", 1), is_found: false, is_new: false };
        assert_eq!(held.tasks(), [told]);
    }

    #[test]
    fn what_is_told_no_more_is_withdrawn() {
        let (mut held, now) = (Held::default(), Instant::now());
        held.tell(Scope::Installation, trouble("a", 1), false, now);
        held.done(&held.tasks()[0].clone());
        assert!(!held.expire(now + TOLD_FOR));
        assert!(held.expire(now + TOLD_FOR + Duration::from_millis(1)));
        assert!(matches!(&held.tasks()[..], [Task::Withdraw { .. }]));
        assert!(held.tell(Scope::Installation, trouble("a", 2), false, now));
        assert!(matches!(&held.tasks()[..], [Task::Write { is_new: false, .. }]), "it never ended");
        assert_eq!(held.counts(), BTreeMap::from([(("installation", Kind::Store), 1)]));
    }

    #[test]
    fn what_was_found_gives_way_to_who_does_the_work() {
        let (mut held, now, scope) = (Held::default(), Instant::now(), Scope::Installation);
        assert!(held.tell(scope.clone(), trouble("found", 1), true, now));
        assert!(held.tell(scope.clone(), trouble("told", 1), false, now));
        assert!(!held.tell(scope.clone(), trouble("found", 1), true, now));
        assert!(!held.clear_found(&BTreeSet::new()));
        assert_eq!(held.of(&scope), [trouble("told", 1)]);
    }

    #[test]
    fn a_head_tells_so_many_and_no_more() {
        let (mut held, now) = (Held::default(), Instant::now());
        let job = |n: usize| Scope::Job(domain::JobId::keyed("t", &n.to_string()));
        (0..TOLD_MAX).for_each(|n| assert!(held.tell(job(n), trouble("a", 1), false, now)));
        assert!(!held.tell(job(TOLD_MAX), trouble("a", 1), false, now));
    }
}
