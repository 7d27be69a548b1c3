//! The trace of a request: one span of kind server, and one of kind client for each call to a
//! provider.
//!
//! The caller's `traceparent` is the parent of the request, and each provider gets that of its own
//! call. Spans are reported when the log line is written.
//!
//! Source: OpenTelemetry's semantic conventions for HTTP spans and for generative AI clients.

mod gen_ai;

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use aisbreaker_services::{CallSpan, Tokens, Trace, TraceContext, trace_state};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::{
    request_id,
    span::{Span, SpanKind, SpanSink, SpanValue},
};
use crate::{clock::Clock, failure::ErrorType, route::Route};

type Attributes = Vec<(&'static str, SpanValue)>;

/// The trace of a request that is served.
#[derive(Debug)]
pub(crate) struct RequestTrace {
    sink: Arc<dyn SpanSink>,
    /// The span of the request.
    context: TraceContext,
    /// The span of the caller.
    parent: Option<TraceContext>,
    state: Option<HeaderValue>,
    calls: Trace,
    scheme: &'static str,
    started: SystemTime,
}

/// What the access log knows of a request that is over.
pub(super) struct TracedRequest<'a> {
    /// The name of the method.
    pub(super) method: &'a str,
    pub(super) route: Option<Route>,
    pub(super) client: IpAddr,
    /// The status of the response; `None` if the client left before it began.
    pub(super) status: Option<StatusCode>,
    /// Whether the client received the whole response.
    pub(super) is_complete: bool,
    /// What went wrong.
    pub(super) error: Option<ErrorType>,
    pub(super) tokens: Tokens,
    pub(super) started: Instant,
    pub(super) duration: Duration,
}

impl RequestTrace {
    /// Begins the trace of a request that has just arrived.
    pub(crate) fn start(
        sink: &Arc<dyn SpanSink>,
        (headers, scheme): (&HeaderMap, &'static str),
        name: &str,
        clock: &dyn Clock,
    ) -> Self {
        let parent = TraceContext::of(headers);
        let (context, state) = match parent {
            Some(parent) => (parent.with_span_id(span_id()), trace_state(headers)),
            None => (TraceContext::new(trace_id(), span_id()), None),
        };
        let is_sampled = sink.is_sampled(context.trace_id(), parent, name);
        let context = context.with_sampled(is_sampled);
        Self {
            sink: Arc::clone(sink),
            context,
            parent,
            calls: Trace::new(context, state.clone(), span_id),
            state,
            scheme,
            started: clock.wall(),
        }
    }

    /// Returns the part of the trace that calls to providers write.
    pub(super) fn calls(&self) -> Trace {
        self.calls.clone()
    }

    /// Returns the id of the trace, for the log.
    pub(super) fn id(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.context.trace_id()))
    }

    /// Reports the spans of a request that is over.
    pub(super) fn finish(&self, request: &TracedRequest<'_>) {
        if !self.context.is_sampled() {
            return;
        }
        let calls = self.calls.calls();
        let answered = calls.iter().rposition(is_success);
        for (index, call) in calls.iter().enumerate() {
            let tokens = if answered == Some(index) {
                request.tokens
            } else {
                Tokens::default()
            };
            self.sink.export(self.call_span(call, request, tokens));
        }
        self.sink.export(self.request_span(request));
    }

    fn request_span(&self, request: &TracedRequest<'_>) -> Span {
        let error = request_error(request);
        let mut attributes: Attributes = vec![
            ("http.request.method", method_value(request.method)),
            ("url.scheme", self.scheme.into()),
            ("client.address", request.client.to_string().into()),
        ];
        push(
            &mut attributes,
            "http.route",
            request.route.map(Route::template),
        );
        let status = request.status.map(|status| status.as_u16());
        push(&mut attributes, "http.response.status_code", status);
        let is_error = error.is_some();
        push(&mut attributes, "error.type", error);
        Span {
            context: self.context,
            trace_state: self.state.clone(),
            parent_span_id: self.parent.map(|parent| parent.span_id()),
            kind: SpanKind::Server,
            name: request_name(request.method, request.route),
            started: self.started,
            ended: later(self.started, request.duration),
            attributes,
            is_error,
        }
    }

    fn call_span(&self, call: &CallSpan, request: &TracedRequest<'_>, tokens: Tokens) -> Span {
        let method = call.method.as_str();
        let mut attributes: Attributes = vec![
            ("http.request.method", method.to_owned().into()),
            ("url.scheme", call.scheme.into()),
            ("server.address", call.host.clone().into()),
            ("server.port", call.port.into()),
        ];
        let status = call.status.map(|status| status.as_u16());
        push(&mut attributes, "http.response.status_code", status);
        let operation = gen_ai::operation(request.route, &call.service_id);
        push(&mut attributes, "gen_ai.operation.name", operation);
        let provider = gen_ai::provider(&call.service_id);
        push(&mut attributes, "gen_ai.provider.name", provider);
        push(&mut attributes, "gen_ai.request.model", call.model.clone());
        push(&mut attributes, "gen_ai.usage.input_tokens", tokens.input);
        push(&mut attributes, "gen_ai.usage.output_tokens", tokens.output);
        let error = call_error(call, request.is_complete);
        let is_error = error.is_some();
        push(&mut attributes, "error.type", error);
        // Spans of one request are measured by one clock, so that they stay in order when the wall
        // clock is set.
        let since = |at: Instant| at.saturating_duration_since(request.started);
        let ended = match call.ended {
            Some(ended) => since(ended.into_std()),
            None => request.duration,
        };
        Span {
            context: self.context.with_span_id(call.span_id),
            trace_state: self.state.clone(),
            parent_span_id: Some(self.context.span_id()),
            kind: SpanKind::Client,
            name: match (operation, &call.model) {
                (Some(operation), Some(model)) => format!("{operation} {model}"),
                (Some(operation), None) => operation.to_owned(),
                (None, _) => method.to_owned(),
            },
            started: later(self.started, since(call.started.into_std())),
            ended: later(self.started, ended),
            attributes,
            is_error,
        }
    }
}

