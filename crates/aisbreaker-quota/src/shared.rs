//! Counters in Redis or Valkey, shared by several processes.
//!
//! [`SharedEngine`] gives the guarantees of [`Engine`](crate::Engine) for all processes together,
//! by the clock of the store. It needs Redis 7 or Valkey. A decision takes one round trip, however
//! many counters it has.
//!
//! # Example
//!
//! ```no_run
//! use std::num::NonZeroU32;
//!
//! use aisbreaker_quota::shared::{SharedEngine, SharedOptions, SharedRefusal, StoreAddress};
//! use aisbreaker_quota::{Charge, Limits};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let store = StoreAddress::parse("rediss://gate:secret@redis.example:6379/0")?;
//! let engine = SharedEngine::start(store, SharedOptions::default())?; // connects in background
//!
//! let charges = [Charge::new("ada", Limits::per_minute(60))];
//! match engine.charge(&charges, NonZeroU32::MIN).await {
//!     Ok(_admitted) => println!("admitted"),
//!     Err(SharedRefusal::Quota(refusal)) => println!("refused: {refusal}"),
//!     Err(SharedRefusal::Store(error)) => println!("no decision: {error}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The windows are minute, hour and day. A [`Rate`](crate::Rate), with a window of another length,
//! is not taken:
//!
//! ```compile_fail,E0308
//! # use std::{num::NonZeroU32, time::Duration};
//! # use aisbreaker_quota::{Charge, Rate, shared::SharedEngine};
//! # async fn run(engine: SharedEngine) {
//! let charges = [Charge::new("ada", Rate::per(Duration::from_secs(1), 10))];
//! let decision = engine.charge(&charges, NonZeroU32::MIN).await;
//! # }
//! ```
//!
//! # Guarantees
//!
//! - **Atomic.** One function in the store decides: it charges all counters or none. The engine
//!   loads that function, and loads it again if the store has lost it (`FUNCTION FLUSH`, a
//!   restart).
//! - **Bounded waits.** Every call has a deadline, 20 ms by default. The store counts as down once
//!   it breaks the connection, fails in a way that concerns every decision, or lets three calls in
//!   a row time out. From then on calls return [`StoreError::Down`] at once, while the engine
//!   reconnects in the background. What to do meanwhile is the caller's choice, such as an
//!   [`Engine`](crate::Engine) with [`Limits::share`](crate::Limits::share). A charge that timed
//!   out may be counted: the store is then stricter, never more generous.
//! - **No secrets shown.** [`StoreAddress`] is never printed. Certificates are always verified.
//!
//! # Operating the store
//!
//! - **Data loss.** Counters exist in the store alone. After a `FLUSHALL`, a restart without
//!   persistence, or a failover to a replica that lagged behind, the lost charges may be admitted
//!   again. Set `maxmemory-policy noeviction`: a store that evicts counters forgets charges, while
//!   one that is full counts as down. Counters expire by themselves a day after their last charge.
//! - **Foreign values.** A value that another program wrote under a counter's name fails the
//!   decisions on that counter with [`StoreError::Failed`], until it is deleted.
//! - **Names.** The `Display` output of a key names its counter, and everyone who may read the
//!   store can see it.
//! - **Clusters.** Names begin with the prefix in braces, so all counters of a prefix are in one
//!   hash slot. Decisions are exact, and one primary counts everything with that prefix; use
//!   several prefixes to spread independent counters. While a slot moves or a replica takes over,
//!   the store counts as down for a moment.
//! - **Access rights.** With the default prefix, a user needs `~{aisbreaker}:* +fcall +fcall_ro
//!   +function|load +mget +get +set +setex +time`; with a database number `+select` as well, in a
//!   cluster `+ping +cluster|slots`, and to deny names
//!   `+zadd +zcard +zrangebyscore +zrem +zrevrange`.
//!
//! # Denied names
//!
//! A charge may carry names, such as the ids of a key and of those it was derived from.
//! [`SharedEngine::deny`] denies a name until a time, and
//! [`SharedEngine::charge_unless_denied`] compares in the same call that decides: once `deny` has
//! returned, no engine with the same store and prefix admits the name, with leases either. Without
//! the store nobody compares; [`SharedEngine::denied`] returns the names for a copy.
//!
//! # Budgets
//!
//! [`SharedEngine::ledger`] returns the budgets of [`ledger`](crate::ledger) in the same store. Two
//! processes never reserve more than is left, and a settlement is tried once.
//!
//! An [`Allowance`](crate::ledger::Allowance), with a window of another length, is not taken:
//!
//! ```compile_fail,E0308
//! # use std::time::{Duration, Instant};
//! # use aisbreaker_quota::{ledger::{Allowance, Reservation}, shared::SharedLedger};
//! # async fn run(ledger: SharedLedger, now: Instant) {
//! let week = Allowance::per(Duration::from_secs(7 * 86_400), 10);
//! let receipt = ledger.reserve(&[Reservation::new("ada", week, 1)], now).await;
//! # }
//! ```
//!
//! # Leases
//!
//! With [`SharedOptions::lease`], an engine takes up to that many charges in advance for counters
//! that it charges more than once in 0.6 s, and then decides without the store. No more is admitted
//! than the limits allow.
//!
//! The price is that nobody else can use what one engine holds: for each group of counters that it
//! charges together, at most the lease and a quarter of what remained, until the end of the slot,
//! 0.6 s at most. What is not used by then is released. It counts until its window is over if the
//! store does not answer at that moment, if the process is killed, or if a call with a lease times
//! out or is dropped. A refusal is repeated for up to 50 ms without asking the store.

// From the interface down: `engine` is what callers use. `lease` decides without the store where it
// can, `round_trip` decides in the store. That calls a `function` with the `keys` of the counters,
// over a connection that `reconnect` keeps alive, and reads the `reply`. `denied` has the names that
// are refused in the same call.
mod address;
mod connection;
mod denied;
mod engine;
mod error;
mod function;
mod keys;
mod lease;
mod ledger;
mod options;
mod reconnect;
mod reply;
mod round_trip;

pub use address::StoreAddress;
pub use denied::{Denied, DeniedCursor, DeniedPage, DenyError, NotCharged};
pub use engine::SharedEngine;
pub use error::{InvalidStore, SharedRefusal, StoreError};
pub use ledger::{NotReserved, SharedLedger, SharedReceipt};
pub use options::SharedOptions;
pub use reconnect::StoreState;
