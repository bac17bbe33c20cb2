//! Engines that are right, wrong in every way, or away.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};

use super::*;
use crate::{Answer, Behaviour, Call, Echo, Fault, Spec, Usage};

/// Says a few words about the number of letters it was asked with; how, its `way` knows.
struct Fake {
    way: Way,
    running: AtomicUsize,
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Right,
    /// In company it says another word in the end.
    Astray,
    /// In company it is less sure, but says the same.
    Unsure(f64),
    /// In company it fails.
    Fails,
    /// It takes prompts of so many bytes.
    Short(usize),
    /// It says nothing of its chances.
    Mute,
    /// It makes embeddings.
    Vectors,
    /// In company it makes others, this far away.
    Turned(f32),
}

impl Way {
    fn task(self) -> Task {
        if matches!(self, Self::Vectors | Self::Turned(_)) { Task::Embeddings } else { Task::Chat }
    }
}

impl Engine for Fake {
    fn run(&self, call: Call) -> BoxFuture<'_, Result<Answer, Fault>> {
        self.running.fetch_add(1, Ordering::Relaxed);
        async move {
            tokio::task::yield_now().await;
            let in_company = self.running.load(Ordering::Relaxed) > 1;
            tokio::task::yield_now().await;
            self.running.fetch_sub(1, Ordering::Relaxed);
            self.answer(&call, in_company)
        }
        .boxed()
    }

    fn about(&self) -> About {
        About { model: "fake".to_owned(), engine: "fake", task: self.way.task(), slots: 4, device: "cuda:0".to_owned() }
    }
}

impl Fake {
    fn answer(&self, call: &Call, in_company: bool) -> Result<Answer, Fault> {
        let body: Value = serde_json::from_slice(&call.body).expect("JSON");
        if let Some(text) = body["input"].as_str() {
            return Ok(self.vector(text, in_company));
        }
        let asked = body["messages"][0]["content"].as_str().expect("words");
        match self.way {
            Way::Fails if in_company => return Err(Fault::Overloaded),
            Way::Short(most) if asked.len() > most => {
                let refusal = domain::request::Refusal::too_long("messages", asked.len(), most);
                return Ok(refusal.into());
            }
            _ => {}
        }
        let number = asked.len().to_string();
        let last = if self.way == Way::Astray && in_company && body["guided_choice"].is_null() {
            " words"
        } else {
            " letters"
        };
        let loss = if let Way::Unsure(loss) = self.way
            && in_company
        {
            loss
        } else {
            0.0
        };
        let token = |text: &str| json!({"token": text, "logprob": -0.1 - loss, "bytes": text.as_bytes()});
        let logprobs =
            if self.way == Way::Mute { Value::Null } else { json!({"content": [token(&number), token(last)]}) };
        let message = json!({"content": format!("{number}{last}")});
        let body = json!({"choices": [{"message": message, "logprobs": logprobs}]}).to_string();
        Ok(Answer::good(body, Usage::default()))
    }
}

impl Fake {
    fn vector(&self, text: &str, in_company: bool) -> Answer {
        let turned = if let Way::Turned(angle) = self.way
            && in_company
        {
            angle
        } else {
            0.0
        };
        let angle = text.len() as f32 + turned;
        let body = json!({"data": [{"embedding": [angle.sin(), angle.cos()]}], "usage": {"prompt_tokens": 2}});
        Answer::good(body.to_string(), Usage::default())
    }
}

async fn check(way: Way, manner: Manner) -> Result<Report, String> {
    let engine = Fake { way, running: AtomicUsize::new(0) };
    kept_apart(&engine, manner).await.map_err(|error| error.to_string())
}

const WITHIN: Manner = Manner::Within(TOLERANCE);

#[tokio::test]
async fn a_right_engine_passes() {
    for manner in [Manner::Exact, WITHIN] {
        assert_eq!(check(Way::Right, manner).await, Ok(Report { prompts: 64, tokens: 128 }));
    }
    assert!(check(Way::Unsure(1.0), WITHIN).await.is_ok());
    assert!(check(Way::Unsure(9.0), Manner::Exact).await.is_ok(), "its tokens are the same");
}

#[tokio::test]
async fn the_first_difference_is_told() {
    let told = check(Way::Astray, Manner::Exact).await.expect_err("another word");
    assert_eq!(
        told,
        "sequences are mixed up: prompt 1 of 64, token 2: alone \" letters\", together \" words\" \
         (alone the answer is \"14 letters\", together \"14 words\")"
    );
    let told = check(Way::Unsure(8.0), WITHIN).await.expect_err("another chance");
    assert_eq!(
        told,
        "sequences are mixed up: prompt 1 of 64, token 1: log probability alone -0.100 for \"14\", together -8.100 for \
         \"14\", where 3 may be rounding (alone the answer is \"14 letters\", together \"14 letters\")"
    );
}

#[tokio::test]
async fn an_engine_that_cannot_be_checked_does_not_pass() {
    for (way, manner, why) in [
        (Way::Fails, Manner::Exact, "got no answer"),
        (Way::Short(10), Manner::Exact, "answers 0 of the check's 64 prompts"),
        (Way::Mute, WITHIN, "no log probabilities"),
    ] {
        let told = check(way, manner).await.expect_err(why);
        assert!(told.contains(why), "{told}");
    }
}

#[tokio::test]
async fn prompts_that_are_too_long_are_left_out() {
    assert_eq!(check(Way::Short(100), Manner::Exact).await.map(|report| report.prompts), Ok(40));
}

#[tokio::test]
async fn an_engine_without_chances_is_known_by_its_text() {
    assert_eq!(check(Way::Mute, Manner::Exact).await, Ok(Report { prompts: 64, tokens: 64 }));
}

#[tokio::test]
async fn an_echo_mixes_up_what_it_is_told_to() {
    let echo =
        |mix| Spec::from(Echo { echo: Behaviour { delay_ms: 1, mix, ..Behaviour::default() }, ..Echo::default() });
    for mix in [false, true] {
        let engine = crate::load(&echo(mix)).await.expect("an echo");
        let checked = kept_apart(&*engine, Manner::of(&engine.about())).await;
        assert_eq!(checked.is_err(), mix, "{checked:?}");
    }
}

#[tokio::test]
async fn vectors_are_compared() {
    for manner in [Manner::Exact, WITHIN] {
        assert_eq!(check(Way::Vectors, manner).await, Ok(Report { prompts: 64, tokens: 128 }));
        let told = check(Way::Turned(0.5), manner).await.expect_err("other vectors");
        assert!(told.contains("the vectors of prompt 1 of 64 alone and together are alike by 0.877583"), "{told}");
    }
    assert!(check(Way::Turned(0.01), WITHIN).await.is_ok());
    assert!(check(Way::Turned(0.01), Manner::Exact).await.is_err());
}
