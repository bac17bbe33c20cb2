//! Clients: submissions, and commands for jobs that come late, twice and in any order.
use super::{
    appending::{Appending, Turn},
    env::{Env, Submit},
    spec::Spec,
};
use domain::{command::Command, event::Priority};

/// Of cancels.
const JUDGED_RARE: usize = 40;

#[derive(Default)]
pub struct Clients {
    appending: Vec<Appending>,
}

impl Clients {
    pub fn submit(&mut self, env: &mut Env, jobs_max: usize) -> bool {
        let again = !env.specs.is_empty() && env.strikes(8);
        if !again && env.specs.len() >= jobs_max {
            return false;
        }
        let job = if again { env.pick(env.specs.len()) } else { env.specs.len() };
        if !again {
            let spec = Spec::draw(env, job);
            env.tell(|| format!("client submits job {job}: {:?}, {} ms", spec.natures, spec.submitted.window_ms));
            env.specs.push(spec);
        }
        env.submits.push(Submit { job, hidden: 0 });
        true
    }

    pub fn command(&mut self, env: &mut Env) -> bool {
        if env.specs.is_empty() || self.appending.len() >= 8 {
            return false;
        }
        let job = env.pick(env.specs.len());
        let (at, windows) = (env.at(), if env.faults && !env.judged { 3 } else { 1 });
        let command = match env.pick(8) {
            0 => Command::Priority { at, priority: [Priority::Low, Priority::High][env.pick(2)] },
            1 | 2 => Command::Pause { at },
            3 | 4 => Command::Resume { at },
            5 if env.judged => Command::Window { at, window_ms: 48 * 3_600_000 },
            5 => Command::Window { at, window_ms: [4_000_000, 900_000, 20_000][env.pick(windows)] },
            6 if env.judged && env.pick(JUDGED_RARE) > 0 => Command::Resume { at },
            6 => Command::Cancel { at },
            _ => Command::Delete { at },
        };
        env.tell(|| format!("client wants of job {job}: {command:?}"));
        self.appending.push(Appending::new(job, command));
        true
    }

    /// They know nothing of what they wanted.
    pub fn crash(&mut self) {
        self.appending.clear();
    }

    /// Wants the same of all that has not ended. False: there is nothing.
    pub fn want(&mut self, env: &mut Env, command: &Command) -> bool {
        let open = env.log.heads.iter().filter(|(_, head)| !head.folded.job.is_terminal());
        self.appending.extend(open.map(|(job, _)| Appending::new(*job, command.clone())));
        env.tell(|| format!("clients want of all that has not ended: {command:?}"));
        !self.appending.is_empty()
    }

    pub fn step(&mut self, env: &mut Env) -> bool {
        if self.appending.is_empty() {
            return false;
        }
        let at = env.pick(self.appending.len());
        let mut appending = self.appending.swap_remove(at);
        match appending.step(env) {
            Turn::More => self.appending.push(appending),
            Turn::Unknown => self.appending.push(appending.again()),
            // It may come again.
            Turn::Done(_) if env.strikes(16) => self.appending.push(appending.again()),
            Turn::Done(_) | Turn::Refused(_) => {}
        }
        true
    }
}
