//! What a request asks, and what its answer must be: both follow from the job and the request's number.
use crate::{
    plan::{Job, Manner},
    seed::mix,
};
use domain::Endpoint;
use serde_json::{Value, json};
use std::{collections::HashMap, io, path::Path};

/// The pool and the model that all requests name.
pub const MODEL: &str = "chaos";
/// What the echo engine is told to look for.
pub const FAIL: &str = "[fail]";
pub const REFUSE: &str = "[refuse]";
pub const DIE: &str = "[die]";

pub enum Oracle {
    /// The answer is the question.
    Echo,
    /// The bundled model, which has learned these.
    Facts(Vec<Fact>),
}

pub struct Fact {
    question: String,
    answer: String,
}

impl Oracle {
    /// The facts of the bundled model, from the folder `models`.
    pub fn facts(models: &Path) -> io::Result<Self> {
        let answers: HashMap<String, String> =
            serde_json::from_str(&std::fs::read_to_string(models.join("expected.json"))?)?;
        let sample = std::fs::read_to_string(models.join("sample.jsonl"))?;
        let fact = |line: &str| {
            let line: Value = serde_json::from_str(line).ok()?;
            let question = line["body"]["messages"][0]["content"].as_str()?.to_owned();
            Some(Fact { question, answer: answers.get(line["custom_id"].as_str()?)?.clone() })
        };
        Ok(Self::Facts(sample.lines().filter_map(fact).collect()))
    }

    /// The right answer to a request that is answered.
    pub fn answer(&self, job: &Job, n: u32) -> String {
        match self {
            Self::Echo => words(job, n),
            Self::Facts(facts) => fact(facts, job, n).answer.clone(),
        }
    }

    fn question(&self, job: &Job, n: u32) -> String {
        match self {
            Self::Echo => words(job, n),
            Self::Facts(facts) => fact(facts, job, n).question.clone(),
        }
    }

    pub fn request(&self, job: &Job, n: u32, is_valid: bool) -> Value {
        let messages = json!([{"role": "user", "content": self.question(job, n)}]);
        let temperature = if is_valid { json!(0) } else { json!("hot") };
        let body = json!({"model": MODEL, "messages": messages, "max_tokens": 16, "temperature": temperature});
        json!({"custom_id": custom_id(n), "method": "POST", "url": Endpoint::Chat.url(), "body": body})
    }
}

fn fact<'a>(facts: &'a [Fact], job: &Job, n: u32) -> &'a Fact {
    &facts[(mix(job.seed ^ u64::from(n)) % facts.len() as u64) as usize]
}

pub fn custom_id(n: u32) -> String {
    format!("r{n}")
}

/// The number of the request that a custom id names, if it is one of ours.
pub fn number(custom_id: &str) -> Option<u32> {
    let digits = custom_id.strip_prefix('r')?;
    digits.parse().ok().filter(|n: &u32| n.to_string() == digits)
}

/// Words of one request and no other, with characters that JSON escapes.
fn words(job: &Job, n: u32) -> String {
    let mut text = format!("job {} \"asks\" {n}\n\u{fc} {:016x} ", job.number, mix(job.seed ^ (u64::from(n) << 32)));
    text.push_str(match job.manner(n) {
        Manner::Refused => REFUSE,
        Manner::Poison => FAIL,
        Manner::Deadly => DIE,
        Manner::Plain | Manner::Large => "",
    });
    text.extend(std::iter::repeat_n('.', job.padding(n)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Plan, tests::spec};
    use std::collections::HashSet;

    #[test]
    fn no_two_requests_are_alike() {
        let plan = Plan::draw(&spec(1));
        let mut seen = HashSet::new();
        for job in &plan.jobs {
            assert!((0..job.requests).all(|n| seen.insert(words(job, n))));
        }
    }

    #[test]
    fn a_request_is_known_by_its_id() {
        assert_eq!(number(&custom_id(17)), Some(17));
        for other in ["17", "r", "r017", "r-1", "r+1", "rx"] {
            assert_eq!(number(other), None, "{other}");
        }
    }

    #[test]
    fn the_bundled_facts_are_known() {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
        let Ok(Oracle::Facts(facts)) = Oracle::facts(&models) else { panic!("no facts") };
        assert!(facts.len() > 500);
        assert!(facts.iter().any(|fact| fact.question.contains("capital of France") && fact.answer == "Paris"));
    }
}
