//! How a server stands: how many calls it may have, and until when it is left alone. Pure: times come in.
use super::limit::Limit;
use std::time::Duration;

/// A server that is full and does not say for how long.
const FULL_FIRST: Duration = Duration::from_millis(250);
/// One that is away, failing or closed: doubled each time.
const REST_FIRST: Duration = Duration::from_millis(500);
const REST_LONGEST: Duration = Duration::from_secs(30);
/// Failures in a row that are the server's and not the requests'.
const FAILURES_MAX: u32 = 8;
/// What is over sooner is nobody's trouble.
const GRACE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone)]
pub struct Standing {
    limit: Limit,
    busy: usize,
    rest: Option<Rest>,
    /// Since the last answer.
    failures: u32,
    /// The rest that would come next.
    next: Duration,
}

/// Why it is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It has no room.
    Full,
    /// It cannot be reached, or is not ready: it is looked at without a call.
    Away,
    /// It fails, or refuses everybody: only a call tells.
    Broken,
}

#[derive(Debug, Clone)]
struct Rest {
    why: Why,
    words: String,
    since: Duration,
    until: Duration,
    /// A call was let through to see.
    is_tried: bool,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// An answer, good or not, that cost so much.
    Answered(u64),
    Full(Option<Duration>),
    Away(String),
    Closed(String),
    Failed(String),
    /// Nobody waited for it any more.
    Dropped,
}

impl Standing {
    /// One that was not asked yet.
    pub fn new(limit: Limit) -> Self {
        let words = "it was not asked yet".to_owned();
        let rest = Rest { why: Why::Away, words, since: Duration::ZERO, until: Duration::ZERO, is_tried: false };
        Self { limit, busy: 0, rest: Some(rest), failures: 0, next: REST_FIRST }
    }

    /// Calls that may be given to it now.
    pub fn room(&self, now: Duration) -> usize {
        match &self.rest {
            None => self.limit.now().saturating_sub(self.busy),
            Some(rest) if now < rest.until || rest.is_tried => 0,
            Some(Rest { why: Why::Full, .. }) => self.limit.now().saturating_sub(self.busy),
            Some(Rest { why: Why::Away, .. }) => 0,
            // One, to see.
            Some(Rest { why: Why::Broken, .. }) => 1,
        }
    }

    /// Calls that it has, and that it may have.
    pub const fn load(&self) -> (usize, usize) {
        (self.busy, self.limit.now())
    }

    pub fn begin(&mut self) {
        self.busy += 1;
        if let Some(rest) = self.rest.as_mut().filter(|rest| rest.why == Why::Broken) {
            rest.is_tried = true;
        }
    }

    pub fn end(&mut self, outcome: Outcome, now: Duration) {
        let busy = self.busy;
        self.busy -= 1;
        match outcome {
            Outcome::Answered(work) => {
                self.limit.answered(work, busy, now);
                // It asked to be left alone until then, whatever it still answers.
                if self.rest.as_ref().is_none_or(|rest| rest.why != Why::Full || now >= rest.until) {
                    self.up();
                }
            }
            Outcome::Full(after) => {
                self.limit.refused(now);
                let after = after.unwrap_or_else(|| self.next.min(FULL_FIRST * 8).max(FULL_FIRST));
                self.leave(Why::Full, "it has no room".to_owned(), after, now);
            }
            Outcome::Away(words) => self.away(words, now),
            Outcome::Closed(words) => self.leave(Why::Broken, words, self.next, now),
            Outcome::Failed(words) => {
                self.failures += 1;
                if self.failures >= FAILURES_MAX || self.rest.is_some() {
                    self.leave(Why::Broken, words, self.next, now);
                }
            }
            Outcome::Dropped => {
                if let Some(rest) = &mut self.rest {
                    rest.is_tried = false;
                }
            }
        }
    }

    /// It was looked at, and is not there.
    pub fn away(&mut self, words: String, now: Duration) {
        self.leave(Why::Away, words, self.next, now);
    }

    /// It was looked at, and is there.
    pub fn there(&mut self) {
        if self.rest.as_ref().is_some_and(|rest| rest.why == Why::Away) {
            self.up();
        }
    }

    /// A call that did not return in time.
    pub fn late(&mut self, now: Duration) {
        self.limit.refused(now);
    }

    /// When it is to be looked at.
    pub fn look(&self) -> Option<Duration> {
        self.rest.as_ref().filter(|rest| rest.why == Why::Away).map(|rest| rest.until)
    }

    /// Why it takes nothing, where that is more than a moment's, and no call is out to see.
    pub fn broken(&self, now: Duration) -> Option<&str> {
        let rest = self.rest.as_ref().filter(|rest| rest.why != Why::Full && !rest.is_tried)?;
        (now.saturating_sub(rest.since) >= GRACE).then_some(&rest.words)
    }

