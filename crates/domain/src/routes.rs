//! Which pool serves which model.
use crate::{Pool, line::Reader};
use std::collections::{HashMap, HashSet};

/// Model names to pools. Names are matched exactly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    pools: HashMap<String, Pool>,
    fallback: Option<Pool>,
    /// Pools whose bodies are read elsewhere.
    elsewhere: HashSet<Pool>,
    /// Pools whose engine makes embeddings, and nothing else.
    embeds: HashSet<Pool>,
}

impl Routes {
    /// `fallback` takes requests that name no model at all, where their job names none either.
    pub fn new(models: impl IntoIterator<Item = (String, Pool)>, fallback: Option<Pool>) -> Self {
        Self { pools: models.into_iter().collect(), fallback, ..Self::default() }
    }

    /// The same with pools of servers that read bodies themselves.
    pub fn with_servers(self, pools: impl IntoIterator<Item = Pool>) -> Self {
        Self { elsewhere: pools.into_iter().collect(), ..self }
    }

    /// The same with pools whose engine makes embeddings.
    pub fn with_embeds(self, pools: impl IntoIterator<Item = Pool>) -> Self {
        Self { embeds: pools.into_iter().collect(), ..self }
    }

    /// Those of some pools alone; none: of all.
    #[must_use]
    pub fn only(mut self, pools: &[Pool]) -> Self {
        if !pools.is_empty() {
            self.pools.retain(|_, pool| pools.contains(pool));
            self.fallback = self.fallback.filter(|pool| pools.contains(pool));
        }
        self
    }

    /// Who reads a request's body.
    pub fn reader(&self, model: Option<&str>, job_model: Option<&str>) -> Reader<'_> {
        match self.pool(model, job_model) {
            Some(pool) if self.elsewhere.contains(pool) => Reader::Server,
            Some(pool) if self.embeds.contains(pool) => Reader::Embeds(pool),
            Some(_) | None => Reader::Own,
        }
    }

    /// The pool of a request: its own model, else its job's, else the fallback.
    pub fn pool(&self, model: Option<&str>, job_model: Option<&str>) -> Option<&Pool> {
        match model.or(job_model) {
            Some(name) => self.pools.get(name),
            None => self.fallback.as_ref(),
        }
    }

    /// The names that are served, sorted.
    pub fn models(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.pools.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}
