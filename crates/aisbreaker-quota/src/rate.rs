//! A limit over a window of any length.

mod cell;
mod counting;

use std::num::NonZeroU32;
use std::time::Duration;

use crate::limits::InvalidLimit;
use crate::window_length::WindowLength;

/// How much one counter admits per window of any length, from one second to 30 days.
///
/// An [`Engine`](crate::Engine) applies either [`Limits`](crate::Limits) or rates; its type says
/// which. A charge has one rate. For several windows, list one charge for each of them: they are
/// charged together or not at all, as all charges of a decision are. A key has a counter for each
/// window that it is charged with.
///
/// The guarantees are those of [the crate](crate#guarantees): in no interval as long as the window
/// is more admitted than the limit, and a charge stops counting at most 1 % of the window late. A
/// window is rounded up to whole milliseconds.
///
/// Counters in a store have minute, hour and day only: `SharedEngine` does not take a rate.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use aisbreaker_quota::{Charge, Engine, Rate, Refusal};
///
/// const PER_SECOND: Rate = Rate::per(Duration::from_secs(1), 10);
/// const PER_WEEK: Rate = Rate::per(Duration::from_secs(7 * 86_400), 500);
///
/// let start = Instant::now();
/// let engine = Engine::new(start, 100_000);
/// let charges = [Charge::new("ada", PER_SECOND), Charge::new("ada", PER_WEEK)];
///
/// for _ in 0..10 {
///     engine.charge_one(&charges, start)?;
/// }
/// let Err(Refusal::Exceeded { window, retry_after, .. }) = engine.charge_one(&charges, start) else {
///     return Err("an eleventh request was admitted".into());
/// };
/// assert_eq!(window, Duration::from_secs(1));
/// assert_eq!(retry_after, Duration::from_millis(1_010));
///
/// // The refused request is not counted in the week either.
/// let week = engine.peek(&charges, start).of(1).ok_or("there are two charges")?;
/// assert_eq!(week.remaining, 490);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Rate {
    window: WindowLength,
    limit: NonZeroU32,
}

impl Rate {
    /// The shortest window: one second.
    pub const MIN_WINDOW: Duration = WindowLength::MIN.duration();

    /// The longest window: 30 days.
    pub const MAX_WINDOW: Duration = WindowLength::MAX.duration();

    /// Creates a limit per `window`, which is rounded up to whole milliseconds.
    ///
    /// # Panics
    /// If the limit is zero, or the window is shorter than a second or longer than 30 days. In a
    /// constant, that is an error of the compiler.
    #[must_use]
    #[track_caller]
    #[expect(
        clippy::panic,
        reason = "callers promise valid numbers, and constants fail to compile"
    )]
    pub const fn per(window: Duration, limit: u32) -> Self {
        match Self::try_per(window, limit) {
            Ok(rate) => rate,
            Err(InvalidLimit::Zero) => panic!("a limit must be at least 1"),
            Err(InvalidLimit::Window) => panic!("a window must be from 1 second to 30 days long"),
        }
    }

    /// Creates a limit per `window`, which is rounded up to whole milliseconds.
    ///
    /// # Errors
    /// [`InvalidLimit::Zero`] if the limit is zero, [`InvalidLimit::Window`] if the window is
    /// shorter than a second or longer than 30 days.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use aisbreaker_quota::{InvalidLimit, Rate};
    ///
    /// // Numbers from a settings file.
    /// let (seconds, limit) = ("90".parse()?, "20".parse()?);
    /// let rate = Rate::try_per(Duration::from_secs(seconds), limit)?;
    /// assert_eq!(rate.window(), Duration::from_secs(90));
    ///
    /// let too_short = Rate::try_per(Duration::from_millis(999), limit);
    /// assert_eq!(too_short, Err(InvalidLimit::Window));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn try_per(window: Duration, limit: u32) -> Result<Self, InvalidLimit> {
        let Some(limit) = NonZeroU32::new(limit) else {
            return Err(InvalidLimit::Zero);
        };
        match WindowLength::new(window) {
            Some(window) => Ok(Self { window, limit }),
            None => Err(InvalidLimit::Window),
        }
    }

    /// Returns the length of the window, in whole milliseconds.
    #[must_use]
    pub const fn window(&self) -> Duration {
        self.window.duration()
    }

    /// Returns how much is admitted per window.
    #[must_use]
    pub const fn limit(&self) -> NonZeroU32 {
        self.limit
    }
}
