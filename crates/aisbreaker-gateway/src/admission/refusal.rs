//! Why a request is not admitted.

use std::{fmt::Write as _, num::NonZeroU32, time::Duration};

use aisbreaker_quota::{Charge, Refusal, Standings, Window};
use aisbreaker_token::{Ancestor, KeyId};
use http::HeaderMap;

use super::{
    counters::{CounterId, Scope, counter_name},
    quota_state::QuotaState,
    ratelimit_headers,
};
use crate::{clock::ceil_seconds, opened_key::Key, shared_store::StoreError};

/// Follows the message about a default quota, for requests without a key.
const NO_KEY: &str = ". Requests without an aisbreaker key share the server's default quotas: mint a key with \
                      requestQuotas (POST /api/v1/oauth/token) and send that";
/// As above, for a key that was made from no other.
const KEY_WITHOUT_QUOTAS: &str = ". The key has no quotas of its own, so the server's default quotas apply: mint a key \
                                  with requestQuotas (POST /api/v1/oauth/token)";
/// As above, for a key that was made from another.
const ANCESTOR_WITHOUT_QUOTAS: &str = ". That key has no quotas of its own, so the server's default quotas apply: mint a \
                                       key with requestQuotas (POST /api/v1/oauth/token) and make this one from it";

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
    /// Whether it is one of the server's default quotas.
    is_default: bool,
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
            owner: match counter {
                Some(counter) => LimitOwner::of(counter, key),
                None => LimitOwner::Obvious,
            },
            is_default: counter.is_some_and(|counter| is_default(counter, key)),
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
            | Scope::Minting
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
            LimitOwner::Minting => text.push_str(" for minting keys"),
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
        if self.is_default {
            text.push_str(match (self.scope, &self.owner) {
                (Scope::Key, LimitOwner::Ancestor(_)) => ANCESTOR_WITHOUT_QUOTAS,
                (Scope::Key, _) => KEY_WITHOUT_QUOTAS,
                _ => NO_KEY,
            });
        }
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
    /// That of the server, of requests without a key, or of a key that was made from no other.
    Obvious,
    /// That of minting.
    Minting,
    /// That of the request's own key, which was made from another.
    ThisKey,
    /// That of a key that the request's was made from. Boxed since it is rare and large.
    Ancestor(Box<KeyId>),
}

impl LimitOwner {
    fn of(counter: &CounterId, key: Option<&Key>) -> Self {
        match (counter.scope, key) {
            (Scope::Minting, _) => Self::Minting,
            (Scope::Key, Some(key)) if !key.ancestors.is_empty() => {
                match counted_ancestor(counter, key) {
                    Some(ancestor) => Self::Ancestor(Box::new(ancestor.id)),
                    None => Self::ThisKey,
                }
            }
            _ => Self::Obvious,
        }
    }
}

/// Returns the key that the counter counts, of those that this key was made from.
fn counted_ancestor<'a>(counter: &CounterId, key: &'a Key) -> Option<&'a Ancestor> {
    let mut ancestors = key.ancestors.iter();
    ancestors.find(|ancestor| counter_name(ancestor.id) == counter.key)
}

/// Returns whether the limits of this counter are the default quotas.
fn is_default(counter: &CounterId, key: Option<&Key>) -> bool {
    match (counter.scope, key) {
        (Scope::Default, _) => true,
        (Scope::Key, Some(key)) => match counted_ancestor(counter, key) {
            Some(ancestor) => ancestor.request_quotas.is_none(),
            None => key.quotas.is_none(),
        },
        _ => false,
    }
}
