//! What does a decision over twelve limits cost in a shared store, compared with twelve GCRA checks
//! in one Lua script and with `PING`?
//!
//! Client and server share the processors of this machine. With 64 operations in flight the time is
//! that per operation; with one it is that of a round trip. Without a Redis or Valkey server
//! nothing is measured, and a message says so.

use std::{hint::black_box, time::Duration};

use aisbreaker_benches::store::{Operation, Store};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn redis(criterion: &mut Criterion) {
    let Some(store) = Store::start() else { return };
    let operations = [
        ("charge/admitted", Operation::Charge),
        ("charge/refused", Operation::Refused),
        ("gcra-12", Operation::Gcra),
        ("ping", Operation::Ping),
    ];
    let mut group = criterion.benchmark_group("redis");
    group
        .throughput(Throughput::Elements(1))
        .measurement_time(Duration::from_secs(3));
    for (name, operation) in operations {
        for (flight, in_flight) in [("one-in-flight", 1), ("64-in-flight", 64)] {
            group.bench_function(format!("{name}/{flight}"), |bench| {
                bench.iter_custom(|count| {
                    // `each` operations per task in flight; the result is the time of `count`.
                    let each = count.div_ceil(u64::from(in_flight));
                    let time = store.elapsed(operation, in_flight, each);
                    let share = Duration::from_nanos(
                        u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) / each,
                    );
                    black_box(share) * u32::try_from(count).unwrap_or(u32::MAX) / in_flight
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, redis);
criterion_main!(benches);
