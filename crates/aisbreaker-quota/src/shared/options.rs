//! Settings of a shared engine.

use std::num::NonZeroU32;
use std::time::Duration;

use super::error::InvalidStore;

/// The longest prefix, in bytes.
const MAX_PREFIX_LEN: usize = 100;

/// Settings of a [`SharedEngine`](super::SharedEngine).
///
/// Start from [`SharedOptions::default`] and set what differs.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use aisbreaker_quota::shared::SharedOptions;
///
/// let mut options = SharedOptions::default();
/// options.prefix = "shop".to_owned();
/// options.deadline = Duration::from_millis(50);
/// assert!(options.check().is_ok());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SharedOptions {
    /// How long a decision waits for the store at most. Default: 20 ms.
    pub deadline: Duration,
    /// What the names of the counters begin with, in braces. Default: `aisbreaker`.
    ///
    /// Engines with the same prefix share counters. In a cluster, the prefix decides which node has
    /// them.
    pub prefix: String,
    /// How many charges the engine may take from the store in advance, for counters that it charges
    /// often. Default: none.
    ///
    /// Only this engine can use them, within 0.6 seconds.
    pub lease: Option<NonZeroU32>,
}

impl Default for SharedOptions {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(20),
            prefix: "aisbreaker".to_owned(),
            lease: None,
        }
    }
}

impl SharedOptions {
    /// Checks whether an engine can start with these options.
    ///
    /// # Errors
    /// [`InvalidStore::Prefix`] if the prefix is empty, longer than 100 bytes, or has spaces,
    /// control characters or braces.
    pub fn check(&self) -> Result<(), InvalidStore> {
        let is_allowed = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '{' | '}');
        let has_valid_len = (1..=MAX_PREFIX_LEN).contains(&self.prefix.len());
        if !has_valid_len || !self.prefix.chars().all(is_allowed) {
            return Err(InvalidStore::Prefix);
        }
        Ok(())
    }
}
