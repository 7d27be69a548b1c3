//! One line of the access log, and where it goes.

use std::{fmt, net::IpAddr};

use aisbreaker_token::{KeyId, Usd};

/// The log target of requests that were charged to quotas.
pub const CHARGED_TARGET: &str = "aisbreaker_gateway::request";
/// The log target of requests that were not charged to quotas: pings, preflights, refusals.
///
/// Anyone can cause such lines in any number, so a server may want to limit their rate.
pub const UNCHARGED_TARGET: &str = "aisbreaker_gateway::free_request";

/// Takes the lines of the access log, in place of `tracing`.
///
/// It is for servers that write many lines: formatting one by `tracing` costs as much as the rest of
/// a small request.
pub trait AccessLogSink: fmt::Debug + Send + Sync {
    /// Takes the line of a request that is over.
    ///
    /// Called on the task of the request, so it must not block.
    fn write(&self, line: &AccessLine<'_>);
}

/// One line of the access log: what is known of a request that is over.
///
/// It is an allow-list of fields. It never holds content, keys or secrets.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AccessLine<'a> {
    /// Whether the request was charged to quotas, which decides the target of the line.
    pub is_charged: bool,
    /// The caller's id of the request, or a random one.
    pub request_id: &'a str,
    /// The id of the trace, if the request is traced.
    pub trace_id: Option<&'a str>,
    /// A standard method, or `other`.
    pub method: &'a str,
    /// The template of the path, or `unknown`.
    pub route: &'a str,
    /// The status of the response; 499 if the client left.
    pub status: u16,
    /// The word for what went wrong.
    pub error: Option<&'a str>,
    /// The time from the head of the request to the end of the response, in milliseconds.
    pub duration_ms: u64,
    /// The time until the content of the request had come.
    pub receive_ms: Option<u64>,
    /// The time that was spent waiting for providers.
    pub upstream_ms: Option<u64>,
    /// The time until the last provider began to answer.
    pub first_byte_ms: Option<u64>,
    /// The address of the client.
    pub client: IpAddr,
    /// The key of the request.
    pub key: Option<&'a KeyId>,
    /// The key that it was made from.
    pub parent: Option<&'a KeyId>,
    /// What the key is called.
    pub key_name: Option<&'a str>,
    /// The time until the key ends, if that is soon.
    pub key_expires_in_s: Option<u64>,
    /// What a provider was to be called for.
    pub operation: Option<&'a str>,
    /// Whether the response of such a request is a stream.
    pub stream: Option<bool>,
    /// The service that was called last.
    pub service: Option<&'a str>,
    /// The provider that was called last.
    pub provider: Option<&'a str>,
    /// The services that were tried, if there was a choice.
    pub attempts: Option<&'a str>,
    /// The provider's id of the request.
    pub provider_request_id: Option<&'a str>,
    /// The tokens that the provider counted.
    pub input_tokens: Option<u64>,
    /// The tokens that the provider generated.
    pub output_tokens: Option<u64>,
    /// The part of the input that was cached.
    pub cached_tokens: Option<u64>,
    /// The part of the output that was reasoning.
    pub reasoning_tokens: Option<u64>,
    /// What the request cost, in billionths of a dollar. It is logged in dollars.
    pub cost_nanos: Option<u64>,
    /// The bytes that the client sent over a WebSocket.
    pub received_bytes: Option<u64>,
    /// The bytes that the client was sent over a WebSocket.
    pub sent_bytes: Option<u64>,
    /// The code of the close frame of a WebSocket.
    pub close_code: Option<u16>,
    /// The cause of an error, for the operator only.
    pub cause: Option<&'a str>,
}

