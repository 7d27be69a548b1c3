//! The ends of a forwarded JSON body, in which its usage is found.

use aisbreaker_egress::{MemoryBudget, MemoryReservation};
use aisbreaker_services::{Tokens, UsageRule};

use crate::response::sse_boundary::{TAIL_BYTES, keep_tail};

/// Both ends of a JSON body: most providers report usage at the end, some at the beginning.
///
/// Both are dropped if the memory budget has no room for them.
pub(super) struct JsonEnds {
    head: Vec<u8>,
    /// Empty as long as the head is the whole body.
    tail: Vec<u8>,
    reservation: MemoryReservation,
    /// The tokens of a body that came in one piece, of which nothing is kept.
    tokens: Option<Tokens>,
}

impl JsonEnds {
    pub(super) fn new(budget: &MemoryBudget) -> Self {
        Self {
            head: Vec::new(),
            tail: Vec::new(),
            reservation: budget.reservation(),
            tokens: None,
        }
    }

    /// Takes a piece of the body; `is_last` if it is known that no other follows.
    pub(super) fn push(&mut self, data: &[u8], is_last: bool, rule: &UsageRule) {
        if is_last && self.head.is_empty() && self.reservation.held_bytes() == 0 {
            let beginning = data.get(..TAIL_BYTES).unwrap_or(data);
            let end = data.get(data.len().saturating_sub(TAIL_BYTES)..);
            self.tokens = Some(tokens_of(beginning, end.unwrap_or(data), rule));
        } else {
            self.keep(data);
        }
    }

    fn keep(&mut self, data: &[u8]) {
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
        if self.tail.is_empty() && data.len() <= room {
            self.head.extend_from_slice(data);
            return;
        }
        if self.tail.is_empty() {
            self.tail.extend_from_slice(&self.head);
        }
        let beginning = data.get(..room.min(data.len())).unwrap_or_default();
        self.head.extend_from_slice(beginning);
        keep_tail(&mut self.tail, data);
    }

    pub(super) fn tokens(&self, rule: &UsageRule) -> Tokens {
        let end = match self.tail.is_empty() {
            true => &self.head,
            false => &self.tail,
        };
        self.tokens
            .unwrap_or_else(|| tokens_of(&self.head, end, rule))
    }
}

fn tokens_of(beginning: &[u8], end: &[u8], rule: &UsageRule) -> Tokens {
    rule.read_last(end)
        .or_else(|| rule.read_first(beginning))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The tokens do not depend on the pieces, nor on whether the last one is known to be the last.
    #[test]
    fn usage_is_found_at_both_ends_however_the_body_comes() {
        let rule: UsageRule = serde_json::from_value(json!({"input": ["i"]})).unwrap();
        let text = |length| "x".repeat(length);
        let rows = [
            (json!({"usage": {"i": 3}}), Some(3)),
            (json!({"a": text(1_000), "usage": {"i": 3}}), Some(3)),
            (json!({"a": text(20_000), "usage": {"i": 3}}), Some(3)),
            (
                json!({"a_usage": 1, "usage": {"i": 3}, "z": text(40_000)}),
                Some(3),
            ),
            (
                json!({"a": text(20_000), "usage": {"i": 3}, "z": text(40_000)}),
                None,
            ),
            (json!({"a": text(20_000)}), None),
        ];
        for (body, expected) in rows {
            let body = body.to_string();
            for size in [1, 100, 9_000, TAIL_BYTES, 17_000, 100_000] {
                for knows_last in [false, true] {
                    let mut ends = JsonEnds::new(&MemoryBudget::default());
                    let mut pieces = body.as_bytes().chunks(size).peekable();
                    while let Some(piece) = pieces.next() {
                        ends.push(piece, knows_last && pieces.peek().is_none(), &rule);
                    }
                    let case = format!("{} bytes in pieces of {size}", body.len());
                    assert_eq!(ends.tokens(&rule).input, expected, "{case}");
                }
            }
        }
    }

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
            first.push(piece, false, &rule);
            second.push(piece, false, &rule);
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
