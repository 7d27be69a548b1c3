//! The time at the beginning of a line.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime},
};

/// The length of the text up to the fraction of a second.
const SECOND_CHARS: usize = "2026-11-30T06:32:51".len();

/// The text of a time, as RFC 3339 in UTC with microseconds. What it begins with is kept for the
/// lines of the same second.
#[derive(Debug)]
pub(super) struct Timestamp {
    second: Option<u64>,
    text: String,
}

impl Timestamp {
    pub(super) const fn new() -> Self {
        Self {
            second: None,
            text: String::new(),
        }
    }

    /// Returns the text of a time.
    pub(super) fn text(&mut self, time: SystemTime) -> &str {
        let since_epoch = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let second = since_epoch.as_secs();
        if self.second != Some(second) {
            let whole = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(second));
            let whole = humantime::format_rfc3339_seconds(whole.unwrap_or(SystemTime::UNIX_EPOCH));
            self.text.clear();
            // Fails for years that the format cannot write.
            self.second = write!(self.text, "{whole}").is_ok().then_some(second);
        }
        self.text.truncate(SECOND_CHARS);
        self.text.push('.');
        // The first digit keeps the zeros after it, and is left out.
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(since_epoch.subsec_micros() + 1_000_000);
        self.text.push_str(digits.get(1..).unwrap_or_default());
        self.text.push('Z');
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The last second of the year 9999.
    const LAST_SECOND: u64 = 253_402_300_799;

    proptest! {
        #[test]
        fn times_are_written_with_microseconds(
            second in 0..=LAST_SECOND,
            nanos in [0..1_000_000_000_u32, 0..1_000_000_000_u32],
        ) {
            let mut timestamp = Timestamp::new();
            for nanos in nanos {
                let time = SystemTime::UNIX_EPOCH + Duration::new(second, nanos);
                let expected = humantime::format_rfc3339_micros(time).to_string();
                prop_assert_eq!(timestamp.text(time), expected);
            }
        }
    }
}
