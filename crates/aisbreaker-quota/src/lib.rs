//! Exact sliding-window quotas: limit anything by any key, charge several limits at once or not at
//! all, in bounded memory.
//!
//! [`Limits`] are amounts per [`Window`]: minute, hour and day. A [`Rate`] is an amount per window
//! of any length, from one second to 30 days. A [`Charge`] pairs the key of a counter with its
//! limits. [`Engine::charge`] charges any fixed number of counters together, and
//! returns [`Admitted`] or a [`Refusal`]. Anything that is `Clone + Eq + Hash` can be a key.
//!
//! The crate has no runtime and no background thread, and reads no clock: time is an argument. With
//! the feature `redis`, several processes can share counters in Redis or Valkey, see [`shared`].
//!
//! # Example
//!
//! ```
//! use std::time::{Duration, Instant};
//!
//! use aisbreaker_quota::{Charge, Engine, Limits, Refusal, Window};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = Instant::now();
//! let engine = Engine::new(now, 100_000); // tracks at most 100 000 keys
//!
//! // Two requests per minute and 100 per day for each user, 1000 per hour for all of them.
//! let per_user = Limits::per_minute(2).with(Window::Day, 100);
//! let in_total = Limits::per_hour(1_000);
//! let charges = [Charge::new("ada", per_user), Charge::shared("everybody", in_total)];
//!
//! let admitted = engine.charge_one(&charges, now)?;
//! let (_, tightest) = admitted.standings().tightest().ok_or("no charges")?;
//! assert_eq!((tightest.window, tightest.remaining), (Window::Minute, 1));
//!
//! engine.charge_one(&charges, now)?;
//! match engine.charge_one(&charges, now + Duration::from_secs(1)) {
//!     Err(Refusal::Exceeded { charge, window, retry_after, .. }) => {
//!         assert_eq!((charge, window), (0, Window::Minute));
//!         assert_eq!(retry_after, Duration::from_millis(59_600));
//!     }
//!     other => return Err(format!("unexpected: {other:?}").into()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! - **Never more.** No interval as long as a window admits more than the limit, wherever it begins
//!   and whatever the pattern of bursts. Weights are counted, not requests.
//! - **At most 1 % stricter.** A charge stops counting at most 1 % of the window late: after 60.6 s
//!   in the minute, 3636 s in the hour and 87 264 s in the day, and in other windows after 101 slots
//!   of a hundredth of their length.
//! - **All or nothing.** A decision charges all of its counters or none, also under contention. A
//!   refusal charges nothing and tracks no new key.
//! - **Exact waits.** A refusal reports the limit with the longest wait. If nothing else is
//!   charged, the same request is refused at any moment before that wait is over, and admitted from
//!   that moment on.
//! - **Any clock.** For a counter, time never runs backwards: a reading before the latest one that
//!   it has seen counts as that one. A jump forward by days costs one pass over at most 298 pairs
//!   of numbers.
//! - **Bounded memory.** At most `capacity` keys are tracked; with rates, each window of a key counts
//!   as one. Further keys share 64 overflow counters, those with equal limits the same one, until
//!   [`Engine::sweep`] makes room. Tracked keys are not affected. A key that leaves the overflow
//!   starts from what its overflow counter counts, so no charge is forgotten. A counter is freed
//!   only once it stands as if never charged.
//!
//! # Errors
//!
//! [`Refusal`] is the only error of a decision in memory. [`Refusal::Exceeded`] means that a limit
//! has too little left now, and reports how long to wait. [`Refusal::TooHeavy`] means that the
//! weight is above a limit, so waiting does not help; it cannot occur with a weight of one.
//! [`InvalidLimit`] is the error of the fallible constructors of limits.
//!
//! With shared counters, a decision can also fail for lack of a store: `SharedRefusal::Quota` has
//! a [`Refusal`], `SharedRefusal::Store` means that the store did not decide. [`SnapshotError`]
//! reports why [`Engine::restore`] refused a snapshot. Only constructors with a fallible form, such
//! as [`Limits::per_minute`] and [`Rate::per`], panic on a number that no limit can have; nothing
//! else does.
//!
//! # Restarts
//!
//! [`Engine::snapshot`] writes all counters, while other threads go on charging.
//! [`Engine::restore`] continues from there in another process. A damaged or truncated snapshot is
//! refused as a whole.
//!
//! # Budgets
//!
//! [`ledger`] is for what is known only afterwards, such as tokens or money: amounts are reserved
//! before and settled later, also per month and over the lifetime of an account, or per window of any
//! length.
//!
//! # Cost
//!
//! A decision over twelve limits, four counters with three windows each, takes about 60 ns if its
//! counters are in the processor's caches. It holds the locks of its own counters for a fraction of
//! a microsecond. [`Engine::with_shard_by`] makes decisions on keys of the same client cheaper.
//! A reservation of ten budgets in four accounts and its settlement take about 0.7 µs together.
//!
//! | Memory | bytes |
//! |---|---|
//! | a key with charges in up to three slots | 32 and the key, in a table 44 to 88 % full |
//! | a busy key, with every slot of every window in use | 2600 |
//! | a window of a key with a [`Rate`], with charges in one slot | 32 and the key |
//! | a busy window of a key with a [`Rate`] | 900 |
//! | all overflow counters | at most 200 000 |
//!
//! # Limitations
//!
//! - An engine applies either [`Limits`] or rates. A minute, an hour or a day can be a [`Rate`] too;
//!   three of them cost about three times what [`Limits`] do.
//! - Counters and budgets in a store have minute, hour and day, and month and lifetime.
//! - Weights and limits are 32-bit numbers from 1. A window without a limit has the largest,
//!   4 294 967 295.
//! - While keys share an overflow counter, the guarantees hold for that counter, which may be
//!   stricter on each of the keys. So may a counter that began as a copy of one, for at most two
//!   windows. A key whose limits change meanwhile moves to the overflow counter of its new limits.
//! - A [`Rate`] may share its overflow counter with others whose windows are of similar length, at
//!   most about twice as long. The counter then counts for the longest of them.
//!
//! # Features
//!
//! - `redis`: the module [`shared`]. Needs tokio.
//! - `test-util`: functions for tests and measurements. Not covered by semantic versioning.
#![doc = ""]
// The module does not exist without the feature, but its documentation does.
#![cfg_attr(
    not(feature = "redis"),
    doc = "[`shared`]: https://docs.rs/aisbreaker-quota/latest/aisbreaker_quota/shared/"
)]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(
    not(test),
    warn(clippy::arithmetic_side_effects, clippy::indexing_slicing)
)]

// From the interface down: `engine` is what callers use, and `snapshot` saves and restores it.
// `decision` takes the locks and decides. `table` keeps one cell per key in bounded memory,
// `overflow` has the cells for keys beyond the capacity. All of them are compiled for each `policy`:
// `cell` counts one key in three windows, on the grid of `slots`, and `rate` one window of a key, on
// a grid of its own. `shared` is the same with the cells in a store. `ledger` stands beside them: it
// shares the clock of `slots` and counts amounts that change after the decision.
mod cell;
mod charge;
mod decision;
mod engine;
pub mod ledger;
mod limits;
mod outcome;
mod overflow;
mod policy;
mod rate;
#[cfg(feature = "redis")]
pub mod shared;
mod slots;
mod snapshot;
mod standings;
mod table;
mod window;
mod window_length;

pub use charge::Charge;
pub use engine::Engine;
pub use limits::{InvalidLimit, Limits};
pub use outcome::{Admitted, Refusal};
pub use policy::Policy;
pub use rate::Rate;
pub use snapshot::{RestoreOptions, SnapshotError};
pub use standings::{Standing, Standings};
pub use window::Window;

/// Runs the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
