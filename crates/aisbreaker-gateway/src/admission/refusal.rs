//! Why a request is not admitted.

use std::{fmt::Write as _, num::NonZeroU32, time::Duration};

use aisbreaker_quota::{Refusal, Standings, Window, shared::StoreError};
use http::HeaderMap;

use super::{
    counters::{COUNTERS, KEY_CLIENT, SERVER_CLIENT, SERVER_GLOBAL},
    ratelimit_headers,
};
use crate::clock::ceil_seconds;

/// Why a request is not admitted.
#[derive(Debug)]
pub(crate) enum NotAdmitted {
    /// A quota is exceeded.
    Exceeded(Exceeded),
    /// The shared store does not answer.
    Unavailable(StoreError),
}

/// The limit that a request would exceed.
#[derive(Debug)]
pub(crate) struct Exceeded {
    counter: usize,
    window: Window,
    limit: NonZeroU32,
    /// Time until the same request would be admitted; `None`: never.
    pub(crate) retry_after: Option<Duration>,
    standings: Option<Standings<COUNTERS>>,
}

impl From<Refusal<COUNTERS>> for Exceeded {
    fn from(refusal: Refusal<COUNTERS>) -> Self {
        match refusal {
            Refusal::Exceeded {
                charge,
                window,
                limit,
                retry_after,
                standings,
                ..
            } => Self {
                counter: charge,
                window,
                limit,
                retry_after: Some(retry_after),
                standings: Some(standings),
            },
            Refusal::TooHeavy {
                charge,
                window,
                limit,
            } => Self {
                counter: charge,
                window,
                limit,
                retry_after: None,
                standings: None,
            },
        }
    }
}

impl Exceeded {
    /// Returns the original server's message, followed by the limit and the wait.
    pub(crate) fn message(&self) -> String {
        let quota = match self.counter {
            SERVER_CLIENT | SERVER_GLOBAL => "API request",
            _ => "Request",
        };
        let (scope, unit) = match self.counter {
            SERVER_CLIENT | KEY_CLIENT => ("client", " and client"),
            _ => ("global", ""),
        };
        let (window, limit) = (self.window.name(), self.limit);
        let mut text = format!(
            "{quota} quota exceeded: {scope} requests per {window} limit exceeded \
             ({limit} per {window}{unit}"
        );
        if let Some(wait) = self.retry_after {
            let seconds = ceil_seconds(wait).max(1);
            let _written = write!(text, "; try again in {seconds} s");
        }
        text.push(')');
        text
    }

    /// Writes the state of the quotas into response headers.
    pub(crate) fn write_headers(&self, to: &mut HeaderMap) {
        if let Some(standings) = &self.standings {
            ratelimit_headers::write(standings, Some((self.counter, self.window)), to);
        }
    }
}
