//! What a lease decides without the store, and when it does not.

use super::{local::StandingsAt, *};
use crate::{
    outcome::Refusal,
    slots::Moment,
    standings::{CellState, Standing, Standings},
    window::Window,
};

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn charges() -> [Charge<&'static str>; 1] {
    [Charge::new("one", Limits::per_minute(10))]
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A counter that counts `used`, charged and read one second after the store's epoch.
fn standings_at(used: u32, begun: Instant) -> StandingsAt {
    let state = CellState {
        used: [used; 3],
        slots: [1, 0, 0],
        hours_start: 0,
        minutes_start: 0,
    };
    StandingsAt {
        begun,
        now: Moment::at(millis(1_000)),
        states: vec![state],
    }
}

fn permits(until: Instant, begun: Instant) -> Permits {
    Permits {
        left: 5,
        until,
        standings: standings_at(6, begun),
    }
}

fn per_minute<const N: usize>(standings: &Standings<N>) -> Standing {
    standings.of(0, Window::Minute).unwrap()
}

#[test]
fn permits_are_used_one_by_one_until_their_slot_ends() {
    let now = Instant::now();
    let mut lease = Lease {
        local: Some(LocalDecision::Admit(permits(now + millis(200), now))),
        ..Lease::default()
    };
    let mut decide = |weight, after| lease.decide(&charges(), number(weight), now + millis(after));

    // One was charged and five are held: of ten, nine are left, and less with each that is used.
    for (weight, after, remaining, reset) in
        [(1, 0, 8, 60_200), (2, 150, 6, 60_050), (1, 199, 5, 60_001)]
    {
        let standing = per_minute(decide(weight, after).unwrap().unwrap().standings());
        assert_eq!(
            (standing.remaining, standing.reset),
            (remaining, millis(reset)),
            "{after}"
        );
    }
    assert_eq!(decide(2, 199), None, "only one is left");
    assert_eq!(decide(1, 200), None, "the slot has ended");
}

#[test]
fn refusal_is_repeated_for_50_ms_for_the_same_weight() {
    let now = Instant::now();
    let refusal = |wait| RepeatedRefusal {
        charge: 0,
        window: Window::Minute,
        limit: number(10),
        remaining: 0,
        retry_after: millis(wait),
        weight: number(3),
        standings: standings_at(10, now),
    };
    for (name, wait, weight, after, expected) in [
        ("at once", 900, 3, 0, Some(900)),
        ("later, with a shorter wait", 900, 3, 49, Some(851)),
        ("too late", 900, 3, 50, None),
        ("another weight", 900, 2, 0, None),
        ("before its wait is over", 20, 3, 19, Some(1)),
        ("when its wait is over", 20, 3, 20, None),
    ] {
        let repeated = refusal(wait).repeat(&charges(), number(weight), now + millis(after));
        let waits = repeated.map(|refusal| match refusal {
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
        assert_eq!(waits, expected.map(millis), "{name}");
    }
}

#[test]
fn expected_charges_follow_this_period_or_the_previous_one() {
    let now = Instant::now();
    let mut rate = Rate::default();
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
        // A pause resets the estimate.
        (9_000, 0),
    ] {
        assert_eq!(rate.expected(now + millis(after)), expected, "{after}");
    }
}

#[test]
fn quiet_groups_are_evicted_and_those_in_use_are_kept() {
    let now = Instant::now();
    let group = |name: &str| Group {
        names: vec![name.to_owned()],
        limits: Vec::new(),
    };
    let lease = |local, period_start| {
        let rate = Rate {
            period_start,
            charges: [1, 0],
        };
        Arc::new(Mutex::new(Lease { local, rate }))
    };
    let locked = lease(None, None);
    let _guard = locked.try_lock().unwrap();
    let mut groups = Groups::default();
    for (name, lease) in [
        ("new", lease(None, None)),
        (
            "holds",
            lease(Some(LocalDecision::Admit(permits(now, now))), None),
        ),
        ("busy", lease(None, Some(now))),
        ("quiet", lease(None, now.checked_sub(millis(601)))),
        ("locked", Arc::clone(&locked)),
    ] {
        groups.leases.insert(group(name), lease);
    }

    groups.evict_quiet(now);
    let mut left: Vec<_> = groups
        .leases
        .keys()
        .map(|group| group.names.concat())
        .collect();
    left.sort_unstable();
    assert_eq!(left, ["busy", "holds", "locked"]);

    // The next eviction waits until others can have become quiet.
    groups.leases.insert(group("new"), lease(None, None));
    groups.evict_quiet(now + millis(599));
    assert_eq!(groups.leases.len(), 4);
    groups.evict_quiet(now + millis(600));
    assert!(!groups.leases.contains_key(&group("new")));
}
