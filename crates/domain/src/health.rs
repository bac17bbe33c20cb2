//! A worker's record: whether what fails on it speaks against the request or against the worker. After a failure the
//! worker asks its engine something that every engine can answer, a control; what came of that, and of its chunks, is told
//! here. A worker that passes and yet fails with real chunks is found out by those that others answer. No clock: times come in.
use crate::{
    Timestamp,
    event::Trust,
    life::{DEATHS_MAX, TRIALS},
    schedule::{Moment, Now},
};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

/// Asked together in a control, all to be answered: an engine that fails with every second request passes once in 256 times.
pub const ASKS: usize = 8;
/// Outcomes that a record remembers: chunks done, and controls.
pub const OUTCOMES: u32 = 20;
const ALL: u32 = (1 << OUTCOMES) - 1;
/// Chunks that failed in a row though the controls passed, after which it takes one at a time.
const FELL_MAX: u32 = 3;
/// Of what failed so, chunks that others answered, after which it is bad.
const REFUTED_MAX: u32 = 2;
/// Between the controls that a sound worker with a failed one behind it asks for, to be trusted again.
const REGAIN_MS: u64 = 1_000;
/// The longest pause of one whose processes die: to be started again takes its time, too.
const DIED_LONGEST_MS: u64 = 16_000;

/// What a worker does, in a word.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(as = WorkerState))]
pub enum Word {
    /// Its model is being loaded.
    Loading,
    /// Its model cannot be loaded.
    NoEngine,
    #[default]
    Sound,
    /// A control passed again: it takes one chunk.
    OnTrial,
    /// A control failed: it takes nothing until one passes.
    Quarantined,
    /// It was told to take nothing, and is not probed.
    SetAside,
    /// It was told to finish what it has, and takes nothing more.
    Draining,
}

impl Word {
    pub const ALL: &'static [Self] = Self::VARIANTS;

    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// Whether it would run a chunk that is sent now.
    pub const fn works(self) -> bool {
        matches!(self, Self::Sound | Self::OnTrial)
    }
}

/// A server elsewhere that a worker sends its requests to, as the worker sees it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(as = WorkerServer))]
pub struct Server {
    pub url: String,
    /// `up`; `full`: it asked to be left alone for a while; `away`: it cannot be reached; `broken`: it fails with all that it
    /// is asked, or refuses it.
    pub state: String,
    /// Requests that this worker has there, and may have there now.
    pub busy: u32,
    pub slots: u32,
    /// Requests that run there, whoever sent them; by the server's own figures, as what follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<u64>,
    /// Requests that wait there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// The part of its cache that is taken, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<f64>,
}

/// A worker's state, since when, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    pub word: Word,
    pub since: Timestamp,
    pub why: Option<String>,
}

/// What was seen of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A chunk was done.
    Done,
    /// The control passed.
    Passed,
    /// The control failed, in words.
    Failed(String),
    /// A chunk failed though the control passed, where others could have taken it.
    Fell,
    /// A chunk that failed here, with nothing beside it, was answered by another worker.
    Refuted,
}

/// What an operator wants of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Order {
    /// Finish what it has, and take nothing more.
    Drain,
    /// Hand back what it has, and take nothing more.
    Quarantine,
    /// Take work again, and be believed.
    Trust,
}

impl Order {
    pub const ALL: &'static [Self] = Self::VARIANTS;

    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// What it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    /// One chunk, when it has none.
    One,
    All,
}

/// What those who wait for its word look at: where it differs, they are to be woken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stance {
    state: State,
    takes: Takes,
    probe: Option<Moment>,
}

/// The pauses between the probes of a worker in quarantine, milliseconds: each twice the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pauses {
    pub first_ms: u64,
    pub longest_ms: u64,
}

/// What is worth telling people, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    Quarantined,
    Sound,
}

#[derive(Debug, Clone)]
pub struct Record {
    pauses: Pauses,
    state: State,
    /// The last outcomes, the newest in the lowest bit; set where a control failed.
    failed: u32,
    /// Since a chunk was done.
    fell: u32,
    refuted: u32,
    /// Others answered what failed here: until a chunk is done, controls prove nothing.
    doubted: bool,
    /// Chunks that it is to do one at a time, since those before it died of their work: controls prove nothing.
    trials: u32,
    pause_ms: u64,
    probe: Option<Moment>,
    /// It was told to be bad, and not yet to be sound again.
    told: bool,
}

