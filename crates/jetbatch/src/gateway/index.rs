//! All jobs by the time they were submitted: a few words each, for the list of jobs alone.
use domain::{JobId, Millis, status::State};
use serde::Deserialize;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    ops::Bound,
    sync::Arc,
};

#[derive(Default)]
pub struct Index {
    rows: BTreeMap<Reverse<(Millis, JobId)>, Row>,
    at: HashMap<JobId, Millis>,
    /// Names are few and rows are many.
    models: HashSet<Arc<str>>,
}

struct Row {
    state: State,
    model: Option<Arc<str>>,
}

/// Which jobs, and how many of them.
#[derive(Debug, Default)]
pub struct Query {
    pub state: Option<State>,
    pub model: Option<String>,
    pub after: Option<JobId>,
    pub limit: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// Newest first.
    pub jobs: Vec<JobId>,
    pub has_more: bool,
}

/// What is read of a `StoredStatus`.
#[derive(Deserialize)]
struct Stored<'a> {
    #[serde(borrow)]
    status: Status<'a>,
}

#[derive(Deserialize)]
struct Status<'a> {
    state: State,
    #[serde(borrow)]
    model: Option<std::borrow::Cow<'a, str>>,
    submitted_at: Millis,
}

impl Index {
    /// Takes a job's status as it stands in the bucket. One that cannot be read is of a newer jetbatch, or not ours.
    pub fn put(&mut self, job: JobId, value: &[u8]) {
        let Ok(Stored { status }) = serde_json::from_slice(value) else { return };
        let model = status.model.map(|name| self.name(&name));
        if self.at.insert(job, status.submitted_at).is_some_and(|at| at != status.submitted_at) {
            self.rows.retain(|Reverse((_, id)), _| *id != job);
        }
        self.rows.insert(Reverse((status.submitted_at, job)), Row { state: status.state, model });
    }

    pub fn remove(&mut self, job: JobId) {
        if let Some(at) = self.at.remove(&job) {
            self.rows.remove(&Reverse((at, job)));
        }
    }

    /// None: there is no such job as the one to begin after.
    pub fn page(&self, query: &Query) -> Option<Page> {
        let from = match query.after {
            Some(job) => Bound::Excluded(Reverse((*self.at.get(&job)?, job))),
            None => Bound::Unbounded,
        };
        let rows = self.rows.range((from, Bound::Unbounded)).filter(|(_, row)| row.is_asked_for(query));
        let mut jobs: Vec<JobId> = rows.map(|(Reverse((_, job)), _)| *job).take(query.limit + 1).collect();
        let has_more = jobs.len() > query.limit;
        jobs.truncate(query.limit);
        Some(Page { jobs, has_more })
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.models.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.models.insert(name.clone());
        name
    }
}

impl Row {
    fn is_asked_for(&self, query: &Query) -> bool {
        query.state.is_none_or(|state| state == self.state)
            && query.model.as_deref().is_none_or(|model| self.model.as_deref() == Some(model))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(n: u64) -> JobId {
        JobId::keyed("t", &n.to_string())
    }

    fn put(index: &mut Index, n: u64, at: u64, state: &str, model: &str) {
        let value = format!(r#"{{"v":1,"status":{{"state":"{state}","model":"{model}","submitted_at":{at},"x":[]}}}}"#);
        index.put(job(n), value.as_bytes());
    }

    fn ids(index: &Index, query: Query) -> (Vec<JobId>, bool) {
        let page = index.page(&query).unwrap();
        (page.jobs, page.has_more)
    }

    #[test]
    fn the_newest_come_first_page_by_page() {
        let mut index = Index::default();
        for n in 0..5 {
            put(&mut index, n, 1_000 + n / 2, "in_progress", "a");
        }
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let (jobs, has_more) = ids(&index, Query { after, limit: 2, ..Query::default() });
            after = jobs.last().copied();
            all.extend(jobs);
            if !has_more {
                break;
            }
        }
        assert_eq!(all.len(), 5);
        assert_eq!(all[0], job(4));
        assert!(all[3..].contains(&job(0)) && all[3..].contains(&job(1)));
    }

    #[test]
    fn a_job_is_found_by_state_and_model() {
        let mut index = Index::default();
        put(&mut index, 1, 1, "in_progress", "a");
        put(&mut index, 2, 2, "completed", "a");
        put(&mut index, 3, 3, "completed", "b");
        put(&mut index, 1, 1, "completed", "a");
        let query = Query { state: Some(State::Completed), model: Some("a".into()), limit: 9, ..Query::default() };
        assert_eq!(ids(&index, query), (vec![job(2), job(1)], false));
        index.remove(job(2));
        let query = Query { limit: 1, ..Query::default() };
        assert_eq!(ids(&index, query), (vec![job(3)], true));
        assert_eq!(index.page(&Query { after: Some(job(2)), limit: 1, ..Query::default() }), None);
    }
}
