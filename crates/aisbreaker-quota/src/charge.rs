//! One counter of a decision.

use crate::limits::Limits;

/// One counter to charge: its key and its limits.
///
/// The counter does not store its limits: each decision applies those it is given. A limit may
/// change from one call to the next, and the new one also applies to what was counted before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Charge<K> {
    pub(crate) key: K,
    pub(crate) limits: Limits,
    pub(crate) shared: bool,
}

impl<K> Charge<K> {
    /// Creates a charge to the counter of one client, user or job.
    #[must_use]
    pub const fn new(key: K, limits: Limits) -> Self {
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
    pub const fn shared(key: K, limits: Limits) -> Self {
        Self {
            key,
            limits,
            shared: true,
        }
    }

    /// Returns a charge to the same counter with other limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Returns the key of the counter.
    #[must_use]
    pub const fn key(&self) -> &K {
        &self.key
    }

    /// Returns the limits of the counter.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.limits
    }
}
