//! The store that several servers share. Without feature `redis` there is none: the types that a gateway
//! names have stand-ins that cannot be made.

#[cfg(not(feature = "redis"))]
mod absent;

#[cfg(not(feature = "redis"))]
pub(crate) use self::absent::{
    Denied, DeniedCursor, DenyError, NotCharged, NotReserved, SharedEngine, SharedLedger,
    SharedReceipt, SharedRefusal, StoreError, StoreState,
};
#[cfg(feature = "redis")]
pub(crate) use aisbreaker_quota::shared::{
    Denied, DeniedCursor, DenyError, NotCharged, NotReserved, SharedEngine, SharedLedger,
    SharedReceipt, SharedRefusal, StoreError, StoreState,
};
