//! The result of a decision: admitted, or refused and why.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::limits::Limits;
use crate::policy::Policy;
use crate::standings::Standings;

/// Proof that a request was charged to all `N` counters, with their standings after the charge.
///
/// Only an engine creates one. A function that takes it as an argument cannot be called for a request
/// that was not charged.
///
/// # Examples
///
/// ```
/// use std::time::Instant;
///
/// use aisbreaker_quota::{Admitted, Charge, Engine, Limits};
///
/// fn answer(admitted: &Admitted<1>) -> String {
///     let limits = admitted.standings().iter();
///     limits.map(|(_, limit)| format!("{};w={}", limit.remaining, limit.window.name())).collect::<Vec<_>>().join(", ")
/// }
///
/// let now = Instant::now();
/// let engine = Engine::new(now, 1_000);
/// let admitted = engine.charge_one(&[Charge::new("ada", Limits::new(60, 600, 6_000))], now)?;
/// assert_eq!(answer(&admitted), "59;w=minute, 599;w=hour, 5999;w=day");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Admitted<const N: usize, L: Policy = Limits> {
    pub(crate) standings: Standings<N, L>,
}

impl<const N: usize, L: Policy> Admitted<N, L> {
    /// Returns the standing of every limit right after the charge.
    #[must_use]
    pub const fn standings(&self) -> &Standings<N, L> {
        &self.standings
    }
}

/// Why [`Engine::charge`](crate::Engine::charge) refused a request; nothing was charged.
///
/// # Examples
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Instant;
///
/// use aisbreaker_quota::{Charge, Engine, Limits, Refusal};
///
/// let now = Instant::now();
/// let engine = Engine::new(now, 1_000);
/// let status = |weight| match engine.charge(&[Charge::new("ada", Limits::per_minute(5))], weight, now) {
///     Ok(_) => "200".to_owned(),
///     Err(Refusal::Exceeded { retry_after, .. }) => format!("429, Retry-After: {}", retry_after.as_secs() + 1),
///     Err(Refusal::TooHeavy { limit, .. }) => format!("413, at most {limit}"),
/// };
/// let weight = |number| NonZeroU32::new(number).ok_or("zero");
/// assert_eq!(status(weight(4)?), "200");
/// assert_eq!(status(weight(2)?), "429, Retry-After: 61");
/// assert_eq!(status(weight(6)?), "413, at most 5");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[expect(
    clippy::exhaustive_enums,
    reason = "the server answers every variant, so a new one is a breaking change"
)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal<const N: usize, L: Policy = Limits> {
    /// At least one limit has too little left. The fields describe the limit with the longest
    /// wait.
    #[error("limit of {limit} per {} exceeded, admitted again in {retry_after:?}", L::per(*.window))]
    Exceeded {
        /// Index of the charge that the limit belongs to, in the order they were given.
        charge: usize,
        /// The window of the limit: a [`Window`](crate::Window) of [`Limits`], or the length of
        /// that of a [`Rate`](crate::Rate).
        window: L::Window,
        /// The limit.
        limit: NonZeroU32,
        /// How much of it is left: too little for the request.
        remaining: u32,
        /// Time until every limit admits the same request, provided nothing else is charged. At
        /// any moment before, the request is refused; from that moment on, it is admitted.
        retry_after: Duration,
        /// The standing of every limit of the request.
        standings: Standings<N, L>,
    },
    /// The weight is above a limit, so the request can never be admitted. The fields describe the
    /// first such limit.
    #[error("weight is above the limit of {limit} per {}", L::per(*.window))]
    TooHeavy {
        /// Index of the charge that the limit belongs to, in the order they were given.
        charge: usize,
        /// The window of the limit: a [`Window`](crate::Window) of [`Limits`], or the length of
        /// that of a [`Rate`](crate::Rate).
        window: L::Window,
        /// The limit.
        limit: NonZeroU32,
    },
}