    /// In a word: `up`, `full`, `away` or `broken`.
    pub fn word(&self) -> &'static str {
        match self.rest.as_ref().map(|rest| rest.why) {
            None => "up",
            Some(Why::Full) => "full",
            Some(Why::Away) => "away",
            Some(Why::Broken) => "broken",
        }
    }

    fn up(&mut self) {
        (self.rest, self.failures, self.next) = (None, 0, REST_FIRST);
    }

    fn leave(&mut self, why: Why, words: String, rest: Duration, now: Duration) {
        // What came back from before the rest does not lengthen it.
        if let Some(known) = self.rest.as_mut().filter(|known| now < known.until && known.why == why) {
            known.until = known.until.max(now + rest.min(REST_FIRST));
            return;
        }
        let is_going_on = self.rest.as_ref().is_some_and(|known| (known.why == Why::Full) == (why == Why::Full));
        let since = self.rest.as_ref().filter(|_| is_going_on).map_or(now, |known| known.since);
        self.rest = Some(Rest { why, words, since, until: now + rest, is_tried: false });
        self.next = (self.next * 2).min(REST_LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn up(calls: usize) -> Standing {
        let mut standing = Standing::new(Limit::fixed(calls));
        standing.there();
        standing
    }

    fn tried(standing: &mut Standing, outcome: Outcome, now: Duration) {
        standing.begin();
        standing.end(outcome, now);
    }

    #[test]
    fn it_has_as_many_calls_as_its_limit() {
        let mut standing = Standing::new(Limit::fixed(2));
        assert_eq!((standing.room(s(9)), standing.look()), (0, Some(s(0))), "it is looked at first");
        standing.there();
        standing.begin();
        standing.begin();
        assert_eq!((standing.room(s(9)), standing.load()), (0, (2, 2)));
        standing.end(Outcome::Answered(1), s(9));
        standing.end(Outcome::Dropped, s(9));
        assert_eq!(standing.room(s(9)), 2);
    }

    #[test]
    fn a_full_one_rests_as_long_as_it_says_and_is_no_trouble() {
        let mut standing = up(4);
        standing.begin();
        tried(&mut standing, Outcome::Full(Some(s(7))), s(10));
        standing.end(Outcome::Answered(1), s(11));
        assert_eq!([s(10), s(16), s(17)].map(|at| standing.room(at)), [0, 0, 4]);
        assert_eq!((standing.broken(s(1_000)), standing.word()), (None, "full"));
        tried(&mut standing, Outcome::Answered(1), s(17));
        assert_eq!(standing.word(), "up");
    }

    #[test]
    fn one_that_is_away_is_looked_at_after_growing_rests() {
        let mut standing = up(4);
        tried(&mut standing, Outcome::Away("refused".into()), s(10));
        assert_eq!(standing.broken(s(11)), None);
        let mut now = s(10);
        let rests: Vec<u128> = (0..8)
            .map(|_| {
                let rest = standing.look().unwrap() - now;
                now += rest;
                standing.away("refused".into(), now);
                rest.as_millis()
            })
            .collect();
        assert_eq!(rests, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert_eq!((standing.broken(now), standing.room(now + s(99))), (Some("refused"), 0));
        standing.there();
        assert_eq!((standing.broken(now), standing.room(now)), (None, 4));
    }

    #[test]
    fn one_that_refuses_everybody_is_tried_with_one_call() {
        let mut standing = up(4);
        standing.begin();
        tried(&mut standing, Outcome::Closed("401".into()), s(10));
        standing.there();
        assert_eq!([s(10), s(11)].map(|at| standing.room(at)), [0, 1], "that it is there says nothing of the key");
        standing.begin();
        assert_eq!((standing.room(s(11)), standing.broken(s(99))), (0, None), "it is being tried");
        standing.end(Outcome::Closed("401".into()), s(11));
        assert_eq!(standing.broken(s(12)), Some("401"));
        standing.begin();
        standing.end(Outcome::Dropped, s(13));
        assert_eq!(standing.room(s(13)), 1);
        tried(&mut standing, Outcome::Answered(1), s(14));
        assert_eq!((standing.word(), standing.room(s(14))), ("up", 3));
    }

    #[test]
    fn single_failures_are_the_requests_and_many_in_a_row_are_its_own() {
        let mut standing = up(4);
        for n in 0..FAILURES_MAX - 1 {
            tried(&mut standing, Outcome::Failed("500".into()), s(u64::from(n)));
        }
        assert_eq!(standing.word(), "up");
        tried(&mut standing, Outcome::Failed("500".into()), s(9));
        assert_eq!((standing.word(), standing.broken(s(12))), ("broken", Some("500")));
    }

    #[test]
    fn late_news_from_before_a_rest_do_not_lengthen_it() {
        let mut standing = up(64);
        (0..40).for_each(|_| standing.begin());
        (0..40).for_each(|_| standing.end(Outcome::Away("reset".into()), s(10)));
        assert_eq!(standing.look(), Some(s(10) + REST_FIRST));
    }
}
