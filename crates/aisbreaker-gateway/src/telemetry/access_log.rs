//! The access log: one line per request, written when the response is over.
//!
//! The line is an allow-list of fields. It never holds content, keys or secrets.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use aisbreaker_services::{Attempts, ProviderCall, ProviderCalls, Tokens, Trace};
use aisbreaker_token::KeyId;
use http::{HeaderMap, HeaderValue, Method, StatusCode, request::Parts};

use crate::{
    cors::AllowedOrigin,
    failure::ErrorType,
    in_flight::InFlightGuard,
    memory::MemoryHold,
    route::{CalledOperation, Route},
    telemetry::{
        access_line::AccessLine,
        call_times::CallTimes,
        key_expiry::KeyExpiry,
        metrics::{
            OpenWebSocket,
            providers::KnownProvider,
            requests::{CountedRequest, MintOutcome},
        },
        observer::Observer,
        request_id::{self, LoggableId},
        span::SpanSink,
        trace::{self, RequestTrace, TracedRequest},
    },
    tunnel::close::CloseCode,
};

/// The longest service id that is logged, in characters.
const MAX_SERVICE_CHARS: usize = 128;
/// nginx's status for a request whose client went away. It is logged, never sent.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// The log line of one request, written when this is dropped.
///
/// It lives as long as the request and its response body, so it also carries what must be held for
/// that long: the in-flight guard, the memory of the request body, and who may read the response.
#[derive(Debug)]
pub struct AccessLog {
    request_id: HeaderValue,
    method: Method,
    route: Option<Route>,
    client: IpAddr,
    key: Option<KeyId>,
    /// The key that `key` was made from. Boxed since it is rare and large.
    parent: Option<Box<KeyId>>,
    key_name: Option<String>,
    key_expiry: Option<KeyExpiry>,
    /// Whether the caller learns of `key_expiry`. It is not logged.
    announces_key_expiry: bool,
    service: Option<Arc<str>>,
    attempts: Attempts,
    provider_request_id: Option<LoggableId>,
    tokens: Tokens,
    /// In nano-dollars.
    cost: Option<u64>,
    provider_calls: ProviderCalls,
    observer: Arc<Observer>,
    is_stream: bool,
    websocket: Option<WebSocketEnd>,
    error: Option<ErrorType>,
    cause: Option<String>,
    status: StatusCode,
    /// Boxed, since most servers trace nothing.
    trace: Option<Box<RequestTrace>>,
    /// Whether the response has begun.
    has_responded: bool,
    is_complete: bool,
    is_charged: bool,
    started: Instant,
    /// When the content of the request had come.
    received: Option<Instant>,
    request_memory: Option<MemoryHold>,
    /// Whose scripts may read the response, once the key is known. It is not logged.
    allowed_origin: AllowedOrigin,
    _in_flight: InFlightGuard,
}

impl AccessLog {
    /// Starts the line of a request that has just arrived.
    pub(crate) fn start(
        (method, headers): (&Method, &HeaderMap),
        route: Option<Route>,
        client: IpAddr,
        observer: Arc<Observer>,
        in_flight: InFlightGuard,
    ) -> Self {
        Self {
            request_id: request_id::of_request(headers),
            method: method.clone(),
            route,
            client,
            key: None,
            parent: None,
            key_name: None,
            key_expiry: None,
            announces_key_expiry: false,
            service: None,
            attempts: Attempts::default(),
            provider_request_id: None,
            tokens: Tokens::default(),
            cost: None,
            provider_calls: ProviderCalls::default(),
            is_stream: false,
            websocket: None,
            error: None,
            cause: None,
            status: StatusCode::OK,
            trace: None,
            has_responded: false,
            is_complete: false,
            is_charged: false,
            started: observer.clock.monotonic(),
            received: None,
            observer,
            request_memory: None,
            allowed_origin: match route {
                Some(Route::Console(_)) => AllowedOrigin::SameOrigin,
                Some(_) | None => AllowedOrigin::default(),
            },
            _in_flight: in_flight,
        }
    }

