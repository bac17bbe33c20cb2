//! An engine that answers with what it was asked, for load and fault tests: no model, almost no time.
//!
//! The words are never unescaped: the JSON text of the question is the JSON text of the answer.

use std::{
    borrow::Cow,
    fmt,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use serde::{
    Deserialize,
    de::{Deserializer, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use domain::request::{Body, Refusal};
use tokio::sync::Semaphore;

use crate::{
    About, Answer, Call, Endpoint, Engine, Fault, Task, Usage,
    spec::{self, Behaviour},
    stamp,
};

const SLOTS: usize = 256;
/// Tokens that come together, so that a timer is not set for each: others may begin meanwhile.
const STEP_MS: f64 = 20.0;
/// As English has it.
const TOKEN_BYTES: usize = 4;
/// Between the tokens of an answer that takes its time.
const TOKEN_MS: u64 = 100;

pub struct Echo {
    behaviour: Behaviour,
    model: String,
    slots: usize,
    beats: AtomicU64,
    /// Answers on their way, of as many as there are slots.
    running: AtomicUsize,
    places: Semaphore,
    ruined: AtomicBool,
    /// What was asked last.
    last: Mutex<Option<Call>>,
}

impl Echo {
    pub fn new(spec: &spec::Echo) -> Self {
        let model = spec.name.clone().unwrap_or_else(|| "echo".to_owned());
        Self {
            behaviour: spec.echo.clone(),
            model,
            slots: spec.slots.unwrap_or(SLOTS),
            beats: AtomicU64::new(0),
            running: AtomicUsize::new(0),
            places: Semaphore::new(spec.slots.unwrap_or(SLOTS)),
            ruined: AtomicBool::new(false),
            last: Mutex::default(),
        }
    }

    /// None: it never comes.
    fn answer(&self, call: &Call) -> Option<Result<Answer, Fault>> {
        // It repeats what it finds, and refuses what every engine refuses.
        match Body::read(call.endpoint, &call.body).and_then(|_| hear(&call.body)) {
            Ok((_, words)) if self.hangs(&words) => None,
            Ok((model, words)) => Some(self.reply(call.endpoint, model, &words)),
            Err(refusal) => Some(Ok(refusal.into())),
        }
    }

    fn reply(&self, endpoint: Endpoint, model: Option<&RawValue>, words: &str) -> Result<Answer, Fault> {
        self.act_up(words)?;
        if holds(words, self.behaviour.refuse_containing.as_deref()) {
            return Ok(Refusal::invalid("messages", "this text is refused, as configured").into());
        }
        let model = model.map_or_else(|| Cow::Owned(quoted(&self.model)), |raw| Cow::Borrowed(raw.get()));
        Ok(say(endpoint, &model, words))
    }

    fn hangs(&self, words: &str) -> bool {
        is_there(self.behaviour.hang_while.as_deref()) || holds(words, self.behaviour.hang_containing.as_deref())
    }

    async fn dawdle(&self, mut left_ms: u64) {
        while left_ms > 0 {
            let step = left_ms.min(TOKEN_MS);
            tokio::time::sleep(Duration::from_millis(step)).await;
            self.beats.fetch_add(1, Ordering::Relaxed);
            left_ms -= step;
        }
    }

    /// As long as a model takes for an answer of so many tokens, in its turn.
    async fn speak(&self, tokens: u64) {
        let _place = self.places.acquire().await;
        let running = Running::new(&self.running);
        let mut left = tokens as f64;
        while left > 0.0 {
            let others = self.running.load(Ordering::Relaxed).saturating_sub(1) as f64;
            let token_ms = (self.behaviour.token_ms * (1.0 + self.behaviour.share * others)).max(f64::EPSILON);
            let tokens = left.min((STEP_MS / token_ms).max(1.0));
            tokio::time::sleep(Duration::from_secs_f64(tokens * token_ms / 1_000.0)).await;
            self.beats.fetch_add(1, Ordering::Relaxed);
            left -= tokens;
        }
        drop(running);
    }

    fn keep(&self, call: &Call) {
        if self.behaviour.mix {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(call.clone());
        }
    }

    fn mixed(&self, call: Call) -> Call {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or(call)
    }

    fn act_up(&self, words: &str) -> Result<(), Fault> {
        let behaviour = &self.behaviour;
        if holds(words, behaviour.die_containing.as_deref()) || is_there(behaviour.die_while.as_deref()) {
            std::process::abort();
        }
        if holds(words, self.behaviour.panic_containing.as_deref()) {
            panic!("this text panics, as configured");
        }
        if holds(words, self.behaviour.fail_containing.as_deref()) {
            return Err(Fault::Internal { message: "this text fails, as configured".to_owned() });
        }
        if self.behaviour.fail_longer.is_some_and(|longest| words.len() > longest) {
            return Err(Fault::Internal { message: "longer ones fail, as configured".to_owned() });
        }
        if holds(words, self.behaviour.ruin_containing.as_deref()) {
            self.ruined.store(true, Ordering::Relaxed);
        }
        let is_ruined = self.ruined.load(Ordering::Relaxed);
        if is_ruined || is_there(self.behaviour.fail_while.as_deref()) {
            return Err(Fault::Internal { message: "all fails, as configured".to_owned() });
        }
        Ok(())
    }
}

impl Engine for Echo {
    fn run(&self, call: Call) -> BoxFuture<'_, Result<Answer, Fault>> {
        match self.behaviour.delay_ms {
            _ if self.behaviour.token_ms > 0.0 => async move {
                let answer = self.answer(&call);
                if let Some(Ok(answer)) = &answer {
                    self.speak(answer.usage.completion).await;
                }
                in_time(answer).await
            }
            .boxed(),
            0 => in_time(self.answer(&call)),
            delay => async move {
                self.keep(&call);
                self.dawdle(delay).await;
                in_time(self.answer(&self.mixed(call))).await
            }
            .boxed(),
        }
    }

    fn about(&self) -> About {
        About {
            model: self.model.clone(),
            engine: "echo",
            task: Task::Chat,
            slots: self.slots,
            device: "cpu".to_owned(),
        }
    }

    fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }
}

struct Running<'a>(&'a AtomicUsize);

