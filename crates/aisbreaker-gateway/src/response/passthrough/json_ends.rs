//! The ends of a forwarded JSON body, in which its usage is found.

use aisbreaker_egress::{MemoryBudget, MemoryReservation};
use aisbreaker_services::{Tokens, UsageRule};

use crate::response::sse_boundary::{TAIL_BYTES, keep_tail};

/// Both ends of a JSON body: most providers report usage at the end, some at the beginning.
///
/// Both are dropped if the memory budget has no room for them.
pub(super) struct JsonEnds {
    head: Vec<u8>,
    tail: Vec<u8>,
    reservation: MemoryReservation,
}

impl JsonEnds {
    pub(super) fn new(budget: &MemoryBudget) -> Self {
        Self {
            head: Vec::new(),
            tail: Vec::new(),
            reservation: budget.reservation(),
        }
    }

    pub(super) fn push(&mut self, data: &[u8]) {
        let kept = self.head.len().saturating_add(self.tail.len());
        let most = kept
            .saturating_add(data.len().saturating_mul(2))
            .min(2 * TAIL_BYTES);
        if self.reservation.hold(most).is_err() {
            (self.head, self.tail) = (Vec::new(), Vec::new());
            self.reservation.release();
            return;
        }
        let room = TAIL_BYTES.saturating_sub(self.head.len());
        let beginning = data.get(..room.min(data.len())).unwrap_or_default();
        self.head.extend_from_slice(beginning);
        keep_tail(&mut self.tail, data);
    }

    pub(super) fn tokens(&self, rule: &UsageRule) -> Tokens {
        let tokens = rule.read_last(&self.tail);
        tokens
            .or_else(|| rule.read_first(&self.head))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_kept_ends_of_json_are_held_of_the_budget() {
        let rule: UsageRule = serde_json::from_value(json!({"input": ["i"]})).unwrap();
        let json = format!(
            "{{\"x\":\"{}\",\"usage\":{{\"i\":3}}}}",
            "x".repeat(100_000)
        );
        let budget = MemoryBudget::new(2 * TAIL_BYTES);
        let mut first = JsonEnds::new(&budget);
        let mut second = JsonEnds::new(&budget);
        for piece in json.as_bytes().chunks(7_000) {
            first.push(piece);
            second.push(piece);
            // The budget does not count so few bytes.
            assert!(
                second.head.len() + second.tail.len() < TAIL_BYTES,
                "there was room for the first only"
            );
        }
        assert_eq!(first.tokens(&rule).input, Some(3));
        assert_eq!(budget.held_bytes(), 2 * TAIL_BYTES);
        drop((first, second));
        assert_eq!(budget.held_bytes(), 0);
    }
}
