//! W3C trace contexts on spans, each as one text ([`wire::trace`]). Without a tracer a span remembers the context it was given and hands that one on.
use super::{Attribute, TRACER, names};
use domain::Timestamp;
use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator,
    trace::{Span as _, SpanBuilder, SpanContext, Status, TraceContextExt, TraceId, Tracer},
};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracer};
use std::{
    collections::HashMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tracing::{Dispatch, Span, Subscriber, span};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt};
use tracing_subscriber::{
    Registry,
    registry::{LookupSpan, SpanData},
};
use wire::{
    envelope::{TRACEPARENT, TRACESTATE},
    trace,
};

/// The context a span was given, in its extensions.
struct Remote(String);

/// A span's own time and place are known; what else the layer would add is noise in every span.
pub(super) fn layer<S>(tracer: SdkTracer) -> OpenTelemetryLayer<S, SdkTracer>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false)
}

/// The context of the current span. Without a tracer: the one that came in with it, if any.
pub fn context() -> Option<String> {
    of(&Span::current())
}

/// Puts the span under a remote parent. Call it before the span is entered.
pub fn parent(span: &Span, remote: Option<&str>) {
    let Some(context) = remote.and_then(parse) else { return };
    if TRACER.get().is_some() {
        // A span that is filtered out has no parent to set, and one that was entered has begun under another.
        let _ = span.set_parent(Context::new().with_remote_span_context(context));
        return;
    }
    span.with_subscriber(|(id, dispatch)| {
        let Some(span) = dispatch.downcast_ref::<Registry>().and_then(|registry| registry.span(id)) else { return };
        span.extensions_mut().replace(Remote(print(&context)));
    });
}

/// Links the span to another one: an earlier attempt, or the message that caused it.
pub fn link(span: &Span, remote: Option<&str>) {
    if TRACER.get().is_some()
        && let Some(context) = remote.and_then(parse)
    {
        span.add_link(context);
    }
}

/// Sets attributes that belong into the trace and not into log lines. They are made only where spans are sent.
pub fn set<const N: usize>(span: &Span, attributes: impl FnOnce() -> [Attribute; N]) {
    if TRACER.get().is_some() {
        attributes().into_iter().for_each(|(name, value)| span.set_attribute(name, value));
    }
}

/// Marks the span as failed.
pub fn fail(span: &Span, why: &str) {
    if TRACER.get().is_some() {
        span.set_status(Status::error(why.to_owned()));
    }
}

/// Keeps the span out of the trace when it ends; log lines within it have its ids as ever. Its children are to be hidden, too.
pub fn hide(span: &Span) {
    if TRACER.get().is_some() {
        span.set_attribute(names::HIDDEN, true);
    }
}

/// Records a span that is over, such as the time a chunk lay in the queue, and gives its context. Without a
/// tracer that is the parent's, so that what follows still hangs under it. `failed`: why, if it did.
pub fn past(
    name: &'static str,
    failed: Option<&'static str>,
    parent: Option<&str>,
    from: Timestamp,
    to: Timestamp,
    attributes: &[Attribute],
) -> Option<String> {
    let remote = parent.and_then(parse);
    let Some(tracer) = TRACER.get() else { return remote.as_ref().map(print) };
    let attributes = attributes.iter().map(|(name, value)| KeyValue::new(*name, value.clone()));
    let builder = SpanBuilder::from_name(name).with_start_time(time(from)).with_attributes(attributes);
    let context = remote.map_or_else(Context::new, |remote| Context::new().with_remote_span_context(remote));
    let mut span = tracer.build_with_context(builder, &context);
    if let Some(why) = failed {
        span.set_status(Status::error(why));
    }
    span.end_with_timestamp(time(to.max(from)));
    Some(print(span.span_context()))
}

/// The id of the trace that a span belongs to.
pub(super) fn trace_id(id: &span::Id, dispatch: &Dispatch) -> Option<String> {
    if TRACER.get().is_some() {
        let context = tracing_opentelemetry::get_otel_context(id, dispatch)?;
        let trace = context.span().span_context().trace_id();
        return (trace != TraceId::INVALID).then(|| trace.to_string());
    }
    remote(id, dispatch).and_then(|parent| parent.get(3..35).map(str::to_owned))
}

fn of(span: &Span) -> Option<String> {
    if TRACER.get().is_some() {
        let context = span.context();
        let context = context.span().span_context().clone();
        return context.is_valid().then(|| print(&context));
    }
    span.with_subscriber(|(id, dispatch)| remote(id, dispatch)).flatten()
}

/// The nearest context given to a span or to one around it.
fn remote(id: &span::Id, dispatch: &Dispatch) -> Option<String> {
    let mut next = Some(id.clone());
    let registry = dispatch.downcast_ref::<Registry>()?;
    while let Some(span) = next.and_then(|id| registry.span_data(&id)) {
        if let Some(Remote(parent)) = span.extensions().get::<Remote>() {
            return Some(parent.clone());
        }
        next = span.parent().cloned();
    }
    None
}

fn time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(at.get())
}

fn print(context: &SpanContext) -> String {
    let mut fields = HashMap::new();
    let context = Context::new().with_remote_span_context(context.clone());
    TraceContextPropagator::new().inject_context(&context, &mut fields);
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    trace::join(field(TRACEPARENT), field(TRACESTATE))
}

/// Nothing where the text is no valid context: a client's mistake there costs it its trace, not its job.
fn parse(text: &str) -> Option<SpanContext> {
    let (parent, state) = trace::split(text.trim());
    let fields = [(TRACEPARENT, parent), (TRACESTATE, state)].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &HashMap::from(fields));
    let context = context.span().span_context().clone();
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::info_span;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_context_prints_and_parses() {
        let through = |text| parse(text).map(|context| print(&context));
        assert_eq!(through(PARENT).as_deref(), Some(PARENT));
        let stated = format!("{PARENT} congo=t61rcWkgMzE,rojo=00f067aa0ba902b7");
        assert_eq!(through(&stated), Some(stated.clone()));
        assert_eq!(through(&format!("{PARENT} no state")).as_deref(), Some(PARENT));
        for bad in [
            "",
            "00",
            "00-x-y-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
            "00-4bf92f3577b34da6a3ce929d0e0é736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn without_a_tracer_the_incoming_context_is_handed_on() {
        tracing::subscriber::with_default(Registry::default(), || {
            assert_eq!(context(), None);
            let outer = info_span!("outer");
            let stated = format!("{PARENT} vendor=1");
            parent(&outer, Some(&stated));
            outer.in_scope(|| {
                let inner = info_span!("inner");
                assert_eq!(inner.in_scope(context), Some(stated.clone()));
                parent(&inner, Some("not a context"));
                link(&inner, Some(PARENT));
                assert_eq!(inner.in_scope(context), Some(stated.clone()));
            });
        });
        let now = Timestamp::new(5);
        assert_eq!(past("queue chunk", None, Some(PARENT), now, now, &[]).as_deref(), Some(PARENT));
        assert_eq!(past("queue chunk", None, None, now, now, &[]), None);
    }
}
