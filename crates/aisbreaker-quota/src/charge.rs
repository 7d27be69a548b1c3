//! One counter of a decision.

use crate::limits::Limits;

/// One counter to charge: its key, and the [`Limits`] or [`Rate`](crate::Rate) to apply.
///
/// The counter does not store its limits: each decision applies those it is given. A limit may
/// change from one call to the next, and the new one also applies to what was counted before.
///
/// A key has one counter for its [`Limits`], and one for each window of a [`Rate`](crate::Rate).
///
/// # Examples
///
/// ```
/// use aisbreaker_quota::{Charge, Limits};
///
/// // What one request is charged to: the counter of its user, and that of all users.
/// let charges = [
///     Charge::new("ada", Limits::per_minute(60)),
///     Charge::shared("everybody", Limits::per_minute(10_000)),
/// ];
/// assert_eq!(charges[0].key(), &"ada");
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Charge<K, L = Limits> {
    pub(crate) key: K,
    pub(crate) limits: L,
    pub(crate) shared: bool,
}

impl<K, L> Charge<K, L> {
    /// Creates a charge to the counter of one client, user or job.
    #[must_use]
    pub const fn new(key: K, limits: L) -> Self {
        Self {
            key,
            limits,
            shared: false,
        }
    }

    /// Creates a charge to a counter that most requests have in common, such as a server-wide
    /// total.
    ///
    /// A decision locks such a counter last, and so for the shortest time. The engine keeps these
    /// counters apart: one key in `Charge::new` and in `Charge::shared` names two counters.
    #[must_use]
    pub const fn shared(key: K, limits: L) -> Self {
        Self {
            key,
            limits,
            shared: true,
        }
    }

    /// Returns a charge to the same counter with other limits.
    #[must_use]
    pub fn with_limits(self, limits: L) -> Self {
        Self { limits, ..self }
    }

    /// Returns the key of the counter.
    #[must_use]
    pub const fn key(&self) -> &K {
        &self.key
    }
}

impl<K, L: Copy> Charge<K, L> {
    /// Returns the limits of the counter.
    #[must_use]
    pub const fn limits(&self) -> L {
        self.limits
    }
}
