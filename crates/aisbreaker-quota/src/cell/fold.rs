//! Ageing of a list: pairs that leave one window become pairs of the next coarser grid, until they
//! leave the day and are dropped.

use super::pair::Pair;
use crate::slots::{REACH, coarse, day_of_hour, hour_of_fine};
use crate::window::Window;

/// Brings a whole list up to fine slot `now`, and updates where its parts start.
///
/// Returns how many pairs are kept, and how much left each window.
pub(super) fn fold_expired(
    pairs: &mut [Pair],
    hours_start: &mut usize,
    minutes_start: &mut usize,
    now: u32,
) -> (usize, [u32; 3]) {
    let (pairs, left_minute) = fold_part(
        pairs,
        *hours_start,
        minutes_start,
        usize::MAX,
        now,
        hour_of_fine,
    );
    let len_before = pairs.len();
    let now_hour = coarse(now, Window::Hour);
    let (pairs, left_hour) =
        fold_part(pairs, 0, hours_start, *minutes_start, now_hour, day_of_hour);
    let folded = len_before.saturating_sub(pairs.len());
    *minutes_start = minutes_start.saturating_sub(folded);

    let days = pairs.get(..*hours_start).unwrap_or_default();
    let (dropped, left_day) = expired(days, day_of_hour(now_hour));
    if dropped > 0 {
        pairs.copy_within(dropped.., 0);
        *hours_start = hours_start.saturating_sub(dropped);
        *minutes_start = minutes_start.saturating_sub(dropped);
    }
    (
        pairs.len().saturating_sub(dropped),
        [left_minute, left_hour, left_day],
    )
}

/// Folds the pairs in `start..end` that have left their window into the next coarser grid.
///
/// The folded pairs go to the end of the previous part, which starts at `previous_start`; `start`
/// moves behind them. Returns what is kept of the list, and how much left the window.
fn fold_part<'a>(
    pairs: &'a mut [Pair],
    previous_start: usize,
    start: &mut usize,
    end: usize,
    now: u32,
    coarser: impl Fn(u32) -> u32,
) -> (&'a mut [Pair], u32) {
    let part = pairs.get(*start..end.min(pairs.len())).unwrap_or_default();
    let (gone, amount) = expired(part, now);
    if gone == 0 {
        return (pairs, 0);
    }
    let rest = start.saturating_add(gone);
    let mut write = *start;
    for read in *start..rest {
        let Some(&Pair { slot, count }) = pairs.get(read) else {
            break;
        };
        let folded = Pair {
            slot: coarser(slot),
            count,
        };
        let newest = match write.checked_sub(1) {
            Some(newest) if newest >= previous_start => pairs.get_mut(newest),
            _ => None,
        };
        match newest {
            Some(newest) if newest.slot == folded.slot => {
                newest.count = newest.count.saturating_add(count)
            }
            _ => {
                if let Some(free) = pairs.get_mut(write) {
                    *free = folded;
                }
                write = write.saturating_add(1);
            }
        }
    }
    pairs.copy_within(rest.., write);
    *start = write;
    let kept = pairs.len().saturating_sub(rest.saturating_sub(write));
    (pairs.get_mut(..kept).unwrap_or_default(), amount)
}

/// Returns how many pairs at the head of a part have left its window by slot `now` of its grid, and
/// what they count.
fn expired(part: &[Pair], now: u32) -> (usize, u32) {
    let (mut pairs, mut amount) = (0_usize, 0_u32);
    for pair in part {
        if now.saturating_sub(pair.slot) <= REACH {
            break;
        }
        pairs = pairs.saturating_add(1);
        amount = amount.saturating_add(pair.count);
    }
    (pairs, amount)
}
