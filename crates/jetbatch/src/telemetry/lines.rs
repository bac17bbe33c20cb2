//! One log line per event: time, level, target, message and fields, then the fields of the spans around it (job,
//! chunk, pool) and the trace's id. The inner span's word goes before the outer one's.
use super::{LogFormat, trace};
use crate::clock;
use serde_json::{Map, Value};
use std::{
    fmt::{self, Write as _},
    io::Write as _,
    sync::OnceLock,
};
use tracing::{
    Dispatch, Event, Subscriber,
    dispatcher::WeakDispatch,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    Layer,
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

pub struct Lines {
    format: LogFormat,
    dispatch: OnceLock<WeakDispatch>,
    out: Box<dyn Fn(&str) + Send + Sync>,
}

/// The fields of an event, or of a span, where they lie in its extensions.
#[derive(Default)]
struct Fields(Vec<(&'static str, Value)>);

impl Lines {
    pub fn to_stderr(format: LogFormat) -> Self {
        Self::new(format, |line| {
            // A closed stderr is no reason to fail.
            let _ = std::io::stderr().lock().write_all(line.as_bytes());
        })
    }

    pub fn new(format: LogFormat, out: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { format, dispatch: OnceLock::new(), out: Box::new(out) }
    }

    fn trace_id<S>(&self, span: Option<&SpanRef<'_, S>>) -> Option<String>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let dispatch = self.dispatch.get()?.upgrade()?;
        trace::trace_id(&span?.id(), &dispatch)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        let _ = self.dispatch.set(dispatch.downgrade());
    }

    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().replace(fields);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let message = fields.take("message").unwrap_or_default();
        let target = fields.take("log.target").unwrap_or_else(|| event.metadata().target().into());
        fields.0.retain(|(name, _)| !name.starts_with("log."));
        for span in ctx.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                outer.0.iter().for_each(|(name, value)| fields.add(name, value));
            }
        }
        if let Some(id) = self.trace_id(ctx.event_span(event).as_ref()) {
            fields.0.push(("trace", id.into()));
        }
        let head = [("time", now().into()), ("level", event.metadata().level().as_str().into()), ("target", target)];
        (self.out)(&match self.format {
            LogFormat::Json => json(head, message, fields),
            LogFormat::Text => text(&head, &message, &fields),
        });
    }
}

fn now() -> String {
    let now = i64::try_from(clock::now().get()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(now).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn json(head: [(&'static str, Value); 3], message: Value, fields: Fields) -> String {
    let all = head.into_iter().chain([("message", message)]);
    let mut map: Map<String, Value> = all.map(|(name, value)| (name.to_owned(), value)).collect();
    for (name, value) in fields.0 {
        map.entry(name).or_insert(value);
    }
    format!("{}\n", Value::Object(map))
}

fn text(head: &[(&'static str, Value); 3], message: &Value, fields: &Fields) -> String {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut line = format!("{} {:<5} {}: {}", word(&head[0].1), word(&head[1].1), word(&head[2].1), word(message));
    for (name, value) in &fields.0 {
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == '"';
        let plain = value.as_str().filter(|text| !text.is_empty() && !text.contains(odd));
        let _ = match plain {
            Some(plain) => write!(line, " {name}={plain}"),
            None => write!(line, " {name}={value}"),
        };
    }
    line.push('\n');
    line
}

impl Fields {
    fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(n, _)| *n == name)?;
        Some(self.0.remove(at).1)
    }

    fn add(&mut self, name: &'static str, value: &Value) {
        if !self.0.iter().any(|(n, _)| *n == name) {
            self.0.push((name, value.clone()));
        }
    }

    /// Fields with the prefix `otel.` speak to the tracer alone.
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        if field.name().starts_with("otel.") {
            return;
        }
        let value = value.into();
        match self.0.iter_mut().find(|(name, _)| *name == field.name()) {
            Some((_, old)) => *old = value,
            None => self.0.push((field.name(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    /// With its causes: a line that says only the outermost error helps nobody. A cause that is said already is left out.
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        for cause in std::iter::successors(value.source(), |error| error.source()).map(ToString::to_string) {
            if !text.contains(&cause) {
                let _ = write!(text, ": {cause}");
            }
        }
        self.put(field, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{filter, parent};
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::{Registry, layer::SubscriberExt};

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn logged(format: LogFormat, filter: &str, f: impl FnOnce()) -> String {
        let out = Arc::new(Mutex::new(String::new()));
        let sink = out.clone();
        let lines = Lines::new(format, move |line| sink.lock().unwrap().push_str(line));
        let subscriber = Registry::default().with(lines.with_filter(filter::logs(filter).unwrap()));
        tracing::subscriber::with_default(subscriber, f);
        out.lock().unwrap().clone()
    }

    fn warn_in_chunk() {
        let job = tracing::info_span!("run", job = "j1", otel.kind = "consumer");
        parent(&job, Some(PARENT));
        let _job = job.enter();
        let _chunk = tracing::info_span!("chunk", chunk = "0-3").entered();
        tracing::warn!(tries = 2, "it is slow");
    }

    #[test]
    fn a_line_carries_job_chunk_and_trace_even_where_the_filter_is_high() {
        let text = logged(LogFormat::Text, "warn", warn_in_chunk);
        let want = "WARN  jetbatch::telemetry::lines::tests: it is slow tries=2 chunk=0-3 job=j1 \
                    trace=4bf92f3577b34da6a3ce929d0e0e4736\n";
        assert!(text.ends_with(want), "{text}");
        assert_eq!(logged(LogFormat::Text, "error", warn_in_chunk), "");
    }

    #[test]
    fn a_cause_is_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer: {0}")]
        struct Outer(#[source] std::io::Error);
        let error = Outer(std::io::Error::other("inner"));
        let text = logged(LogFormat::Text, "warn", || tracing::warn!(error = &error as &dyn std::error::Error, "no"));
        assert!(text.ends_with(" error=\"outer: inner\"\n"), "{text}");
    }

    #[test]
    fn json_lines_carry_the_same() {
        let line: Value = serde_json::from_str(&logged(LogFormat::Json, "info", warn_in_chunk)).unwrap();
        for (name, want) in [("job", "j1"), ("chunk", "0-3"), ("message", "it is slow"), ("level", "WARN")] {
            assert_eq!(line[name], want);
        }
        assert_eq!((&line["tries"], &line["trace"]), (&2.into(), &PARENT[3..35].into()));
        assert_eq!(line.get("otel.kind"), None);
    }
}
