//! What does a decision over twelve limits cost, compared with one and twelve keyed checks of
//! `governor`?
//!
//! Twelve limits are what a request needs: server and key, global and per client, each per minute,
//! hour and day. Both libraries get the same keys. `hot-key` decides for one client again and
//! again, `million-keys` for one of a million at random; `busy` is a client with every slot of its
//! day in use; `after-a-day` is the first decision after an idle day. Two threads are reported as
//! elapsed time per decision of both. `3-rates` has three windows of other lengths.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark owns its clock and stops on faults"
)]

use std::hint::black_box;
use std::num::NonZeroU32;
use std::thread;
use std::time::{Duration, Instant};

use aisbreaker_quota::{
    Charge, Engine, Limits, Rate,
    ledger::{Budget, Ledger, Period, Reservation},
};
use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main,
    measurement::WallTime,
};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

const CLIENTS: u64 = 1_000_000;
const HOT: u64 = 42;

/// A counter as a gateway names it: its scope, the key it belongs to and the client.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Key {
    scope: u8,
    id: [u64; 2],
    client: u64,
}

impl Key {
    fn new(scope: u8, id: u64, client: u64) -> Self {
        Self {
            scope,
            id: [id, !id],
            client,
        }
    }
}

fn wide() -> Limits {
    Limits::per_minute(u32::MAX)
}

fn charges(client: u64, limits: Limits) -> [Charge<Key>; 4] {
    [
        Charge::new(Key::new(1, 0, client), limits),
        Charge::new(Key::new(2, 7, client), limits),
        Charge::shared(Key::new(3, 7, 0), limits),
        Charge::shared(Key::new(4, 0, 0), limits),
    ]
}

fn engine(epoch: Instant) -> Engine<Key> {
    Engine::with_shard_by(epoch, 2_100_000, |key| key.client)
}

fn governor() -> DefaultKeyedRateLimiter<Key> {
    RateLimiter::keyed(Quota::per_second(NonZeroU32::MAX))
}

/// A limit of one per hour.
fn used_up() -> DefaultKeyedRateLimiter<Key> {
    RateLimiter::keyed(Quota::per_hour(NonZeroU32::MIN))
}

/// Returns clients in an order that no cache predicts.
fn scattered(step: u64) -> u64 {
    step.wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .rotate_left(23)
        .wrapping_mul(0xD1B5_4A32_D192_ED03)
        % CLIENTS
}

fn hot_key(criterion: &mut Criterion) {
    let epoch = Instant::now();
    let mut group = criterion.benchmark_group("quota/charge/hot-key");
    group.throughput(Throughput::Elements(1));
    let one = governor();
    group.bench_function("governor-1", |bench| {
        bench.iter(|| one.check_key(black_box(&Key::new(1, 0, HOT))))
    });
    group.bench_function("governor-12", |bench| {
        bench.iter(|| {
            (0..12)
                .filter(|&id| one.check_key(black_box(&Key::new(1, id, HOT))).is_ok())
                .count()
        });
    });

    let engine = engine(epoch);
    let charged = charges(HOT, wide());
    group.bench_function("12-limits", |bench| {
        bench.iter(|| {
            engine
                .charge(black_box(&charged), NonZeroU32::MIN, black_box(epoch))
                .is_ok()
        });
    });
    group.bench_function("12-limits-reading-the-clock", |bench| {
        bench.iter(|| {
            engine
                .charge(black_box(&charged), NonZeroU32::MIN, Instant::now())
                .is_ok()
        });
    });
    group.bench_function("12-limits-one-lock-each", |bench| {
        let engine = Engine::new(epoch, 2_100_000);
        bench.iter(|| {
            engine
                .charge(black_box(&charged), NonZeroU32::MIN, black_box(epoch))
                .is_ok()
        });
    });
    group.bench_function("3-limits", |bench| {
        let [first, ..] = charged;
        bench.iter(|| {
            engine
                .charge(black_box(&[first]), NonZeroU32::MIN, black_box(epoch))
                .is_ok()
        });
    });
    group.bench_function("3-rates", |bench| {
        let engine = Engine::new(epoch, 2_100_000);
        let charged = [1, 60, 604_800].map(|seconds| {
            let rate = Rate::per(Duration::from_secs(seconds), u32::MAX);
            Charge::new(Key::new(1, 0, HOT), rate)
        });
        bench.iter(|| {
            engine
                .charge(black_box(&charged), NonZeroU32::MIN, black_box(epoch))
                .is_ok()
        });
    });
    hot_key_refused(&mut group, &engine, epoch);
    group.finish();
}

