//! A pool's workers together: whether anything is done there, and if not, why, and what mends it. Pure: what the workers
//! tell of themselves comes in.
use crate::{
    Job, Pool, Timestamp,
    health::Word,
    trouble::{Kind, Trouble},
};

/// A worker that starts or stops is told of after so long.
const PASSING_MS: u64 = 5_000;

/// A worker as it tells of itself.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    pub worker: &'a str,
    pub word: Word,
    pub since: Timestamp,
    pub why: Option<&'a str>,
}

/// Why nothing is done in a pool that has workers. Who has none is told of by those that wait.
pub fn trouble(pool: &Pool, crew: &[Member<'_>], now: Timestamp) -> Option<Trouble> {
    if crew.iter().any(|member| member.word.works()) {
        return None;
    }
    let newest = |word| crew.iter().filter(move |member| member.word == word).max_by_key(|member| member.since);
    let passed = |member: &&Member<'_>| now.since(member.since) >= PASSING_MS;
    let order = [Word::Quarantined, Word::NoEngine, Word::Loading, Word::SetAside, Word::Draining];
    let found = order.into_iter().find_map(newest);
    let lasts = |member: &&Member<'_>| !matches!(member.word, Word::Loading | Word::Draining) || passed(member);
    found.filter(lasts).map(|member| member.trouble(pool))
}

impl Member<'_> {
    fn trouble(&self, pool: &Pool) -> Trouble {
        let (worker, why) = (self.worker, self.why.unwrap_or("it does not say why"));
        let (cause, mend) = match self.word {
            Word::Quarantined => (
                format!("every worker of pool '{pool}' fails with whatever it is asked; {worker}: {why}"),
                "mend the engine or its device (the worker's log tells more); the workers ask again by themselves"
                    .to_owned(),
            ),
            Word::NoEngine => (
                format!("the model of pool '{pool}' cannot be loaded; {worker}: {why}"),
                format!("mend the model or [pools.{pool}.engine], and start the worker again"),
            ),
            Word::Loading => (
                format!("the model of pool '{pool}' is being loaded by {worker}"),
                "wait; it goes on when the model is loaded".to_owned(),
            ),
            Word::SetAside | Word::Draining | Word::Sound | Word::OnTrial => (
                format!("every worker of pool '{pool}' was told to take nothing"),
                format!("let one take work again (jetbatch workers trust {worker}), or start another"),
            ),
        };
        Trouble::new(Kind::Pool, cause, mend, self.since)
    }
}

/// A pool that jobs need, and that the head which sends does not know.
pub fn unconfigured(pool: &Pool, since: Timestamp) -> Trouble {
    let cause = format!("pool '{pool}' is not configured at the head that sends its chunks");
    let mend = format!(
        "put [pools.{pool}] back into the configuration and start jetbatch again, or cancel the jobs that ask for it"
    );
    Trouble::new(Kind::Pool, cause, mend, since)
}

/// Why a job holds, if it does.
pub fn held(job: &Job, since: Timestamp) -> Option<Trouble> {
    job.hold.is_on().then(|| {
        let (lost, id) = (job.tally.failed, job.id);
        let cause = format!(
            "{lost} of its requests were given up and none was answered, on workers that answer other questions; it is \
             tried one chunk at a time"
        );
        let mend = format!(
            "see what they failed of (jetbatch dead list --job {id}) and mend the pool's engine, or cancel the job and \
             submit requests that it can answer"
        );
        Trouble::new(Kind::Chunk, cause, mend, since)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::new(100_000);

    fn member(word: Word, since: u64, why: &'static str) -> Member<'static> {
        Member { worker: "w1", word, since: Timestamp::new(since), why: Some(why) }
    }

    fn cause(crew: &[Member<'_>]) -> Option<String> {
        trouble(&"tiny".parse().unwrap(), crew, NOW).map(|trouble| trouble.cause)
    }

    #[test]
    fn one_that_works_is_enough() {
        for word in [Word::Sound, Word::OnTrial] {
            assert_eq!(cause(&[member(Word::Quarantined, 1, "no device"), member(word, 1, "")]), None);
        }
        assert_eq!(cause(&[]), None);
    }

    #[test]
    fn where_none_works_the_newest_reason_is_told() {
        let bad =
            [member(Word::Quarantined, 1, "old"), member(Word::Quarantined, 2, "new"), member(Word::Loading, 9, "")];
        assert!(cause(&bad).unwrap().ends_with("w1: new"));
        let unloadable = [member(Word::NoEngine, 1, "no folder"), member(Word::Loading, 9, "")];
        assert!(cause(&unloadable).unwrap().ends_with("cannot be loaded; w1: no folder"));
        assert!(cause(&[member(Word::SetAside, 99_999, "")]).unwrap().ends_with("was told to take nothing"));
    }

    #[test]
    fn a_start_and_a_stop_are_told_of_when_they_last() {
        for word in [Word::Loading, Word::Draining] {
            assert_eq!(cause(&[member(word, 95_001, "")]), None);
            assert!(cause(&[member(word, 95_000, "")]).is_some());
        }
    }
}
