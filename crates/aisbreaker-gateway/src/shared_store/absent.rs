//! Stand-ins for `aisbreaker_quota::shared`, whose documentation has them. An engine has no value, so
//! none of its functions is ever called.
#![expect(
    dead_code,
    reason = "what only an engine makes is matched, but never made"
)]

use std::{
    convert::Infallible,
    fmt::Display,
    num::NonZeroU32,
    time::{Instant, SystemTime},
};

use aisbreaker_quota::{
    Admitted, Charge, Refusal, Standings,
    ledger::{Balance, Budget, BudgetRefusal, Reservation},
};
use tokio::sync::watch;

// The fields are private, so that nothing outside is unreachable to the compiler.
#[derive(Clone, Debug)]
pub(crate) struct SharedEngine(Infallible);

#[derive(Clone, Debug)]
pub(crate) struct SharedLedger(Infallible);

#[derive(Debug)]
pub(crate) struct SharedReceipt(Infallible);

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("quota store is down")]
    Down,
    #[error("quota store did not answer in time")]
    Timeout,
    #[error("quota store failed: {0}")]
    Failed(String),
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum SharedRefusal<const N: usize> {
    #[error(transparent)]
    Quota(#[from] Refusal<N>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum NotCharged<const N: usize> {
    #[error("a name of the request is denied")]
    Denied,
    #[error(transparent)]
    Refused(#[from] SharedRefusal<N>),
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum NotReserved {
    #[error(transparent)]
    Refused(#[from] BudgetRefusal),
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum DenyError {
    #[error("store has no room for further denied names")]
    Full,
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum StoreState {
    Connecting,
    Up,
    Down(StoreError),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Denied {
    pub(crate) name: String,
    pub(crate) until: SystemTime,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct DeniedCursor(());

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct DeniedPage {
    pub(crate) names: Vec<Denied>,
    pub(crate) next: DeniedCursor,
    pub(crate) is_last: bool,
}

impl<const N: usize> From<StoreError> for NotCharged<N> {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

impl Denied {
    pub(crate) const fn new(name: String, until: SystemTime) -> Self {
        Self { name, until }
    }
}

impl SharedEngine {
    pub(crate) async fn charge_unless_denied<K: Display, D: Display, const N: usize>(
        &self,
        _charges: &[Charge<K>; N],
        _weight: NonZeroU32,
        _names: &[D],
    ) -> Result<Admitted<N>, NotCharged<N>> {
        match self.0 {}
    }

    pub(crate) async fn peek<K: Display, const N: usize>(
        &self,
        _charges: &[Charge<K>; N],
    ) -> Result<Standings<N>, StoreError> {
        match self.0 {}
    }

    pub(crate) async fn deny(&self, _names: &[Denied], _most: u32) -> Result<(), DenyError> {
        match self.0 {}
    }

    pub(crate) async fn denied(&self, _after: DeniedCursor) -> Result<DeniedPage, StoreError> {
        match self.0 {}
    }

    pub(crate) async fn forget_denied(&self, _names: &[Denied]) -> Result<(), StoreError> {
        match self.0 {}
    }

    pub(crate) fn ledger(&self) -> SharedLedger {
        match self.0 {}
    }

    pub(crate) fn states(&self) -> watch::Receiver<StoreState> {
        match self.0 {}
    }
}

impl SharedLedger {
    pub(crate) async fn reserve<K: Display>(
        &self,
        _reservations: &[Reservation<K>],
        _now: Instant,
    ) -> Result<SharedReceipt, NotReserved> {
        match self.0 {}
    }

    pub(crate) async fn settle(
        &self,
        _receipt: SharedReceipt,
        _used: &[u64],
    ) -> Result<(), StoreError> {
        match self.0 {}
    }

    pub(crate) async fn balances<K: Display>(
        &self,
        _account: &K,
        _budget: &Budget,
    ) -> Result<Vec<Balance>, StoreError> {
        match self.0 {}
    }
}
