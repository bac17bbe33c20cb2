//! Validates an input in one pass: lines, ids, pools, and the cut into segments and chunks.
use super::{
    accept::Error,
    scan::{Line, Lines},
    source::Source,
};
use crate::{shared::Shared, store::Writer};
use bytes::Bytes;
use domain::{
    Event, JobId,
    dedup::{Candidates, Seen},
    event::{Code, LineError, SegmentPlan, Submitted},
    limits::{ERRORS_REPORTED_MAX, REASON_CHARS_MAX},
    line,
    pack::Packer,
    routes::Routes,
};
use futures::StreamExt;
use std::sync::Arc;
use wire::envelope;

pub enum Verdict {
    Good { input: String, requests: u64, segments: u32, bytes: u64 },
    Bad { errors: Vec<LineError>, total: u64 },
}

/// Segment facts on their way at a time.
const WINDOW: usize = 64;

pub async fn run(shared: &Shared, id: JobId, submitted: &Submitted, mut source: Source) -> Result<Verdict, Error> {
    let mut copy = if source.copy { Some(shared.store.writer(&source.path).await?) } else { None };
    let mut facts = shared.bus.window(WINDOW);
    let mut check = Check::new(shared, submitted);
    let mut bytes = 0;
    while let Some(block) = source.blocks.next().await {
        let block = block?;
        bytes += block.len() as u64;
        if let Some(copy) = &mut copy {
            copy.write(block.clone()).await?;
        }
        let plans;
        (check, plans) = blocking(move || check.feed(block)).await;
        for plan in plans {
            facts.push(fact(id, plan)).await?;
        }
        if check.is_hopeless() {
            break;
        }
    }
    let last;
    (check, last) = blocking(move || check.finish()).await;
    let verdict = decide(shared, &source.path, copy, check, bytes).await?;
    if matches!(verdict, Verdict::Good { .. }) {
        for plan in last {
            facts.push(fact(id, plan)).await?;
        }
    }
    facts.flush().await?;
    Ok(verdict)
}

async fn decide(
    shared: &Shared,
    path: &str,
    copy: Option<Writer>,
    mut check: Check,
    bytes: u64,
) -> Result<Verdict, Error> {
    if let Some(copy) = copy {
        copy.finish().await?;
    }
    let seen = std::mem::take(&mut check.seen);
    let candidates = blocking(move || seen.candidates()).await;
    if !candidates.is_empty() {
        check = duplicates(shared, path, bytes, check, candidates).await?;
    }
    let requests = check.packer.requests();
    if check.total == 0 && requests == 0 {
        check.error(Code::EmptyFile, None, "the input holds no request".into());
    }
    shared.metrics.intake(requests, check.total);
    if check.total == 0 {
        return Ok(Verdict::Good { input: path.to_owned(), requests, segments: check.packer.segments(), bytes });
    }
    check.errors.sort_by_key(|error| error.line);
    Ok(Verdict::Bad { errors: check.errors, total: check.total })
}

/// The second pass, over inputs in which hashes of ids repeat: are the ids the same?
async fn duplicates(
    shared: &Shared,
    path: &str,
    bytes: u64,
    check: Check,
    candidates: Candidates,
) -> Result<Check, Error> {
    let blocks = shared.store.stream(path.to_owned(), 0..bytes);
    futures::pin_mut!(blocks);
    let mut state = (check, candidates, Lines::new(shared.config.intake.line_bytes_max));
    while let Some(block) = blocks.next().await {
        let block = block?;
        state = blocking(move || {
            let (mut check, mut candidates, mut lines) = state;
            lines.feed(&block, |line| check.again(line, &mut candidates));
            (check, candidates, lines)
        })
        .await;
    }
    let (mut check, mut candidates, mut lines) = state;
    lines.finish(|line| check.again(line, &mut candidates));
    Ok(check)
}

fn fact(id: JobId, plan: SegmentPlan) -> wire::Message {
    let key = format!("{id}:plan:{}", plan.segment);
    envelope::event(id, &Event::SegmentPlanned(plan), None).id(key)
}

/// Parsing is CPU work: off the threads that serve others.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("validation does not panic")
}

struct Check {
    lines: Lines,
    packer: Packer,
    seen: Seen,
    routes: Arc<Routes>,
    endpoint: Option<String>,
    model: Option<String>,
    lines_max: u64,
    line_bytes_max: usize,
    errors: Vec<LineError>,
    total: u64,
}

