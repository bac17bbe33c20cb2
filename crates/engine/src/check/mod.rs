//! Whether an engine keeps apart the sequences that it runs together: what it says alone it must say in company, too.
//!
//! One that does not gives answers that look like any others. mistral.rs 0.8.1 mixes them up on a CPU, which
//! `mistral/lanes.rs` avoids; other versions, devices and settings have not been seen by anyone here, so each pool can be
//! checked where it runs. The check asks as anybody would and knows nothing of what answers.

mod ask;
mod error;
mod said;
#[cfg(test)]
mod tests;
mod vectors;

use futures::{
    FutureExt,
    future::{BoxFuture, try_join_all},
};
use tokio::sync::Semaphore;

pub use self::error::{Difference, Error};
use self::{ask::Ask, said::Said};
use crate::{About, Engine, Task, answer::Kind, limits::SPARE};

/// Of mixed lengths, from a few words to a few hundred tokens.
pub const PROMPTS: usize = 64;

/// The furthest apart, in natural logarithms, that rounding brings a token's probabilities alone and together.
///
/// Of the bundled model's 1,550 tokens none moves by more than 0.13 where it computes in float16 in place of float32, which
/// makes about 1.0 for bfloat16, and by more than 1.24 where its weights have 8 bits. Most sequences that are mixed up have
/// a token that is 12 to 35 away.
pub const TOLERANCE: f64 = 3.0;

/// With fewer prompts to compare there is nothing to say.
const PROMPTS_MIN: usize = PROMPTS / 2;

/// What must be the same alone and together, with greedy decoding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Manner {
    /// Each token.
    Exact,
    /// Each token's log probability, natural, within a tolerance, while the text of the answer alone is forced. Where
    /// arithmetic depends on the batch, two tokens that are as likely may change places, and the texts part there.
    Within(f64),
}

impl Manner {
    /// On a CPU the same numbers are added up in the same order, whatever else runs.
    pub fn of(about: &About) -> Self {
        if about.device == "cpu" { Self::Exact } else { Self::Within(TOLERANCE) }
    }
}

/// What was compared, and was the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// [`PROMPTS`], but for those that are too long for the engine.
    pub prompts: usize,
    pub tokens: usize,
}

/// Runs [`PROMPTS`] prompts one after the other, then together: as many as the engine has slots, and a few more. It takes
/// as long as twice so many short answers; three times with [`Manner::Within`].
pub async fn kept_apart(engine: &dyn Engine, manner: Manner) -> Result<Report, Error> {
    match engine.about().task {
        Task::Chat => answers(engine, manner).await,
        Task::Embeddings => vectors::kept_apart(engine, manner).await,
    }
}

async fn answers(engine: &dyn Engine, manner: Manner) -> Result<Report, Error> {
    let (mut asks, mut alone) = first(engine).await?;
    if let Manner::Within(_) = manner {
        asks = force(asks, &alone)?;
        alone = at_once(1, asks.iter().map(|ask| ask.put(engine).boxed()).collect()).await?;
    }
    let together = crowd(engine.about().slots, asks.iter().map(|ask| ask.put(engine).boxed()).collect()).await?;
    for ((ask, alone), together) in asks.iter().zip(&alone).zip(&together) {
        if let Some(at) = alone.parts_from(together, manner) {
            return Err(Error::Mixed(Box::new(Difference::new(ask.number, at, manner, alone, together))));
        }
    }
    Ok(Report { prompts: asks.len(), tokens: alone.iter().map(|said| said.tokens.len()).sum() })
}

/// The prompts that fit the engine, and what it says to them alone.
async fn first(engine: &dyn Engine) -> Result<(Vec<Ask>, Vec<Said>), Error> {
    let (mut asks, mut alone) = (Vec::new(), Vec::new());
    for ask in Ask::all() {
        if let Some(said) = fits(ask.put(engine).await)? {
            asks.push(ask);
            alone.push(said);
        }
    }
    enough(asks).map(|asks| (asks, alone))
}

/// What came of a prompt, unless that is too long for the engine.
fn fits<T>(asked: Result<T, Error>) -> Result<Option<T>, Error> {
    match asked {
        Ok(answer) => Ok(Some(answer)),
        Err(Error::Refused { kind: Kind::TooLong, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The prompts once more, with answers given.
fn force(asks: Vec<Ask>, alone: &[Said]) -> Result<Vec<Ask>, Error> {
    if alone.iter().any(|said| !said.has_chances) {
        return Err(Error::NoChances);
    }
    let texts = alone.iter().map(Said::text);
    enough(
        asks.into_iter().zip(texts).filter(|(_, text)| !text.is_empty()).map(|(ask, text)| ask.force(&text)).collect(),
    )
}

fn enough<T>(asks: Vec<T>) -> Result<Vec<T>, Error> {
    if asks.len() < PROMPTS_MIN { Err(Error::TooFew { left: asks.len() }) } else { Ok(asks) }
}

/// One prompt's answer, on its way.
type Asked<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// As many at once as the engine has slots, and a few more.
async fn crowd<T>(slots: usize, asked: Vec<Asked<'_, T>>) -> Result<Vec<T>, Error> {
    at_once(slots + SPARE, asked).await
}

async fn at_once<T>(count: usize, asked: Vec<Asked<'_, T>>) -> Result<Vec<T>, Error> {
    let places = &Semaphore::new(count);
    try_join_all(asked.into_iter().map(|asked| placed(places, asked))).await
}

async fn placed<T>(places: &Semaphore, asked: Asked<'_, T>) -> Result<T, Error> {
    let _place = places.acquire().await.expect("the semaphore is never closed");
    asked.await
}