    /// Starts the trace of the request, whose spans are reported with the line.
    pub(crate) fn start_trace(
        &mut self,
        sink: &Arc<dyn SpanSink>,
        parts: &Parts,
        scheme: &'static str,
    ) {
        let name = trace::request_name(method_name(&self.method), self.route);
        let trace =
            RequestTrace::start(sink, (&parts.headers, scheme), &name, &*self.observer.clock);
        self.trace = Some(Box::new(trace));
    }

    /// Returns the trace that gets a span for every call to a provider.
    pub(crate) fn trace(&self) -> Trace {
        match &self.trace {
            Some(trace) => trace.calls(),
            None => Trace::default(),
        }
    }

    pub(crate) fn request_id(&self) -> &HeaderValue {
        &self.request_id
    }

    pub(crate) fn set_key(&mut self, id: KeyId) {
        self.key = Some(id);
    }

    /// Sets the key that a narrower one is made from.
    pub(crate) fn set_parent(&mut self, id: KeyId) {
        self.parent = Some(Box::new(id));
    }

    /// Sets what the key is called.
    pub(crate) fn set_key_name(&mut self, name: &str) {
        self.key_name = Some(name.to_owned());
    }

    /// Sets when the key ends, which is soon.
    pub(crate) fn set_key_expiry(&mut self, expiry: KeyExpiry) {
        self.key_expiry = Some(expiry);
    }

    /// Has the response say when the key ends, which is that of the caller.
    pub(crate) fn announce_key_expiry(&mut self) {
        self.announces_key_expiry = true;
    }

    /// Returns the value of the header field that says when the key of the caller ends.
    pub(crate) fn announced_key_expiry(&self) -> Option<HeaderValue> {
        let expiry = self.key_expiry.filter(|_| self.announces_key_expiry)?;
        expiry.header_value()
    }

    pub(crate) fn set_allowed_origin(&mut self, allowed: AllowedOrigin) {
        self.allowed_origin = allowed;
    }

    pub(crate) fn allowed_origin(&self) -> &AllowedOrigin {
        &self.allowed_origin
    }

    /// Sets the service, which must be known to exist.
    pub(crate) fn set_service(&mut self, id: impl Into<Arc<str>>) {
        let mut id = id.into();
        if id.len() > MAX_SERVICE_CHARS
            && let Some((end, _)) = id.char_indices().nth(MAX_SERVICE_CHARS)
        {
            id = id.get(..end).unwrap_or_default().into();
        }
        self.service = Some(id);
    }

    pub(crate) fn set_attempts(&mut self, attempts: Attempts) {
        self.attempts = attempts;
    }

    pub(crate) fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// Sets the provider's id of the request, unless it is unsafe to log.
    pub(crate) fn set_provider_request_id(&mut self, id: &HeaderValue) {
        self.provider_request_id = LoggableId::of(id);
    }

    /// Returns the list for the calls to providers that the request causes.
    pub(crate) fn record_provider_calls(&mut self) -> ProviderCalls {
        self.provider_calls = ProviderCalls::kept();
        self.provider_calls.clone()
    }

    /// Notes that the response is a stream of events.
    pub(crate) fn mark_stream(&mut self) {
        self.is_stream = true;
    }

    /// Counts a WebSocket as open.
    pub(crate) fn open_websocket(&self) -> OpenWebSocket {
        self.observer.metrics.open_websocket()
    }

    /// Sets how many bytes the client sent over a WebSocket and was sent, and the code of its close
    /// frame.
    pub(crate) fn set_websocket(&mut self, received: u64, sent: u64, code: Option<CloseCode>) {
        self.is_stream = true;
        self.websocket = Some(WebSocketEnd {
            received_bytes: received,
            sent_bytes: sent,
            close_code: code.map(|CloseCode(code)| code),
        });
    }

    /// Notes that the content of the request has come.
    pub(crate) fn mark_received(&mut self) {
        self.received = Some(self.observer.clock.monotonic());
    }

