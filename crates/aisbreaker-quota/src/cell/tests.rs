//! A cell against the plainest oracle: a log of every charge and the definition of the grid.

use proptest::prelude::*;

use super::{Cell, INLINE, MAX_PAIRS};
use crate::limits::Window;
use crate::slots::{self, REACH, coarse, expiry};

/// Every charge as `(fine slot, weight)`.
#[derive(Default)]
struct Log(Vec<(u32, u32)>);

impl Log {
    fn used(&self, now: u32, window: Window) -> u32 {
        let counts = |slot| coarse(now, window) - coarse(slot, window) <= REACH;
        self.0
            .iter()
            .filter(|(slot, _)| counts(*slot))
            .map(|(_, weight)| weight)
            .sum()
    }

    fn oldest(&self, now: u32, window: Window) -> u32 {
        let slots = self.0.iter().map(|(slot, _)| coarse(*slot, window));
        slots
            .filter(|slot| coarse(now, window) - slot <= REACH)
            .min()
            .unwrap_or(0)
    }
}

fn numbers(of: impl Fn(Window) -> u32) -> [u32; 3] {
    Window::ALL.map(of)
}

fn steps() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => Just(0_u32),
        8 => 0_u32..4,
        4 => 0_u32..130,
        3 => 0_u32..7_000,
        1 => 0_u32..160_000,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn counts_exactly_what_the_grid_says(charges in prop::collection::vec((steps(), 0_u32..9), 1..600)) {
        let mut cell = Cell::fresh(0);
        let mut log = Log::default();
        let mut now = 0;
        for (step, weight) in charges {
            now += step;
            cell.advance(now);
            if weight > 0 {
                cell.add(weight);
                log.0.push((now, weight));
            }

            prop_assert_eq!(cell.used(), numbers(|window| log.used(now, window)));
            for window in Window::ALL.into_iter().filter(|window| log.used(now, *window) > 0) {
                prop_assert_eq!(cell.state(cell.used()).oldest(window), log.oldest(now, window));
            }
        }
    }

    #[test]
    fn frees_an_amount_at_the_very_slot(
        charges in prop::collection::vec((steps(), 1_u32..9), 1..300), amount in 1_u32..2_000
    ) {
        let mut cell = Cell::fresh(0);
        let mut log = Log::default();
        let mut now = 0;
        for (step, weight) in charges {
            now += step;
            cell.advance(now);
            cell.add(weight);
            log.0.push((now, weight));
        }

        for window in Window::ALL {
            let used = log.used(now, window);
            let amount = amount.min(used);
            let at = u32::try_from(cell.frees(u64::from(amount), window)).unwrap();
            prop_assert!(used - log.used(at - 1, window) < amount, "later than needed: {:?}", window);
            prop_assert!(used - log.used(at, window) >= amount, "too early: {:?}", window);
        }
    }

    #[test]
    fn unpacks_what_was_packed_and_nothing_that_was_cut_or_changed(
        charges in prop::collection::vec((steps(), 1_u32..9), 0..400), at in any::<prop::sample::Index>()
    ) {
        let mut cell = Cell::fresh(7);
        let mut now = 7;
        for (step, weight) in charges {
            now += step;
            cell.advance(now);
            cell.add(weight);
        }
        let mut bytes = Vec::new();
        cell.pack(&mut bytes);

        let mut copy = Cell::unpack(&bytes).unwrap();

        prop_assert_eq!((copy.last(), copy.used()), (cell.last(), cell.used()));
        for later in [now, now + 1, now + 101, now + 6_061, now + 145_441] {
            cell.advance(later);
            copy.advance(later);
            prop_assert_eq!(copy.state(copy.used()), cell.state(cell.used()));
            for window in Window::ALL.into_iter().filter(|window| slots::pick(cell.used(), *window) > 0) {
                prop_assert_eq!(copy.frees(1, window), cell.frees(1, window));
            }
        }
        let cut = at.index(bytes.len());
        prop_assert!(Cell::unpack(&bytes[..cut]).is_none());
        // The counts: of the pairs, or of the windows.
        let of_a_count = cut / 4 * 4 + 4;
        if (4..16).contains(&of_a_count) || (of_a_count >= 20 && of_a_count % 8 == 0 && of_a_count < bytes.len()) {
            bytes[of_a_count] ^= 1;
            prop_assert!(Cell::unpack(&bytes).is_none(), "{of_a_count}");
        }
    }

    #[test]
    fn inherited_counter_never_stands_lower(
        charges in prop::collection::vec((steps(), 1_u32..9), 1..200),
        later in prop::collection::vec(steps(), 1..50),
    ) {
        let mut cell = Cell::fresh(0);
        let mut now = 0;
        for (step, weight) in charges {
            now += step;
            cell.advance(now);
            cell.add(weight);
        }
        let mut heir = cell.inherited();

        prop_assert_eq!(heir.used(), cell.used());
        for step in later {
            now += step;
            cell.advance(now);
            heir.advance(now);
            for (heir, cell) in heir.used().into_iter().zip(cell.used()) {
                prop_assert!(heir >= cell);
            }
        }
    }
}

#[test]
fn longest_list_stays_within_its_bound() {
    let mut cell = Cell::fresh(0);
    let mut longest = 0;

    for now in 0..3 * 144_000 {
        cell.advance(now);
        cell.add(1);
        longest = longest.max(cell.parts().pairs.len());
    }

    let Cell::Large { list, .. } = &cell else {
        panic!("not on the heap")
    };
    assert_eq!(longest, MAX_PAIRS);
    assert!(
        list.pairs.capacity() <= MAX_PAIRS,
        "{}",
        list.pairs.capacity()
    );
    assert!(size_of_val(list.as_ref()) + list.pairs.capacity() * 8 + size_of::<Cell>() < 2_600);
}

#[test]
fn memory_of_a_long_list_is_given_back_after_an_idle_day() {
    let mut cell = Cell::fresh(0);
    for now in 0..300 {
        cell.advance(now);
        cell.add(1);
    }
    assert!(matches!(cell, Cell::Large { .. }));

    cell.advance(300 + 2 * 144_000);

    assert!(matches!(cell, Cell::Small { len: 0, .. }));
}

#[test]
fn few_slots_need_no_heap() {
    let mut cell = Cell::fresh(0);

    for now in 0..u32::try_from(INLINE).unwrap() {
        cell.advance(now);
        cell.add(7);
    }

    assert!(matches!(cell, Cell::Small { .. }));
}

#[test]
fn clock_that_steps_back_counts_as_standing_still() {
    let mut cell = Cell::fresh(0);
    cell.advance(1_000);
    cell.add(1);

    cell.advance(10);
    cell.add(1);

    assert_eq!(
        Window::ALL.map(|window| cell.state(cell.used()).oldest(window)),
        [1_000, 1_000 / 60, 0]
    );
    assert_eq!(cell.frees(2, Window::Minute), expiry(1_000, Window::Minute));
}

#[test]
fn expiry_is_more_than_a_window_and_at_most_one_percent_more() {
    for (window, fine) in [
        (Window::Minute, 1_u64),
        (Window::Hour, 60),
        (Window::Day, 1_440),
    ] {
        for slot in [0_u32, 1, 59, 60, 1_439, 1_440, 99_999] {
            let length = expiry(coarse(slot, window), window) - u64::from(slot);
            assert!(
                length > 100 * fine && length <= 101 * fine,
                "{window:?} from {slot}: {length}"
            );
        }
    }
}