fn hot_key_refused(group: &mut BenchmarkGroup<'_, WallTime>, engine: &Engine<Key>, epoch: Instant) {
    let none = used_up();
    let refused = charges(HOT, Limits::per_minute(1));
    group.bench_function("governor-1-refused", |bench| {
        bench.iter(|| none.check_key(black_box(&Key::new(1, 0, HOT))));
    });
    group.bench_function("governor-12-refused", |bench| {
        bench.iter(|| {
            (0..12)
                .filter(|&id| none.check_key(black_box(&Key::new(1, id, HOT))).is_ok())
                .count()
        });
    });
    group.bench_function("12-limits-refused", |bench| {
        bench.iter(|| {
            engine
                .charge(black_box(&refused), NonZeroU32::MIN, black_box(epoch))
                .is_err()
        });
    });
}

fn million_keys(criterion: &mut Criterion) {
    let epoch = Instant::now();
    let mut group = criterion.benchmark_group("quota/charge/million-keys");
    group.throughput(Throughput::Elements(1));
    for (name, one) in [
        ("governor-1", governor()),
        ("governor-1-refused", used_up()),
    ] {
        for client in 0..CLIENTS {
            one.check_key(&Key::new(1, 0, client)).unwrap();
        }
        let mut step = 0;
        group.bench_function(name, |bench| {
            bench.iter(|| {
                step += 1;
                one.check_key(&Key::new(1, 0, scattered(step))).is_ok()
            });
        });
    }
    {
        let twelve: [_; 12] = std::array::from_fn(|_| governor());
        let mut step = 0;
        group.bench_function("governor-12", |bench| {
            bench.iter(|| {
                step += 1;
                let key = Key::new(1, 0, scattered(step));
                twelve
                    .iter()
                    .filter(|one| one.check_key(&key).is_ok())
                    .count()
            });
        });
    }
    let engine = engine(epoch);
    for client in 0..CLIENTS {
        engine
            .charge(&charges(client, wide()), NonZeroU32::MIN, epoch)
            .unwrap();
    }
    let mut step = 0;
    group.bench_function("12-limits", |bench| {
        bench.iter(|| {
            step += 1;
            engine
                .charge(&charges(scattered(step), wide()), NonZeroU32::MIN, epoch)
                .is_ok()
        });
    });
    group.bench_function("12-limits-refused", |bench| {
        bench.iter(|| {
            step += 1;
            let charged = charges(scattered(step), Limits::per_minute(1));
            engine.charge(&charged, NonZeroU32::MIN, epoch).is_err()
        });
    });
    group.bench_function("sweep-step", |bench| bench.iter(|| engine.sweep(epoch)));
    group.finish();
}

fn two_threads(criterion: &mut Criterion) {
    let epoch = Instant::now();
    let mut group = criterion.benchmark_group("quota/charge/two-threads");
    group.throughput(Throughput::Elements(1));
    let one = governor();
    group.bench_function("hot-key/governor-1", |bench| {
        bench.iter_custom(|rounds| {
            both(rounds, &|_| {
                one.check_key(black_box(&Key::new(1, 0, HOT))).is_ok()
            })
        });
    });
    let engine = engine(epoch);
    let charged = charges(HOT, wide());
    group.bench_function("hot-key/12-limits", |bench| {
        bench.iter_custom(|rounds| {
            both(rounds, &|_| {
                engine
                    .charge(black_box(&charged), NonZeroU32::MIN, epoch)
                    .is_ok()
            })
        });
    });
    group.bench_function("hot-key/governor-12", |bench| {
        bench.iter_custom(|rounds| {
            both(rounds, &|_| {
                (0..12)
                    .filter(|&id| one.check_key(black_box(&Key::new(1, id, HOT))).is_ok())
                    .count()
                    == 12
            })
        });
    });
    group.bench_function("hot-key/12-limits-refused", |bench| {
        let used_up = charges(HOT, Limits::per_minute(1));
        bench.iter_custom(|rounds| {
            both(rounds, &|_| {
                engine
                    .charge(black_box(&used_up), NonZeroU32::MIN, epoch)
                    .is_ok()
            })
        });
    });
    two_threads_many_keys(&mut group, &one, &engine, epoch);
    group.finish();
}

