//! The store and the engine in memory step by step: they answer alike.

use aisbreaker_quota::Charge;
use proptest::{prelude::*, test_runner::TestRunner};

use crate::{
    calls::{Call, KEYS, any_step, calls, like_logs, logs},
    oracle::Log,
    redis_server::RedisServer,
    store::Store,
    subject::{Memory, Subject as _},
};

/// Both, and the time.
struct Pair {
    memory: Memory,
    store: Store,
    now: u64,
    /// The latest time at which a key was in a refused request: the engine in memory has learnt it,
    /// the store has not.
    told: [u64; KEYS],
}

impl Pair {
    fn new(memory: Memory, url: &str) -> Self {
        Self {
            memory,
            store: Store::new(url),
            now: 0,
            told: [0; KEYS],
        }
    }

    /// Charges both and compares the answers, refusals and standings with all that is in them.
    fn charge<const N: usize>(&mut self, charges: &[Charge<usize>; N], weight: u32, now: u64) {
        let told = charges.iter().map(|charge| self.told[*charge.key()]).max();
        let now = now.max(told.unwrap_or(0));
        let (memory, store) = (
            self.memory.charge(charges, weight, now),
            self.store.charge(charges, weight, now),
        );
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
                    self.told[*charge.key()] = now;
                }
            }
            (memory, store) => panic!("at {now}: {memory:?} {store:?}"),
        }
        let (memory, store) = (
            self.memory.peek(charges, now),
            self.store.peek(charges, now),
        );
        assert!(
            memory.iter().eq(store.iter()),
            "at {now}: {memory:?} {store:?}"
        );
    }

    fn play(&mut self, logs: &[Log], call: &Call) {
        self.now = self.now.saturating_add_signed(call.step);
        let limits = call.keys.map(|key| logs[key].limits);
        let charges = call.keys.map(|key| match key {
            0 => Charge::shared(key, logs[key].limits),
            _ => Charge::new(key, logs[key].limits),
        });
        self.charge(&charges, call.weight.under(limits), self.now);
    }
}

#[test]
fn store_and_engine_answer_alike_at_every_step() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let config = ProptestConfig {
        cases: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let histories = (
        prop_oneof![logs(), like_logs()],
        calls(any_step()),
        any::<bool>(),
    );
    let played = TestRunner::new(config).run(&histories, |(logs, calls, with_homes)| {
        let memory = if with_homes {
            Memory::with_homes(KEYS)
        } else {
            Memory::new(KEYS)
        };
        let mut pair = Pair::new(memory, &server.url());
        calls.iter().for_each(|call| pair.play(&logs, call));
        Ok(())
    });
    played.unwrap_or_else(|failure| panic!("{failure}"));
}
