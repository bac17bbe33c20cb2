//! The control experiment: after a failure, whether the engine answers what every engine can answer. It tells apart what a
//! request did to its engine from what is wrong with the engine.
use crate::{Answer, Call, Endpoint, Engine, Fault, Key, Task};
use bytes::Bytes;
use domain::health::ASKS;
use futures::future::try_join_all;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// The longest wait for an engine that is being started again.
const READY_WITHIN: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(100);

const CHAT: &str = r#"{"messages":[{"role":"user","content":"Hi"}],"max_tokens":1,"temperature":0}"#;
const EMBED: &str = r#"{"input":"What is the capital of France?"}"#;
const TEXT: &str = r#"{"prompt":"Hi","max_tokens":1,"temperature":0}"#;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    /// After it was started anew: what ran before it had ruined it.
    Renewed,
    Failed(Fault),
    /// The engine has no room just now, which says nothing.
    Unclear,
}

/// Asks the engine. It fails in time where it gives no sign of life for as long as `silence`; while other requests make
/// tokens, it only has to wait. One that fails is started anew where that is possible, and asked once more: a request may
/// have ruined it for all that came after.
pub async fn run(engine: &dyn Engine, silence: Duration) -> Outcome {
    match once(engine, silence).await {
        Outcome::Failed(fault) if !matches!(fault, Fault::Timeout { .. }) && engine.renew() => {
            match once(engine, silence).await {
                Outcome::Passed => Outcome::Renewed,
                outcome => outcome,
            }
        }
        outcome => outcome,
    }
}

async fn once(engine: &dyn Engine, silence: Duration) -> Outcome {
    let asked = async {
        back(engine).await?;
        tokio::select! {
            asked = ask_all(engine) => asked,
            fault = silent(engine, silence) => Err(fault),
        }
    };
    match asked.await {
        Ok(()) => Outcome::Passed,
        Err(Fault::Overloaded) => Outcome::Unclear,
        Err(fault) => Outcome::Failed(fault),
    }
}

/// Until the engine is there. One that could not be started again is not waited for.
async fn back(engine: &dyn Engine) -> Result<(), Fault> {
    let died = |message| Err(Fault::Died { message });
    tokio::select! {
        biased;
        ready = timeout(READY_WITHIN, engine.ready()) => match ready {
            Ok(()) => Ok(()),
            Err(_) => died(format!("it is not back after {} s", READY_WITHIN.as_secs())),
        },
        message = broken(engine) => match engine.servers().is_empty() {
            true => died(message),
            false => Err(Fault::Away { message }),
        },
    }
}