impl Record {
    pub fn new(pauses: Pauses, since: Timestamp) -> Self {
        let state = State { word: Word::Sound, since, why: None };
        let (pause_ms, probe) = (pauses.first_ms, None);
        Self { pauses, state, failed: 0, fell: 0, refuted: 0, doubted: false, trials: 0, pause_ms, probe, told: false }
    }

    /// Of one whose processes died at work, so many one after the other. Where nobody else is there it does not pause.
    pub fn died(&mut self, deaths: u32, is_last: bool, now: Now) -> Option<News> {
        if deaths < DEATHS_MAX {
            return None;
        }
        self.trials = TRIALS;
        let growth = 1_u64.checked_shl(deaths - DEATHS_MAX).unwrap_or(u64::MAX);
        self.pause_ms = self.pauses.first_ms.saturating_mul(growth).min(DIED_LONGEST_MS);
        self.quarantine(format!("{deaths} processes of it died one after the other in the middle of their work"), now);
        if is_last {
            self.probe = Some(now.moment);
        }
        self.news()
    }

    pub const fn state(&self) -> &State {
        &self.state
    }

    /// While one of the last controls failed, or others answer what fails here, nothing that does speaks against a request.
    pub const fn trust(&self) -> Trust {
        if self.failed == 0 && !self.doubted { Trust::Trusted } else { Trust::Untrusted }
    }

    pub const fn takes(&self) -> Takes {
        match self.state.word {
            Word::Sound if self.fell < FELL_MAX && self.trials == 0 => Takes::All,
            Word::Sound | Word::OnTrial => Takes::One,
            Word::Loading | Word::NoEngine | Word::Quarantined | Word::SetAside | Word::Draining => Takes::Nothing,
        }
    }

    pub fn stance(&self) -> Stance {
        Stance { state: self.state.clone(), takes: self.takes(), probe: self.probe }
    }

    /// Whether what it has is to go back.
    pub const fn hands_back(&self) -> bool {
        matches!(self.state.word, Word::Quarantined | Word::SetAside)
    }

    /// When its engine is to be asked again.
    pub const fn probe(&self) -> Option<Moment> {
        self.probe
    }

    pub fn note(&mut self, seen: Seen, now: Now) -> Option<News> {
        self.count(&seen);
        match (self.state.word, seen) {
            (Word::Loading | Word::NoEngine | Word::SetAside | Word::Draining, _) => self.probe = None,
            (Word::Quarantined, Seen::Failed(why)) => self.again(why, now),
            (Word::Sound | Word::OnTrial, Seen::Failed(why)) => self.quarantine(why, now),
            (Word::Quarantined, Seen::Passed) => self.turn(Word::OnTrial, now),
            // It began before.
            (Word::Quarantined, Seen::Done | Seen::Fell | Seen::Refuted) => {}
            (Word::OnTrial, Seen::Done | Seen::Passed) if self.trials > 0 => {}
            (Word::OnTrial, Seen::Done) => self.turn(Word::Sound, now),
            (Word::OnTrial, Seen::Passed) if self.trust() == Trust::Trusted => self.turn(Word::Sound, now),
            (Word::OnTrial, Seen::Fell) if self.doubted => {
                let why = self.state.why.take().unwrap_or_default();
                self.quarantine(why, now);
            }
            (Word::Sound | Word::OnTrial, Seen::Refuted) if self.refuted >= REFUTED_MAX && !self.doubted => {
                self.doubted = true;
                self.quarantine(format!("what failed here, {} chunks, was answered by others", self.refuted), now);
            }
            (Word::OnTrial, Seen::Passed) | (Word::Sound, Seen::Done | Seen::Passed) => {}
            (Word::Sound | Word::OnTrial, Seen::Fell | Seen::Refuted) => {}
        }
        self.regain(now);
        self.news()
    }

    fn count(&mut self, seen: &Seen) {
        match seen {
            Seen::Fell => self.fell = self.fell.saturating_add(1),
            Seen::Refuted => self.refuted = self.refuted.saturating_add(1),
            // What began before it was doubted proves nothing.
            Seen::Done => {
                let is_doubted = self.doubted && self.state.word == Word::Quarantined;
                self.trials = self.trials.saturating_sub(1);
                (self.fell, self.refuted, self.doubted) = (0, 0, is_doubted);
            }
            Seen::Passed | Seen::Failed(_) => {}
        }
        if let Seen::Done | Seen::Passed | Seen::Failed(_) = seen {
            self.failed = (self.failed << 1 | u32::from(matches!(seen, Seen::Failed(_)))) & ALL;
        }
    }

