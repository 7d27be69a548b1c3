//! Exact sliding-window quotas: limit anything by any key, charge several limits at once or none of
//! them, in memory that stays bounded.
//!
//! - [`Limits`] says how much is allowed per [`Window`]: minute, hour and day.
//! - A [`Charge`] names one counter by its key and the limits that hold for it.
//! - [`Engine::charge`] checks up to any fixed number of counters and charges all of them or none;
//!   the answer is [`Admitted`] or a [`Refusal`] that says which limit refused and when to come
//!   back.
//! - [`Engine::peek`] reads the same figures without charging; [`Engine::sweep`] frees idle
//!   counters in small steps.
//! - [`Engine::snapshot`] writes all counters down, and [`Engine::restored`] goes on from there,
//!   after a restart.
//!
//! Time is an argument: nothing here reads a clock, starts a thread or needs a runtime.
//!
//! The modules, from the outside in: `engine` is the surface, `decision` takes the locks and
//! decides, `table` keeps one cell per key in bounded memory, `overflow` holds the cells shared
//! beyond the bound, `cell` counts one key in three windows, `slots` is the arithmetic of the grid,
//! `snapshot` is counters as bytes.
#![doc = ""]
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(
    not(test),
    warn(clippy::arithmetic_side_effects, clippy::indexing_slicing)
)]

mod answer;
mod cell;
mod decision;
mod engine;
mod limits;
mod overflow;
#[cfg(feature = "redis")]
pub mod shared;
mod slots;
mod snapshot;
mod table;

pub use answer::{Admitted, Refusal, Standing, Standings};
pub use engine::Engine;
pub use limits::{Charge, Limits, Window};
pub use snapshot::{Restore, SnapshotError};
