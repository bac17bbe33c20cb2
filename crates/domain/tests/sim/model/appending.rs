//! A command's way to the log, a step at a time; [`Execution`] says what comes next.
use super::{
    env::{Env, Number},
    log::{self, Append, Folded},
};
use domain::{
    command::Command,
    decide::Denied,
    execute::{Decided, Execution},
};

pub struct Appending {
    pub job: Number,
    execution: Execution,
    decided: Option<Decided>,
}

pub enum Turn {
    More,
    /// Whether something was stored.
    Done(bool),
    Refused(Denied),
    /// Stored or not, or too many conflicts.
    Unknown,
}

impl Appending {
    pub const fn new(job: Number, command: Command) -> Self {
        Self { job, execution: Execution::new(command), decided: None }
    }

    /// Decided already by a fold that may lag.
    pub fn known(job: Number, command: Command, folded: &Folded) -> (Self, Turn) {
        let mut appending = Self::new(job, command);
        let turn = appending.decide(Some(folded));
        (appending, turn)
    }

    /// The same from the beginning.
    pub fn again(self) -> Self {
        Self::new(self.job, self.execution.command().clone())
    }

    pub fn step(&mut self, env: &mut Env) -> Turn {
        let Some(Decided { event, expected, wanted }) = self.decided.take() else {
            let folded = env.log.job(self.job).cloned();
            return self.decide(folded.as_ref());
        };
        match log::append(env, self.job, event, expected, wanted) {
            Append::Stored => Turn::Done(true),
            Append::Unknown => Turn::Unknown,
            Append::Conflict => self.execution.conflict().map_or(Turn::Unknown, |()| Turn::More),
        }
    }

    fn decide(&mut self, folded: Option<&Folded>) -> Turn {
        match self.execution.decide(folded.map(Folded::known)) {
            Ok(Some(decided)) => {
                self.decided = Some(decided);
                Turn::More
            }
            Ok(None) => Turn::Done(false),
            Err(refusal) => Turn::Refused(refusal),
        }
    }
}
