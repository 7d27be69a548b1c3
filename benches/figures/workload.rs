//! The quota decisions that are measured: four counters of twelve limits for each of a million
//! clients.

use std::{num::NonZeroU32, time::Instant};

use aisbreaker_quota::{Charge, Engine, Limits};

/// The name of a counter, as the gateway has it: a scope, a key, a client.
pub(crate) type Counter = (u8, [u8; 16], u64);

/// About a million.
pub(crate) const CLIENTS: u64 = 1 << 20;
pub(crate) const KEY: [u8; 16] = [3; 16];
/// A limit that is never reached.
pub(crate) const LIMIT: NonZeroU32 = NonZeroU32::new(4_000_000_000).unwrap();

#[expect(clippy::disallowed_methods, reason = "a measurement owns its clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Decides as for a real request. Returns whether it was admitted.
pub(crate) fn decide(engine: &Engine<Counter>, client: u64, now: Instant) -> bool {
    decide_within(engine, client, now, LIMIT)
}

/// The same, with this limit in every window.
pub(crate) fn decide_within(
    engine: &Engine<Counter>,
    client: u64,
    now: Instant,
    limit: NonZeroU32,
) -> bool {
    engine
        .charge(&charges(client, limit), NonZeroU32::MIN, now)
        .is_ok()
}

/// Reads the counters of a client, which also advances them to `now`.
pub(crate) fn peek(engine: &Engine<Counter>, client: u64, now: Instant) {
    engine.peek(&charges(client, LIMIT), now);
}

fn charges(client: u64, limit: NonZeroU32) -> [Charge<Counter>; 4] {
    let limits = Limits::new(limit.get(), limit.get(), limit.get());
    [
        Charge::new((0, [0; 16], client), limits),
        Charge::new((1, KEY, client), limits),
        Charge::shared((1, KEY, 0), limits),
        Charge::shared((0, [0; 16], 0), limits),
    ]
}

/// Creates an engine that keeps the counters of a client together, as the gateway does.
pub(crate) fn engine(start: Instant) -> Engine<Counter> {
    Engine::with_shard_by(start, 4_000_000, |counter| counter.2)
}

/// Returns clients in a fixed order that no cache predicts.
pub(crate) fn client_numbers() -> impl FnMut() -> u64 + 'static {
    let mut state = 1_u64;
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) % CLIENTS
    }
}
