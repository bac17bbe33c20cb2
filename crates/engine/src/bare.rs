//! An engine with the settings of a spec and nothing of jetbatch around it, to measure against.
use crate::{Bare, LoadError, Spec};

impl Bare {
    pub async fn load(spec: &Spec) -> Result<Self, LoadError> {
        match spec {
            #[cfg(feature = "mistralrs")]
            Spec::Mistralrs(spec) => crate::mistral::bare(spec).await.map(Self::Mistralrs),
            #[cfg(not(feature = "mistralrs"))]
            Spec::Mistralrs(_) => Err(LoadError::NotBuilt { feature: "mistralrs" }),
            Spec::Openai(spec) => crate::remote::bare(spec).map(Self::Servers),
            Spec::Echo(_) => Err(LoadError::Spec { field: "kind", why: "must be mistralrs or openai".to_owned() }),
        }
    }

    /// Calls to keep in flight for its best speed with right answers.
    pub fn in_flight(&self) -> usize {
        match self {
            #[cfg(feature = "mistralrs")]
            Self::Mistralrs(bare) => bare.in_flight(),
            Self::Servers(bare) => bare.in_flight(),
        }
    }

    /// Answers a chat of plain texts, one of those in flight. Gives the completion tokens.
    pub async fn chat(&self, lane: usize, body: &[u8]) -> Result<u64, String> {
        match self {
            #[cfg(feature = "mistralrs")]
            Self::Mistralrs(bare) => bare.chat(lane, body).await,
            Self::Servers(bare) => bare.chat(lane, body).await,
        }
    }
}
