//! What validation has found so far. Pure but for the settings it begins with.
use super::{Terms, constraints::Constraints};
use crate::shared::Shared;
use bytes::Bytes;
use domain::{
    dedup::{Candidates, Seen},
    event::{Code, LineError, SegmentPlan},
    hint,
    limits::{ERRORS_REPORTED_MAX, HEAD_BYTES_MAX, REASON_CHARS_MAX},
    line::{self, Request},
    lines::{Line, Lines},
    pack::Packer,
    routes::Routes,
    warning::Warnings,
};
use std::sync::Arc;

pub struct Check {
    lines: Lines,
    pub packer: Packer,
    pub seen: Seen,
    routes: Arc<Routes>,
    constraints: Constraints,
    endpoint: Option<String>,
    model: Option<String>,
    lines_max: u64,
    line_bytes_max: usize,
    /// The input's beginning.
    head: Vec<u8>,
    pub warnings: Warnings,
    pub errors: Vec<LineError>,
    pub total: u64,
    /// It is a file of another kind, and the rest is not read.
    pub is_other: bool,
}

impl Check {
    pub fn new(shared: &Shared, terms: &Terms) -> Self {
        let intake = &shared.config.intake;
        Self {
            lines: Lines::new(intake.line_bytes_max),
            packer: Packer::new(terms.packing.clone()),
            seen: Seen::default(),
            routes: Arc::new(shared.config.routes().only(&terms.pools)),
            constraints: Constraints::new(engine::grammar::check),
            endpoint: terms.endpoint.clone(),
            model: terms.model.clone(),
            lines_max: intake.input_lines_max,
            line_bytes_max: intake.line_bytes_max,
            head: Vec::new(),
            warnings: Warnings::default(),
            errors: Vec::new(),
            total: 0,
            is_other: false,
        }
    }

    /// The rest need not be read: there are more lines than are taken, or it is no JSONL.
    pub fn is_hopeless(&self) -> bool {
        self.is_other || self.packer.requests() > self.lines_max
    }

    pub fn feed(mut self, block: Bytes) -> (Self, Vec<SegmentPlan>) {
        let room = HEAD_BYTES_MAX - self.head.len();
        self.head.extend_from_slice(&block[..block.len().min(room)]);
        let mut plans = Vec::new();
        let mut lines = std::mem::replace(&mut self.lines, Lines::new(0));
        lines.feed(&block, |line| plans.extend(self.line(line)));
        self.lines = lines;
        if self.head.len() == HEAD_BYTES_MAX {
            self.look();
        }
        (self, plans)
    }

    /// The last segments: a last line without line end may close one and open another.
    pub fn finish(mut self) -> (Self, Vec<SegmentPlan>) {
        let mut plans = Vec::new();
        let mut lines = std::mem::replace(&mut self.lines, Lines::new(0));
        lines.finish(|line| plans.extend(self.line(line)));
        plans.extend(self.packer.finish());
        self.look();
        (self, plans)
    }

    /// A file of another kind has one error. Only one in which a line is wrong already is looked at.
    fn look(&mut self) {
        if self.total == 0 || self.is_other {
            return;
        }
        if let Some(hint) = hint::of(&self.head) {
            self.is_other = true;
            self.errors = vec![hint];
            self.total = 1;
        }
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
        let routes = Arc::clone(&self.routes);
        let reader = |model: Option<&str>| routes.reader(model, self.model.as_deref());
        let request = match line::check_for(text, number, self.endpoint.as_deref(), reader) {
            Ok(request) => request,
            Err(error) => {
                self.keep(error);
                return None;
            }
        };
        let Some(pool) = routes.pool(request.model.as_deref(), self.model.as_deref()) else {
            let error = self.no_pool(number, request.model.as_deref());
            self.keep(error);
            return None;
        };
        if self.packer.requests() == self.lines_max {
            let message = format!("the input holds more than {} requests (intake.input_lines_max)", self.lines_max);
            self.error(Code::TooManyTasks, Some(number), message);
        }
        self.warn(number, &request);
        self.seen.add(&request.custom_id);
        self.packer.push(offset, bytes, pool, request.input.as_bytes(), Some(request.ask))
    }

    /// Counts a request that an engine will refuse.
    fn warn(&mut self, number: u64, request: &Request<'_>) {
        match &request.body {
            Err(refusal) => self.warnings.add(number, refusal),
            Ok(None) => {}
            Ok(Some(body)) => {
                if let Some(refusal) = self.constraints.refusal(body) {
                    self.warnings.add(number, &refusal);
                }
            }
        }
    }

    /// The second pass: is the id one that stood before?
    pub fn again(&mut self, line: Line<'_>, candidates: &mut Candidates) {
        let Line::Text { number, text, .. } = line else { return };
        let reader = |model: Option<&str>| self.routes.reader(model, self.model.as_deref());
        let Ok(request) = line::check_for(text, number, self.endpoint.as_deref(), reader) else { return };
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

    pub fn error(&mut self, code: Code, line: Option<u64>, message: String) {
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
