//! The shared engine: its public interface.

use std::{fmt, fmt::Display, num::NonZeroU32, sync::Arc};

use tokio::sync::watch;

use super::{
    address::StoreAddress,
    denied::{Denied, DeniedCursor, DeniedPage, DenyError, NotCharged},
    error::{InvalidStore, SharedRefusal, StoreError},
    function::ChargeOptions,
    lease::Leases,
    ledger::SharedLedger,
    options::SharedOptions,
    reconnect::StoreState,
    reply,
    round_trip::RoundTrip,
};
use crate::{charge::Charge, outcome::Admitted, standings::Standings};

/// Counts charges in a store that other processes use as well, and decides which requests are
/// admitted.
///
/// It gives the guarantees of [`Engine`](crate::Engine), by the clock of the store and for all
/// processes together: no interval as long as a window admits more than its limit, a decision
/// charges all counters or none, and waits are exact. A decision takes one round trip. Clones are
/// cheap and share the connection.
#[derive(Clone)]
pub struct SharedEngine {
    store: Arc<RoundTrip>,
    leases: Option<Arc<Leases>>,
}

impl SharedEngine {
    /// Creates an engine whose counters are in the store at `address`.
    ///
    /// It connects in the background, in a task of the current runtime that ends with the last
    /// clone.
    ///
    /// # Errors
    /// [`InvalidStore::Prefix`] as in [`SharedOptions::check`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(address: StoreAddress, options: SharedOptions) -> Result<Self, InvalidStore> {
        let leases = options.lease.map(|most| Arc::new(Leases::new(most)));
        let store = Arc::new(RoundTrip::start(address, options)?);
        Ok(Self { store, leases })
    }

    /// Charges `weight` to every counter in `charges`, or to none.
    ///
    /// The `Display` output of a key names its counter in the store, so keys that display alike are
    /// one counter. Everything else is as in [`Engine::charge`](crate::Engine::charge).
    ///
    /// # Errors
    /// [`SharedRefusal::Quota`] if a limit has too little left or is below the weight,
    /// [`SharedRefusal::Store`] if the store did not decide. A charge that timed out may still be
    /// counted: the store is then stricter, never more generous.
    ///
    /// # Cancel safety
    /// A charge whose future is dropped before it completes may be counted.
    pub async fn charge<K: Display, const N: usize>(
        &self,
        charges: &[Charge<K>; N],
        weight: NonZeroU32,
    ) -> Result<Admitted<N>, SharedRefusal<N>> {
        let no_names: [&str; 0] = [];
        match self.charge_unless_denied(charges, weight, &no_names).await {
            Ok(admitted) => Ok(admitted),
            Err(NotCharged::Refused(refusal)) => Err(refusal),
            // Not without names.
            Err(NotCharged::Denied) => Err(reply::unreadable().into()),
        }
    }

    /// Charges like [`charge`](Self::charge), unless one of these names is
    /// [denied](Self::deny). The store compares them in the same call.
    ///
    /// # Errors
    /// [`NotCharged::Denied`] if one of them is, and nothing was charged; otherwise as
    /// [`charge`](Self::charge).
    ///
    /// # Cancel safety
    /// As [`charge`](Self::charge).
    pub async fn charge_unless_denied<K: Display, D: Display, const N: usize>(
        &self,
        charges: &[Charge<K>; N],
        weight: NonZeroU32,
        names: &[D],
    ) -> Result<Admitted<N>, NotCharged<N>> {
        let deadline = self.store.deadline();
        let denied = self.store.denied_keys(names);
        if let Some(leases) = &self.leases {
            let charge = leases.charge(&self.store, charges, weight, &denied, deadline);
            return charge.await;
        }
        let options = ChargeOptions::default();
        let (admitted, _) = self
            .store
            .charge_unless_denied(charges, weight, &denied, options, deadline)
            .await?;
        Ok(admitted)
    }

    /// Denies names: from when this returns on, no engine that shares this store admits a charge
    /// with one of them until its time is over. All are denied, or none.
    ///
    /// It waits until all leases have ended, 0.65 s at most. `most` bounds the number of names in
    /// the store; a name that is denied already needs no room.
    ///
    /// # Errors
    /// [`DenyError::Full`], or [`DenyError::Store`] if the store did not answer: the names may be
    /// denied then.
    ///
    /// # Cancel safety
    /// The names may be denied if the future is dropped before it completes.
    pub async fn deny(&self, names: &[Denied], most: u32) -> Result<(), DenyError> {
        if names.is_empty() {
            return Ok(());
        }
        let leases_end_in = self.store.deny(names, most).await?;
        tokio::time::sleep(leases_end_in).await;
        Ok(())
    }

    /// Returns names that are denied in the store, a thousand at most, from a place in the order in
    /// which they were denied.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn denied(&self, after: DeniedCursor) -> Result<DeniedPage, StoreError> {
        self.store.denied(after).await
    }

    /// Removes names whose time is over from what [`denied`](Self::denied) returns.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn forget_denied(&self, names: &[Denied]) -> Result<(), StoreError> {
        if names.is_empty() {
            return Ok(());
        }
        self.store.forget_denied(names).await
    }

    /// Charges like [`charge`](Self::charge), but `at` a time since the beginning of 2024 instead
    /// of the store's own, and without a lease.
    ///
    /// # Errors
    /// As [`charge`](Self::charge).
    #[cfg(feature = "test-util")]
    pub async fn charge_at<K: Display, const N: usize>(
        &self,
        charges: &[Charge<K>; N],
        weight: NonZeroU32,
        at: std::time::Duration,
    ) -> Result<Admitted<N>, SharedRefusal<N>> {
        let options = ChargeOptions {
            at: Some(at),
            ..ChargeOptions::default()
        };
        self.charge_with(charges, weight, options).await
    }

    #[cfg(feature = "test-util")]
    async fn charge_with<K: Display, const N: usize>(
        &self,
        charges: &[Charge<K>; N],
        weight: NonZeroU32,
        options: ChargeOptions,
    ) -> Result<Admitted<N>, SharedRefusal<N>> {
        let deadline = self.store.deadline();
        let (admitted, _) = self
            .store
            .charge(charges, weight, options, deadline)
            .await?;
        Ok(admitted)
    }

    /// Returns the standing of every limit in `charges`, without charging anything.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn peek<K: Display, const N: usize>(
        &self,
        charges: &[Charge<K>; N],
    ) -> Result<Standings<N>, StoreError> {
        self.store.peek(charges, None).await
    }

    /// Returns the standings like [`peek`](Self::peek), but `at` a time since the beginning of 2024
    /// instead of the store's own.
    ///
    /// # Errors
    /// As [`peek`](Self::peek).
    #[cfg(feature = "test-util")]
    pub async fn peek_at<K: Display, const N: usize>(
        &self,
        charges: &[Charge<K>; N],
        at: std::time::Duration,
    ) -> Result<Standings<N>, StoreError> {
        self.store.peek(charges, Some(at)).await
    }

    /// Returns the budgets in the same store. They share the connection and the prefix.
    #[must_use]
    pub fn ledger(&self) -> SharedLedger {
        SharedLedger::new(Arc::clone(&self.store))
    }

    /// Returns a receiver of the store's state: the current one, and every change.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<StoreState> {
        self.store.states()
    }
}

impl fmt::Debug for SharedEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedEngine")
            .field("options", self.store.options())
            .finish_non_exhaustive()
    }
}
