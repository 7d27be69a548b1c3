//! Finished spans, and where they go.

use std::{borrow::Cow, fmt, time::SystemTime};

use aisbreaker_services::TraceContext;
use http::HeaderValue;

/// Takes the spans of a gateway, such as an exporter of OpenTelemetry.
pub trait SpanSink: fmt::Debug + Send + Sync {
    /// Decides whether a trace is recorded. Asked once when a request arrives.
    ///
    /// `parent` is the caller's span, if the request named one; it has the same trace id.
    fn is_sampled(&self, trace_id: [u8; 16], parent: Option<TraceContext>, name: &str) -> bool;

    /// Takes a finished span of a recorded trace.
    ///
    /// Called on the task of the request, so it must not block.
    fn export(&self, span: Span);
}

/// A finished span: one request, or one call to a provider.
///
/// It is an allow-list, as the access log is: no content, no header fields, no URLs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Span {
    /// The trace and the id of the span.
    pub context: TraceContext,
    /// The `tracestate` that the caller sent.
    pub trace_state: Option<HeaderValue>,
    /// The span that this one is a child of.
    pub parent_span_id: Option<[u8; 8]>,
    /// Whether the span is one of a request or of a call.
    pub kind: SpanKind,
    /// The name, of which there are few.
    pub name: String,
    /// When it began.
    pub started: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
    /// What is known of it, by the names of OpenTelemetry's semantic conventions.
    pub attributes: Vec<(&'static str, SpanValue)>,
    /// Whether it failed.
    pub is_error: bool,
}

/// The kind of a span.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a sink must be able to name every kind"
)]
pub enum SpanKind {
    /// A request to the gateway. Its parent is a span of the caller.
    Server,
    /// A call to a provider. Its parent is the span of the request.
    Client,
}

/// The value of an attribute.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a sink must be able to write every value"
)]
pub enum SpanValue {
    /// Text.
    Text(Cow<'static, str>),
    /// A whole number.
    Integer(i64),
}

impl From<&'static str> for SpanValue {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for SpanValue {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<u16> for SpanValue {
    fn from(number: u16) -> Self {
        Self::Integer(number.into())
    }
}

impl From<u64> for SpanValue {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}
