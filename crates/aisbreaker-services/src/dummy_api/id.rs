//! The ids and the times of answers.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// Returns an id with this prefix that no other answer has.
pub(super) fn fresh(prefix: &str) -> String {
    /// Differs in each process.
    static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static NEXT: AtomicU64 = AtomicU64::new(0);

    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    // The hash differs between processes, and the number within one.
    let hash = SEED.hash_one(number);
    format!("{prefix}{hash:016x}{number:08x}")
}

/// Returns the seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "an answer only reports it, as a provider reports the time of its own clock"
)]
pub(super) fn created() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
