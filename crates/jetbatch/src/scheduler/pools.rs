//! Who works in which pool, and what is told where nothing is done there, or a job holds.
use super::Scheduler;
use crate::{
    clock,
    shared::Shared,
    troubles::{Mirror, Troubles},
};
use domain::{
    Pool,
    crew::{self, Member},
    health::Word,
    schedule::{Crew, Input},
    trouble::{Kind, Scope, Trouble},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};
use tokio::time::{Interval, MissedTickBehavior, interval};
use wire::{Heartbeat, bucket};

const EVERY: Duration = Duration::from_secs(1);
/// A worker that beats is heard of within this time.
const BEAT_WITHIN: Duration = Duration::from_secs(32);

/// Dropped, it tells nothing any more.
pub struct Pools {
    beats: Mirror<Heartbeat>,
    every: Interval,
    troubles: Troubles,
    told: BTreeSet<(Scope, Kind)>,
    reasons: Reasons,
}

/// Why a pool's model could not be loaded, the newest reason. A worker that tells it ends; the reason stays until one works.
#[derive(Default)]
struct Reasons(BTreeMap<Pool, Heartbeat>);

impl Reasons {
    fn join(&mut self, crews: &mut BTreeMap<Pool, Vec<Heartbeat>>) {
        for (pool, crew) in crews.iter() {
            let newest = crew.iter().filter(|beat| beat.state == Word::NoEngine).max_by_key(|beat| beat.since);
            self.0.extend(newest.map(|beat| (pool.clone(), beat.clone())));
            if crew.iter().any(works) {
                self.0.remove(pool);
            }
        }
        for (pool, beat) in &self.0 {
            let crew = crews.entry(pool.clone()).or_default();
            if !crew.iter().any(|other| other.state == Word::NoEngine) {
                crew.push(beat.clone());
            }
        }
    }
}

fn works(beat: &Heartbeat) -> bool {
    beat.state.works() && !beat.draining
}

impl Pools {
    pub fn open(shared: &Shared) -> Self {
        let mut every = interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let beats = Mirror::follow(shared.bus.bucket(bucket::WORKERS));
        Self { beats, every, troubles: shared.troubles.clone(), told: BTreeSet::new(), reasons: Reasons::default() }
    }

    /// Resolves when it is time to look again.
    pub async fn due(&mut self) {
        self.every.tick().await;
    }

    fn crews(&self) -> BTreeMap<Pool, Vec<Heartbeat>> {
        let mut crews: BTreeMap<Pool, Vec<Heartbeat>> = BTreeMap::new();
        for (_, beat) in self.beats.within(BEAT_WITHIN) {
            crews.entry(beat.pool.clone()).or_default().push(beat);
        }
        crews
    }

    /// What is found is told, and what is not found any more is over.
    fn tell(&mut self, found: Vec<(Scope, Trouble)>) {
        let places = found.iter().map(|(scope, trouble)| (scope.clone(), trouble.what)).collect();
        let before = std::mem::replace(&mut self.told, places);
        before.difference(&self.told).for_each(|(scope, kind)| self.troubles.clear(scope, *kind));
        found.into_iter().for_each(|(scope, trouble)| self.troubles.tell(scope, trouble));
    }
}

impl Drop for Pools {
    fn drop(&mut self) {
        self.tell(Vec::new());
    }
}

impl Scheduler {
    pub(super) fn tell(&mut self) {
        let mut crews = self.pools.crews();
        let count = |crew: &[Heartbeat]| {
            let slots = crew.iter().filter(|beat| works(beat)).map(|beat| u64::from(beat.slots));
            Crew { workers: slots.clone().count() as u64, slots: slots.sum() }
        };
        let counted: HashMap<Pool, Crew> = crews.iter().map(|(pool, crew)| (pool.clone(), count(crew))).collect();
        self.pools.reasons.join(&mut crews);
        self.input(Input::Crews(&counted));
        let found = self.found(&crews);
        self.pools.tell(found);
    }

    fn found(&self, crews: &BTreeMap<Pool, Vec<Heartbeat>>) -> Vec<(Scope, Trouble)> {
        let now = clock::now();
        let configured = &self.shared.config.pools;
        let broken = crews.iter().filter(|(pool, _)| configured.contains_key(*pool));
        let broken = broken.filter_map(|(pool, crew)| Some((Scope::Pool(pool.clone()), crew_trouble(pool, crew)?)));
        let unknown = self.core.unknown_pools();
        let unknown = unknown.map(|pool| (Scope::Pool(pool.clone()), crew::unconfigured(pool, now)));
        let held = self.log.jobs().filter_map(|folded| {
            Some((Scope::Job(folded.job.id), crew::held(&folded.job, now).filter(|_| folded.job.is_wanted())?))
        });
        broken.chain(unknown).chain(held).collect()
    }
}

fn crew_trouble(pool: &Pool, crew: &[Heartbeat]) -> Option<Trouble> {
    let crew: Vec<_> = crew.iter().map(member).collect();
    crew::trouble(pool, &crew, clock::now())
}

fn member(beat: &Heartbeat) -> Member<'_> {
    Member { worker: &beat.worker, word: beat.state, since: beat.since, why: beat.why.as_deref() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(worker: &str, state: Word, since: u64) -> Heartbeat {
        let json = serde_json::json!({
            "worker": worker, "pool": "tiny", "model": "m", "engine": "echo", "device": "", "slots": 1, "busy": 0, "at": 0,
            "started": 0, "requests": 0, "completion_tokens": 0, "draining": false, "state": state, "since": since,
        });
        serde_json::from_value(json).unwrap()
    }

    /// The names of who counts, after a look at those that beat.
    fn join(reasons: &mut Reasons, beats: Vec<Heartbeat>) -> Vec<String> {
        let pool: Pool = "tiny".parse().unwrap();
        let mut crews: BTreeMap<_, _> = (!beats.is_empty()).then(|| (pool.clone(), beats)).into_iter().collect();
        reasons.join(&mut crews);
        crews.remove(&pool).unwrap_or_default().into_iter().map(|beat| beat.worker).collect()
    }

    #[test]
    fn why_a_model_cannot_be_loaded_is_known_until_a_worker_works() {
        let mut reasons = Reasons::default();
        assert_eq!(join(&mut reasons, vec![]), [""; 0]);
        join(&mut reasons, vec![beat("w1", Word::NoEngine, 1), beat("w2", Word::NoEngine, 2)]);
        assert_eq!(join(&mut reasons, vec![]), ["w2"], "the newest, though its worker is gone");
        assert_eq!(join(&mut reasons, vec![beat("w3", Word::Loading, 9)]), ["w3", "w2"]);
        assert_eq!(join(&mut reasons, vec![beat("w3", Word::Sound, 10)]), ["w3"]);
        assert_eq!(join(&mut reasons, vec![]), [""; 0], "it worked since");
    }
}