    /// A probe that said nothing comes again.
    pub const fn defer(&mut self, now: Now) {
        if self.probe.is_some() {
            self.probe = Some(now.moment.plus(REGAIN_MS));
        }
    }

    /// None where it changes nothing.
    pub fn order(&mut self, order: Order, now: Now) -> Option<News> {
        let (word, why) = match order {
            Order::Drain => (Word::Draining, Some("it was told to drain".to_owned())),
            Order::Quarantine => (Word::SetAside, Some("it was told to take nothing".to_owned())),
            Order::Trust => (Word::Sound, None),
        };
        if order == Order::Trust {
            (self.failed, self.pause_ms) = (0, self.pauses.first_ms);
            (self.fell, self.refuted, self.doubted, self.trials) = (0, 0, false, 0);
        }
        if self.state.word != word {
            self.state = State { word, since: now.at, why };
        }
        self.probe = None;
        self.news()
    }

    fn quarantine(&mut self, why: String, now: Now) {
        // One that was on trial has been bad since it was found so.
        let since = if self.state.word == Word::OnTrial { self.state.since } else { now.at };
        self.state = State { word: Word::Quarantined, since, why: None };
        self.again(why, now);
    }

    /// The pauses grow until it is trusted: one that is sound for a moment, again and again, is asked ever less.
    fn again(&mut self, why: String, now: Now) {
        self.state.why = Some(why);
        self.probe = Some(now.moment.plus(self.pause_ms));
        self.pause_ms = self.pause_ms.saturating_mul(2).min(self.pauses.longest_ms.max(self.pauses.first_ms));
    }

    fn turn(&mut self, word: Word, now: Now) {
        // The reason stays while it is on trial.
        match word {
            Word::OnTrial => self.state.word = word,
            _ => self.state = State { word, since: now.at, why: None },
        }
    }

    /// A worker with little to do would wait long for so many good outcomes: it is asked meanwhile.
    fn regain(&mut self, now: Now) {
        if !self.state.word.works() {
            return;
        }
        self.probe = (self.failed != 0).then(|| now.moment.plus(REGAIN_MS));
        if self.trust() == Trust::Trusted && self.trials == 0 {
            self.pause_ms = self.pauses.first_ms;
        }
    }

