use super::{InitError, Protocol, Settings, names, settings::Target};
use opentelemetry::{Context, KeyValue, trace::TracerProvider};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter,
        SpanProcessor,
    },
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::runtime::{Builder, Handle, Runtime};

/// Spans that wait to be sent; beyond it they are dropped, never waited for. About 16 MiB.
const SPANS_QUEUED_MAX: usize = 16_384;
const SPANS_SENT_MAX: usize = 2_048;
const SEND_EVERY: Duration = Duration::from_secs(1);
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);
/// A collector that is gone is told of once in so many failed sends.
const FAILURES_PER_LINE: u64 = 60;

/// The provider and the runtime its exporter runs on. That is a runtime of its own, so that the last spans are sent
/// whatever state the program's own runtime is in when the guard is dropped.
pub struct Exporting {
    provider: SdkTracerProvider,
    runtime: Option<Runtime>,
}

/// Nothing is started where no endpoint is configured.
pub fn start(settings: &Settings, role: &str) -> Result<Option<Exporting>, InitError> {
    if !(0.0..=1.0).contains(&settings.sample) {
        return Err(InitError::Sample(settings.sample));
    }
    let Some(target) = settings.target() else { return Ok(None) };
    let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("otlp").enable_all().build();
    let runtime = runtime.map_err(InitError::Thread)?;
    let exporter = Remote::new(&target, runtime.handle())?;
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(SPANS_QUEUED_MAX)
        .with_max_export_batch_size(SPANS_SENT_MAX)
        .with_scheduled_delay(SEND_EVERY);
    let provider = SdkTracerProvider::builder()
        .with_span_processor(Shown(BatchSpanProcessor::builder(exporter).with_batch_config(config.build()).build()))
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.sample))))
        .with_resource(resource(&settings.service, role))
        .build();
    Ok(Some(Exporting { provider, runtime: Some(runtime) }))
}

fn resource(service: &str, role: &str) -> Resource {
    Resource::builder()
        .with_service_name(service.to_owned())
        .with_attributes([
            KeyValue::new(names::SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
            KeyValue::new(names::SERVICE_INSTANCE_ID, uuid::Uuid::now_v7().to_string()),
            KeyValue::new(names::ROLE, role.to_owned()),
        ])
        .build()
}

impl Exporting {
    pub fn tracer(&self) -> SdkTracer {
        self.provider.tracer(env!("CARGO_PKG_NAME"))
    }
}

impl Drop for Exporting {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown_with_timeout(SHUTDOWN_MAX) {
            tracing::debug!(%error, "the last spans could not be sent");
        }
        // A runtime must not be dropped, and so waited for, inside another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Lets through what is not hidden. Whether a span is worth its place is known at its end.
#[derive(Debug)]
struct Shown(BatchSpanProcessor);

impl SpanProcessor for Shown {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.0.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if !span.attributes.iter().any(|attribute| attribute.key.as_str() == names::HIDDEN) {
            self.0.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

/// The OTLP exporter, run on the runtime it needs: the SDK calls it from a plain thread.
#[derive(Debug)]
struct Remote {
    inner: Arc<opentelemetry_otlp::SpanExporter>,
    runtime: Handle,
    url: String,
    failures: AtomicU64,
}

impl Remote {
    fn new(target: &Target, runtime: &Handle) -> Result<Self, InitError> {
        check(target)?;
        let _inside = runtime.enter();
        let builder = opentelemetry_otlp::SpanExporter::builder();
        let inner = match target.protocol {
            Protocol::Grpc => builder.with_tonic().with_endpoint(&target.url).build()?,
            Protocol::Http => builder.with_http().with_endpoint(&target.url).build()?,
        };
        let (inner, runtime, url) = (Arc::new(inner), runtime.clone(), target.url.clone());
        Ok(Self { inner, runtime, url, failures: AtomicU64::new(0) })
    }

    fn note(&self, result: &OTelSdkResult) {
        let Err(error) = result else { return };
        let failures = self.failures.fetch_add(1, Ordering::Relaxed);
        if failures.is_multiple_of(FAILURES_PER_LINE) {
            tracing::warn!(endpoint = self.url, %error, "spans cannot be sent");
        }
    }
}

fn check(target: &Target) -> Result<(), InitError> {
    let refuse = |why| Err(InitError::Endpoint { endpoint: target.url.clone(), why });
    match url::Url::parse(&target.url) {
        Err(_) => refuse("it must be a URL such as http://localhost:4317"),
        Ok(url) if target.protocol == Protocol::Grpc && url.scheme() == "https" => {
            refuse("this build speaks gRPC without TLS; use otlp_protocol = 'http'")
        }
        Ok(url) if !matches!(url.scheme(), "http" | "https") => refuse("it must begin with http:// or https://"),
        Ok(_) => Ok(()),
    }
}

impl SpanExporter for Remote {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let inner = self.inner.clone();
        let sent = self.runtime.spawn(async move { inner.export(batch).await }).await;
        let result = sent.unwrap_or_else(|error| Err(OTelSdkError::InternalFailure(error.to_string())));
        self.note(&result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.set_resource(resource);
        }
    }
}
