//! The text of the values that change from response to response.

use std::cell::RefCell;

use aisbreaker_quota::Standing;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::HeaderValue;

use super::ReportedLimits;
use crate::clock::ceil_seconds;

/// Capacity for the state of six limits, and for one limit in three values.
const CAPACITY: usize = 256;
/// How much a thread allocates at once. What a response leaves is for the next ones, and all of it
/// once the last of them has been sent.
const BLOCK_BYTES: usize = 16 * CAPACITY;
/// Between two limits.
const SEPARATOR: &[u8] = b", ";

/// The text of several values, one after the other.
pub(super) struct LimitText(BytesMut);

thread_local! {
    /// What is left of the block of this thread.
    static REST: RefCell<BytesMut> = RefCell::default();
}

/// A text whose values are taken from its beginning, in the order in which they were written.
pub(super) struct Values(Bytes);

impl LimitText {
    pub(super) fn new() -> Self {
        let mut text = REST.take();
        if text.capacity() < CAPACITY && !text.try_reclaim(BLOCK_BYTES) {
            text = BytesMut::with_capacity(BLOCK_BYTES);
        }
        Self(text)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Appends the value of `ratelimit`: what remains of each limit, and when it resets. A separator
    /// precedes it.
    ///
    /// The names are written out, since every response has all of them.
    pub(super) fn push_limits(&mut self, limits: &ReportedLimits) {
        let [minute, hour, day, all_minute, all_hour, all_day] = limits;
        self.push_named(b", \"client-minute\";r=", minute);
        self.push_named(b", \"client-hour\";r=", hour);
        self.push_named(b", \"client-day\";r=", day);
        self.push_named(b", \"global-minute\";r=", all_minute);
        self.push_named(b", \"global-hour\";r=", all_hour);
        self.push_named(b", \"global-day\";r=", all_day);
    }

    /// Appends one limit: its quota, what remains of it, and when it resets. Returns the lengths of
    /// these values.
    pub(super) fn push_limit(&mut self, standing: &Standing) -> [usize; 3] {
        let start = self.len();
        self.push_number(standing.limit.get().into());
        let limit_end = self.len();
        self.push_number(standing.remaining.into());
        let remaining_end = self.len();
        self.push_number(ceil_seconds(standing.reset));
        self.0.put_u8(b's');
        [
            limit_end - start,
            remaining_end - limit_end,
            self.len() - remaining_end,
        ]
    }

    pub(super) fn into_values(self) -> Values {
        let Self(mut text) = self;
        let values = text.split().freeze();
        REST.set(text);
        Values(values)
    }

    // The length is a constant, so that the name is copied without a call.
    #[inline]
    fn push_named<const N: usize>(&mut self, name: &[u8; N], standing: &Option<Standing>) {
        if let Some(standing) = standing {
            self.0.extend_from_slice(name);
            self.push_number(standing.remaining.into());
            self.0.extend_from_slice(b";t=");
            self.push_number(ceil_seconds(standing.reset));
        }
    }

    fn push_number(&mut self, number: u64) {
        match u8::try_from(number) {
            Ok(digit @ 0..=9) => self.0.put_u8(b'0' + digit),
            Ok(_) | Err(_) => {
                let mut digits = itoa::Buffer::new();
                self.0.extend_from_slice(digits.format(number).as_bytes());
            }
        }
    }
}

impl Values {
    /// Takes the next value, which has this length. A separator before it is left out.
    pub(super) fn take(&mut self, len: usize) -> Option<HeaderValue> {
        let mut value = self.0.split_to(len.min(self.0.len()));
        if value.starts_with(SEPARATOR) {
            value.advance(SEPARATOR.len());
        }
        HeaderValue::from_maybe_shared(value).ok()
    }
}
