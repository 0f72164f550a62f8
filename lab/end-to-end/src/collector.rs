//! A collector of traces: a real OTLP receiver over HTTP, which keeps every span that it receives.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{self as proto, ResourceSpans};
use prost::Message;
use stack::{Port, ServiceCommand};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A running collector. Dropping it ends it.
#[derive(Debug)]
pub struct Collector {
    url: String,
    spans: SharedSpans,
    serving: JoinHandle<()>,
    _port: Port,
}

type SharedSpans = Arc<Mutex<Vec<ReceivedSpan>>>;

/// A span as it was received. Ids are hex digits.
#[derive(Debug, Clone)]
pub struct ReceivedSpan {
    /// The service that recorded it.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: SpanKind,
    /// Its trace.
    pub trace: String,
    /// Its own id.
    pub id: String,
    /// Its parent's id; empty for the first span of a trace.
    pub parent: String,
    /// When it began, in nanoseconds since the epoch.
    pub began: u64,
    /// When it ended.
    pub ended: u64,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// The traces and the ids of the spans that it links to.
    pub links: Vec<(String, String)>,
}

impl ReceivedSpan {
    /// Returns whether it links to another span.
    #[must_use]
    pub fn links_to(&self, other: &Self) -> bool {
        let mut links = self.links.iter();
        links.any(|(trace, id)| *trace == other.trace && *id == other.id)
    }
}

impl Collector {
    /// Starts a collector.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn open() -> Result<Self> {
        let port = Port::free()?;
        let listener = TcpListener::bind(port.address()).await?;
        let spans = SharedSpans::default();
        let app = Router::new()
            .route("/v1/traces", post(receive))
            .with_state(Arc::clone(&spans));
        let serving = tokio::spawn(async move {
            // It never ends by itself.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self {
            url: format!("http://{}", port.address()),
            spans,
            serving,
            _port: port,
        })
    }

    /// Makes a service export its spans to this collector.
    #[must_use]
    pub fn of(&self, command: ServiceCommand) -> ServiceCommand {
        exporting(command, &self.url)
    }

    /// Returns what was received so far.
    #[must_use]
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        let spans = self.spans.lock();
        spans.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Makes a service export its spans to the collector at `url` soon after they have ended.
#[must_use]
pub fn exporting(command: ServiceCommand, url: &str) -> ServiceCommand {
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        .env("OTEL_BSP_SCHEDULE_DELAY", "100")
        // The exporter takes the proxy that the environment names.
        .env("NO_PROXY", "127.0.0.1")
}

async fn receive(
    State(spans): State<SharedSpans>,
    body: Bytes,
) -> Result<([(&'static str, &'static str); 1], Vec<u8>), StatusCode> {
    let request = ExportTraceServiceRequest::decode(body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let received = request.resource_spans.into_iter().flat_map(spans_of);
    let mut spans = spans.lock().unwrap_or_else(PoisonError::into_inner);
    spans.extend(received);
    let answer = ExportTraceServiceResponse::default().encode_to_vec();
    Ok(([("content-type", "application/x-protobuf")], answer))
}

fn spans_of(resource: ResourceSpans) -> impl Iterator<Item = ReceivedSpan> {
    let attributes = resource.resource.map(|resource| resource.attributes);
    let attributes = texts(attributes.unwrap_or_default());
    let service = attributes.get("service.name").cloned().unwrap_or_default();
    let scopes = resource.scope_spans.into_iter();
    scopes
        .flat_map(|scope| scope.spans)
        .map(move |span| received(&service, span))
}

fn received(service: &str, span: proto::Span) -> ReceivedSpan {
    ReceivedSpan {
        service: service.to_owned(),
        kind: span.kind(),
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        began: span.start_time_unix_nano,
        ended: span.end_time_unix_nano,
        attributes: texts(span.attributes),
        links: span
            .links
            .iter()
            .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
            .collect(),
        name: span.name,
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    attributes
        .into_iter()
        .map(|KeyValue { key, value, .. }| (key, text(value)))
        .collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