    fn news(&mut self) -> Option<News> {
        match (self.told, self.state.word) {
            (false, Word::Quarantined | Word::SetAside) => {
                self.told = true;
                Some(News::Quarantined)
            }
            (true, Word::Sound) => {
                self.told = false;
                Some(News::Sound)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PAUSES: Pauses = Pauses { first_ms: 1_000, longest_ms: 60_000 };

    fn now(ms: u64) -> Now {
        Now { at: Timestamp::new(ms), moment: Moment::new(ms) }
    }

    fn record() -> Record {
        Record::new(PAUSES, Timestamp::new(0))
    }

    /// Its state and its probe stay: who waits until it may take more than one was not woken, and slept for ever.
    #[test]
    fn that_it_may_take_all_again_is_a_change() {
        let mut record = record();
        for _ in 0..FELL_MAX {
            record.note(Seen::Fell, now(1));
        }
        assert_eq!(record.takes(), Takes::One);
        let (before, state) = (record.stance(), record.state().clone());
        record.note(Seen::Done, now(2));
        assert_eq!((record.takes(), record.state()), (Takes::All, &state));
        assert_ne!(record.stance(), before);
    }

    #[test]
    fn one_that_dies_at_work_takes_one_at_a_time_until_it_has_done_some() {
        let mut once = record();
        assert_eq!((once.died(1, false, now(5)), once.takes()), (None, Takes::All), "once may be anything");
        let mut record = record();
        assert_eq!(record.died(3, false, now(5)), Some(News::Quarantined));
        assert_eq!((record.takes(), record.probe()), (Takes::Nothing, Some(Moment::new(2_005))));
        let why = record.state().why.clone();
        record.note(Seen::Passed, now(2_005));
        record.note(Seen::Passed, now(2_006));
        assert_eq!((word(&record), record.takes(), record.state().why.clone()), (Word::OnTrial, Takes::One, why));
        let news: Vec<_> = (0..TRIALS).filter_map(|_| record.note(Seen::Done, now(3_000))).collect();
        assert_eq!((news, word(&record), record.takes()), (vec![News::Sound], Word::Sound, Takes::All));
    }

    #[test]
    fn the_pauses_of_one_that_dies_grow_and_are_none_where_nobody_else_is_there() {
        let pause = |deaths, is_last| {
            let mut record = record();
            record.died(deaths, is_last, now(0));
            record.probe().map(Moment::get)
        };
        assert_eq!([2, 3, 5, 99].map(|deaths| pause(deaths, false)), [1_000, 2_000, 8_000, 16_000].map(Some));
        assert_eq!(pause(9, true), Some(0));
    }

    fn failed() -> Seen {
        Seen::Failed("no device".into())
    }

    fn word(record: &Record) -> Word {
        record.state().word
    }

    #[test]
    fn a_bad_worker_takes_nothing_then_one_then_all() {
        let mut record = record();
        assert_eq!((record.takes(), record.trust(), record.probe()), (Takes::All, Trust::Trusted, None));
        assert_eq!(record.note(failed(), now(5)), Some(News::Quarantined));
        let State { since, why, .. } = record.state().clone();
        assert_eq!((since.get(), why.as_deref()), (5, Some("no device")));
        assert_eq!((record.takes(), record.hands_back(), record.trust()), (Takes::Nothing, true, Trust::Untrusted));
        assert_eq!(record.note(Seen::Passed, now(1_005)), None);
        assert_eq!((record.takes(), record.hands_back(), record.state().since.get()), (Takes::One, false, 5));
        assert_eq!(record.note(Seen::Done, now(1_100)), Some(News::Sound));
        assert_eq!(
            (record.takes(), record.trust()),
            (Takes::All, Trust::Untrusted),
            "it works, and is not believed yet"
        );
        (0..OUTCOMES).for_each(|_| assert_eq!(record.note(Seen::Done, now(2_000)), None));
        assert_eq!((record.trust(), record.probe()), (Trust::Trusted, None));
    }

    #[test]
    fn its_pauses_grow_until_it_is_trusted() {
        let mut record = record();
        let pause = |record: &mut Record| {
            record.note(failed(), now(0));
            record.probe().map(Moment::get)
        };
        let pauses: Vec<_> = (0..8).filter_map(|_| pause(&mut record)).collect();
        assert_eq!(pauses, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        record.note(Seen::Passed, now(0));
        assert_eq!(pause(&mut record), Some(60_000), "it was sound for a moment");
        let news: Vec<_> = (0..OUTCOMES).filter_map(|_| record.note(Seen::Passed, now(0))).collect();
        assert_eq!(news, [News::Sound]);
        assert_eq!((word(&record), pause(&mut record)), (Word::Sound, Some(1_000)));
    }

    #[test]
    fn an_idle_worker_regains_trust_by_controls() {
        let mut record = record();
        record.note(failed(), now(0));
        for n in 1..=OUTCOMES {
            assert_eq!(record.trust(), Trust::Untrusted);
            let at = record.probe().expect("it is asked");
            let news = record.note(Seen::Passed, now(at.get()));
            assert_eq!(news.is_some(), n == OUTCOMES, "{n}");
        }
        assert_eq!((word(&record), record.trust(), record.probe()), (Word::Sound, Trust::Trusted, None));
    }

    #[test]
    fn a_worker_does_as_it_is_told() {
        let mut record = record();
        assert_eq!(record.order(Order::Drain, now(1)), None);
        assert_eq!((record.takes(), record.hands_back(), record.probe()), (Takes::Nothing, false, None));
        assert_eq!(record.order(Order::Quarantine, now(2)), Some(News::Quarantined));
        record.note(failed(), now(3));
        record.note(Seen::Passed, now(4));
        assert_eq!((word(&record), record.hands_back(), record.probe()), (Word::SetAside, true, None));
        assert_eq!(record.order(Order::Trust, now(5)), Some(News::Sound));
        assert_eq!((record.takes(), record.trust()), (Takes::All, Trust::Trusted));
        assert_eq!(record.order(Order::Trust, now(6)), None);
        assert_eq!(record.state().since.get(), 5);
    }

    fn see(record: &mut Record, seen: &[Seen]) -> Vec<News> {
        seen.iter().filter_map(|seen| record.note(seen.clone(), now(0))).collect()
    }

    #[test]
    fn one_that_fails_at_work_alone_takes_one_at_a_time() {
        let mut record = record();
        see(&mut record, &[Seen::Fell, Seen::Passed, Seen::Fell]);
        assert_eq!(record.takes(), Takes::All);
        see(&mut record, &[Seen::Passed, Seen::Fell]);
        assert_eq!((record.takes(), record.trust(), word(&record)), (Takes::One, Trust::Trusted, Word::Sound));
        see(&mut record, &[Seen::Passed]);
        assert_eq!(record.takes(), Takes::One, "a control is no work");
        see(&mut record, &[Seen::Done]);
        assert_eq!(record.takes(), Takes::All);
    }

    #[test]
    fn one_whose_failures_others_answer_is_bad_until_it_does_a_chunk() {
        let mut record = record();
        see(&mut record, &[Seen::Refuted, Seen::Done]);
        assert_eq!(see(&mut record, &[Seen::Refuted, Seen::Passed, Seen::Refuted]), [News::Quarantined]);
        assert_eq!(record.state().why.as_deref(), Some("what failed here, 2 chunks, was answered by others"));
        assert_eq!((record.takes(), record.trust()), (Takes::Nothing, Trust::Untrusted));
        let pause = |record: &mut Record| record.probe().map(Moment::get);
        for pause_ms in [1_000, 2_000, 4_000] {
            assert_eq!(pause(&mut record), Some(pause_ms));
            see(&mut record, &vec![Seen::Passed; 30]);
            assert_eq!((word(&record), record.takes()), (Word::OnTrial, Takes::One), "however often a control passes");
            assert_eq!(record.trust(), Trust::Untrusted);
            see(&mut record, &[Seen::Fell]);
            assert_eq!(word(&record), Word::Quarantined);
        }
        assert_eq!(see(&mut record, &[Seen::Passed, Seen::Done]), [News::Sound]);
        assert_eq!((record.takes(), record.trust(), record.probe()), (Takes::All, Trust::Trusted, None));
    }

    #[test]
    fn an_order_ends_a_doubt() {
        let mut record = record();
        see(&mut record, &[Seen::Fell, Seen::Fell, Seen::Fell, Seen::Refuted, Seen::Refuted]);
        assert_eq!(record.order(Order::Trust, now(1)), Some(News::Sound));
        assert_eq!((record.takes(), record.trust(), record.probe()), (Takes::All, Trust::Trusted, None));
    }

    proptest! {
        /// Whatever comes: it is not trusted where one of the last outcomes is a failed control, nor from being doubted to the
        /// next chunk done; in quarantine it is asked again; it is told of in turns.
        #[test]
        fn a_record_is_what_was_seen(seen in prop::collection::vec(0u8..5, 0..200)) {
            let (mut record, mut news, mut doubted) = (record(), Vec::new(), false);
            for (ms, kind) in (0u64..).zip(&seen) {
                let seen = [Seen::Done, Seen::Passed, failed(), Seen::Fell, Seen::Refuted][usize::from(*kind)].clone();
                let (was, quarantined) = (record.trust(), word(&record) == Word::Quarantined);
                news.extend(record.note(seen, now(ms)));
                doubted = (doubted && (*kind != 0 || quarantined)) || *kind == 4 && was != record.trust();
                prop_assert_eq!(record.hands_back(), record.takes() == Takes::Nothing);
                prop_assert_eq!(record.probe().is_some(), record.failed != 0 || record.hands_back());
                prop_assert!(!doubted || record.trust() == Trust::Untrusted);
                prop_assert!(!doubted || word(&record) != Word::Sound);
            }
            let outcomes: Vec<_> = seen.iter().filter(|kind| **kind < 3).collect();
            let last = &outcomes[outcomes.len().saturating_sub(OUTCOMES as usize)..];
            prop_assert!(record.trust() == Trust::Untrusted || !last.contains(&&2));
            prop_assert!(news.chunks(2).all(|pair| pair[0] == News::Quarantined && pair.get(1) != Some(&News::Quarantined)));
        }
    }
}
