//! Chains of counters: a child is charged together with everything above it, or not at all.

use std::array;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use aisbreaker_quota::{Charge, Engine, Limits, Window};
use proptest::prelude::*;

use crate::oracle::{number, some_instant as epoch};

const CHILDREN: u32 = 1_000;
const THREADS: u32 = 8;
const PLENTY: u32 = 1_000_000;

/// Returns the charges of a child below `N / 2 - 1` levels: per client, then for all clients.
/// Counter 0 is that of the first level, and a child's has a number from `CHILDREN` on.
fn chain<const N: usize>(child: u32, limit: u32) -> [Charge<u32>; N] {
    let levels = u32::try_from(N / 2).unwrap();
    array::from_fn(|index| {
        let level = u32::try_from(index).unwrap() % levels;
        let is_child = level + 1 == levels;
        let key = if is_child { CHILDREN + child } else { level };
        let limit = if level == 0 { limit } else { PLENTY };
        let limits = Limits::per_day(limit);
        if index < N / 2 {
            Charge::new(key, limits)
        } else {
            Charge::shared(key, limits)
        }
    })
}

/// Charges every child from many threads, three times each. Returns how many requests were
/// admitted, and what the counters of all children, and those of each level above, count.
fn totals<const N: usize>(limit: u32) -> (u32, u32, Vec<u32>) {
    let now = epoch();
    let engine = Engine::new(now, 10_000);
    let admitted = AtomicU32::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (engine, admitted) = (&engine, &admitted);
            scope.spawn(move || {
                for step in 0..3 * CHILDREN / THREADS {
                    let child = (step * THREADS + thread) * 7 % CHILDREN;
                    let charges = chain::<N>(child, limit);
                    if engine.charge(&charges, number(1), now).is_ok() {
                        admitted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let used = |charge: &Charge<u32>| {
        let standing = engine.peek(&[*charge], now).of(0, Window::Day).unwrap();
        standing.limit.get() - standing.remaining
    };
    let of_children = (0..CHILDREN).map(|child| used(&chain::<N>(child, limit)[N - 1]));
    let above = (0..N).filter(|index| index % (N / 2) + 1 < N / 2);
    let counted = above.map(|index| used(&chain::<N>(0, limit)[index]));
    (admitted.into_inner(), of_children.sum(), counted.collect())
}

#[test]
fn a_thousand_children_together_are_admitted_exactly_the_limit_above_them() {
    let rows = [
        totals::<4>(400),
        totals::<6>(400),
        totals::<8>(400),
        totals::<10>(400),
    ];
    for (admitted, by_children, above) in rows {
        assert_eq!((admitted, by_children), (400, 400));
        for counted in above {
            assert_eq!(counted, 400, "a refusal leaves no charge");
        }
    }
}

/// A key: what it was made from, and its limit.
#[derive(Clone, Debug)]
struct Node {
    parent: Option<usize>,
    limit: u32,
}

/// A tree of keys, each made from an earlier one or from none.
fn trees() -> impl Strategy<Value = Vec<Node>> {
    let nodes = prop::collection::vec((any::<prop::sample::Index>(), 1_u32..12), 1..30);
    nodes.prop_map(|nodes| {
        let mut tree = Vec::new();
        for (index, (parent, limit)) in nodes.into_iter().enumerate() {
            let parent = parent.index(index + 1);
            tree.push(Node {
                parent: (parent < index).then_some(parent),
                limit,
            });
        }
        tree
    })
}

/// Returns a key and everything above it, at most four levels.
fn line(tree: &[Node], key: usize) -> Vec<usize> {
    let up = |key: &usize| tree[*key].parent;
    std::iter::successors(Some(key), up).take(4).collect()
}

fn charge(engine: &Engine<usize>, tree: &[Node], line: &[usize], now: Instant) -> bool {
    let of = |key: usize| Charge::new(key, Limits::per_hour(tree[key].limit));
    let weight = number(1);
    match *line {
        [a] => engine.charge(&[of(a)], weight, now).is_ok(),
        [a, b] => engine.charge(&[of(a), of(b)], weight, now).is_ok(),
        [a, b, c] => engine.charge(&[of(a), of(b), of(c)], weight, now).is_ok(),
        [a, b, c, d] => {
            let charges = [of(a), of(b), of(c), of(d)];
            engine.charge(&charges, weight, now).is_ok()
        }
        _ => unreachable!("a line has one to four keys"),
    }
}

proptest! {
    #[test]
    fn a_key_is_admitted_if_and_only_if_everything_above_it_has_room(
        tree in trees(),
        calls in prop::collection::vec(any::<prop::sample::Index>(), 1..120),
    ) {
        let now = epoch();
        let engine = Engine::new(now, 1_000);
        let mut used = vec![0; tree.len()];
        for call in calls {
            let line = line(&tree, call.index(tree.len()));
            let has_room = line.iter().all(|key| used[*key] < tree[*key].limit);
            prop_assert_eq!(charge(&engine, &tree, &line, now), has_room);
            if has_room {
                for key in line {
                    used[key] += 1;
                }
            }
            for (key, used) in used.iter().enumerate() {
                let limits = Limits::per_hour(tree[key].limit);
                let standing = engine.peek(&[Charge::new(key, limits)], now);
                let remaining = standing.of(0, Window::Hour).unwrap().remaining;
                prop_assert_eq!(remaining, tree[key].limit - used, "key {}", key);
            }
        }
    }
}
