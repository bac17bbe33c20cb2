//! An input, parted: what has its answer, and what is to be asked.
use super::{Defaults, Earlier, Plan, hash::Read, plan::Writer};
use crate::{Answer, Error, Request, Requests};
use std::path::Path;

/// What became of the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sorted {
    /// A job is asked for them.
    pub asked: u64,
    /// They have an earlier answer.
    pub taken: u64,
    /// They are no requests, and their error is known.
    pub refused: u64,
}

/// The requests that are to be asked. What is decided of each row is written down as it comes by.
pub struct Split {
    requests: Requests,
    earlier: Option<Earlier>,
    plan: Writer,
    defaults: Defaults,
    /// The job is told of rows that are no requests, too.
    sends_bad: bool,
    sorted: Sorted,
}

impl Split {
    /// Without earlier answers everything is asked. With them a row that is no request is no reason for a job, unless
    /// it is to refuse the job (`is_strict`).
    pub fn new(
        requests: Requests,
        earlier: Option<Earlier>,
        defaults: Defaults,
        is_strict: bool,
        dir: &Path,
    ) -> Result<Self, Error> {
        let sends_bad = is_strict || earlier.is_none();
        Ok(Self { requests, earlier, plan: Writer::new(dir)?, defaults, sends_bad, sorted: Sorted::default() })
    }

    /// Once all requests were given.
    pub fn finish(self) -> Result<(Plan, Sorted), Error> {
        Ok((self.plan.finish()?, self.sorted))
    }

    /// The request, where it is to be asked.
    fn sort(&mut self, request: Request) -> Result<Option<Request>, Error> {
        let Read { id, hash } = Read::of(&request.line, &self.defaults);
        let told = match (&request.bad, &mut self.earlier, hash) {
            (Some(why), _, _) if !self.sends_bad => Some(Answer::missing(why)),
            (None, Some(earlier), Some(hash)) => earlier.take(hash)?,
            _ => None,
        };
        let count = match (&told, &request.bad) {
            (None, _) => &mut self.sorted.asked,
            (Some(_), None) => &mut self.sorted.taken,
            (Some(_), Some(_)) => &mut self.sorted.refused,
        };
        *count += 1;
        let request = told.is_none().then_some(request);
        self.plan.put(id, hash, told)?;
        Ok(request)
    }
}

impl Iterator for Split {
    type Item = Result<Request, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let sorted = self.requests.next()?.and_then(|request| self.sort(request));
            if let Some(request) = sorted.transpose() {
                return Some(request);
            }
        }
    }
}
