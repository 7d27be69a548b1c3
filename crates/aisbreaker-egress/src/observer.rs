//! Observes exchanges: traces and measurements without a wrapper around the client.

use std::{fmt, sync::Arc};

use http::{HeaderMap, Method, StatusCode};

use crate::error::SendError;

/// Learns how one exchange goes; set with [`Outgoing::with_observer`](crate::Outgoing::with_observer).
///
/// The methods are called on the task of the exchange and must not block.
pub trait Observer: Send + Sync {
    /// The request is about to be sent. Fields that are inserted here, such as `traceparent`, are
    /// sent with it.
    fn on_send(&self, start: ExchangeStart<'_>, headers: &mut HeaderMap);

    /// The head of the response has arrived.
    fn on_head(&self, status: StatusCode);

    /// The exchange is over. Called once, and nothing is called after it.
    fn on_end(&self, end: ExchangeEnd<'_>);
}

/// The request of an exchange, and the server as its URL names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ExchangeStart<'a> {
    /// The method.
    pub method: &'a Method,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The host in lower case.
    pub host: &'a str,
    /// The port.
    pub port: u16,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "an observer must tell these three apart"
)]
pub enum ExchangeEnd<'a> {
    /// The whole response arrived.
    Complete,
    /// The exchange failed.
    Failed(&'a SendError),
    /// The sender lost interest: it dropped the future or the body.
    Dropped,
}

/// Reports the end of an exchange to its observer, once, even if the exchange is dropped.
#[derive(Default)]
pub(crate) struct Observed(Option<Arc<dyn Observer>>);

impl Observed {
    pub(crate) fn new(observer: Option<Arc<dyn Observer>>) -> Self {
        Self(observer)
    }

    pub(crate) fn head(&self, status: StatusCode) {
        if let Some(observer) = &self.0 {
            observer.on_head(status);
        }
    }

    pub(crate) fn end(&mut self, end: ExchangeEnd<'_>) {
        if let Some(observer) = self.0.take() {
            observer.on_end(end);
        }
    }

    /// Ends with this error, and returns it.
    pub(crate) fn end_with(&mut self, error: SendError) -> SendError {
        self.end(ExchangeEnd::Failed(&error));
        error
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.end(ExchangeEnd::Dropped);
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observed(..)")
    }
}
