//! Engines for tests, and counters of them as the histories see them.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use aisbreaker_quota::{
    Admitted, Charge, Limits, Refusal, Standings,
    shared::{SharedEngine, SharedOptions, SharedRefusal},
};
use tokio::runtime::Runtime;

use crate::{
    is_up, options,
    oracle::{at, number},
    start,
    subject::Subject,
};

/// Where slots of all windows begin, ten days after the epoch of the store.
const BEGINNING: Duration = Duration::from_secs(864_000);

/// Options for counters with this prefix.
pub(crate) fn patient(prefix: &str) -> SharedOptions {
    let mut options = options();
    prefix.clone_into(&mut options.prefix);
    options
}

/// An engine that has found its store.
pub(crate) async fn engine(url: &str, options: SharedOptions) -> SharedEngine {
    let engine = start(url, options);
    is_up(&engine).await;
    engine
}

/// One counter with a limit per minute.
pub(crate) fn per_minute(key: &str, limit: u32) -> [Charge<&str>; 1] {
    [Charge::new(key, Limits::per_minute(number(limit)))]
}

/// Charges; fails the test if the store does not answer.
pub(crate) async fn charge<const N: usize>(
    engine: &SharedEngine,
    charges: &[Charge<&str>; N],
    weight: u32,
) -> Result<Admitted<N>, Refusal<N>> {
    match engine.charge(charges, number(weight)).await {
        Ok(admitted) => Ok(admitted),
        Err(SharedRefusal::Quota(refusal)) => Err(refusal),
        Err(SharedRefusal::Store(error)) => panic!("{error}"),
    }
}

/// Counters in a store that nobody else uses, and a clock that is set.
pub(crate) struct Store {
    runtime: Runtime,
    engine: SharedEngine,
}

impl Store {
    /// New counters in the store at this address.
    pub(crate) fn new(url: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("history-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let engine = runtime.block_on(engine(url, patient(&prefix)));
        Self { runtime, engine }
    }

    /// What is answered `now` milliseconds after the beginning.
    pub(crate) fn charge_at<const N: usize>(
        &self,
        charges: &[Charge<usize>; N],
        weight: NonZeroU32,
        now: u64,
    ) -> Result<Admitted<N>, Refusal<N>> {
        let answer = self.engine.charge_at(charges, weight, BEGINNING + at(now));
        self.runtime
            .block_on(answer)
            .map_err(|refusal| match refusal {
                SharedRefusal::Quota(refusal) => refusal,
                SharedRefusal::Store(error) => panic!("{error}"),
            })
    }
}

impl Subject for Store {
    const REFUSALS_TELL_THE_TIME: bool = false;

    fn capacity(&self) -> usize {
        usize::MAX
    }

    fn charge<const N: usize>(
        &self,
        charges: &[Charge<usize>; N],
        weight: u32,
        now: u64,
    ) -> Result<Standings<N>, Refusal<N>> {
        self.charge_at(charges, number(weight), now)
            .map(|admitted| *admitted.standings())
    }

    fn peek<const N: usize>(&self, charges: &[Charge<usize>; N], now: u64) -> Standings<N> {
        self.runtime
            .block_on(self.engine.peek_at(charges, BEGINNING + at(now)))
            .unwrap()
    }

    fn sweep(&self, _now: u64) -> bool {
        false
    }

    fn tracked(&self) -> Option<usize> {
        None
    }
}
