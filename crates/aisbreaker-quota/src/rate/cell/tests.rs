//! A cell, checked against a log of every charge and the definition of the grid.

use std::time::Duration;

use proptest::prelude::*;

use super::{MAX_SLOTS, RateCell, Slots, slot_nanos, slot_of};
use crate::policy::CounterCell;
use crate::slots::REACH;

/// Every charge as `(nanoseconds, weight)`.
#[derive(Default)]
struct Log(Vec<(u64, u32)>);

impl Log {
    fn counted(&self, now: u64, window_millis: u32) -> impl Iterator<Item = &(u64, u32)> {
        let slot = move |nanos| slot_of(nanos, window_millis);
        self.0
            .iter()
            .filter(move |(at, _)| slot(now) - slot(*at) <= u64::from(REACH))
    }

    fn used(&self, now: u64, window_millis: u32) -> u32 {
        self.counted(now, window_millis)
            .map(|(_, weight)| weight)
            .sum()
    }

    fn resets_at(&self, now: u64, window_millis: u32) -> u64 {
        let oldest = self.counted(now, window_millis).map(|(at, _)| *at).min();
        let first_uncounted = |at| slot_of(at, window_millis) + u64::from(REACH) + 1;
        oldest.map_or(0, |at| first_uncounted(at) * slot_nanos(window_millis))
    }
}

fn window() -> impl Strategy<Value = u32> {
    prop_oneof![
        1_000_u32..5_000,
        1_000_u32..1_000_000,
        1_000_u32..=2_592_000_000,
        Just(2_592_000_000),
    ]
}

/// Steps in thousandths of a slot.
fn steps() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => Just(0_u64),
        6 => 0_u64..3_000,
        4 => 0_u64..60_000,
        2 => 95_000_u64..105_000,
        1 => 0_u64..1_000_000,
        // Past all 32 bits of a slot's number.
        1 => (0_u64..3).prop_map(|slots| ((1 << 32) + slots) * 1_000),
    ]
}

fn nanos(step: u64, window_millis: u32) -> u64 {
    step.saturating_mul(slot_nanos(window_millis) / 1_000)
}

/// Whether the engine's clock ends after this time.
fn is_on_the_clock(nanos: u64) -> bool {
    nanos < 2_500_000_000_000_000_000
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn counts_match_the_slot_grid(
        window in window(),
        charges in prop::collection::vec((steps(), 0_u32..9), 1..400),
        amount in 1_u32..200,
    ) {
        let mut cell = RateCell::fresh(window, 0);
        let mut log = Log::default();
        let mut now = 0;
        for (step, weight) in charges {
            let next = nanos(step, window).saturating_add(now);
            now = if is_on_the_clock(next) { next } else { now };
            cell.advance(now);
            if weight > 0 {
                cell.add(weight);
                log.0.push((now, weight));
            }

            let used = log.used(now, window);
            prop_assert_eq!(cell.used(), [used]);
            prop_assert_eq!(cell.counts().map(|one| one.count).sum::<u32>(), used);
            prop_assert!(cell.counts().count() <= MAX_SLOTS);
            if used > 0 {
                prop_assert_eq!(cell.state([used]).resets_at, log.resets_at(now, window));
                let amount = amount.min(used);
                let at = cell.clears_at(u64::from(amount), Duration::ZERO);
                prop_assert!(used - log.used(at - 1, window) < amount, "too late");
                prop_assert!(used - log.used(at, window) >= amount, "too early");
            }
        }
    }

    #[test]
    fn undoing_an_addition_restores_the_cell(
        window in window(), charges in prop::collection::vec((steps(), 1_u32..9), 0..200), weight in 1_u32..9,
    ) {
        let (mut cell, _) = charged(window, &charges);
        let before = (cell.used(), cell.counts().collect::<Vec<_>>());

        cell.add(weight);
        cell.undo_add(weight);

        prop_assert_eq!((cell.used(), cell.counts().collect::<Vec<_>>()), before);
    }

    #[test]
    fn unpack_restores_packed_cells_and_rejects_damaged_ones(
        window in window(), charges in prop::collection::vec((steps(), 1_u32..9), 0..200), at in any::<prop::sample::Index>(),
    ) {
        let (cell, _) = charged(window, &charges);
        let mut bytes = Vec::new();
        CounterCell::pack(&cell, &mut bytes);

        let copy = <RateCell as CounterCell<Duration>>::unpack(&bytes).unwrap();

        prop_assert_eq!((copy.last(), copy.grid(), copy.used()), (cell.last(), cell.grid(), cell.used()));
        prop_assert!(copy.counts().eq(cell.counts()));
        let cut = at.index(bytes.len());
        if cut != 12 && (cut < 12 || cut % 8 != 4) {
            prop_assert!(<RateCell as CounterCell<Duration>>::unpack(&bytes[..cut]).is_none());
        }
        // Slots in the wrong order, or twice.
        if bytes.len() > 20 {
            let last = bytes.len() - 8;
            bytes.copy_within(12..20, last);
            prop_assert!(<RateCell as CounterCell<Duration>>::unpack(&bytes).is_none());
        }
    }

    #[test]
    fn widened_and_inherited_cells_count_for_the_whole_window(
        (narrow, wide) in narrow_and_wide(),
        charges in prop::collection::vec((steps(), 1_u32..9), 1..200),
    ) {
        let (cell, log) = charged(narrow, &charges);
        let (mut widened, mut heir) = (cell.clone(), cell.inherited(narrow));
        widened.widen(wide);
        let mut heir_of_widened = widened.inherited(narrow);

        prop_assert_eq!(widened.grid(), wide);
        prop_assert_eq!((heir.grid(), heir_of_widened.grid()), (narrow, narrow));
        let length = 100 * slot_nanos(narrow);
        let ends = log.0.iter().map(|(at, _)| at + length);
        for now in ends.filter(|end| *end >= cell.last()) {
            let inside = log.0.iter().filter(|(at, _)| at + length >= now);
            let least: u32 = inside.map(|(_, weight)| weight).sum();
            for other in [&mut widened, &mut heir, &mut heir_of_widened] {
                other.advance(now);
                prop_assert!(other.used() >= [least], "{now}: {other:?}");
                prop_assert!(other.counts().count() <= MAX_SLOTS);
            }
        }
    }
}