impl<'a> Running<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn in_time(answer: Option<Result<Answer, Fault>>) -> BoxFuture<'static, Result<Answer, Fault>> {
    match answer {
        Some(answer) => std::future::ready(answer).boxed(),
        None => std::future::pending().boxed(),
    }
}

fn holds(words: &str, mark: Option<&str>) -> bool {
    mark.is_some_and(|mark| words.contains(mark))
}

fn is_there(file: Option<&Path>) -> bool {
    file.is_some_and(Path::exists)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The JSON text of the answer: `model` and `words` are JSON strings already.
fn say(endpoint: Endpoint, model: &str, words: &str) -> Answer {
    let tokens = words.len().div_ceil(TOKEN_BYTES) as u64;
    let (id, created, total) = (stamp::id(), stamp::now(), 2 * tokens);
    let tail =
        format_args!(r#""usage":{{"prompt_tokens":{tokens},"completion_tokens":{tokens},"total_tokens":{total}}}}}"#);
    let body = match endpoint {
        Endpoint::Chat => format!(
            r#"{{"id":"chatcmpl-{id}","object":"chat.completion","created":{created},"model":{model},"choices":[{{"index":0,"message":{{"role":"assistant","content":{words},"refusal":null}},"logprobs":null,"finish_reason":"stop"}}],{tail}"#
        ),
        Endpoint::Completions | Endpoint::Embeddings => format!(
            r#"{{"id":"cmpl-{id}","object":"text_completion","created":{created},"model":{model},"choices":[{{"index":0,"text":{words},"logprobs":null,"finish_reason":"stop"}}],{tail}"#
        ),
    };
    Answer::good(body, Usage { prompt: tokens, completion: tokens, cached: 0 })
}

/// The parts of a body that an echo needs. The rest is skipped, not checked.
#[derive(Deserialize)]
struct Peek<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow, default)]
    messages: Last<'a>,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

/// The last element of a list.
#[derive(Default)]
struct Last<'a>(Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Last<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Last<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Last<'de>, A::Error> {
                let mut last = None;
                while let Some(item) = list.next_element()? {
                    last = Some(item);
                }
                Ok(Last(last))
            }
        }

        deserializer.deserialize_seq(List)
    }
}

