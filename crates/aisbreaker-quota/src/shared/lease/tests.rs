//! What a lease answers by itself, and when it does not.

use super::*;
use crate::{Standing, slots::Moment};

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn charges() -> [Charge<&'static str>; 1] {
    [Charge::new("one", Limits::per_minute(number(10)))]
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A counter that counts so much, charged in the slot of a second after the beginning, and asked
/// for then.
fn seen(used: u32, asked: Instant) -> Seen {
    let state = CellState {
        used: [used; 3],
        slots: [1, 0, 0],
        hours: 0,
        minutes: 0,
    };
    Seen {
        asked,
        now: Moment::at(millis(1_000)),
        states: vec![state],
    }
}

fn per_minute<const N: usize>(standings: &Standings<N>) -> Standing {
    standings.of(0, Window::Minute).unwrap()
}

#[test]
fn charges_in_advance_are_used_one_by_one_until_their_slot_is_over() {
    let now = Instant::now();
    let permits = Permits {
        left: 5,
        until: now + millis(200),
        seen: seen(6, now),
    };
    let mut lease = Lease {
        held: Some(Held::Permits(permits)),
        ..Lease::default()
    };
    let mut answer = |weight, after| lease.answer(&charges(), number(weight), now + millis(after));

    // One was charged and five are held: of ten, nine are left, and less with each that is used.
    for (weight, after, remaining, reset) in
        [(1, 0, 8, 60_200), (2, 150, 6, 60_050), (1, 199, 5, 60_001)]
    {
        let standing = per_minute(answer(weight, after).unwrap().unwrap().standings());
        assert_eq!(
            (standing.remaining, standing.reset),
            (remaining, millis(reset)),
            "{after}"
        );
    }
    assert_eq!(answer(2, 199), None, "only one is left");
    assert_eq!(answer(1, 200), None, "the slot is over");
}

#[test]
fn refusal_is_repeated_for_50_ms_for_the_same_weight_only_and_its_wait_goes_down() {
    let now = Instant::now();
    let refused = |wait| Refused {
        charge: 0,
        window: Window::Minute,
        limit: number(10),
        remaining: 0,
        retry_after: millis(wait),
        weight: number(3),
        seen: seen(10, now),
    };
    for (name, wait, weight, after, expected) in [
        ("at once", 900, 3, 0, Some(900)),
        ("later", 900, 3, 49, Some(851)),
        ("too late", 900, 3, 50, None),
        ("another weight", 900, 2, 0, None),
        ("before its wait is over", 20, 3, 19, Some(1)),
        ("when its wait is over", 20, 3, 20, None),
    ] {
        let repeated = refused(wait).repeated(&charges(), number(weight), now + millis(after));
        let told = repeated.map(|refusal| match refusal {
            Refusal::Exceeded {
                retry_after,
                standings,
                ..
            } => {
                assert_eq!(
                    per_minute(&standings).reset,
                    millis(60_200 - after),
                    "{name}"
                );
                retry_after
            }
            Refusal::TooHeavy { .. } => panic!("{name}: {refusal}"),
        });
        assert_eq!(told, expected.map(millis), "{name}");
    }
}

#[test]
fn as_many_are_expected_as_came_in_this_period_or_the_one_before() {
    let now = Instant::now();
    let mut lease = Lease::default();
    for (after, expected) in [
        (0, 0),
        (1, 1),
        (2, 2),
        // The next period; as many as before.
        (600, 2),
        (601, 2),
        (1_200, 1),
        // Once per period: none in advance, from the second on.
        (1_800, 0),
        (2_400, 0),
        (2_401, 1),
        // A pause forgets.
        (9_000, 0),
    ] {
        assert_eq!(lease.expected(now + millis(after)), expected, "{after}");
    }
}

#[test]
fn groups_that_are_quiet_are_forgotten_when_there_are_too_many_and_those_in_use_are_not() {
    let now = Instant::now();
    let group = |name: &str| Group {
        keys: vec![name.to_owned()],
        limits: Vec::new(),
    };
    let used = |held, period| {
        Arc::new(Turn::new(Lease {
            held,
            period,
            charges: [1, 0],
        }))
    };
    let permits = Permits {
        left: 5,
        until: now,
        seen: seen(6, now),
    };
    let locked = used(None, None);
    let _turn = locked.try_lock().unwrap();
    let mut groups = Groups::default();
    for (name, lease) in [
        ("new", used(None, None)),
        ("holds", used(Some(Held::Permits(permits)), None)),
        ("busy", used(None, Some(now))),
        ("quiet", used(None, now.checked_sub(millis(601)))),
        ("locked", Arc::clone(&locked)),
    ] {
        groups.known.insert(group(name), lease);
    }

    groups.clear(now);
    let mut left: Vec<_> = groups
        .known
        .keys()
        .map(|group| group.keys.concat())
        .collect();
    left.sort_unstable();
    assert_eq!(left, ["busy", "holds", "locked"]);

    // It is not tried again before others can have become quiet.
    groups.known.insert(group("new"), used(None, None));
    groups.clear(now + millis(599));
    assert_eq!(groups.known.len(), 4);
    groups.clear(now + millis(600));
    assert!(!groups.known.contains_key(&group("new")));
}
