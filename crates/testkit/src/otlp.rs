use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::wait_for;

/// An OTLP collector over gRPC in this process, which keeps the spans it receives.
pub struct Receiver {
    url: String,
    kept: Kept,
    task: JoinHandle<()>,
}

/// A span with the resource of the process that sent it.
#[derive(Debug, Clone)]
pub struct Received {
    pub span: Span,
    pub resource: Vec<KeyValue>,
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Received>>>);

impl Receiver {
    pub async fn start() -> Self {
        let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let url = format!("http://{}", incoming.local_addr().expect("a bound address"));
        let kept = Kept::default();
        let service = Server::builder().add_service(TraceServiceServer::new(kept.clone()));
        let task = tokio::spawn(async move {
            service.serve_with_incoming(incoming).await.expect("the collector serves");
        });
        Self { url, kept, task }
    }

    /// The endpoint for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Every span received so far.
    pub fn spans(&self) -> Vec<Received> {
        self.kept.all().clone()
    }

    /// Waits until the spans received so far pass a test, and gives them.
    pub async fn wait(&self, what: &str, timeout: Duration, test: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        wait_for(what, timeout, || async { Some(self.spans()).filter(|spans| test(spans)) }).await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Received {
    pub fn name(&self) -> &str {
        &self.span.name
    }

    pub fn trace_id(&self) -> String {
        hex(&self.span.trace_id)
    }

    pub fn span_id(&self) -> String {
        hex(&self.span.span_id)
    }

    /// As the header `tracestate` spells it.
    pub fn trace_state(&self) -> &str {
        &self.span.trace_state
    }

    /// Empty at the root of a trace.
    pub fn parent_id(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    /// Trace and span ids of the spans that this one links to.
    pub fn links(&self) -> Vec<(String, String)> {
        self.span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect()
    }

    /// An attribute of the span as text.
    pub fn attribute(&self, key: &str) -> Option<String> {
        find(&self.span.attributes, key)
    }

    /// An attribute of the sending process as text, such as `service.name`.
    pub fn resource(&self, key: &str) -> Option<String> {
        find(&self.resource, key)
    }
}

impl Kept {
    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Received>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for group in request.into_inner().resource_spans {
            let resource = group.resource.map(|resource| resource.attributes).unwrap_or_default();
            let spans = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.all().extend(spans.map(|span| Received { span, resource: resource.clone() }));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn find(attributes: &[KeyValue], key: &str) -> Option<String> {
    let entry = attributes.iter().find(|entry| entry.key == key)?;
    entry.value.as_ref().and_then(text)
}

fn text(value: &AnyValue) -> Option<String> {
    match value.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::BoolValue(flag) => Some(flag.to_string()),
        Value::IntValue(number) => Some(number.to_string()),
        Value::DoubleValue(number) => Some(number.to_string()),
        Value::ArrayValue(list) => Some(list.values.iter().filter_map(text).collect::<Vec<_>>().join(",")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};

    use super::*;

    #[tokio::test]
    async fn what_is_sent_is_kept() {
        let receiver = Receiver::start().await;
        let value = Some(AnyValue { value: Some(Value::IntValue(7)) });
        let attributes = vec![KeyValue { key: "chunk".into(), value, ..KeyValue::default() }];
        let span = Span { name: "run".into(), trace_id: vec![0xab; 16], attributes, ..Span::default() };
        let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
        let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
        let mut client = TraceServiceClient::connect(receiver.url().to_owned()).await.unwrap();
        client.export(ExportTraceServiceRequest { resource_spans }).await.unwrap();
        let spans = receiver.wait("the span", Duration::from_secs(5), |spans| !spans.is_empty()).await;
        assert_eq!((spans[0].name(), spans[0].trace_id()), ("run", "ab".repeat(16)));
        assert_eq!((spans[0].attribute("chunk").as_deref(), spans[0].parent_id().as_str()), (Some("7"), ""));
    }
}