/// Two windows, of which the second is longer, often by very little.
fn narrow_and_wide() -> impl Strategy<Value = (u32, u32)> {
    prop_oneof![
        (window(), window()).prop_map(|(one, other)| (one.min(other), one.max(other))),
        (1_000_u32..1_000_000, 0_u32..1_000)
            .prop_map(|(narrow, parts)| (narrow, narrow + narrow / 100_000 * parts + parts / 100)),
    ]
}

fn charged(window: u32, charges: &[(u64, u32)]) -> (RateCell, Log) {
    let mut cell = RateCell::fresh(window, 0);
    let mut log = Log::default();
    let mut now = 0;
    for (step, weight) in charges {
        let next = nanos(*step, window).saturating_add(now);
        now = if is_on_the_clock(next) { next } else { now };
        cell.advance(now);
        cell.add(*weight);
        log.0.push((now, *weight));
    }
    (cell, log)
}

#[test]
fn busy_cell_stays_within_its_bound() {
    let mut cell = RateCell::fresh(1_000, 0);
    for slot in 0..1_000 {
        cell.advance(slot * slot_nanos(1_000));
        cell.add(1);
    }

    let Slots::Many(many) = &cell.slots else {
        panic!("not on the heap")
    };
    assert_eq!((many.len(), cell.used()), (MAX_SLOTS, [101]));
    assert!(size_of_val(many.as_ref()) + many.capacity() * 8 + size_of::<RateCell>() < 900);
}

#[test]
fn one_slot_needs_no_heap_and_an_idle_cell_frees_it() {
    let mut cell = RateCell::fresh(1_000, 0);
    cell.add(1);
    cell.add(2);
    assert!(matches!(cell.slots, Slots::One(_)));
    cell.advance(slot_nanos(1_000));
    cell.add(3);
    assert!(matches!(cell.slots, Slots::Many(_)));

    cell.advance(102 * slot_nanos(1_000));

    assert!(matches!(cell.slots, Slots::One(_)));
    assert_eq!(cell.used(), [0]);
}

#[test]
fn overflow_cell_keeps_its_longest_window() {
    let mut cell = RateCell::fresh(1_000, 0);
    cell.widen(1_500);
    assert_eq!(cell.grid(), 1_500);

    cell.widen(1_200);
    assert_eq!(cell.grid(), 1_500);

    cell.add(1);
    cell.widen(1_600);
    assert_eq!((cell.grid(), cell.used()), (1_600, [1]));
}
