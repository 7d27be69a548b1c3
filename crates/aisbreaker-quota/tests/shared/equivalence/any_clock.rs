//! Random histories on clocks that also step back: store and memory agree at every step.

use aisbreaker_quota::Charge;
use proptest::{prelude::*, test_runner::TestRunner};

use crate::{
    oracle::Log,
    redis_server::RedisServer,
    store::Store,
    strategies::{Call, KEYS, any_step, calls, logs, logs_with_equal_limits},
    subject::{Memory, Subject as _},
};

/// Both engines, and the time.
struct Pair {
    memory: Memory,
    store: Store,
    now: u64,
    /// The latest time of a refused request with each key. Refusals advance the counters in memory,
    /// but not those in the store.
    refused_at: [u64; KEYS],
}

impl Pair {
    fn new(memory: Memory, server: &RedisServer) -> Self {
        Self {
            memory,
            store: Store::new(server),
            now: 0,
            refused_at: [0; KEYS],
        }
    }

    fn play(&mut self, logs: &[Log], call: &Call) {
        self.now = self.now.saturating_add_signed(call.step);
        let limits = call.keys.map(|key| logs[key].limits);
        let charges = call.keys.map(|key| match key {
            0 => Charge::shared(key, logs[key].limits),
            _ => Charge::new(key, logs[key].limits),
        });
        self.charge(&charges, call.weight.under(limits));
    }

    /// Charges both, and compares the results with everything in them.
    fn charge<const N: usize>(&mut self, charges: &[Charge<usize>; N], weight: u32) {
        let refused_at = charges
            .iter()
            .map(|charge| self.refused_at[*charge.key()])
            .max();
        let now = self.now.max(refused_at.unwrap_or(0));
        let memory = self.memory.charge(charges, weight, now);
        let store = self.store.charge(charges, weight, now);
        match (&memory, &store) {
            (Ok(memory), Ok(store)) => {
                assert!(
                    memory.iter().eq(store.iter()),
                    "at {now}: {memory:?} {store:?}"
                );
            }
            (Err(memory), Err(store)) => {
                assert_eq!(format!("{memory}"), format!("{store}"), "at {now}");
                for charge in charges {
                    self.refused_at[*charge.key()] = now;
                }
            }
            (memory, store) => panic!("at {now}: {memory:?} {store:?}"),
        }
        let memory = self.memory.peek(charges, now);
        let store = self.store.peek(charges, now);
        assert!(
            memory.iter().eq(store.iter()),
            "at {now}: {memory:?} {store:?}"
        );
    }
}

#[test]
fn store_and_memory_agree_at_every_step() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let config = ProptestConfig {
        cases: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let histories = (
        prop_oneof![logs(), logs_with_equal_limits()],
        calls(any_step()),
        any::<bool>(),
    );
    let played = TestRunner::new(config).run(&histories, |(logs, calls, is_sharded)| {
        let memory = if is_sharded {
            Memory::sharded(KEYS)
        } else {
            Memory::new(KEYS)
        };
        let mut pair = Pair::new(memory, &server);
        for call in &calls {
            pair.play(&logs, call);
        }
        Ok(())
    });
    played.unwrap_or_else(|failure| panic!("{failure}"));
}
