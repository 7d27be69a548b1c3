//! Counters in a store, as a subject of the random histories.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use aisbreaker_quota::{
    Charge, Limits, Refusal, Standings,
    shared::{SharedEngine, SharedRefusal},
};
use tokio::runtime::Runtime;

use crate::{
    oracle::{at, number},
    redis_server::RedisServer,
    subject::Subject,
    support::{connect, options_with_prefix},
};

/// Where slots of all windows begin: ten days after the store's epoch.
const EPOCH: Duration = Duration::from_secs(864_000);

/// Counters in a store that no other test uses, with a set clock.
pub(crate) struct Store {
    runtime: Runtime,
    engine: SharedEngine,
}

impl Store {
    /// Creates new counters in the store of this server.
    pub(crate) fn new(server: &RedisServer) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("history-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let engine = runtime.block_on(connect(server, options_with_prefix(&prefix)));
        Self { runtime, engine }
    }
}

impl Subject for Store {
    type Limits = Limits;

    const REFUSALS_ADVANCE_COUNTERS: bool = false;

    fn capacity(&self) -> usize {
        usize::MAX
    }

    fn charge<const N: usize>(
        &self,
        charges: &[Charge<usize>; N],
        weight: u32,
        now: u64,
    ) -> Result<Standings<N>, Refusal<N>> {
        let charge = self
            .engine
            .charge_at(charges, number(weight), EPOCH + at(now));
        match self.runtime.block_on(charge) {
            Ok(admitted) => Ok(*admitted.standings()),
            Err(SharedRefusal::Quota(refusal)) => Err(refusal),
            Err(SharedRefusal::Store(error)) => panic!("{error}"),
        }
    }

    fn peek<const N: usize>(&self, charges: &[Charge<usize>; N], now: u64) -> Standings<N> {
        self.runtime
            .block_on(self.engine.peek_at(charges, EPOCH + at(now)))
            .unwrap()
    }

    fn sweep(&self, _now: u64) -> bool {
        false
    }

    fn tracked(&self) -> Option<usize> {
        None
    }
}
