//! Errors of a call: each names the service that failed, and none repeats a secret.

use aisbreaker_egress::{Failure, SendError};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    call_failure::{CallFailure, call_failure},
    destination::Destination,
    error::{ErrorDetail, ServiceError},
    secret::mask,
    service::{CallInProgress, Reply, ReplyFuture, ReplyKind},
};

/// How the original's clients begin a secret that they do not have. Its end is the name of a class
/// that is in the prefix of errors as well, so masking it would make the prefix unreadable.
const PLACEHOLDER: &str = "NoAuthProvided-in-";

/// Rewrites the errors of one call: adds a prefix that names the service, masks the secret, and
/// truncates the provider's text.
#[derive(Clone, Debug)]
pub(crate) struct ErrorContext {
    prefix: String,
    secret: Option<SecretString>,
    /// Whether errors may name the host, which the caller named.
    is_host_known: bool,
    max_text_bytes: usize,
}

impl ErrorContext {
    /// Creates the context of a call of `target`, which is as the caller wrote it.
    /// At most `max_text_bytes` of the provider's text are
    /// passed on.
    pub(crate) fn new(target: &str, destination: &Destination, max_text_bytes: usize) -> Self {
        let secret = match &destination.secret {
            Some(secret) if !secret.expose_secret().starts_with(PLACEHOLDER) => Some(secret),
            Some(_) | None => None,
        };
        Self {
            prefix: format!("{}: ", masked(target, secret)),
            secret: secret.cloned(),
            is_host_known: destination.is_named_by_caller,
            max_text_bytes,
        }
    }

    /// Returns the error with the secret masked, and with the prefix unless its text has it.
    pub(crate) fn explain(&self, error: ServiceError) -> ServiceError {
        let detail = |detail: ErrorDetail| detail.map_text(|text| self.with_prefix(text));
        match error {
            ServiceError::BadRequest(cause) => ServiceError::BadRequest(detail(cause)),
            ServiceError::Forbidden(cause) => ServiceError::Forbidden(detail(cause)),
            ServiceError::NoAnswer(cause) => ServiceError::NoAnswer(detail(cause)),
            ServiceError::BadAnswer(cause) => ServiceError::BadAnswer(detail(cause)),
            ServiceError::Unreachable(cause) => {
                ServiceError::Unreachable(detail(self.without_host(cause)))
            }
            ServiceError::Overloaded(cause) => ServiceError::Overloaded(detail(cause)),
            ServiceError::Timeout(cause) => ServiceError::Timeout(detail(cause)),
            ServiceError::Provider {
                mut error,
                retry_after,
                is_in_answer,
            } => {
                error.message = self.with_prefix(&error.message);
                error.status_text = self.masked_and_truncated(&error.status_text);
                error.kind = error.kind.map(|kind| self.masked_and_truncated(&kind));
                ServiceError::Provider {
                    error,
                    retry_after,
                    is_in_answer,
                }
            }
            ServiceError::MissingSecret { .. }
            | ServiceError::Restricted { .. }
            | ServiceError::UnknownService { .. }
            | ServiceError::Internal(_) => error,
        }
    }

    /// Runs the exchange with a provider, records it, and explains every error of it.
    ///
    /// A stream begins at once, before the provider has answered, since clients wait only so long
    /// for its head. Every error from here on is an error of the stream.
    pub(crate) async fn reply(
        self,
        kind: ReplyKind,
        call: CallInProgress,
        exchange: ReplyFuture<'static>,
    ) -> Result<Reply, ServiceError> {
        match kind {
            ReplyKind::Final => self.end(call, exchange.await),
            ReplyKind::Stream => Ok(self.stream(call, exchange)),
        }
    }

    /// Records how an exchange ended that was not streamed, and explains its error.
    pub(crate) fn end(
        self,
        mut call: CallInProgress,
        reply: Result<Reply, ServiceError>,
    ) -> Result<Reply, ServiceError> {
        match &reply {
            Ok(_) => call.complete(),
            Err(error) => call.fail(error),
        }
        self.explain_reply(reply)
    }

    /// Returns the stream of an exchange, as [`reply`](Self::reply) does.
    pub(crate) fn stream(self, mut call: CallInProgress, exchange: ReplyFuture<'static>) -> Reply {
        let reply = async move { self.explain_reply(exchange.await).map(Reply::into_events) };
        let events = stream::once(reply).try_flatten();
        let recorded = events.inspect(move |event| call.follow(event));
        Reply::Stream(Box::pin(recorded.fuse()))
    }

    fn explain_reply(self, reply: Result<Reply, ServiceError>) -> Result<Reply, ServiceError> {
        match reply {
            Err(error) => Err(self.explain(error)),
            Ok(Reply::Final(response)) => Ok(Reply::Final(response)),
            Ok(Reply::Stream(events)) => {
                let events = events.map_err(move |error| self.explain(error));
                Ok(Reply::Stream(Box::pin(events)))
            }
        }
    }

    fn with_prefix(&self, text: &str) -> String {
        let text = self.masked_and_truncated(text);
        if text.contains(&self.prefix) {
            text
        } else {
            format!("{}{text}", self.prefix)
        }
    }

    /// Returns the cause without a host that the caller did not name.
    fn without_host(&self, cause: ErrorDetail) -> ErrorDetail {
        match call_failure(&cause).map(CallFailure::send_error) {
            Some(SendError::Unreachable(Failure::Resolution { .. })) if !self.is_host_known => {
                cause.map_text(|_| {
                    "the host of the service cannot be found; try again later, or use a key with \
                     another url"
                        .to_owned()
                })
            }
            Some(_) | None => cause,
        }
    }

    fn masked_and_truncated(&self, text: &str) -> String {
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
    match secret {
        Some(secret) => mask(text, secret),
        None => text.to_owned(),
    }
}
