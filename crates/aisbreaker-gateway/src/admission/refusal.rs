//! Why a request is not admitted.

use std::{fmt::Write as _, num::NonZeroU32, time::Duration};

use aisbreaker_quota::{Charge, Refusal, Standings, Window, shared::StoreError};
use aisbreaker_token::KeyId;
use http::HeaderMap;

use super::{
    counters::{CounterId, Scope, counter_name},
    quota_state::QuotaState,
    ratelimit_headers,
};
use crate::{clock::ceil_seconds, opened_key::Key};

/// Why a request is not admitted.
#[derive(Debug)]
pub(crate) enum NotAdmitted {
    /// A quota is exceeded.
    Exceeded(Exceeded),
    /// The key is revoked in the shared store.
    Revoked,
    /// The shared store does not answer.
    Unavailable(StoreError),
}

/// The limit that a request would exceed.
#[derive(Debug)]
pub(crate) struct Exceeded {
    /// The index of the counter.
    index: usize,
    scope: Scope,
    /// Whether it counts all clients together.
    is_global: bool,
    owner: LimitOwner,
    window: Window,
    limit: NonZeroU32,
    /// Time until the same request would be admitted; `None`: never.
    pub(crate) retry_after: Option<Duration>,
    state: Option<QuotaState>,
}

impl Exceeded {
    /// Describes the refusal of these charges of a request with this key. `state` makes the state
    /// of the quotas out of their standings.
    pub(super) fn new<const N: usize>(
        refusal: Refusal<N>,
        charges: &[Charge<CounterId>; N],
        key: Option<&Key>,
        state: impl FnOnce(Standings<N>) -> QuotaState,
    ) -> Self {
        let (index, window, limit, retry_after, state) = match refusal {
            Refusal::Exceeded {
                charge,
                window,
                limit,
                retry_after,
                standings,
                ..
            } => (
                charge,
                window,
                limit,
                Some(retry_after),
                Some(state(standings)),
            ),
            Refusal::TooHeavy {
                charge,
                window,
                limit,
            } => (charge, window, limit, None, None),
        };
        let counter = charges.get(index).map(Charge::key);
        Self {
            index,
            scope: counter.map_or(Scope::Server, |counter| counter.scope),
            is_global: counter.is_none_or(|counter| counter.client.is_none()),
            owner: match (counter, key) {
                (Some(counter), Some(key)) => LimitOwner::of(counter, key),
                (_, None) | (None, _) => LimitOwner::Obvious,
            },
            window,
            limit,
            retry_after,
            state,
        }
    }

    /// Returns the original server's message, followed by the limit and the wait.
    pub(crate) fn message(&self) -> String {
        let quota = match self.scope {
            Scope::Server => "API request",
            Scope::Default
            | Scope::Key
            | Scope::QuotaQuery
            | Scope::OfflineFailure
            | Scope::Revocation => "Request",
        };
        let (scope, unit) = if self.is_global {
            ("global", "")
        } else {
            ("client", " and client")
        };
        let (window, limit) = (self.window.name(), self.limit);
        let mut text = format!(
            "{quota} quota exceeded: {scope} requests per {window} limit exceeded \
             ({limit} per {window}{unit}"
        );
        match &self.owner {
            LimitOwner::Obvious => {}
            LimitOwner::ThisKey => text.push_str(" of this key"),
            LimitOwner::Ancestor(id) => {
                let _written = write!(text, " of the key {id}, which this key was made from");
            }
        }
        if let Some(wait) = self.retry_after {
            let seconds = ceil_seconds(wait).max(1);
            let _written = write!(text, "; try again in {seconds} s");
        }
        text.push(')');
        text
    }

    /// Writes the state of the quotas into response headers.
    pub(crate) fn write_headers(&self, to: &mut HeaderMap) {
        if let Some(state) = &self.state {
            ratelimit_headers::write(state, Some((self.index, self.window)), to);
        }
    }
}

/// Whose limit it is, where that is not obvious.
#[derive(Debug)]
enum LimitOwner {
    /// That of the server, or of a key that was made from no other.
    Obvious,
    /// That of the request's own key, which was made from another.
    ThisKey,
    /// That of a key that the request's was made from. Boxed since it is rare and large.
    Ancestor(Box<KeyId>),
}

impl LimitOwner {
    fn of(counter: &CounterId, key: &Key) -> Self {
        if counter.scope != Scope::Key || key.ancestors.is_empty() {
            return Self::Obvious;
        }
        let mut ancestors = key.ancestors.iter().map(|ancestor| ancestor.id);
        match ancestors.find(|id| counter_name(*id) == counter.key) {
            Some(id) => Self::Ancestor(Box::new(id)),
            None => Self::ThisKey,
        }
    }
}
