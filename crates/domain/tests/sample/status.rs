//! A job half way, for the tests of what shows one.
use domain::{
    JobId, Tenant, Timestamp,
    eta::{Eta, Sla},
    event::{Priority, Usage},
    foresight::Why,
    status::{Counts, Live, State, Status},
};
use std::collections::BTreeMap;

pub fn half_way() -> (Status, Live) {
    let status = Status {
        id: JobId::keyed("t", "a"),
        tenant: Tenant::default(),
        state: State::InProgress,
        fingerprint: "f".into(),
        model: Some("tiny".into()),
        endpoint: None,
        priority: Priority::Normal,
        metadata: BTreeMap::from([("team".into(), "a".into())]),
        requests: Counts { total: 10, completed: 4, failed: 1, unanswered: 0, remaining: 5 },
        usage: Usage { prompt: 40, completion: 20, cached: 0 },
        attempts: 3,
        retries: 1,
        submitted_at: Timestamp::new(1_700_000_000_000),
        validated_at: Some(Timestamp::new(1_700_000_000_250)),
        started_at: Some(Timestamp::new(1_700_000_001_000)),
        closing_at: None,
        ended_at: None,
        deadline: Timestamp::new(1_700_086_400_000),
        segments: 1,
        archived_prefix: 0,
        errors: Vec::new(),
        errors_total: 0,
        losses: 0,
        warnings: Vec::new(),
        output: None,
        error_file: None,
        reason: None,
        trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        webhook_host: None,
    };
    let at = Timestamp::new(1_700_000_060_000);
    let eta = Some(Eta { p10: Timestamp::new(at.get() - 750), p50: at, p90: at.plus(1_500) });
    let (eta_moved, sla) = (Some(Why::WorkerLost), Some(Sla::OnTrack));
    let live = Live { requests_per_s: Some(1.0 / 3.0), eta, eta_moved, sla, ..Live::default() };
    (status, live)
}
