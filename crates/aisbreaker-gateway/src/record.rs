//! What lasts as long as a request: its one log line (an allow-list of fields, never content, keys
//! or secrets), its place among those under way, and its share of the budget.

use std::{cell::RefCell, net::IpAddr, sync::Arc, time::Instant};

use aisbreaker_services::{Attempts, Tokens};
use aisbreaker_token::KeyId;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::{answer::X_REQUEST_ID, clock::Clock, lifecycle::InFlight, route::Route, shares::Held};

/// The target of the log lines of requests that were charged to quotas.
const CHARGED_TARGET: &str = "aisbreaker_gateway::request";
/// The target of the log lines of requests that were not charged, so that anyone can make them in
/// any number: greetings, preflights, and what was refused before.
pub const FREE_TARGET: &str = "aisbreaker_gateway::free_request";
/// The longest `x-request-id` that is accepted.
const MAX_ID_LEN: usize = 128;
/// How many random bytes a new one has, and how many are made at once.
const ID_BYTES: usize = 16;
const READY_IDS: usize = 64;
const DIGITS: [u8; 16] = *b"0123456789abcdef";
/// The longest service id that is logged.
const MAX_SERVICE_LEN: usize = 128;
/// What nginx calls a request whose client went away; it is never sent.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Collects what the log line says; written when the request is over, also if its client went away.
#[derive(Debug)]
pub(crate) struct Record {
    id: HeaderValue,
    method: Method,
    route: Option<Route>,
    client: IpAddr,
    key: Option<KeyId>,
    service: Option<String>,
    /// What was tried before an answer came.
    attempts: Attempts,
    /// The provider's id of the request.
    provider_request_id: Option<String>,
    tokens: Tokens,
    cause: Option<String>,
    status: StatusCode,
    is_complete: bool,
    is_charged: bool,
    started: Instant,
    clock: Arc<dyn Clock>,
    held: Option<Held>,
    _in_flight: InFlight,
}

impl Record {
    pub(crate) fn start(
        (method, headers): (&Method, &HeaderMap),
        route: Option<Route>,
        client: IpAddr,
        clock: Arc<dyn Clock>,
        in_flight: InFlight,
    ) -> Self {
        Self {
            id: request_id(headers),
            method: method.clone(),
            route,
            client,
            key: None,
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
            held: None,
            _in_flight: in_flight,
        }
    }

    pub(crate) fn id(&self) -> &HeaderValue {
        &self.id
    }

    pub(crate) fn key(&mut self, id: KeyId) {
        self.key = Some(id);
    }

    /// Names the service, once it is known to be one.
    pub(crate) fn service(&mut self, id: &str) {
        let shown = id
            .char_indices()
            .nth(MAX_SERVICE_LEN)
            .map_or(id, |(end, _)| id.get(..end).unwrap_or_default());
        self.service = Some(shown.to_owned());
    }

    /// Tells which services were tried.
    pub(crate) fn attempts(&mut self, attempts: Attempts) {
        self.attempts = attempts;
    }

    pub(crate) fn attempted(&self) -> &Attempts {
        &self.attempts
    }

    /// Names the request as the provider does, if that is harmless in a log.
    pub(crate) fn provider_request_id(&mut self, id: &HeaderValue) {
        self.provider_request_id = Some(id)
            .filter(|id| is_harmless(id))
            .and_then(|id| id.to_str().ok())
            .map(str::to_owned);
    }

    /// Tells how many tokens it took.
    pub(crate) fn tokens(&mut self, tokens: Tokens) {
        self.tokens = tokens;
    }

    /// Keeps what the body of the request holds of the budget until the request is over.
    pub(crate) fn hold(&mut self, held: Held) {
        self.held = Some(held);
    }

    /// The body of the request is not needed any more.
    pub(crate) fn held(&mut self) -> Option<Held> {
        self.held.take()
    }

    /// The request was charged to its quotas.
    pub(crate) fn charged(&mut self) {
        self.is_charged = true;
    }

    pub(crate) fn cause(&mut self, cause: String) {
        self.cause = Some(cause);
    }

    pub(crate) fn status(&mut self, status: StatusCode) {
        self.status = status;
    }

    /// The answer has been handed over whole.
    pub(crate) fn complete(&mut self) {
        self.is_complete = true;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let attempts = self.attempts.to_structured_list();
        let attempts = attempts.as_deref();
        let status = if self.is_complete {
            self.status.as_u16()
        } else {
            CLIENT_CLOSED_REQUEST
        };
        let duration = self
            .clock
            .monotonic()
            .saturating_duration_since(self.started);
        macro_rules! line {
            ($target:expr) => {
                tracing::info!(
                    target: $target,
                    request_id = self.id.to_str().unwrap_or_default(),
                    method = method_name(&self.method),
                    route = self.route.map_or("unknown", Route::template),
                    status,
                    duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
                    client = %self.client,
                    key = self.key.as_ref().map(tracing::field::display),
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
        // A target is fixed for each place of the code.
        if self.is_charged {
            line!(CHARGED_TARGET)
        } else {
            line!(FREE_TARGET)
        }
    }
}

/// Standard methods by name; what a client makes up is not logged.
fn method_name(method: &Method) -> &str {
    match *method {
        Method::GET | Method::POST | Method::HEAD | Method::OPTIONS => method.as_str(),
        Method::PUT | Method::DELETE | Method::PATCH | Method::CONNECT | Method::TRACE => {
            method.as_str()
        }
        _ => "other",
    }
}

/// The caller's request id if it is harmless in a log, else a new one of 128 random bits.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    headers
        .get(X_REQUEST_ID)
        .filter(|value| is_harmless(value))
        .cloned()
        .unwrap_or_else(new_request_id)
}

fn is_harmless(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    let is_token = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(b);
    !bytes.is_empty() && bytes.len() <= MAX_ID_LEN && bytes.iter().all(is_token)
}

/// 128 random bits. Each thread asks the system for many of them at once.
fn new_request_id() -> HeaderValue {
    thread_local! {
        static READY: RefCell<Vec<[u8; ID_BYTES]>> = const { RefCell::new(Vec::new()) };
    }
    let id = READY.with_borrow_mut(|ready| {
        if ready.is_empty() {
            let mut bytes = [[0; ID_BYTES]; READY_IDS];
            getrandom::fill(bytes.as_flattened_mut()).ok()?;
            ready.extend_from_slice(&bytes);
        }
        ready.pop()
    });
    let Some(id) = id else {
        return HeaderValue::from_static("none");
    };
    let digits = |byte: u8| [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]);
    let text: [[u8; 2]; ID_BYTES] = id.map(digits);
    HeaderValue::from_bytes(text.as_flattened()).unwrap_or(HeaderValue::from_static("none"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_request_id_is_made_twice() {
        let ids: HashSet<_> = (0..10 * READY_IDS).map(|_| new_request_id()).collect();
        assert_eq!(ids.len(), 10 * READY_IDS);
    }

    #[test]
    fn keeps_a_harmless_request_id_and_replaces_any_other() {
        let id_for = |value: &str| {
            let headers = [(X_REQUEST_ID, HeaderValue::from_str(value).unwrap())]
                .into_iter()
                .collect();
            request_id(&headers).to_str().unwrap().to_owned()
        };
        assert_eq!(id_for("req-1.a:b/c"), "req-1.a:b/c");
        for bad in ["", "two words", "a\"b", &"x".repeat(MAX_ID_LEN + 1)] {
            let id = id_for(bad);
            assert_eq!(id.len(), 32, "{bad:?} became {id}");
        }
    }
}
