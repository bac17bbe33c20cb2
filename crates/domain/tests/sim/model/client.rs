//! Clients: submissions, and orders for jobs that come late, twice and in any order.
use super::{
    env::{Env, Submit},
    order::{Order, Turn},
    spec::Spec,
};
use domain::{decide::Command, event::Priority};

#[derive(Default)]
pub struct Clients {
    orders: Vec<Order>,
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

    pub fn order(&mut self, env: &mut Env) -> bool {
        if env.specs.is_empty() || self.orders.len() >= 8 {
            return false;
        }
        let job = env.pick(env.specs.len());
        let (at, windows) = (env.at(), if env.faults { 3 } else { 1 });
        let command = match env.pick(8) {
            0 => Command::Priority { at, priority: [Priority::Low, Priority::High][env.pick(2)] },
            1 | 2 => Command::Pause { at },
            3 | 4 => Command::Resume { at },
            5 => Command::Window { at, window_ms: [4_000_000, 900_000, 20_000][env.pick(windows)] },
            6 => Command::Cancel { at },
            _ => Command::Delete { at },
        };
        env.tell(|| format!("client orders for job {job}: {command:?}"));
        self.orders.push(Order::new(job, command));
        true
    }

    pub fn step(&mut self, env: &mut Env) -> bool {
        if self.orders.is_empty() {
            return false;
        }
        let at = env.pick(self.orders.len());
        let mut order = self.orders.swap_remove(at);
        match order.step(env) {
            Turn::More => self.orders.push(order),
            Turn::Unknown => self.orders.push(Order::new(order.job, order.command)),
            // It may come again.
            Turn::Done(_) if env.strikes(16) => self.orders.push(Order::new(order.job, order.command)),
            Turn::Done(_) | Turn::Refused(_) => {}
        }
        true
    }
}