    /// Sets what the request cost in nano-dollars, if that is known.
    pub(crate) fn set_cost(&mut self, nanos: Option<u64>) {
        self.cost = nanos;
    }

    pub(crate) fn set_tokens(&mut self, tokens: Tokens) {
        self.tokens = tokens;
    }

    /// Keeps the memory of the request body reserved until the request is over.
    pub(crate) fn hold_request_memory(&mut self, hold: MemoryHold) {
        self.request_memory = Some(hold);
    }

    /// Takes the reservation of the request body, once that is not needed any more.
    pub(crate) fn take_reservation(&mut self) -> Option<MemoryHold> {
        self.request_memory.take()
    }

    /// Notes that the request was charged to its quotas.
    pub(crate) fn mark_charged(&mut self) {
        self.is_charged = true;
    }

    pub(crate) fn set_error(&mut self, error: ErrorType) {
        self.error = Some(error);
    }

    pub(crate) fn set_cause(&mut self, cause: String) {
        self.cause = Some(cause);
    }

    pub(crate) fn set_status(&mut self, status: StatusCode) {
        self.has_responded = true;
        self.status = status;
    }

    /// Notes that the whole response was handed to the HTTP library.
    pub(crate) fn mark_complete(&mut self) {
        self.is_complete = true;
    }
}

/// What is known of a WebSocket once it is closed.
#[derive(Clone, Copy, Debug)]
struct WebSocketEnd {
    received_bytes: u64,
    sent_bytes: u64,
    close_code: Option<u16>,
}

/// What is known of a request once it is over.
struct Ended {
    status: u16,
    error: Option<ErrorType>,
    duration: Duration,
    /// Until the content of the request had come.
    receive_time: Option<Duration>,
    /// The provider that was called last.
    provider: Option<Arc<KnownProvider>>,
    /// The time that was spent on calls to providers.
    calls: Option<CallTimes>,
}

impl AccessLog {
    fn end(&self) -> Ended {
        let (status, error) = if self.is_complete {
            (self.status.as_u16(), self.error)
        } else {
            let panicked = std::thread::panicking().then_some(ErrorType::Internal);
            // What went wrong before the client left says more.
            let error = self.error.or(panicked).or(Some(ErrorType::ClientLeft));
            (CLIENT_CLOSED_REQUEST, error)
        };
        let (times, provider) = self.provider_calls.read(|calls| {
            let times = CallTimes::of(calls);
            (times, self.count_calls(calls))
        });
        let now = self.observer.clock.monotonic();
        Ended {
            status,
            error,
            duration: now.saturating_duration_since(self.started),
            receive_time: self
                .received
                .map(|received| received.saturating_duration_since(self.started)),
            calls: provider.is_some().then_some(times),
            provider,
        }
    }

    /// Counts the calls to providers, and returns the provider that was called last.
    fn count_calls(&self, calls: &[ProviderCall]) -> Option<Arc<KnownProvider>> {
        let operation = self.route.and_then(Route::operation)?;
        let mut last = None;
        for (index, call) in calls.iter().enumerate() {
            let provider = self
                .observer
                .metrics
                .providers
                .find(call.service_id.vendor());
            provider.count_call(operation, call);
            if index > 0 && !operation.lists_models() {
                provider.count_fallback(call.outcome);
            }
            last = Some(provider);
        }
        if let Some(provider) = &last {
            provider.count_tokens(self.tokens);
        }
        last
    }

    fn count(&self, ended: &Ended) {
        let overhead = ended.calls.map(|calls| {
            let elsewhere = ended.receive_time.unwrap_or_default() + calls.waited;
            ended.duration.saturating_sub(elsewhere)
        });
        self.observer.metrics.requests.count(&CountedRequest {
            route: self.route,
            status: ended.status,
            error: ended.error,
            duration: ended.duration,
            overhead,
            minting: self.mint_outcome(),
            key_left: self.key_expiry.map(KeyExpiry::left),
        });
    }

