//! A collector of OpenTelemetry that decodes what it is sent.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value},
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::Message as _;
use serde_json::{Value, json};

use crate::support::{Provider, ReceivedRequest, Server};

/// A collector on its own port.
pub(super) struct Collector(Provider);

/// A span as the collector received it, with its ids in hexadecimal digits.
#[derive(Clone, Debug)]
pub(super) struct ReceivedSpan {
    pub(super) trace_id: String,
    pub(super) span_id: String,
    /// Empty for a root.
    pub(super) parent_id: String,
    pub(super) trace_state: String,
    pub(super) is_server: bool,
    pub(super) name: String,
    pub(super) attributes: BTreeMap<String, Value>,
    pub(super) is_error: bool,
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Collector {
    pub(super) fn start() -> Self {
        let protobuf = [("Content-Type", "application/x-protobuf")];
        Self(Provider::start(move |_, wire| {
            wire.respond(200, &protobuf, "");
        }))
    }

    pub(super) fn url(&self) -> String {
        self.0.url()
    }

    /// Starts a server that may call loopback addresses and exports to this collector.
    pub(super) fn serve(&self, environment: &[(&str, &str)]) -> Server {
        let url = self.url();
        let endpoint = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*url)];
        Server::with_loopback_egress(&[&endpoint, environment].concat())
    }

    /// Returns all requests so far.
    pub(super) fn requests(&self) -> Vec<ReceivedRequest> {
        self.0.requests()
    }

    /// Stops the server, which must export what it has first, and returns all spans.
    pub(super) fn spans_of(&self, server: &mut Server) -> Vec<ReceivedSpan> {
        server.signal("TERM");
        let (status, log) = server.wait_for_exit();
        assert!(status.success(), "{status}: {log}");
        self.spans()
    }

    fn spans(&self) -> Vec<ReceivedSpan> {
        let mut spans = Vec::new();
        for export in self.exports() {
            for resource in export.resource_spans {
                for scope in resource.scope_spans {
                    spans.extend(scope.spans.into_iter().map(ReceivedSpan::from));
                }
            }
        }
        spans
    }

    /// Returns the attributes of the process that exports.
    pub(super) fn resource(&self) -> BTreeMap<String, Value> {
        let export = self.exports().swap_remove(0);
        let resource = export.resource_spans[0].resource.clone();
        attributes(resource.expect("a resource").attributes)
    }

    fn exports(&self) -> Vec<ExportTraceServiceRequest> {
        let decode = |request: ReceivedRequest| {
            assert_eq!(request.target, "/v1/traces");
            assert_eq!(
                request.header("content-type"),
                Some("application/x-protobuf")
            );
            ExportTraceServiceRequest::decode(&*request.body).expect("a valid request")
        };
        self.requests().into_iter().map(decode).collect()
    }
}

impl From<Span> for ReceivedSpan {
    fn from(span: Span) -> Self {
        Self {
            trace_id: hex(&span.trace_id),
            span_id: hex(&span.span_id),
            parent_id: hex(&span.parent_span_id),
            trace_state: span.trace_state,
            is_server: span.kind == SpanKind::Server as i32,
            name: span.name,
            attributes: attributes(span.attributes),
            is_error: span
                .status
                .is_some_and(|status| status.code == StatusCode::Error as i32),
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
        }
    }
}

/// Splits spans into the one of the request and those of its calls, in the order in which they
/// began.
#[track_caller]
pub(super) fn request_and_calls(spans: Vec<ReceivedSpan>) -> (ReceivedSpan, Vec<ReceivedSpan>) {
    let (mut requests, mut calls): (Vec<_>, Vec<_>) =
        spans.into_iter().partition(|span| span.is_server);
    assert_eq!(requests.len(), 1, "spans of requests: {requests:#?}");
    calls.sort_by_key(|call| call.start);
    (requests.remove(0), calls)
}

fn attributes(list: Vec<KeyValue>) -> BTreeMap<String, Value> {
    let pair = |attribute: KeyValue| {
        let value = match attribute.value.and_then(|value| value.value) {
            Some(any_value::Value::StringValue(text)) => json!(text),
            Some(any_value::Value::IntValue(number)) => json!(number),
            other => panic!("{}: {other:?}", attribute.key),
        };
        (attribute.key, value)
    };
    list.into_iter().map(pair).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
