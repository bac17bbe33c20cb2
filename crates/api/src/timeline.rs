use crate::{Kind, Time};
use domain::{
    JobId,
    eta::Sla,
    event::FaultClass,
    status::State,
    timeline::{self, Of, Stage, Told},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a job's time went, as its events tell it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Timeline {
    pub id: JobId,
    pub object: Kind,
    pub state: State,
    pub submitted_at: Time,
    /// The end of what is told: the job's end, or now.
    pub until: Time,
    pub deadline: Time,
    pub sla: Option<Sla>,
    /// Why the job is or was late, or where most of its time went: one sentence.
    pub why: String,
    /// Where its rate fell and stayed low, the time that cost it most; missing where it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_fell: Option<RateFell>,
    /// The sum of each stage that there was.
    pub stages: Vec<StageSum>,
    /// What it did when: without a gap, at most two hundred.
    pub spans: Vec<StageSpan>,
    /// Runs of chunks.
    pub attempts: u64,
    /// Those among them that failed.
    pub attempts_failed: u64,
    /// Those that mattered, at most twelve: the slowest, the first that failed and the last.
    pub notable: Vec<ChunkAttempt>,
    /// The jobs that it waited for most, at most five.
    pub waited_for: Vec<WaitedFor>,
    /// There was more than was read: early events, or much that other jobs did.
    pub partial: bool,
}

/// A job's rate was lower from then on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RateFell {
    pub at: Time,
    pub percent: u32,
    /// Requests a second of the time in which it ran, before and after.
    pub before: f64,
    pub after: f64,
    pub of: Of,
}

/// How long a stage took in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StageSum {
    pub stage: Stage,
    pub ms: u64,
}

/// A stretch of a job's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StageSpan {
    pub stage: Stage,
    pub from: Time,
    pub until: Time,
}

/// One run of a chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChunkAttempt {
    pub segment: u32,
    pub chunk: u32,
    pub attempt: u32,
    pub worker: String,
    /// Null: of an attempt that failed it is not known.
    pub started_at: Option<Time>,
    pub ended_at: Time,
    /// More than one: workers were lost with it.
    pub delivered: u32,
    /// What it failed of.
    pub class: Option<FaultClass>,
    pub reason: Option<String>,
}

/// A job that another waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitedFor {
    /// Null: jobs of other tenants.
    pub job: Option<JobId>,
    /// How long its chunks ran meanwhile, each counted.
    pub ms: u64,
}

impl Timeline {
    pub fn new(id: JobId, told: Told, partial: bool) -> Self {
        let span =
            |span: timeline::Span| StageSpan { stage: span.stage, from: span.from.into(), until: span.until.into() };
        Self {
            id,
            object: Kind::Timeline,
            state: told.state,
            submitted_at: told.from.into(),
            until: told.until.into(),
            deadline: told.deadline.into(),
            sla: told.sla,
            why: told.why,
            rate_fell: told.fall.map(RateFell::from),
            stages: told.stages.into_iter().map(|(stage, ms)| StageSum { stage, ms }).collect(),
            spans: told.spans.into_iter().map(span).collect(),
            attempts: told.runs,
            attempts_failed: told.failed,
            notable: told.attempts.into_iter().map(ChunkAttempt::from).collect(),
            waited_for: told.others.into_iter().map(|(job, ms)| WaitedFor { job, ms }).collect(),
            partial,
        }
    }
}

impl From<timeline::Fall> for RateFell {
    fn from(fall: timeline::Fall) -> Self {
        let timeline::Fall { at, before, after, of } = fall;
        Self { at: at.into(), percent: fall.percent(), before, after, of }
    }
}

impl From<timeline::Attempt> for ChunkAttempt {
    fn from(attempt: timeline::Attempt) -> Self {
        let timeline::Attempt { chunk, attempt, worker, from, until, delivered, fault } = attempt;
        let (class, reason) = fault.map(|fault| (fault.class, fault.reason)).unzip();
        Self {
            segment: chunk.segment,
            chunk: chunk.index,
            attempt,
            worker,
            started_at: from.map(Time),
            ended_at: until.into(),
            delivered,
            class,
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{ChunkId, Timestamp};

    #[test]
    fn a_timeline_reads_as_promised_and_is_read_as_it_is_written() {
        let id = JobId::keyed("t", "a");
        let (from, until) = (Timestamp::new(1_700_000_000_000), Timestamp::new(1_700_000_001_000));
        let fault = Some(timeline::Fault { class: FaultClass::Timeout, reason: "slow".into() });
        let chunk = ChunkId::new(0, 3);
        let attempt =
            timeline::Attempt { chunk, attempt: 1, worker: "w".into(), from: None, until, delivered: 1, fault };
        let told = Told {
            from,
            until,
            deadline: until,
            state: State::Completed,
            sla: Some(Sla::Met),
            why: "It was done.".into(),
            fall: None,
            stages: vec![(Stage::WaitingJobs, 1_000)],
            spans: vec![timeline::Span { stage: Stage::WaitingJobs, from, until }],
            attempts: vec![attempt],
            runs: 2,
            failed: 1,
            others: vec![(Some(id), 7)],
        };
        let timeline = Timeline::new(id, told, false);
        let json = serde_json::to_string(&timeline).unwrap();
        let want = concat!(
            r#"{"id":"ID","object":"timeline","state":"completed","submitted_at":"2023-11-14T22:13:20.000Z","#,
            r#""until":"2023-11-14T22:13:21.000Z","deadline":"2023-11-14T22:13:21.000Z","sla":"met","why":"It was done.","#,
            r#""stages":[{"stage":"waiting_jobs","ms":1000}],"spans":[{"stage":"waiting_jobs","#,
            r#""from":"2023-11-14T22:13:20.000Z","until":"2023-11-14T22:13:21.000Z"}],"attempts":2,"attempts_failed":1,"#,
            r#""notable":[{"segment":0,"chunk":3,"attempt":1,"worker":"w","started_at":null,"#,
            r#""ended_at":"2023-11-14T22:13:21.000Z","delivered":1,"class":"timeout","reason":"slow"}],"#,
            r#""waited_for":[{"job":"ID","ms":7}],"partial":false}"#,
        );
        assert_eq!(json, want.replace("ID", &id.to_string()));
        assert_eq!(serde_json::from_str::<Timeline>(&json).unwrap(), timeline);
        let fall = timeline::Fall { at: until, before: 4.0, after: 1.0, of: Of::AnswersLonger };
        let json = serde_json::to_string(&RateFell::from(fall)).unwrap();
        let want = r#"{"at":"2023-11-14T22:13:21.000Z","percent":75,"before":4.0,"after":1.0,"of":"answers_longer"}"#;
        assert_eq!(json, want);
    }
}