/// The value of a field of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a sink must be able to write every value"
)]
pub enum LineValue<'a> {
    /// Text that may have any character.
    Text(&'a str),
    /// A whole number.
    Integer(u64),
    /// An amount of money.
    Float(f64),
    /// True or false.
    Flag(bool),
    /// The address of a client.
    Address(IpAddr),
    /// The id of a key.
    Key(&'a KeyId),
}

impl<'a> AccessLine<'a> {
    /// The message of every line, which precedes the fields.
    pub const MESSAGE: &'static str = "request";

    /// Creates the line of a request of which nothing else is known.
    #[must_use]
    pub fn new(request_id: &'a str, client: IpAddr) -> Self {
        Self {
            is_charged: false,
            request_id,
            trace_id: None,
            method: "other",
            route: "unknown",
            status: 200,
            error: None,
            duration_ms: 0,
            receive_ms: None,
            upstream_ms: None,
            first_byte_ms: None,
            client,
            key: None,
            parent: None,
            key_name: None,
            key_expires_in_s: None,
            operation: None,
            stream: None,
            service: None,
            provider: None,
            attempts: None,
            provider_request_id: None,
            input_tokens: None,
            output_tokens: None,
            cached_tokens: None,
            reasoning_tokens: None,
            cost_nanos: None,
            received_bytes: None,
            sent_bytes: None,
            close_code: None,
            cause: None,
        }
    }

    /// Passes on the fields that have a value, in the order in which they are logged.
    pub fn for_each_field(&self, mut take: impl FnMut(&'static str, LineValue<'a>)) {
        use LineValue::{Address, Flag, Float, Integer, Key, Text};
        let mut optional = |name, value: Option<LineValue<'a>>| {
            if let Some(value) = value {
                take(name, value);
            }
        };
        optional("request_id", Some(Text(self.request_id)));
        optional("trace_id", self.trace_id.map(Text));
        optional("method", Some(Text(self.method)));
        optional("route", Some(Text(self.route)));
        optional("status", Some(Integer(self.status.into())));
        optional("error", self.error.map(Text));
        optional("duration_ms", Some(Integer(self.duration_ms)));
        optional("receive_ms", self.receive_ms.map(Integer));
        optional("upstream_ms", self.upstream_ms.map(Integer));
        optional("first_byte_ms", self.first_byte_ms.map(Integer));
        optional("client", Some(Address(self.client)));
        optional("key", self.key.map(Key));
        optional("parent", self.parent.map(Key));
        optional("key_name", self.key_name.map(Text));
        optional("key_expires_in_s", self.key_expires_in_s.map(Integer));
        optional("operation", self.operation.map(Text));
        optional("stream", self.stream.map(Flag));
        optional("service", self.service.map(Text));
        optional("provider", self.provider.map(Text));
        optional("attempts", self.attempts.map(Text));
        optional("provider_request_id", self.provider_request_id.map(Text));
        optional("input_tokens", self.input_tokens.map(Integer));
        optional("output_tokens", self.output_tokens.map(Integer));
        optional("cached_tokens", self.cached_tokens.map(Integer));
        optional("reasoning_tokens", self.reasoning_tokens.map(Integer));
        optional("cost_usd", self.cost_nanos.and_then(dollars).map(Float));
        optional("received_bytes", self.received_bytes.map(Integer));
        optional("sent_bytes", self.sent_bytes.map(Integer));
        let close_code = self.close_code.map(u64::from);
        optional("close_code", close_code.map(Integer));
        optional("cause", self.cause.map(Text));
    }

    /// Logs the line by `tracing`, at level `INFO`.
    pub fn log(&self) {
        macro_rules! log {
            ($target:expr) => {
                tracing::info!(
                    target: $target,
                    request_id = self.request_id,
                    trace_id = self.trace_id,
                    method = self.method,
                    route = self.route,
                    status = self.status,
                    error = self.error,
                    duration_ms = self.duration_ms,
                    receive_ms = self.receive_ms,
                    upstream_ms = self.upstream_ms,
                    first_byte_ms = self.first_byte_ms,
                    client = %self.client,
                    key = self.key.map(tracing::field::display),
                    parent = self.parent.map(tracing::field::display),
                    key_name = self.key_name,
                    key_expires_in_s = self.key_expires_in_s,
                    operation = self.operation,
                    stream = self.stream,
                    service = self.service,
                    provider = self.provider,
                    attempts = self.attempts,
                    provider_request_id = self.provider_request_id,
                    input_tokens = self.input_tokens,
                    output_tokens = self.output_tokens,
                    cached_tokens = self.cached_tokens,
                    reasoning_tokens = self.reasoning_tokens,
                    cost_usd = self.cost_nanos.and_then(dollars),
                    received_bytes = self.received_bytes,
                    sent_bytes = self.sent_bytes,
                    close_code = self.close_code,
                    cause = self.cause,
                    "request"
                )
            };
        }
        // The target of a call site is static, so there are two call sites.
        if self.is_charged {
            log!(CHARGED_TARGET);
        } else {
            log!(UNCHARGED_TARGET);
        }
    }
}

/// Returns nano-dollars as dollars.
pub(crate) fn dollars(nanos: u64) -> Option<f64> {
    Usd::from_nanos(nanos).to_string().parse().ok()
}
