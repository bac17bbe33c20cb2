//! Why a job is or was late, in one sentence.
use super::{
    Timeline,
    pace::{Fall, Of},
    told::Stage,
};
use crate::{
    Job, JobId,
    eta::Sla,
    event::{Cause, Outcome},
    job::Phase,
};

/// Parts of a job's time below which nothing is blamed on a stage.
const PART_MIN: f64 = 0.05;

/// What the sentence is made of.
pub struct Facts<'a> {
    pub line: &'a Timeline,
    pub job: &'a Job,
    /// From the submission to the end, or to now, milliseconds.
    pub took: u64,
    pub spare: Option<u64>,
    /// How long after its deadline it ended, or is expected to.
    pub late: u64,
    pub sla: Option<Sla>,
    pub stages: &'a [(Stage, u64)],
    pub others: &'a [(Option<JobId>, u64)],
    pub fall: Option<Fall>,
}

impl Facts<'_> {
    pub fn sentence(&self) -> String {
        match self.fall {
            Some(fall) => format!("{}; {}.", self.outcome().trim_end_matches('.'), self.fell(&fall)),
            None => self.outcome(),
        }
    }

    /// An average hides it.
    fn fell(&self, fall: &Fall) -> String {
        let Fall { at, before, after, of } = *fall;
        let minute = at.get() / 60_000;
        let (hour, minute) = (minute / 60 % 24, minute % 60);
        let why = match of {
            Of::FewerAtOnce => "fewer of its chunks ran at once",
            Of::Slower => "each took longer",
            Of::AnswersLonger => "its answers became longer",
        };
        let since = span(at.since(self.line.from()));
        let percent = fall.percent();
        format!(
            "its rate fell by {percent} % at {hour:02}:{minute:02} UTC, {since} after its submission, from {before:.2} to \
             {after:.2} requests a second: {why}"
        )
    }

    fn outcome(&self) -> String {
        let took = span(self.took);
        let total = self.job.total();
        match (&self.job.phase, self.sla) {
            (Phase::Rejected(rejected), _) => {
                format!("Its input did not validate ({} errors) after {took}{}.", rejected.errors_total, self.most())
            }
            (Phase::Ended(ended), _) if ended.outcome == Outcome::Cancelled => {
                format!("It was cancelled after {took}{}.", self.most())
            }
            (Phase::Closing(closing), _) if closing.cause == Cause::Cancelled => {
                format!("It was cancelled and is ending, after {took}{}.", self.most())
            }
            (Phase::Ended(ended), _) if ended.outcome == Outcome::Expired => {
                let left = self.job.tally.unanswered;
                format!("It missed its deadline with {left} of {total} requests unanswered: {}.", self.cause())
            }
            (Phase::Ended(_), Some(Sla::Missed)) => {
                format!("It was done {} after its deadline: {}.", span(self.late), self.cause())
            }
            (Phase::Ended(_), _) => {
                let spare = span(self.spare.unwrap_or(0));
                format!("It was done in {took}, {spare} before its deadline{}.", self.most())
            }
            (_, Some(Sla::Missed)) => format!("Its deadline has passed: {}.", self.cause()),
            (_, Some(Sla::AtRisk)) => format!("It may miss its deadline: {}.", self.cause()),
            (Phase::Validating, _) => format!("Its input is not validated yet, after {took}{}.", self.most()),
            (Phase::Running | Phase::Closing(_), _) => {
                let answered = self.job.tally.requests();
                format!("It is in time so far, {answered} of {total} requests answered after {took}{}.", self.most())
            }
        }
    }

    fn ms(&self, stage: Stage) -> u64 {
        self.stages.iter().find(|(other, _)| *other == stage).map_or(0, |(_, ms)| *ms)
    }

    /// Where most of the time went.
    fn most(&self) -> String {
        let Some((stage, ms)) = self.stages.iter().max_by_key(|(_, ms)| *ms) else { return String::new() };
        let percent = (*ms as f64 / self.took.max(1) as f64 * 100.0).round();
        format!("; most of it ({}, {percent} %) went into {}", span(*ms), self.named(*stage))
    }

    /// What cost it the time that it lacked.
    fn cause(&self) -> String {
        let mut lost: Vec<_> = self.stages.iter().filter(|(stage, _)| *stage != Stage::Running).copied().collect();
        lost.retain(|(_, ms)| *ms as f64 >= PART_MIN * self.took as f64);
        lost.sort_by_key(|(_, ms)| std::cmp::Reverse(*ms));
        let (lacked, ran) = (self.lacked(), self.ms(Stage::Running));
        match lost[..] {
            [first, ..] if lacked.is_none_or(|lacked| first.1 >= lacked) => self.blame(first),
            [first, second, ..] if lacked.is_some_and(|lacked| first.1 + second.1 >= lacked) => {
                format!("{}, and {}", self.blame(first), self.blame(second))
            }
            [first, ..] => format!("{}; besides, {}", self.slow(ran), self.blame(first)),
            [] => self.slow(ran),
        }
    }

    /// Milliseconds that would have been enough, at the pace of its run. None: it never came to one.
    fn lacked(&self) -> Option<u64> {
        let tally = &self.job.tally;
        let (answered, ran) = ((tally.completed + tally.failed) as f64, self.ms(Stage::Running) as f64);
        let missing = (tally.unanswered + self.job.remaining()) as f64;
        match () {
            () if missing == 0.0 => Some(self.late),
            () if answered > 0.0 && ran > 0.0 => Some((missing * ran / answered) as u64),
            () => None,
        }
    }

    fn slow(&self, ran: u64) -> String {
        let tally = &self.job.tally;
        let rate = (tally.completed + tally.failed) as f64 * 1_000.0 / ran.max(1) as f64;
        let window = self.job.deadline.since(self.line.from()).max(1);
        let need = self.job.total() as f64 * 1_000.0 / window as f64;
        format!("it ran for {} at {rate:.2} requests a second, and its window asked for {need:.2}", span(ran))
    }

    fn blame(&self, (stage, ms): (Stage, u64)) -> String {
        let ms = span(ms);
        match stage {
            Stage::WaitingValidation => format!("for {ms} its input waited to be validated"),
            Stage::Validating => format!("validating its input took {ms}"),
            Stage::WaitingJobs => format!("for {ms} it waited for other jobs{}", self.behind()),
            Stage::WaitingWorkers => format!("for {ms} no worker ran it"),
            Stage::Running => format!("it ran for {ms}"),
            Stage::Retrying => format!("{ms} went into attempts that failed{}", self.failures()),
            Stage::Paused => format!("it was paused for {ms}"),
            Stage::Held => format!("for {ms} it was held, as its pool gave no good answer{}", self.failures()),
            Stage::Archiving => format!("its files took {ms}"),
        }
    }

    fn named(&self, stage: Stage) -> String {
        match stage {
            Stage::WaitingValidation => "waiting for its validation".to_owned(),
            Stage::Validating => "its validation".to_owned(),
            Stage::WaitingJobs => format!("waiting for other jobs{}", self.behind()),
            Stage::WaitingWorkers => "waiting for workers".to_owned(),
            Stage::Running => "running".to_owned(),
            Stage::Retrying => format!("attempts that failed{}", self.failures()),
            Stage::Paused => "being paused".to_owned(),
            Stage::Held => format!("being held{}", self.failures()),
            Stage::Archiving => "writing its files".to_owned(),
        }
    }

    fn behind(&self) -> String {
        match self.others.first() {
            Some((Some(job), _)) => format!(" (most of it for {job})"),
            Some((None, _)) => " (most of it for another tenant's)".to_owned(),
            None => String::new(),
        }
    }

    fn failures(&self) -> String {
        let attempts = &self.line.attempts;
        let Some((class, worker)) = attempts.blamed() else { return String::new() };
        format!(" ({} of {} attempts, most of them {} on {worker})", attempts.failed, attempts.runs, class.as_str())
    }
}

/// `5 h 12 min`, as the command line and the page have it.
pub fn span(ms: u64) -> String {
    let s = (ms + 500) / 1_000;
    match s {
        _ if ms < 9_950 => format!("{:.1} s", ms as f64 / 1_000.0),
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} min {} s", s / 60, s % 60),
        3_600..172_800 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    }
}
