//! Who works in which pool, and what is told where nothing is done there, or a job holds.
use super::Scheduler;
use crate::{
    bus::{Bus, Op, ReadError},
    clock,
    shared::Shared,
    troubles::{Mirror, Troubles},
};
use domain::{
    Pool, Timestamp,
    crew::{self, Member},
    health::Word,
    life::Life,
    schedule::{Crew, Input},
    trouble::{Kind, Scope, Trouble},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use wire::{Heartbeat, bucket};

const EVERY: Duration = Duration::from_secs(1);
/// A worker that beats is heard of within this time.
const BEAT_WITHIN: Duration = Duration::from_secs(32);
/// It leads without what it cannot read by then.
const READ_WITHIN: Duration = Duration::from_secs(2);

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
struct Reasons(BTreeMap<Pool, Reason>);

#[derive(Clone)]
struct Reason {
    worker: String,
    since: Timestamp,
    why: Option<String>,
}

impl Reason {
    fn of(beat: &Heartbeat) -> Self {
        Self { worker: beat.worker.clone(), since: beat.since, why: beat.why.clone() }
    }

    fn member(&self) -> Member<'_> {
        Member { worker: &self.worker, word: Word::NoEngine, since: self.since, why: self.why.as_deref() }
    }
}

impl Reasons {
    /// What workers left behind that ended before this head led.
    async fn read(bus: &Bus) -> Result<Self, ReadError> {
        let (mut watch, mut reasons) = (bus.bucket(bucket::LIVES).watch(">").await?, Self::default());
        while !watch.caught_up() {
            let entry = watch.next().await?;
            if let (Op::Put, Ok(life)) = (entry.op, serde_json::from_slice(&entry.value)) {
                reasons.recall(&entry.key, life);
            }
        }
        Ok(reasons)
    }

    fn recall(&mut self, key: &str, life: Life) {
        let Some((pool, worker)) = key.split_once('.') else { return };
        let (Ok(pool), Some(told)) = (pool.parse(), life.no_engine) else { return };
        self.add(pool, Reason { worker: worker.to_owned(), since: told.since, why: Some(told.why) });
    }

    fn add(&mut self, pool: Pool, reason: Reason) {
        if self.0.get(&pool).is_none_or(|known| known.since <= reason.since) {
            self.0.insert(pool, reason);
        }
    }

    fn look(&mut self, crews: &BTreeMap<Pool, Vec<Heartbeat>>) {
        for (pool, crew) in crews {
            let told = crew.iter().filter(|beat| beat.state == Word::NoEngine);
            told.for_each(|beat| self.add(pool.clone(), Reason::of(beat)));
            if crew.iter().any(works) {
                self.0.remove(pool);
            }
        }
    }

    /// Those who count in a pool: its workers, and the one that could not load its model.
    fn members<'a>(&'a self, pool: &Pool, crew: &'a [Heartbeat]) -> Vec<Member<'a>> {
        let is_told = crew.iter().any(|beat| beat.state == Word::NoEngine);
        let left = self.0.get(pool).filter(|_| !is_told).map(Reason::member);
        crew.iter().map(member).chain(left).collect()
    }
}

fn works(beat: &Heartbeat) -> bool {
    beat.state.works() && !beat.draining
}

impl Pools {
    pub async fn open(shared: &Shared) -> Self {
        let mut every = interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let beats = Mirror::follow(shared.bus.bucket(bucket::WORKERS));
        let reasons = match timeout(READ_WITHIN, Reasons::read(&shared.bus)).await {
            Ok(Ok(reasons)) => reasons,
            // The workers that are still there tell theirs.
            Ok(Err(_)) | Err(_) => Reasons::default(),
        };
        Self { beats, every, troubles: shared.troubles.clone(), told: BTreeSet::new(), reasons }
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
        let crews = self.pools.crews();
        let count = |crew: &[Heartbeat]| {
            let slots = crew.iter().filter(|beat| works(beat)).map(|beat| u64::from(beat.slots));
            Crew { workers: slots.clone().count() as u64, slots: slots.sum() }
        };
        let counted: HashMap<Pool, Crew> = crews.iter().map(|(pool, crew)| (pool.clone(), count(crew))).collect();
        self.pools.reasons.look(&crews);
        self.input(Input::Crews(&counted));
        let found = self.found(&crews);
        self.pools.tell(found);
    }

    fn found(&self, crews: &BTreeMap<Pool, Vec<Heartbeat>>) -> Vec<(Scope, Trouble)> {
        let now = clock::now();
        let configured = &self.shared.config.pools;
        let broken = configured.keys().filter_map(|pool| {
            let crew = crews.get(pool).map_or(&[][..], Vec::as_slice);
            let crew = self.pools.reasons.members(pool, crew);
            Some((Scope::Pool(pool.clone()), crew::trouble(pool, &crew, now)?))
        });
        let unknown = self.core.unknown_pools();
        let unknown = unknown.map(|pool| (Scope::Pool(pool.clone()), crew::unconfigured(pool, now)));
        let held = self.log.jobs().filter_map(|folded| {
            Some((Scope::Job(folded.job.id), crew::held(&folded.job, now).filter(|_| folded.job.is_wanted())?))
        });
        broken.chain(unknown).chain(held).collect()
    }
}

fn member(beat: &Heartbeat) -> Member<'_> {
    Member { worker: &beat.worker, word: beat.state, since: beat.since, why: beat.why.as_deref() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::life::NoEngine;

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
        let crews = BTreeMap::from([(pool.clone(), beats)]);
        reasons.look(&crews);
        reasons.members(&pool, &crews[&pool]).into_iter().map(|member| member.worker.to_owned()).collect()
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

    #[test]
    fn who_leads_next_knows_it_from_what_its_worker_left() {
        let mut reasons = Reasons::default();
        let left = |since: u64, why: &str| {
            let no_engine = Some(NoEngine { since: Timestamp::new(since), why: why.into() });
            Life { no_engine, ..Life::default() }
        };
        reasons.recall("tiny.w2", left(7, "no folder"));
        reasons.recall("tiny.w1", left(3, "older"));
        reasons.recall("tiny.w3", Life::default());
        assert_eq!(join(&mut reasons, vec![]), ["w2"]);
        assert_eq!(join(&mut reasons, vec![beat("w4", Word::Sound, 1)]), ["w4"]);
        assert_eq!(join(&mut reasons, vec![]), [""; 0]);
    }
}
