//! Keys that were sealed offline: how often a client may send ones that do not open.
//!
//! Opening one costs a key agreement, some twenty times as much as a key that a server sealed, and
//! anyone can write a text that takes one.

use std::{net::IpAddr, num::NonZeroU32};

use super::AuthenticationError;
use crate::{admission::Admission, clock::Clock};

/// The offline keys per minute of one client that may fail to open.
pub(crate) const PER_CLIENT: NonZeroU32 = NonZeroU32::new(60).unwrap();

/// Counts the offline keys of one client that did not open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfflineFailures<'a> {
    pub(crate) admission: &'a Admission,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) client: IpAddr,
}

impl OfflineFailures<'_> {
    /// Calls `open`, unless too many calls for this client have failed, and counts it if it fails.
    ///
    /// Calls that overlap may fail once more each.
    pub(super) fn limit<T>(
        self,
        open: impl FnOnce() -> Result<T, AuthenticationError>,
    ) -> Result<T, AuthenticationError> {
        let (admission, client) = (self.admission, self.client);
        if !admission.may_fail_offline(client, PER_CLIENT, self.clock.monotonic()) {
            return Err(AuthenticationError::TooManyFailures);
        }
        let outcome = open();
        if outcome.is_err() {
            admission.count_offline_failure(client, PER_CLIENT, self.clock.monotonic());
        }
        outcome
    }
}

#[cfg(test)]
pub(crate) mod tests;
