//! An intake: a submission to facts, then the ack. A crash anywhere repeats it.
use super::{
    appending::{Appending, Turn},
    env::{Env, Number},
    log::{self, Id},
    queue::ACK_WAIT_MS,
};
use domain::{Event, command::Command, decide::Denied, event::Planned, job::Phase};

#[derive(Default)]
pub struct Intake(Option<Run>);

struct Run {
    job: Number,
    stage: Stage,
}

enum Stage {
    Submit(Appending),
    Segment(usize),
    Settle(Appending),
    Ack,
}

impl Intake {
    pub fn crash(&mut self) {
        self.0 = None;
    }

    pub fn step(&mut self, env: &mut Env) -> bool {
        let Some(mut run) = self.0.take() else {
            self.0 = take(env);
            return self.0.is_some();
        };
        self.0 = next(env, &mut run).map(|stage| Run { stage, ..run });
        true
    }
}

fn take(env: &mut Env) -> Option<Run> {
    let now = env.now;
    let submit = env.submits.iter_mut().find(|submit| submit.hidden <= now)?;
    submit.hidden = now + ACK_WAIT_MS;
    let job = submit.job;
    let appending = Appending::new(job, Command::Submit(Box::new(env.specs[job].submitted.clone())));
    Some(Run { job, stage: Stage::Submit(appending) })
}

/// None: done, or given back.
fn next(env: &mut Env, run: &mut Run) -> Option<Stage> {
    let job = run.job;
    match std::mem::replace(&mut run.stage, Stage::Ack) {
        Stage::Submit(mut appending) => match appending.step(env) {
            Turn::More => Some(Stage::Submit(appending)),
            Turn::Done(_) => Some(Stage::Segment(0)),
            Turn::Refused(Denied::Exists) => {
                let is_new = env.log.job(job).is_some_and(|f| f.job.phase == Phase::Validating);
                Some(if is_new { Stage::Segment(0) } else { Stage::Ack })
            }
            Turn::Refused(_) => Some(Stage::Ack),
            Turn::Unknown => None,
        },
        Stage::Segment(at) => segment(env, job, at),
        Stage::Settle(mut appending) => match appending.step(env) {
            Turn::More => Some(Stage::Settle(appending)),
            Turn::Done(_) | Turn::Refused(_) => Some(Stage::Ack),
            Turn::Unknown => None,
        },
        Stage::Ack => {
            if !env.strikes(16) {
                env.submits.retain(|submit| submit.job != job);
            }
            None
        }
    }
}

fn segment(env: &mut Env, job: Number, at: usize) -> Option<Stage> {
    let (now, spec) = (env.at(), &env.specs[job]);
    let good = if spec.bad { spec.plans.len() - 1 } else { spec.plans.len() };
    if at < good {
        let plan = spec.plans[at].clone();
        let id = Id::Plan(plan.segment);
        return log::fact(env, job, Event::SegmentPlanned(plan), id).then_some(Stage::Segment(at + 1));
    }
    let command = if spec.bad {
        Command::Reject { at: now, errors: Vec::new(), total: 1 }
    } else {
        let (requests, segments) = (spec.natures.len() as u64, spec.plans.len() as u32);
        Command::Plan(Planned {
            at: now,
            input: "input".into(),
            requests,
            segments,
            bytes: requests * 10,
            warnings: vec![],
        })
    };
    Some(Stage::Settle(Appending::new(job, command)))
}
