//! What `/metrics` shows. Labels are few and bounded: pools, states, outcomes, routes; never a job.
mod labels;

use domain::{
    Pool,
    alarm::Alarm,
    event::{FaultClass, Tally},
    foresight::{Ahead, Fell, Score},
    health,
    quota::Limit,
    status::State,
    trouble::Kind,
};
use prometheus_client::{
    encoding::text,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Metric, Registry},
};
use std::{collections::BTreeMap, sync::atomic::AtomicU64};

pub use labels::ChunkFate;
use labels::{
    ChunkLabel, FaultLabel, FellLabel, FileLabel, HttpLabel, LimitLabel, OutcomeLabel, PoolLabel, ResultLabel,
    RiskLabel, RoleLabel, RouteLabel, SlaLabel, StateLabel, Text, TokenLabel, TroubleLabel, Word, WorkerLabel,
};

type Counters<L> = Family<L, Counter>;
type Gauges<L> = Family<L, Gauge>;
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// What [`Metrics::encode`] writes.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Counters of one process. Cheap to touch from many tasks.
pub struct Metrics {
    registry: Registry,
    jobs: Gauges<StateLabel>,
    sla: Counters<SlaLabel>,
    risks: Gauges<RiskLabel>,
    requests: Counters<OutcomeLabel>,
    tokens: Counters<TokenLabel>,
    chunks: Counters<ChunkLabel>,
    faults: Counters<FaultLabel>,
    run_seconds: Histograms<PoolLabel>,
    queue_seconds: Histograms<PoolLabel>,
    slots: Gauges<PoolLabel>,
    busy: Gauges<PoolLabel>,
    engine_restarts: Counters<PoolLabel>,
    quarantines: Counters<PoolLabel>,
    workers: Gauges<WorkerLabel>,
    needed: Gauges<PoolLabel>,
    forecasts: Counters<FellLabel>,
    losses: Family<PoolLabel, Counter<f64, AtomicU64>>,
    status_delay: Histogram,
    status_writes: Counter,
    events: Counter,
    intake_requests: Counter,
    intake_errors: Counter,
    intake_jobs: Counters<ResultLabel>,
    segments: Counter,
    unanswered: Counter,
    results_lost: Counter,
    archive_bytes: Counters<FileLabel>,
    http: Counters<HttpLabel>,
    http_seconds: Histograms<RouteLabel>,
    limited: Counters<LimitLabel>,
    leader: Gauges<RoleLabel>,
    troubles: Gauges<TroubleLabel>,
    stalled: Gauge,
    webhooks: Counters<ResultLabel>,
    webhooks_off: Gauge,
    publish_retries: Gauge,
    reconnects: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let mut on = Register(Registry::with_prefix("jetbatch"));
        let metrics = Self {
            jobs: on.add("jobs", "Jobs that the status bucket knows, by state", Family::default()),
            sla: on.add("sla_transitions", "Changes of a job's standing against its deadline", Family::default()),
            risks: on.add(
                "jobs_at_risk",
                "Jobs that are to be feared to miss their deadline, by how surely",
                Family::default(),
            ),
            requests: on.add("requests", "Requests answered, by pool and outcome", Family::default()),
            tokens: on.add("tokens", "Tokens as the engine counted them", Family::default()),
            chunks: on.add("chunks", "Chunks by what became of them", Family::default()),
            faults: on.add("chunk_faults", "Failed attempts by the class of their cause", Family::default()),
            run_seconds: on.add("chunk_run_seconds", "From a chunk's start to its answers", histograms(slow)),
            queue_seconds: on.add("chunk_queue_seconds", "From a chunk's sending to its start", histograms(slow)),
            slots: on.add("worker_slots", "Requests that this process's workers run at once", Family::default()),
            busy: on.add("worker_slots_busy", "Slots in use", Family::default()),
            engine_restarts: on.add("engine_restarts", "Engine processes started in place of one", Family::default()),
            quarantines: on.add("worker_quarantines", "Workers that were found to be bad", Family::default()),
            workers: on.add("workers", "Workers that were heard of lately, by pool and state", Family::default()),
            needed: on.add(
                "workers_needed",
                "Workers like today's that would keep every deadline with nine chances in ten",
                Family::default(),
            ),
            forecasts: on.add("forecasts", "Forecasts of jobs that are done, by where the end lay", Family::default()),
            losses: on.add(
                "forecast_loss",
                "Pinball loss of p10, p50 and p90 as a part of the time that was left, summed over forecasts",
                Family::default(),
            ),
            status_delay: on.add("status_delay_seconds", "From an event's storing to its status", fast()),
            status_writes: on.add("status_writes", "Statuses written", Counter::default()),
            events: on.add("events_folded", "Events folded by the projector", Counter::default()),
            intake_requests: on.add("intake_requests", "Requests read from inputs", Counter::default()),
            intake_errors: on.add("intake_line_errors", "Mistakes found in input lines", Counter::default()),
            intake_jobs: on.add("intake_jobs", "Submissions by what intake made of them", Family::default()),
            unanswered: on.add(
                "requests_unanswered",
                "Requests that a job's end left without an answer",
                Counter::default(),
            ),
            results_lost: on.add(
                "results_lost",
                "Chunks whose results were gone before they were archived; they run again",
                Counter::default(),
            ),
            segments: on.add("archive_segments", "Segments archived", Counter::default()),
            archive_bytes: on.add("archive_bytes", "Bytes of archived lines", Family::default()),
            http: on.add("http_requests", "HTTP requests by route and status", Family::default()),
            http_seconds: on.add("http_request_seconds", "Time to an HTTP answer's head", histograms(fast)),
            limited: on.add("http_limited", "HTTP requests that a tenant's limit refused", Family::default()),
            leader: on.add("leader", "Whether this process leads the role", Family::default()),
            troubles: on.add("troubles", "What this process tells of work that cannot go on", Family::default()),
            stalled: on.add("jobs_stalled", "Jobs that wait for something to be mended", Gauge::default()),
            webhooks: on.add("webhooks", "Webhooks by what became of them", Family::default()),
            webhooks_off: on.add("webhook_urls_off", "URLs of webhooks that are switched off", Gauge::default()),
            publish_retries: on.add("publish_retries", "Publishes tried again since the start", Gauge::default()),
            reconnects: on.add("nats_reconnects", "Connections to NATS made anew since the start", Gauge::default()),
            registry: on.0,
        };
        // Prometheus sees no step in what was not there before it.
        for to in Alarm::ALL {
            drop(metrics.sla.get_or_create(&SlaLabel { to: Word(to.as_str()) }));
        }
        metrics
    }

    /// In the OpenMetrics text form.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.registry).expect("a String takes all that is written");
        text
    }

    // Lease.

    pub fn leader(&self, role: &'static str, leads: bool) {
        self.leader.get_or_create(&RoleLabel { role: Word(role) }).set(i64::from(leads));
    }

    // Troubles.

    /// By the kind of scope (`installation`, `pool`, `job`), and what it is.
    pub fn troubles(&self, counts: BTreeMap<(&'static str, Kind), u64>) {
        self.troubles.clear();
        for ((scope, what), count) in counts {
            let label = TroubleLabel { scope: Word(scope), what: Word(what.as_str()) };
            self.troubles.get_or_create(&label).set(signed(count));
        }
    }

    // Projector.

    pub fn stalled(&self, jobs: usize) {
        self.stalled.set(signed(jobs));
    }

    pub fn jobs(&self, state: State, count: u64) {
        self.jobs.get_or_create(&StateLabel { state: Word(state.as_str()) }).set(signed(count));
    }

    pub fn alarmed(&self, alarm: Alarm) {
        self.sla.get_or_create(&SlaLabel { to: Word(alarm.as_str()) }).inc();
    }

    /// Jobs at risk, and those among them that all but certainly miss their deadline.
    pub fn risks(&self, at_risk: u64, certain: u64) {
        self.risks.get_or_create(&RiskLabel { risk: Word("at_risk") }).set(signed(at_risk - certain));
        self.risks.get_or_create(&RiskLabel { risk: Word("certain") }).set(signed(certain));
    }

    /// Pools that are not told of are no longer known.
    pub fn needed(&self, ahead: &[Ahead]) {
        self.needed.clear();
        for (pool, workers) in ahead.iter().filter_map(|one| Some((&one.pool, one.workers()?))) {
            self.needed.get_or_create(&label(pool)).set(signed(workers));
        }
    }

    /// What came of a forecast.
    pub fn forecast(&self, score: &Score) {
        for fell in Fell::ALL {
            let label = FellLabel { pool: Text(score.pool.clone()), fell: Word(fell.as_str()) };
            self.forecasts.get_or_create(&label).inc_by(u64::from(fell == score.fell));
        }
        self.losses.get_or_create(&label(&score.pool)).inc_by(score.loss);
    }

    pub fn events_folded(&self, count: u64) {
        self.events.inc_by(count);
    }

    /// A status was written this long after the oldest event in it was stored.
    pub fn status_written(&self, delay_seconds: f64) {
        self.status_writes.inc();
        self.status_delay.observe(delay_seconds);
    }

    // Scheduler.

    pub fn chunk_sent(&self, pool: &Pool) {
        self.chunk(pool, ChunkFate::Sent);
    }

    // Worker.

    pub fn chunk_done(&self, pool: &Pool, tally: &Tally, run_seconds: f64) {
        self.chunk(pool, ChunkFate::Done);
        self.run_seconds.get_or_create(&label(pool)).observe(run_seconds);
        self.outcome(pool, "completed", tally.completed);
        self.outcome(pool, "failed", tally.failed);
        self.token(pool, "prompt", tally.usage.prompt);
        self.token(pool, "completion", tally.usage.completion);
        self.token(pool, "cached", tally.usage.cached);
    }

    pub fn chunk_failed(&self, pool: &Pool, class: FaultClass) {
        self.chunk(pool, ChunkFate::Failed);
        self.faults.get_or_create(&FaultLabel { pool: Text(pool.clone()), class: Word(class.as_str()) }).inc();
    }

    /// Not run: its result was there, or its job wants no more work.
    pub fn chunk_skipped(&self, pool: &Pool) {
        self.chunk(pool, ChunkFate::Skipped);
    }

    /// A chunk that was delivered for the `delivered`th time begins to run, `waited_ms` after it was sent.
    pub fn chunk_started(&self, pool: &Pool, delivered: u64, waited_ms: u64) {
        if delivered > 1 {
            self.chunk(pool, ChunkFate::Redelivered);
        }
        self.queue_seconds.get_or_create(&label(pool)).observe(waited_ms as f64 / 1_000.0);
    }

    pub fn chunk(&self, pool: &Pool, fate: ChunkFate) {
        self.chunks.get_or_create(&ChunkLabel { pool: Text(pool.clone()), fate: Word(fate.into_str()) }).inc();
    }

    pub fn worker(&self, pool: &Pool, slots: usize, busy: usize) {
        self.slots.get_or_create(&label(pool)).set(signed(slots));
        self.busy.get_or_create(&label(pool)).set(signed(busy));
    }

    pub fn engine_restarted(&self, pool: &Pool) {
        self.engine_restarts.get_or_create(&label(pool)).inc();
    }

    pub fn worker_quarantined(&self, pool: &Pool) {
        self.quarantines.get_or_create(&label(pool)).inc();
    }

    // Intake.

    /// An input was read: requests that it holds, and mistakes found in it.
    pub fn intake(&self, requests: u64, errors: u64) {
        self.intake_requests.inc_by(requests);
        self.intake_errors.inc_by(errors);
    }

    /// `result`: `planned`, `rejected`, `duplicate` or `conflict`.
    pub fn submission(&self, result: &'static str) {
        self.intake_jobs.get_or_create(&ResultLabel { result: Word(result) }).inc();
    }

    // Archiver.

    pub fn segment_archived(&self, output_bytes: u64, error_bytes: u64) {
        self.segments.inc();
        self.archive_bytes.get_or_create(&FileLabel { file: Word("output") }).inc_by(output_bytes);
        self.archive_bytes.get_or_create(&FileLabel { file: Word("errors") }).inc_by(error_bytes);
    }

    pub fn results_lost(&self, chunks: u64) {
        self.results_lost.inc_by(chunks);
    }

    pub fn unanswered(&self, requests: u64) {
        self.unanswered.inc_by(requests);
    }

    // Webhooks.

    /// `result`: `delivered`, `failed` (tried again), `given_up` or `off`.
    pub fn webhook(&self, result: &'static str) {
        self.webhooks.get_or_create(&ResultLabel { result: Word(result) }).inc();
    }

    pub fn webhooks_off(&self, urls: usize) {
        self.webhooks_off.set(signed(urls));
    }

    // Gateway.

    /// `route` is the path's pattern (`/jobs/{id}`), so that ids make no labels.
    pub fn http(&self, route: &str, status: u16, seconds: f64) {
        self.http.get_or_create(&HttpLabel { route: Text(route.to_owned()), status }).inc();
        self.http_seconds.get_or_create(&RouteLabel { route: Text(route.to_owned()) }).observe(seconds);
    }

    pub fn limited(&self, limit: Limit) {
        self.limited.get_or_create(&LimitLabel { limit: Word(limit.as_str()) }).inc();
    }

    /// Who was heard of. Called before [`Metrics::encode`].
    pub fn workers<'a>(&self, workers: impl Iterator<Item = (&'a Pool, health::Word)>) {
        self.workers.clear();
        for (pool, state) in workers {
            let label = WorkerLabel { pool: Text(pool.clone()), state: Word(state.as_str()) };
            self.workers.get_or_create(&label).inc();
        }
    }

    /// Takes over what the bus counted. Called before [`Metrics::encode`].
    pub fn bus(&self, publish_retries: u64, reconnects: u64) {
        self.publish_retries.set(signed(publish_retries));
        self.reconnects.set(signed(reconnects));
    }

    fn outcome(&self, pool: &Pool, outcome: &'static str, count: u64) {
        if count > 0 {
            let label = OutcomeLabel { pool: Text(pool.clone()), outcome: Word(outcome) };
            self.requests.get_or_create(&label).inc_by(count);
        }
    }

    fn token(&self, pool: &Pool, kind: &'static str, count: u64) {
        if count > 0 {
            self.tokens.get_or_create(&TokenLabel { pool: Text(pool.clone()), kind: Word(kind) }).inc_by(count);
        }
    }
}

struct Register(Registry);

impl Register {
    fn add<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }
}

fn label(pool: &Pool) -> PoolLabel {
    PoolLabel { pool: Text(pool.clone()) }
}

fn signed(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

fn histograms<L: Clone + std::hash::Hash + Eq>(make: fn() -> Histogram) -> Histograms<L> {
    Family::new_with_constructor(make)
}

/// 1 ms to 4 s, with the promised 250 ms of a status as a bound.
fn fast() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 2.0, 4.0])
}

/// 5 ms to 80 min.
fn slow() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.5, 16))
}

#[cfg(test)]
mod tests;
