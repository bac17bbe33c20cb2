//! Which entries of DEAD a page shows. A stream is read forwards, and the newest come first: so it is looked at from
//! its end in windows, each larger than the one before it, without the payloads.
use crate::{
    bus::{Bus, ReadError},
    gateway::{error::Rejection, fields::clipped, jobs, limits, params},
};
use domain::{JobId, Pool, Tenant, event::FaultClass};
use std::{ops::Range, str::FromStr};
use wire::{Filter, stream::DEAD};

const WINDOW_MIN: u64 = 256;
const WINDOW_MAX: u64 = 65_536;

#[derive(Debug, Default)]
pub struct Query {
    pub pool: Option<Pool>,
    pub reason: Option<FaultClass>,
    pub job: Option<JobId>,
    /// The entry to go on behind: the last one of the page before.
    pub after: Option<u64>,
    pub limit: usize,
}

impl Query {
    pub fn parse(text: Option<&str>) -> Result<Self, Rejection> {
        let mut query = Self { limit: limits::PAGE_JOBS_DEFAULT, ..Self::default() };
        for (name, value) in params::pairs(text)? {
            let wrong = |message: String| Rejection::invalid(message).param(clipped(&name));
            match &*name {
                "pool" => query.pool = Some(value.parse().map_err(|e: domain::id::Invalid| wrong(e.to_string()))?),
                "reason" => query.reason = Some(class(&value).map_err(wrong)?),
                "job" => query.job = Some(jobs::id(&value).map_err(|refusal| refusal.param("job"))?),
                "after" => query.after = Some(super::seq(&value).map_err(|refusal| refusal.param("after"))?),
                "limit" => {
                    let limit = usize::from_str(&value).ok().filter(|n| (1..=limits::PAGE_JOBS_MAX).contains(n));
                    let message = || wrong(format!("'limit' must be 1 to {}", limits::PAGE_JOBS_MAX));
                    query.limit = limit.ok_or_else(message)?;
                }
                _ => return Err(wrong("use job, pool, reason, limit or after".to_owned())),
            }
        }
        Ok(query)
    }

    /// The sequences of its entries, newest first: one more than asked for, if there are more.
    pub async fn find(&self, bus: &Bus, tenant: Tenant) -> Result<Vec<u64>, ReadError> {
        let filter = Filter::Dead { pool: self.pool.clone(), reason: self.reason, job: self.job };
        let state = bus.state(DEAD).await?;
        let (mut end, mut width) = (state.last_seq.saturating_add(1).min(self.after.unwrap_or(u64::MAX)), WINDOW_MIN);
        let mut found = Vec::new();
        while end > state.first_seq && found.len() <= self.limit {
            let start = end.saturating_sub(width).max(state.first_seq);
            found.extend(window(bus, &filter, start..end, tenant).await?.into_iter().rev());
            (end, width) = (start, (4 * width).min(WINDOW_MAX));
        }
        found.truncate(self.limit + 1);
        Ok(found)
    }
}

async fn window(bus: &Bus, filter: &Filter, range: Range<u64>, tenant: Tenant) -> Result<Vec<u64>, ReadError> {
    let mut reader = bus.heads(DEAD, filter, range.start).await?;
    let mut seqs = Vec::new();
    while !reader.caught_up() {
        match reader.next().await? {
            raw if !range.contains(&raw.seq) => break,
            raw => seqs.extend(super::is_of(&raw, tenant).then_some(raw.seq)),
        }
    }
    Ok(seqs)
}

fn class(word: &str) -> Result<FaultClass, String> {
    let names = || FaultClass::ALL.iter().map(|class| class.as_str()).collect::<Vec<_>>().join(", ");
    word.parse().map_err(|_| format!("'reason' must be one of {}", names()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_checked() {
        let got = Query::parse(Some("pool=tiny&reason=out_of_memory&after=9&limit=7")).unwrap();
        assert_eq!((got.reason, got.after, got.limit), (Some(FaultClass::OutOfMemory), Some(9), 7));
        assert_eq!(Query::parse(None).unwrap().limit, limits::PAGE_JOBS_DEFAULT);
        for (bad, param) in [
            ("limit=0", "limit"),
            ("pool=A.b", "pool"),
            ("reason=bad", "reason"),
            ("job=1", "job"),
            ("after=x", "after"),
            ("x=1", "x"),
        ] {
            assert_eq!(Query::parse(Some(bad)).unwrap_err().param.as_deref(), Some(param), "{bad}");
        }
    }
}