/// The model, and the JSON string to answer with.
fn hear(body: &[u8]) -> Result<(Option<&RawValue>, Cow<'_, str>), Refusal> {
    let peek: Peek<'_> = serde_json::from_slice(body).map_err(|e| Refusal::json(&e))?;
    let said = match (peek.messages.0, peek.prompt) {
        (Some(last), _) => {
            let message: Message<'_> =
                serde_json::from_str(last.get()).map_err(|e| Refusal::invalid("messages", e.to_string()))?;
            // An assistant's may be absent.
            Some(message.content.map_or(Cow::Borrowed(r#""""#), words))
        }
        (None, prompt) => prompt.map(words),
    };
    said.map(|words| (peek.model, words)).ok_or_else(|| Refusal::missing("messages"))
}

fn words(raw: &RawValue) -> Cow<'_, str> {
    if raw.get().starts_with('"') {
        return Cow::Borrowed(raw.get());
    }
    /// Of a message, or one of many prompts.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Part {
        Typed { text: String },
        Plain(String),
    }
    let parts: Vec<Part> = serde_json::from_str(raw.get()).unwrap_or_default();
    let texts = parts.into_iter().map(|(Part::Typed { text } | Part::Plain(text))| text);
    Cow::Owned(quoted(&texts.collect::<Vec<_>>().join("\n")))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::Value;

    use crate::Key;

    use super::*;

    fn echo(behaviour: Behaviour) -> Echo {
        Echo::new(&spec::Echo { echo: behaviour, ..spec::Echo::default() })
    }

    fn chat(text: &str) -> Call {
        let body = serde_json::json!({"model": "m", "messages": [{"role": "system", "content": "be kind"},
            {"role": "user", "content": text}], "temperature": 0});
        Call { endpoint: Endpoint::Chat, body: Bytes::from(body.to_string()), key: Key::seeded(0) }
    }

    async fn run(echo: &Echo, call: Call) -> (u16, Value) {
        let answer = echo.run(call).await.expect("an answer");
        (answer.status, serde_json::from_str(&answer.body).expect("JSON"))
    }

    #[tokio::test]
    async fn says_the_last_message() {
        let (status, body) = run(&echo(Behaviour::default()), chat("a \"b\"\n\u{1f600}")).await;
        assert_eq!(status, 200);
        assert_eq!(body["choices"][0]["message"]["content"], "a \"b\"\n\u{1f600}");
        assert_eq!(body["model"], "m");
    }

    #[tokio::test]
    async fn says_parts_and_prompts() {
        let parts =
            br#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]}"#;
        let call = Call { endpoint: Endpoint::Chat, body: Bytes::from_static(parts), key: Key::seeded(0) };
        let (_, body) = run(&echo(Behaviour::default()), call).await;
        assert_eq!(body["choices"][0]["message"]["content"], "a\nb");
        assert_eq!(body["model"], "echo");
        for (body, said) in [(&br#"{"prompt":"p"}"#[..], "p"), (br#"{"prompt":["p","q"]}"#, "p\nq")] {
            let call = Call { endpoint: Endpoint::Completions, body: Bytes::from_static(body), key: Key::seeded(0) };
            assert_eq!(run(&echo(Behaviour::default()), call).await.1["choices"][0]["text"], said);
        }
    }

    #[tokio::test]
    async fn fails_and_refuses_as_configured() {
        let behaviour = Behaviour {
            fail_containing: Some("boom".to_owned()),
            refuse_containing: Some("rude".to_owned()),
            hang_containing: Some("endless".to_owned()),
            fail_longer: Some(16),
            ..Behaviour::default()
        };
        let echo = echo(behaviour);
        assert!(matches!(echo.run(chat("a boom")).await, Err(Fault::Internal { .. })));
        assert!(matches!(echo.run(chat("more than the rest")).await, Err(Fault::Internal { .. })));
        assert_eq!(run(&echo, chat("rude")).await.0, 400);
        assert!(echo.run(chat("endless")).now_or_never().is_none());
        assert_eq!(run(&echo, chat("fine")).await.0, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_takes_as_long_as_its_tokens_and_as_the_slots_share() {
        let took = async |share: f64, calls: usize| {
            let behaviour = Behaviour { token_ms: 10.0, share, ..Behaviour::default() };
            let echo = Echo::new(&spec::Echo { slots: Some(2), echo: behaviour, ..spec::Echo::default() });
            let begun = tokio::time::Instant::now();
            // Ten tokens and the two quotes' half.
            let all = (0..calls).map(|_| echo.run(chat("0123456789012345678901234567890123456")));
            assert!(futures::future::join_all(all).await.iter().all(Result::is_ok));
            begun.elapsed().as_millis()
        };
        assert_eq!([took(0.0, 1).await, took(0.0, 2).await, took(0.0, 4).await], [100, 100, 200]);
        let turns = took(1.0, 2).await;
        assert!((180..=200).contains(&turns), "one after the other: {turns}");
    }

    #[tokio::test]
    async fn answers_nothing_while_a_file_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hang");
        let echo = echo(Behaviour { hang_while: Some(path.clone()), ..Behaviour::default() });
        assert_eq!(run(&echo, chat("fine")).await.0, 200);
        std::fs::write(&path, "").expect("a file");
        assert!(echo.run(chat("fine")).now_or_never().is_none());
        std::fs::remove_file(&path).expect("it was there");
        assert_eq!(run(&echo, chat("fine")).await.0, 200);
    }

    #[tokio::test]
    async fn an_assistant_that_said_nothing_is_echoed() {
        for message in [r#"{"role":"assistant","content":null}"#, r#"{"role":"assistant"}"#] {
            let body = Bytes::from(format!(r#"{{"messages":[{message}]}}"#));
            let (status, body) =
                run(&echo(Behaviour::default()), Call { endpoint: Endpoint::Chat, body, key: Key::seeded(0) }).await;
            assert_eq!((status, &body["choices"][0]["message"]["content"]), (200, &Value::from("")));
        }
    }

    #[tokio::test]
    async fn refuses_what_is_not_a_request() {
        for body in ["", "[]", "{", r#"{"messages":[]}"#, r#"{"messages":[1]}"#] {
            let call = Call { endpoint: Endpoint::Chat, body: Bytes::from(body), key: Key::seeded(0) };
            assert_eq!(run(&echo(Behaviour::default()), call).await.0, 400, "{body}");
        }
    }
}
