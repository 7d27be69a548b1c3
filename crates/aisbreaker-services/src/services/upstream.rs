//! What the services that call others over HTTP share: bodies with limits, event streams, errors
//! with context.

use std::time::Duration;

use aisbreaker_api::{Progress, Response};
use aisbreaker_egress::{self as egress, MemoryReservation};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    destination::{Destination, mask},
    error::ServiceError,
    providers::AuthScheme,
    service::{Event, EventStream, Reply},
    sse,
};

/// The header that tells that the bearer value came out of a sealed key, so that whoever made the
/// call does not know it.
///
/// It goes to every provider, since any of them may be an AIsBreaker server: that one must not let
/// the call choose where the value goes either.
pub const SEALED_HEADER: &str = "x-aisbreaker-sealed";
/// How much of an error's body is read, in bytes.
const MAX_ERROR_BODY_BYTES: usize = 64 * 1024;
/// How long the body of an error is waited for.
const PATIENCE_FOR_AN_ERROR: Duration = Duration::from_secs(10);
/// Longest wait that is passed on.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// How long, after the last message of a stream, its end is waited for, so that the connection can
/// be used again.
const PATIENCE_FOR_THE_END: Duration = Duration::from_millis(50);
/// How much may come between the last message of a stream and its end, in bytes.
const MAX_BYTES_BEFORE_THE_END: usize = 16 * 1024;

/// What the original's clients send for a secret when they have none. It ends with the name of a
/// class that is in the prefix of errors, so masking it would make them unreadable.
const PLACEHOLDER: &str = "NoAuthProvided-in-";
const EVENT_STREAM: &str = "text/event-stream";
const JSON: &str = "application/json";

/// What every error of a call is told with: the prefix that says who failed, and the secret that no
/// text may repeat.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    prefix: String,
    secret: Option<SecretString>,
    /// The host, if the caller did not name it.
    hidden_host: Option<String>,
    max_text_bytes: usize,
}

impl Context {
    /// `name` and `target` say who failed, the latter as the caller wrote it; of a provider's text,
    /// at most `max_text_bytes` are told.
    pub(crate) fn new(
        name: &str,
        target: &str,
        destination: &Destination,
        max_text_bytes: usize,
    ) -> Self {
        let is_secret = |secret: &&SecretString| !secret.expose_secret().starts_with(PLACEHOLDER);
        let secret = destination.secret.as_ref().filter(is_secret).cloned();
        let target = masked(target, secret.as_ref());
        let hidden_host =
            (!destination.is_named_by_caller).then(|| destination.url.origin().host().to_owned());
        Self {
            prefix: format!("{name}({target}): "),
            secret,
            hidden_host,
            max_text_bytes,
        }
    }

    /// The error with the secret masked, and with the prefix unless its text has it already.
    pub(crate) fn explain(&self, error: ServiceError) -> ServiceError {
        let tell = |text: String| self.tell(&text);
        match error {
            ServiceError::BadRequest(text) => ServiceError::BadRequest(tell(text)),
            ServiceError::Forbidden(text) => ServiceError::Forbidden(tell(text)),
            ServiceError::BadAnswer(text) => ServiceError::BadAnswer(tell(text)),
            ServiceError::Unreachable(text) => {
                ServiceError::Unreachable(tell(match &self.hidden_host {
                    Some(host) => text.replace(host, "(the host of the service)"),
                    None => text,
                }))
            }
            ServiceError::Overloaded(text) => ServiceError::Overloaded(tell(text)),
            ServiceError::Timeout(text) => ServiceError::Timeout(tell(text)),
            ServiceError::Provider {
                mut error,
                retry_after,
            } => {
                error.message = tell(error.message);
                error.status_text = self.passed_on(&error.status_text);
                error.kind = error.kind.map(|kind| self.passed_on(&kind));
                ServiceError::Provider { error, retry_after }
            }
            ServiceError::MissingSecret { .. }
            | ServiceError::UnknownService { .. }
            | ServiceError::Internal(_) => error,
        }
    }

    /// The reply with every later error explained.
    fn explain_reply(self, reply: Result<Reply, ServiceError>) -> Result<Reply, ServiceError> {
        match reply {
            Err(error) => Err(self.explain(error)),
            Ok(Reply::Final(response)) => Ok(Reply::Final(response)),
            Ok(Reply::Stream(events)) => {
                let events: EventStream =
                    Box::pin(events.map_err(move |error| self.explain(error)));
                Ok(Reply::Stream(events))
            }
        }
    }

