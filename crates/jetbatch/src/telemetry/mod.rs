//! Logs and traces. Logs go to stderr; spans go out over OTLP where an endpoint is configured and nowhere else.
//! Without one, an incoming trace context is still handed on unchanged, so that a client's trace does not end here.
//!
//! A span is made per chunk, segment or job, never per request.
mod export;
mod filter;
mod lines;
pub mod names;
mod settings;
mod trace;

use export::Exporting;
use opentelemetry_sdk::trace::SdkTracer;
use std::sync::OnceLock;
use tracing_subscriber::{Layer, Registry, layer::SubscriberExt, util::SubscriberInitExt};

pub use names::Attribute;
pub use settings::{LogFormat, Protocol, Settings};
pub use trace::{context, fail, hide, link, parent, past, set};

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error("the log filter '{filter}' is not valid: {source}")]
    Filter { filter: String, source: tracing_subscriber::filter::ParseError },
    #[error("the OTLP endpoint '{endpoint}' is not valid: {why}")]
    Endpoint { endpoint: String, why: &'static str },
    #[error("telemetry.sample is {0}; it must be between 0 and 1")]
    Sample(f64),
    #[error("the OTLP exporter cannot be made")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    #[error("the OTLP exporter's thread cannot be started")]
    Thread(#[source] std::io::Error),
    #[error("logging was set up already")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Keeps telemetry going; when dropped, what is not sent yet is sent, for a few seconds at most.
#[must_use = "telemetry ends when the guard is dropped"]
pub struct Guard {
    _exporting: Option<Exporting>,
}

/// Sets up this process's logs and traces. `role` names the process in its traces (`worker`, `all`).
pub fn init(settings: &Settings, role: &str) -> Result<Guard, InitError> {
    let logs = lines::Lines::to_stderr(settings.log_format).with_filter(filter::logs(&settings.filter())?);
    let exporting = export::start(settings, role)?;
    let traces = exporting.as_ref().map(|exporting| trace::layer(exporting.tracer()).with_filter(filter::own()));
    Registry::default().with(logs).with(traces).try_init()?;
    if let Some(exporting) = &exporting {
        // Set once: try_init has refused a second call.
        let _ = TRACER.set(exporting.tracer());
    }
    Ok(Guard { _exporting: exporting })
}
