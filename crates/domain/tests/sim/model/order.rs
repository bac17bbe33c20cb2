//! `command::execute`, a step at a time: fold, decide, append at the expected sequence; on conflict fold again.
use super::{
    env::{Env, Number},
    log::{self, Append, Folded},
};
use domain::{
    Event,
    decide::{Command, Refusal, decide},
};

const TRIES_MAX: u32 = 16;

pub struct Order {
    pub job: Number,
    pub command: Command,
    tries: u32,
    decided: Option<(Event, u64, bool)>,
}

pub enum Turn {
    More,
    /// Whether something was stored.
    Done(bool),
    Refused(Refusal),
    /// Stored or not, or too many conflicts.
    Unknown,
}

impl Order {
    pub const fn new(job: Number, command: Command) -> Self {
        Self { job, command, tries: 0, decided: None }
    }

    /// Decided already by a fold that may lag.
    pub fn known(job: Number, command: Command, folded: &Folded) -> (Self, Turn) {
        let mut order = Self::new(job, command);
        let turn = order.decide(Some(folded));
        (order, turn)
    }

    pub fn step(&mut self, env: &mut Env) -> Turn {
        let Some((event, expected, wanted)) = self.decided.take() else {
            let folded = env.log.job(self.job).cloned();
            return self.decide(folded.as_ref());
        };
        match log::append(env, self.job, event, expected, wanted) {
            Append::Stored => Turn::Done(true),
            Append::Unknown => Turn::Unknown,
            Append::Conflict if self.tries >= TRIES_MAX => Turn::Unknown,
            Append::Conflict => Turn::More,
        }
    }

    fn decide(&mut self, folded: Option<&Folded>) -> Turn {
        self.tries += 1;
        let event = match decide(folded.map(|f| &f.job), self.command.clone()) {
            Ok(event) => event,
            Err(refusal) => return Turn::Refused(refusal),
        };
        let Some(event) = event else { return Turn::Done(false) };
        let wanted = folded.is_some_and(|folded| {
            let mut job = folded.job.clone_head();
            job.evolve(&event);
            job.is_wanted()
        });
        self.decided = Some((event, folded.map_or(0, |f| f.lifecycle), wanted));
        Turn::More
    }
}