    /// The reply that an exchange with a provider comes to, with every error explained.
    ///
    /// A stream begins at once, before the provider has said anything: clients wait only so long
    /// for its head. What goes wrong from here on is told in the stream.
    pub(super) async fn reply(
        self,
        stream: bool,
        exchange: impl Future<Output = Result<Reply, ServiceError>> + Send + 'static,
    ) -> Result<Reply, ServiceError> {
        if !stream {
            return self.explain_reply(exchange.await);
        }
        let events = futures_util::stream::once(async move {
            let events: EventStream = match self.explain_reply(exchange.await)? {
                Reply::Stream(events) => events,
                Reply::Final(response) => {
                    Box::pin(futures_util::stream::iter([Ok(Event::Final(response))]))
                }
            };
            Ok::<_, ServiceError>(events)
        });
        Ok(Reply::Stream(Box::pin(events.try_flatten().fuse())))
    }

    fn tell(&self, text: &str) -> String {
        let text = self.passed_on(text);
        if text.contains(&self.prefix) {
            text
        } else {
            format!("{}{text}", self.prefix)
        }
    }

    /// As much of a text as is told, without the secret.
    fn passed_on(&self, text: &str) -> String {
        let mut text = masked(text, self.secret.as_ref());
        let mut end = self.max_text_bytes.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text
    }
}

fn masked(text: &str, secret: Option<&SecretString>) -> String {
    secret.map_or_else(|| text.to_owned(), |secret| mask(text, secret))
}

/// The headers of a JSON request whose answer may be a stream.
pub(super) fn headers(
    destination: &Destination,
    auth: AuthScheme,
    stream: bool,
) -> Result<HeaderMap, ServiceError> {
    let accept = if stream { EVENT_STREAM } else { JSON };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static(concat!("aisbreaker/", env!("CARGO_PKG_VERSION"))),
    );
    if let Some(secret) = &destination.secret {
        let (name, value) = auth.header(secret)?;
        headers.insert(name, value);
        if destination.is_sealed {
            headers.insert(
                HeaderName::from_static(SEALED_HEADER),
                HeaderValue::from_static("1"),
            );
        }
    }
    Ok(headers)
}

/// Whether the body is a stream of server-sent events.
pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case(EVENT_STREAM)
}

/// How long to wait before the next try, if the answer says it in seconds (RFC 9110 section
/// 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let wait = if is_number {
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        // By the provider's own clock, which is the one that counts.
        let now = httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()?;
        httpdate::parse_http_date(text)
            .ok()?
            .duration_since(now)
            .ok()?
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// An answer whose status is neither a success nor an error: a redirect, mostly.
pub(crate) fn unusable_status(status: StatusCode) -> ServiceError {
    let code = status.as_u16();
    let hint = if status.is_redirection() {
        "; redirects are not followed"
    } else {
        ""
    };
    ServiceError::BadAnswer(format!(
        "the service answered with status {code} instead of an answer{hint}"
    ))
}

/// The reason phrase of a status.
pub(crate) fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Error")
}

/// The status with this number, if it is one of an error.
pub(crate) fn error_status(code: u64) -> Option<StatusCode> {
    let status = StatusCode::from_u16(u16::try_from(code).ok()?).ok()?;
    Some(status).filter(|status| is_error(*status))
}

/// Whether the status is a 4xx or 5xx one.
pub(crate) fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// The whole body, and what it holds of the budget as long as something is made of it.
pub(crate) async fn read_answer(
    mut body: egress::Body,
) -> Result<(Bytes, MemoryReservation), ServiceError> {
    let limit = body.max_collected_bytes();
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(too_long(limit));
    }
    let mut held = body.budget().reservation();
    let mut pieces = Pieces::default();
    while let Some(piece) = next_piece(&mut body).await? {
        let length = pieces.length.saturating_add(piece.len());
        if length > limit {
            return Err(too_long(limit));
        }
        held.hold(length)?;
        pieces.add(piece);
    }
    Ok((pieces.join(), held))
}

/// An answer that is not collected to its end.
pub(super) fn too_long(limit_bytes: usize) -> ServiceError {
    ServiceError::BadAnswer(format!(
        "the service's answer is longer than {limit_bytes} bytes"
    ))
}

/// The beginning of the body of an error; if it breaks or takes too long, what came before.
pub(super) async fn read_error(mut body: egress::Body) -> Bytes {
    let mut pieces = Pieces::default();
    let reading = async {
        while pieces.length < MAX_ERROR_BODY_BYTES
            && let Ok(Some(piece)) = next_piece(&mut body).await
        {
            pieces.add(piece);
        }
    };
    // The status is known, so a body that does not come is no reason to fail.
    let _read_or_not = tokio::time::timeout(PATIENCE_FOR_AN_ERROR, reading).await;
    pieces.join()
}

