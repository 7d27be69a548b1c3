//! The access log: one line per request, written when the response is over.
//!
//! The line is an allow-list of fields. It never holds content, keys or secrets.

use std::{net::IpAddr, sync::Arc, time::Instant};

use aisbreaker_services::{Attempts, Tokens};
use aisbreaker_token::KeyId;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::{
    clock::Clock, cors::AllowedOrigin, in_flight::InFlightGuard, memory::MemoryHold, route::Route,
    telemetry::request_id,
};

/// The log target of requests that were charged to quotas.
const CHARGED_TARGET: &str = "aisbreaker_gateway::request";
/// The log target of requests that were not charged to quotas: pings, preflights, refusals.
///
/// Anyone can cause such lines in any number, so a server may want to limit their rate.
pub const UNCHARGED_TARGET: &str = "aisbreaker_gateway::free_request";
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
    service: Option<String>,
    attempts: Attempts,
    provider_request_id: Option<String>,
    tokens: Tokens,
    cause: Option<String>,
    status: StatusCode,
    is_complete: bool,
    is_charged: bool,
    started: Instant,
    clock: Arc<dyn Clock>,
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
        clock: Arc<dyn Clock>,
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
            service: None,
            attempts: Attempts::default(),
            provider_request_id: None,
            tokens: Tokens::default(),
            cause: None,
            status: StatusCode::OK,
            is_complete: false,
            is_charged: false,
            started: clock.monotonic(),
            clock,
            request_memory: None,
            allowed_origin: AllowedOrigin::default(),
            _in_flight: in_flight,
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

    pub(crate) fn set_allowed_origin(&mut self, allowed: AllowedOrigin) {
        self.allowed_origin = allowed;
    }

    pub(crate) fn allowed_origin(&self) -> &AllowedOrigin {
        &self.allowed_origin
    }

    /// Sets the service, which must be known to exist.
    pub(crate) fn set_service(&mut self, id: &str) {
        let end = match id.char_indices().nth(MAX_SERVICE_CHARS) {
            Some((end, _)) => end,
            None => id.len(),
        };
        self.service = id.get(..end).map(str::to_owned);
    }

    pub(crate) fn set_attempts(&mut self, attempts: Attempts) {
        self.attempts = attempts;
    }

    pub(crate) fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// Sets the provider's id of the request, unless it is unsafe to log.
    pub(crate) fn set_provider_request_id(&mut self, id: &HeaderValue) {
        self.provider_request_id = match id.to_str() {
            Ok(text) if request_id::is_loggable(id) => Some(text.to_owned()),
            Ok(_) | Err(_) => None,
        };
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

    pub(crate) fn set_cause(&mut self, cause: String) {
        self.cause = Some(cause);
    }

    pub(crate) fn set_status(&mut self, status: StatusCode) {
        self.status = status;
    }

    /// Notes that the whole response was handed to the HTTP library.
    pub(crate) fn mark_complete(&mut self) {
        self.is_complete = true;
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        let attempts = self.attempts.to_structured_list();
        let attempts = attempts.as_deref();
        let status = if self.is_complete {
            self.status.as_u16()
        } else {
            CLIENT_CLOSED_REQUEST
        };
        let now = self.clock.monotonic();
        let duration = now.saturating_duration_since(self.started);
        macro_rules! write_line {
            ($target:expr) => {
                tracing::info!(
                    target: $target,
                    request_id = self.request_id.to_str().unwrap_or_default(),
                    method = method_name(&self.method),
                    route = self.route.map_or("unknown", Route::template),
                    status,
                    duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
                    client = %self.client,
                    key = self.key.as_ref().map(tracing::field::display),
                    parent = self.parent.as_ref().map(tracing::field::display),
                    key_name = self.key_name.as_deref(),
                    service = self.service.as_deref(),
                    attempts,
                    provider_request_id = self.provider_request_id.as_deref(),
                    input_tokens = self.tokens.input,
                    output_tokens = self.tokens.output,
                    cached_tokens = self.tokens.cached,
                    reasoning_tokens = self.tokens.reasoning,
                    cause = self.cause.as_deref(),
                    "request"
                )
            };
        }
        // The target of a call site is static, so there are two call sites.
        if self.is_charged {
            write_line!(CHARGED_TARGET)
        } else {
            write_line!(UNCHARGED_TARGET)
        }
    }
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