impl Check {
    fn new(shared: &Shared, submitted: &Submitted) -> Self {
        let intake = &shared.config.intake;
        Self {
            lines: Lines::new(intake.line_bytes_max),
            packer: Packer::new(submitted.packing.clone()),
            seen: Seen::default(),
            routes: Arc::new(shared.config.routes()),
            endpoint: submitted.endpoint.clone(),
            model: submitted.model.clone(),
            lines_max: intake.input_lines_max,
            line_bytes_max: intake.line_bytes_max,
            errors: Vec::new(),
            total: 0,
        }
    }

    /// More lines than are taken: the rest is not read.
    fn is_hopeless(&self) -> bool {
        self.packer.requests() > self.lines_max
    }

    fn feed(mut self, block: Bytes) -> (Self, Vec<SegmentPlan>) {
        let mut plans = Vec::new();
        let mut lines = std::mem::replace(&mut self.lines, Lines::new(0));
        lines.feed(&block, |line| plans.extend(self.line(line)));
        self.lines = lines;
        (self, plans)
    }

    /// The last segments: a last line without line end may close one and open another.
    fn finish(mut self) -> (Self, Vec<SegmentPlan>) {
        let mut plans = Vec::new();
        let mut lines = std::mem::replace(&mut self.lines, Lines::new(0));
        lines.finish(|line| plans.extend(self.line(line)));
        plans.extend(self.packer.finish());
        (self, plans)
    }

    fn line(&mut self, line: Line<'_>) -> Option<SegmentPlan> {
        let (number, offset, bytes, text) = match line {
            Line::TooLong { number } => {
                let message = format!("the line is longer than {} bytes (intake.line_bytes_max)", self.line_bytes_max);
                self.error(Code::LineTooLong, Some(number), message);
                return None;
            }
            Line::Text { number, offset, bytes, text } => (number, offset, bytes, text),
        };
        let request = match line::check(text, number, self.endpoint.as_deref()) {
            Ok(request) => request,
            Err(error) => {
                self.keep(error);
                return None;
            }
        };
        let routes = Arc::clone(&self.routes);
        let Some(pool) = routes.pool(request.model.as_deref(), self.model.as_deref()) else {
            let error = self.no_pool(number, request.model.as_deref());
            self.keep(error);
            return None;
        };
        if self.packer.requests() == self.lines_max {
            let message = format!("the input holds more than {} requests (intake.input_lines_max)", self.lines_max);
            self.error(Code::TooManyTasks, Some(number), message);
        }
        self.seen.add(&request.custom_id);
        self.packer.push(offset, bytes, pool)
    }

    fn again(&mut self, line: Line<'_>, candidates: &mut Candidates) {
        let Line::Text { number, text, .. } = line else { return };
        let Ok(request) = line::check(text, number, self.endpoint.as_deref()) else { return };
        if let Some(first) = candidates.check(&request.custom_id, number) {
            let message = format!("custom_id stands on line {first} too; give each request its own");
            let code = Code::DuplicateCustomId;
            self.keep(LineError { code, line: Some(number), param: Some("custom_id".to_owned()), message });
        }
    }

    fn no_pool(&self, number: u64, model: Option<&str>) -> LineError {
        let served = served(&self.routes);
        let message = match model.or(self.model.as_deref()) {
            Some(model) => {
                let model: String = model.chars().take(100).collect();
                format!("no pool serves the model '{model}'; served are: {served}")
            }
            None => format!("the request names no model, and there is no default pool; served are: {served}"),
        };
        let param = Some("body.model".to_owned());
        LineError { code: Code::ModelMismatch, line: Some(number), param, message }
    }

    fn error(&mut self, code: Code, line: Option<u64>, message: String) {
        self.keep(LineError { code, line, param: None, message });
    }

    fn keep(&mut self, error: LineError) {
        self.total += 1;
        if self.errors.len() < ERRORS_REPORTED_MAX {
            self.errors.push(error);
        }
    }
}

/// The models that are served, as many as an error has room for.
fn served(routes: &Routes) -> String {
    routes.models().join(", ").chars().take(REASON_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_as_many_models_as_it_has_room_for() {
        let pool: domain::Pool = "a".parse().unwrap();
        let routes = |count: u32| Routes::new((0..count).map(|n| (format!("model-{n}"), pool.clone())), None);
        assert_eq!(served(&routes(2)), "model-0, model-1");
        assert_eq!(served(&routes(9_999)).chars().count(), REASON_CHARS_MAX);
    }
}