/// Pieces of a body; a single one is not copied.
#[derive(Default)]
struct Pieces {
    first: Bytes,
    more: BytesMut,
    length: usize,
}

impl Pieces {
    fn add(&mut self, piece: Bytes) {
        self.length = self.length.saturating_add(piece.len());
        if self.first.is_empty() {
            self.first = piece;
        } else {
            if self.more.is_empty() {
                self.more.extend_from_slice(&self.first);
            }
            self.more.extend_from_slice(&piece);
        }
    }

    fn join(self) -> Bytes {
        if self.more.is_empty() {
            self.first
        } else {
            self.more.freeze()
        }
    }
}

async fn next_piece(body: &mut egress::Body) -> Result<Option<Bytes>, egress::SendError> {
    while let Some(frame) = body.frame().await {
        // What is no data is a trailer, and not used.
        if let Ok(data) = frame?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// The messages of a body of server-sent events. The body is read when a message is asked for, and
/// only then.
pub(super) struct Messages {
    body: egress::Body,
    decoder: sse::Decoder,
    is_at_end: bool,
    /// For what the decoder keeps of a message whose end has not come.
    held: MemoryReservation,
}

impl Messages {
    pub(super) fn new(body: egress::Body, decoder: sse::Decoder) -> Self {
        let held = body.budget().reservation();
        Self {
            body,
            decoder,
            is_at_end: false,
            held,
        }
    }

    /// The next message; `None` at the clean end of the body.
    pub(super) async fn next(&mut self) -> Result<Option<sse::Message>, ServiceError> {
        while !self.is_at_end {
            if let Some(message) = self.decoder.take().map_err(undecodable)? {
                return Ok(Some(message));
            }
            self.held.hold(self.decoder.buffered_bytes())?;
            match next_piece(&mut self.body).await? {
                Some(piece) => self.decoder.feed(piece),
                None => self.is_at_end = true,
            }
        }
        self.decoder.finish().map_err(undecodable)
    }

    /// The body, with how much of it may be collected.
    pub(super) fn body(&self) -> &egress::Body {
        &self.body
    }

    /// Waits a moment for the end of the body, so that its connection can be used for the next
    /// call.
    pub(super) async fn end(mut self) {
        let drained = async {
            let mut left = MAX_BYTES_BEFORE_THE_END;
            while let Ok(Some(piece)) = next_piece(&mut self.body).await
                && left >= piece.len()
            {
                left -= piece.len();
            }
        };
        // Not drained in time: the connection is closed, which harms nobody.
        let _drained_or_not = tokio::time::timeout(PATIENCE_FOR_THE_END, drained).await;
    }
}

fn undecodable(error: sse::DecodeError) -> ServiceError {
    ServiceError::BadAnswer(format!(
        "the service's answer is not a stream of events that can be read: {error}"
    ))
}

/// Reads events out of messages until the final one.
pub(super) trait ReadEvents: Send + Sized + 'static {
    /// Reads on to the next event.
    fn next(self) -> impl Future<Output = Result<Step<Self>, ServiceError>> + Send;
}

/// What was read.
pub(super) enum Step<R> {
    /// A piece of the answer; more is to be read.
    Progress(Progress, R),
    /// The whole answer; what is left of the messages is of no use.
    Final(Box<Response>, Box<Messages>),
}

enum Reading<R> {
    Open(R),
    Ending(Box<Messages>),
    Ended,
}

/// The events of a reader. After the final one or an error it ends, and the body is dropped then at
/// the latest.
pub(super) fn events_of<R: ReadEvents>(reader: R) -> EventStream {
    let events = futures_util::stream::unfold(Reading::Open(reader), |reading| async {
        Some(match reading {
            Reading::Open(reader) => match reader.next().await {
                Ok(Step::Progress(progress, reader)) => {
                    (Ok(Event::Progress(progress)), Reading::Open(reader))
                }
                Ok(Step::Final(response, rest)) => {
                    (Ok(Event::Final(*response)), Reading::Ending(rest))
                }
                Err(error) => (Err(error), Reading::Ended),
            },
            Reading::Ending(rest) => {
                rest.end().await;
                return None;
            }
            Reading::Ended => return None,
        })
    });
    Box::pin(events.fuse())
}