    fn mint_outcome(&self) -> Option<MintOutcome> {
        let is_minting = self.route == Some(Route::Token) && self.method == Method::POST;
        if !is_minting || !self.has_responded {
            return None;
        }
        Some(if !self.status.is_success() {
            MintOutcome::Refused
        } else if self.parent.is_some() {
            MintOutcome::Exchanged
        } else {
            MintOutcome::Minted
        })
    }

    fn write(&self, ended: &Ended) {
        if !self.is_charged && self.is_of_served_file(ended) {
            return;
        }
        let attempts = self.attempts.to_structured_list();
        let trace_id = self.trace.as_ref().map(|trace| trace.id());
        let line = AccessLine {
            trace_id: trace_id.as_deref(),
            attempts: attempts.as_deref(),
            ..self.line(ended)
        };
        match &self.observer.access_log_sink {
            Some(sink) => sink.write(&line),
            None => line.log(),
        }
    }

    /// Returns the line without the fields that must be formatted first.
    fn line<'a>(&'a self, ended: &'a Ended) -> AccessLine<'a> {
        let operation = self.route.and_then(Route::operation);
        let operation = operation.map(CalledOperation::name);
        AccessLine {
            is_charged: self.is_charged,
            method: method_name(&self.method),
            route: self.route.map_or("unknown", Route::template),
            status: ended.status,
            error: ended.error.map(ErrorType::as_str),
            duration_ms: milliseconds(ended.duration),
            receive_ms: ended.receive_time.map(milliseconds),
            upstream_ms: ended.calls.map(|calls| milliseconds(calls.waited)),
            first_byte_ms: ended
                .calls
                .and_then(|calls| calls.first_byte)
                .map(milliseconds),
            key: self.key.as_ref(),
            parent: self.parent.as_deref(),
            key_name: self.key_name.as_deref(),
            key_expires_in_s: self.key_expiry.map(|expiry| expiry.left().as_secs()),
            operation,
            stream: operation.map(|_| self.is_stream),
            service: self.service.as_deref(),
            provider: ended.provider.as_ref().map(|provider| provider.name()),
            provider_request_id: self
                .provider_request_id
                .as_ref()
                .and_then(LoggableId::as_str),
            input_tokens: self.tokens.input,
            output_tokens: self.tokens.output,
            cached_tokens: self.tokens.cached,
            reasoning_tokens: self.tokens.reasoning,
            cost_nanos: self.cost,
            received_bytes: self.websocket.map(|end| end.received_bytes),
            sent_bytes: self.websocket.map(|end| end.sent_bytes),
            close_code: self.websocket.and_then(|end| end.close_code),
            cause: self.cause.as_deref(),
            ..AccessLine::new(self.request_id.to_str().unwrap_or_default(), self.client)
        }
    }

    /// Returns whether a file of the console was served, which is not worth a line.
    fn is_of_served_file(&self, ended: &Ended) -> bool {
        ended.error.is_none() && self.route.is_some_and(Route::is_console)
    }

    /// Reports the spans of a traced request.
    fn finish_trace(&self, trace: &RequestTrace, ended: &Ended) {
        trace.finish(&TracedRequest {
            method: method_name(&self.method),
            route: self.route,
            client: self.client,
            status: self.has_responded.then_some(self.status),
            is_complete: self.is_complete,
            error: ended.error,
            tokens: self.tokens,
            started: self.started,
            duration: ended.duration,
        });
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        let ended = self.end();
        self.count(&ended);
        self.write(&ended);
        if let Some(trace) = &self.trace {
            self.finish_trace(trace, &ended);
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the name of a standard method, or `other`: a caller must not choose what is logged.
fn method_name(method: &Method) -> &str {
    match *method {
        Method::GET | Method::POST | Method::HEAD | Method::OPTIONS => method.as_str(),
        Method::PUT | Method::DELETE | Method::PATCH | Method::CONNECT | Method::TRACE => {
            method.as_str()
        }
        _ => "other",
    }
}

#[cfg(test)]
mod tests;