fn two_threads_many_keys(
    group: &mut BenchmarkGroup<'_, WallTime>,
    one: &DefaultKeyedRateLimiter<Key>,
    engine: &Engine<Key>,
    epoch: Instant,
) {
    group.bench_function("many-keys/governor-1", |bench| {
        bench.iter_custom(|rounds| {
            both(rounds, &|step| {
                one.check_key(&Key::new(1, 0, scattered(step) % 10_000))
                    .is_ok()
            })
        });
    });
    group.bench_function("many-keys/12-limits", |bench| {
        bench.iter_custom(|rounds| {
            both(rounds, &|step| {
                engine
                    .charge(
                        &charges(scattered(step) % 10_000, wide()),
                        NonZeroU32::MIN,
                        epoch,
                    )
                    .is_ok()
            })
        });
    });
}

/// Measures the time until two threads have made `rounds` calls together.
fn both(rounds: u64, call: &(dyn Fn(u64) -> bool + Sync)) -> Duration {
    let start = Instant::now();
    thread::scope(|scope| {
        for thread in 0..2 {
            scope.spawn(move || {
                for step in 0..rounds.div_ceil(2) {
                    black_box(call(2 * step + thread));
                }
            });
        }
    });
    start.elapsed()
}

fn long_lists(criterion: &mut Criterion) {
    let epoch = Instant::now();
    let mut group = criterion.benchmark_group("quota/charge/long-lists");
    group.throughput(Throughput::Elements(1));
    let charged = charges(HOT, wide());
    let slot = Duration::from_millis(600);
    let day = Duration::from_secs(86_400);
    let engine = engine(epoch);
    let mut now = epoch;
    while now < epoch + day {
        engine.charge(&charged, NonZeroU32::MIN, now).unwrap();
        now += slot;
    }
    group.bench_function("busy/12-limits", |bench| {
        bench.iter(|| {
            engine
                .charge(black_box(&charged), NonZeroU32::MIN, now)
                .is_ok()
        });
    });
    group.bench_function("busy/12-limits-new-slot-each-time", |bench| {
        bench.iter(|| {
            now += slot;
            engine
                .charge(black_box(&charged), NonZeroU32::MIN, now)
                .is_ok()
        });
    });
    group.bench_function("after-a-day/12-limits", |bench| {
        let fill = || {
            for _ in 0..300 {
                now += slot;
                engine.charge(&charged, NonZeroU32::MIN, now).unwrap();
            }
            now += 2 * day;
            now
        };
        bench.iter_batched(
            fill,
            |now| engine.charge(&charged, NonZeroU32::MIN, now).is_ok(),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// A reservation and its settlement: tokens and dollars, of a client and of all.
fn budgets(criterion: &mut Criterion) {
    let now = Instant::now();
    let mut group = criterion.benchmark_group("quota/ledger/reserve-and-settle");
    group.throughput(Throughput::Elements(1));
    let ledger = Ledger::new(now, 10);
    let of = |periods: &[Period]| {
        let with = |budget: Budget, period: &Period| budget.with(*period, Budget::MAX);
        periods.iter().fold(Budget::unlimited(), with)
    };
    let tokens = of(&[Period::Minute, Period::Hour, Period::Day]);
    let reservations = [
        Reservation::new(Key::new(1, 7, HOT), tokens, 5_000),
        Reservation::new(Key::new(2, 7, HOT), of(&[Period::Day]), 60_000_000),
        Reservation::new(Key::new(3, 7, 0), tokens, 5_000),
        Reservation::new(
            Key::new(4, 7, 0),
            of(&[Period::Day, Period::Month, Period::Lifetime]),
            60_000_000,
        ),
    ];
    for (name, count) in [("one-account", 1), ("four-accounts", 4)] {
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let receipt = ledger.reserve(black_box(&reservations[..count]), now);
                ledger.settle(receipt.unwrap(), black_box(&[700; 4]), now);
            });
        });
    }
    group.finish();
}

criterion_group!(
    benches,
    hot_key,
    million_keys,
    two_threads,
    long_lists,
    budgets
);
criterion_main!(benches);
