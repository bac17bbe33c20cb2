//! Which pool serves which model.
use crate::Pool;
use std::collections::HashMap;

/// Model names to pools. Names are matched exactly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    pools: HashMap<String, Pool>,
    fallback: Option<Pool>,
}

impl Routes {
    /// `fallback` takes requests that name no model at all, where their job names none either.
    pub fn new(models: impl IntoIterator<Item = (String, Pool)>, fallback: Option<Pool>) -> Self {
        Self { pools: models.into_iter().collect(), fallback }
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