/// Returns the name of the span of a request.
pub(crate) fn request_name(method: &str, route: Option<Route>) -> String {
    let method = if method == "other" { "HTTP" } else { method };
    match route {
        Some(route) => [method, " ", route.template()].concat(),
        None => method.to_owned(),
    }
}

/// Returns a method as the conventions name it.
fn method_value(method: &str) -> SpanValue {
    if method == "other" {
        "_OTHER".into()
    } else {
        method.to_owned().into()
    }
}

/// Returns why a request failed, if that was not the fault of its client.
fn request_error(request: &TracedRequest<'_>) -> Option<SpanValue> {
    let word = request.error.map(ErrorType::as_str);
    match request.status {
        Some(status) if request.is_complete && status.is_client_error() => None,
        Some(status) if request.is_complete && status.is_server_error() => match word {
            Some(word) => Some(word.into()),
            None => Some(status.as_str().to_owned().into()),
        },
        Some(_) | None => word.map(SpanValue::from),
    }
}

/// Returns why a call failed, if it did.
fn call_error(call: &CallSpan, is_request_complete: bool) -> Option<SpanValue> {
    if let Some(word) = call.error {
        return Some(word.into());
    }
    let is_cut_off = call.is_dropped || call.ended.is_none();
    match call.status {
        _ if is_cut_off && !is_request_complete => Some(ErrorType::ClientLeft.as_str().into()),
        Some(status) if status.is_client_error() || status.is_server_error() => {
            Some(status.as_str().to_owned().into())
        }
        Some(_) => None,
        // The gateway waits no longer.
        None => Some("timeout".into()),
    }
}

fn later(time: SystemTime, by: Duration) -> SystemTime {
    time.checked_add(by).unwrap_or(time)
}

fn is_success(call: &CallSpan) -> bool {
    call.error.is_none() && call.status.is_some_and(|status| status.is_success())
}

fn push(to: &mut Attributes, name: &'static str, value: Option<impl Into<SpanValue>>) {
    if let Some(value) = value {
        to.push((name, value.into()));
    }
}

fn trace_id() -> [u8; 16] {
    match request_id::random_bytes() {
        Some(id) if id != [0; 16] => id,
        Some(_) | None => [1; 16],
    }
}

fn span_id() -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = trace_id();
    match [a, b, c, d, e, f, g, h] {
        [0, 0, 0, 0, 0, 0, 0, 0] => [1; 8],
        id => id,
    }
}
