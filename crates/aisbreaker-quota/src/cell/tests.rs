//! A cell, checked against a log of every charge and the definition of the grid.

use proptest::prelude::*;

use super::list::MAX_PAIRS;
use super::{Cell, INLINE};
use crate::slots::{REACH, coarse, expiry};
use crate::window::Window;

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
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn counts_match_the_slot_grid(
        charges in prop::collection::vec((steps(), 0_u32..9), 1..600),
    ) {
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

            prop_assert_eq!(cell.used(), Window::ALL.map(|window| log.used(now, window)));
            for window in Window::ALL.into_iter().filter(|window| log.used(now, *window) > 0) {
                prop_assert_eq!(cell.state(cell.used()).oldest(window), log.oldest(now, window));
            }
        }
    }

    #[test]
    fn clears_an_amount_at_the_exact_slot(
        charges in prop::collection::vec((steps(), 1_u32..9), 1..300),
        amount in 1_u32..2_000,
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
            let at = u32::try_from(cell.clears_at(u64::from(amount), window)).unwrap();
            prop_assert!(used - log.used(at - 1, window) < amount, "too late: {:?}", window);
            prop_assert!(used - log.used(at, window) >= amount, "too early: {:?}", window);
        }
    }

    #[test]
    fn unpack_restores_packed_cells_and_rejects_damaged_ones(
        charges in prop::collection::vec((steps(), 1_u32..9), 0..400),
        at in any::<prop::sample::Index>(),
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
            for window in Window::ALL {
                if window.pick(cell.used()) > 0 {
                    prop_assert_eq!(copy.clears_at(1, window), cell.clears_at(1, window));
                }
            }
        }
        let cut = at.index(bytes.len());
        prop_assert!(Cell::unpack(&bytes[..cut]).is_none());
        // A changed count no longer fits the others: that of a window, or that of a pair.
        let count = cut / 4 * 4 + 4;
        let is_of_window = (4..16).contains(&count);
        let is_of_pair = count >= 20 && count % 8 == 0 && count < bytes.len();
        if is_of_window || is_of_pair {
            bytes[count] ^= 1;
            prop_assert!(Cell::unpack(&bytes).is_none(), "{count}");
        }
    }

    #[test]
    fn inherited_cell_never_counts_less(
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
fn long_list_is_freed_after_an_idle_day() {
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
    assert_eq!(
        cell.clears_at(2, Window::Minute),
        expiry(1_000, Window::Minute)
    );
}

#[test]
fn slots_expire_within_one_percent_after_the_window() {
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