async fn broken(engine: &dyn Engine) -> String {
    loop {
        if let Some(message) = engine.broken() {
            return message;
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn silent(engine: &dyn Engine, silence: Duration) -> Fault {
    loop {
        let before = engine.beats();
        sleep(silence).await;
        if engine.beats() == before {
            return Fault::Timeout { seconds: silence.as_secs() };
        }
    }
}

async fn ask_all(engine: &dyn Engine) -> Result<(), Fault> {
    try_join_all((0..ASKS).map(|_| ask(engine))).await.map(drop)
}

async fn ask(engine: &dyn Engine) -> Result<Answer, Fault> {
    match engine.about().task {
        Task::Chat => ask_words(engine).await,
        Task::Embeddings => put(engine, Endpoint::Embeddings, EMBED).await,
    }
}

/// A model without a chat template refuses chats before it computes anything.
async fn ask_words(engine: &dyn Engine) -> Result<Answer, Fault> {
    match put(engine, Endpoint::Chat, CHAT).await? {
        answer if answer.is_good() => Ok(answer),
        _ => put(engine, Endpoint::Completions, TEXT).await,
    }
}

async fn put(engine: &dyn Engine, endpoint: Endpoint, body: &'static str) -> Result<Answer, Fault> {
    engine.run(Call { endpoint, body: Bytes::from_static(body.as_bytes()), key: Key::seeded(0) }).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{About, Behaviour, Echo, answer::Usage, echo};
    use domain::request::Refusal;
    use futures::{FutureExt, future::BoxFuture};
    use std::sync::atomic::{AtomicU64, Ordering};

    const SILENCE: Duration = Duration::from_secs(10);

    #[derive(Default)]
    struct Odd {
        /// Refuses chats.
        plain: bool,
        /// Fails every so many calls.
        fails: u64,
        hangs: bool,
        beats: bool,
        gone: bool,
        task: Task,
        calls: AtomicU64,
    }

    impl Engine for Odd {
        fn run(&self, call: Call) -> BoxFuture<'_, Result<Answer, Fault>> {
            let nth = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
            match call.endpoint {
                _ if self.hangs && self.beats => {
                    async { sleep(3 * SILENCE).await }.map(|()| Err(Fault::Overloaded)).boxed()
                }
                _ if self.hangs => std::future::pending().boxed(),
                other if self.task == Task::Embeddings && other != Endpoint::Embeddings => {
                    std::future::ready(Err(Fault::Internal { message: "it makes embeddings".into() })).boxed()
                }
                Endpoint::Chat if self.plain => {
                    std::future::ready(Ok(Refusal::invalid("messages", "no template").into())).boxed()
                }
                _ if self.fails > 0 && nth.is_multiple_of(self.fails) => {
                    std::future::ready(Err(Fault::Internal { message: "no luck".into() })).boxed()
                }
                _ => std::future::ready(Ok(Answer::good("{}".into(), Usage::default()))).boxed(),
            }
        }

        fn about(&self) -> About {
            About { model: "odd".into(), engine: "echo", task: self.task, slots: 1, device: "cpu".into() }
        }

        fn ready(&self) -> BoxFuture<'_, ()> {
            if self.gone { std::future::pending().boxed() } else { std::future::ready(()).boxed() }
        }

        fn beats(&self) -> u64 {
            if self.beats { self.calls.fetch_add(1, Ordering::Relaxed) } else { 0 }
        }

        fn broken(&self) -> Option<String> {
            self.gone.then(|| "no device".into())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_answers_passes() {
        let echo = |behaviour| echo::Echo::new(&Echo { echo: behaviour, ..Echo::default() });
        let slow = echo(Behaviour { delay_ms: 60_000, fail_containing: Some("boom".into()), ..Behaviour::default() });
        assert_eq!(run(&slow, SILENCE).await, Outcome::Passed, "it gives signs of life");
        let broken = echo(Behaviour { fail_while: Some(".".into()), ..Behaviour::default() });
        assert!(matches!(run(&broken, SILENCE).await, Outcome::Failed(Fault::Internal { .. })));
        assert_eq!(run(&Odd { plain: true, ..Odd::default() }, SILENCE).await, Outcome::Passed);
        assert_eq!(run(&Odd { task: Task::Embeddings, ..Odd::default() }, SILENCE).await, Outcome::Passed);
    }

    #[tokio::test(start_paused = true)]
    async fn one_failure_of_all_is_enough() {
        for engine in [Odd { fails: 4, ..Odd::default() }, Odd { plain: true, fails: 8, ..Odd::default() }] {
            assert!(matches!(run(&engine, SILENCE).await, Outcome::Failed(Fault::Internal { .. })));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_absence_are_failures_and_a_full_engine_is_none() {
        let hangs = run(&Odd { hangs: true, ..Odd::default() }, SILENCE).await;
        assert_eq!(hangs, Outcome::Failed(Fault::Timeout { seconds: 10 }));
        assert_eq!(run(&Odd { hangs: true, beats: true, ..Odd::default() }, SILENCE).await, Outcome::Unclear);
        let gone = run(&Odd { gone: true, ..Odd::default() }, SILENCE).await;
        assert_eq!(gone, Outcome::Failed(Fault::Died { message: "no device".into() }));
    }
}
