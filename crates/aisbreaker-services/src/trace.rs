//! The trace of one request: a span for every call to a provider.
//!
//! A [`Trace`] hands out spans, each provider gets the `traceparent` of its own one, and whoever
//! reports the trace reads the [`CallSpan`]s in the end. A trace that is off does nothing.

mod context;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use aisbreaker_api::ServiceId;
use aisbreaker_egress::{ExchangeEnd, ExchangeStart, Failure, Observer, SendError};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::time::Instant;

pub use self::context::{TRACEPARENT, TRACESTATE, TraceContext, trace_state};

/// The longest model in a span, in characters: a caller chooses it.
const MAX_MODEL_CHARS: usize = 128;
/// The longest host in a span, in characters: no longer one has an address (RFC 1035 section 2.3.4).
const MAX_HOST_CHARS: usize = 255;

/// The trace of one request. Clones share its spans. By default it is off.
#[derive(Clone, Default)]
pub struct Trace(Option<Arc<Inner>>);

struct Inner {
    /// The span that all calls are children of.
    parent: TraceContext,
    state: Option<HeaderValue>,
    next_span_id: fn() -> [u8; 8],
    spans: Mutex<Vec<SharedSpan>>,
}

type SharedSpan = Arc<Mutex<CallSpan>>;

/// The span of one call to a provider, which may take several exchanges.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallSpan {
    /// The id of the span, which the provider got as its parent.
    pub span_id: [u8; 8],
    /// The service that was called.
    pub service_id: ServiceId,
    /// The model that was asked for.
    pub model: Option<String>,
    /// The method of the first request.
    pub method: Method,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The host of the provider's server.
    pub host: String,
    /// The port of the provider's server.
    pub port: u16,
    /// When the first request was sent.
    pub started: Instant,
    /// When the last response was read to its end or dropped. `None`: it goes on.
    pub ended: Option<Instant>,
    /// The status of the last response.
    pub status: Option<StatusCode>,
    /// Why the last exchange failed, as one fixed word.
    pub error: Option<&'static str>,
    /// Whether the last exchange was given up before its response was read to the end.
    pub is_dropped: bool,
}

impl Trace {
    /// Creates a trace whose calls are children of the span `parent`.
    ///
    /// Providers get `state` as their `tracestate`. Span ids are taken from `next_span_id`.
    #[must_use]
    pub fn new(
        parent: TraceContext,
        state: Option<HeaderValue>,
        next_span_id: fn() -> [u8; 8],
    ) -> Self {
        Self(Some(Arc::new(Inner {
            parent,
            state,
            next_span_id,
            spans: Mutex::default(),
        })))
    }

    /// Returns what observes the exchanges of one call to the provider of a service; `None` if the
    /// trace is off.
    ///
    /// The span begins when the first request is sent. A call for which none is sent has no span.
    #[must_use]
    pub fn call(&self, service_id: &ServiceId, model: Option<&str>) -> Option<Arc<dyn Observer>> {
        let inner = self.0.as_ref()?;
        Some(Arc::new(TracedCall {
            trace: Arc::clone(inner),
            span_id: (inner.next_span_id)(),
            service_id: service_id.clone(),
            model: model.map(|model| model.chars().take(MAX_MODEL_CHARS).collect()),
            span: OnceLock::new(),
        }))
    }

    /// Returns the spans of all calls so far, in the order in which they began.
    #[must_use]
    pub fn calls(&self) -> Vec<CallSpan> {
        let Some(inner) = &self.0 else {
            return Vec::new();
        };
        let spans = lock(&inner.spans);
        spans.iter().map(|span| lock(span).clone()).collect()
    }
}

/// Writes what happens to a call into its span.
struct TracedCall {
    trace: Arc<Inner>,
    span_id: [u8; 8],
    service_id: ServiceId,
    model: Option<String>,
    /// Empty until the first request is sent.
    span: OnceLock<SharedSpan>,
}

impl TracedCall {
    fn begin(&self, start: ExchangeStart<'_>) -> SharedSpan {
        let span = Arc::new(Mutex::new(CallSpan {
            span_id: self.span_id,
            service_id: self.service_id.clone(),
            model: self.model.clone(),
            method: start.method.clone(),
            scheme: start.scheme,
            host: start.host.chars().take(MAX_HOST_CHARS).collect(),
            port: start.port,
            started: Instant::now(),
            ended: None,
            status: None,
            error: None,
            is_dropped: false,
        }));
        lock(&self.trace.spans).push(Arc::clone(&span));
        span
    }
}

impl Observer for TracedCall {
    fn on_send(&self, start: ExchangeStart<'_>, headers: &mut HeaderMap) {
        let span = self.span.get_or_init(|| self.begin(start));
        lock(span).ended = None;
        let context = self.trace.parent.with_span_id(self.span_id);
        headers.insert(TRACEPARENT, context.to_header());
        match &self.trace.state {
            Some(state) => headers.insert(TRACESTATE, state.clone()),
            None => headers.remove(TRACESTATE),
        };
    }

    fn on_head(&self, status: StatusCode) {
        if let Some(span) = self.span.get() {
            lock(span).status = Some(status);
        }
    }

    fn on_end(&self, end: ExchangeEnd<'_>) {
        let Some(span) = self.span.get() else { return };
        let mut span = lock(span);
        span.ended = Some(Instant::now());
        span.is_dropped = matches!(end, ExchangeEnd::Dropped);
        if let ExchangeEnd::Failed(error) = end {
            span.error = Some(word(error));
        }
    }
}

/// Returns the fixed word for an error.
fn word(error: &SendError) -> &'static str {
    match error {
        SendError::Forbidden(_) => "egress_forbidden",
        SendError::Unreachable(Failure::Resolution { .. }) => "name_not_resolved",
        SendError::Unreachable(Failure::Refused) => "connection_refused",
        SendError::Unreachable(Failure::Tls) => "tls_error",
        SendError::Unreachable(Failure::Network) => "unreachable",
        SendError::Busy => "overloaded",
        SendError::Timeout(_) => "timeout",
        SendError::TransferCoding => "bad_answer",
        SendError::Cut => "cut",
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Some(_) => "Trace(..)",
            None => "Trace(off)",
        })
    }
}
