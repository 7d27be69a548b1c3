//! Ageing of a list: pairs that leave one window become pairs of the next coarser grid, and in the
//! end nothing.

use super::Pair;
use crate::limits::Window;
use crate::slots::{REACH, coarse, day_of_hour, hour_of_fine};

/// Brings a whole list up to fine slot `now`. Returns how many pairs are kept and how much left
/// each window.
pub(super) fn settle(
    pairs: &mut [Pair],
    hours: &mut usize,
    minutes: &mut usize,
    now: u32,
) -> (usize, [u32; 3]) {
    let (pairs, from_minute) = fold(pairs, *hours, minutes, usize::MAX, now, hour_of_fine);
    let now = coarse(now, Window::Hour);
    let before = pairs.len();
    let (pairs, from_hour) = fold(pairs, 0, hours, *minutes, now, day_of_hour);
    *minutes = minutes.saturating_sub(before.saturating_sub(pairs.len()));
    let now = day_of_hour(now);
    let (gone, from_day) = leaving(pairs.get(..*hours).unwrap_or_default(), now);
    if gone > 0 {
        pairs.copy_within(gone.., 0);
        *hours = hours.saturating_sub(gone);
        *minutes = minutes.saturating_sub(gone);
    }
    (
        pairs.len().saturating_sub(gone),
        [from_minute, from_hour, from_day],
    )
}

/// Turns the pairs in `start..end` that have left their window into pairs of the next coarser grid,
/// at the end of the part before them, which begins at `older`; moves `start` behind them. Returns
/// what is kept and how much left.
fn fold<'a>(
    pairs: &'a mut [Pair],
    older: usize,
    start: &mut usize,
    end: usize,
    now: u32,
    coarser: impl Fn(u32) -> u32,
) -> (&'a mut [Pair], u32) {
    let part = pairs.get(*start..end.min(pairs.len())).unwrap_or_default();
    let (gone, amount) = leaving(part, now);
    if gone == 0 {
        return (pairs, 0);
    }
    let rest = start.saturating_add(gone);
    let mut write = *start;
    for read in *start..rest {
        let Some(&Pair { slot, count }) = pairs.get(read) else {
            break;
        };
        let pair = Pair {
            slot: coarser(slot),
            count,
        };
        match write
            .checked_sub(1)
            .filter(|&newest| newest >= older)
            .and_then(|newest| pairs.get_mut(newest))
        {
            Some(newest) if newest.slot == pair.slot => {
                newest.count = newest.count.saturating_add(count)
            }
            _ => {
                if let Some(free) = pairs.get_mut(write) {
                    *free = pair;
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

/// How many pairs at the head of a part have left its window by slot `now` of its grid, and what
/// they count.
fn leaving(part: &[Pair], now: u32) -> (usize, u32) {
    let gone = part
        .iter()
        .take_while(|pair| now.saturating_sub(pair.slot) > REACH);
    gone.fold((0, 0), |(pairs, amount), pair| {
        (pairs.saturating_add(1), amount.saturating_add(pair.count))
    })
}
