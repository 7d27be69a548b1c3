//! Totals that a crash does not lower: random lives of servers, each of which ends by one.

use std::{
    io,
    pin::pin,
    task::{Context, Waker},
};

use aisbreaker_quota::ledger::Ledger;
use futures_util::{FutureExt as _, future::join_all};

use super::*;
use crate::budgets::{
    MAX_ACCOUNTS,
    account::AccountId,
    ceilings::{CeilingLog, NotRecorded, SavedCeilings},
};

/// The budget in nano-dollars.
const LIMIT: u64 = 10_000_000;

/// Random numbers that are the same in every run (SplitMix64).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// A file that crashes and fails at random moments, and has then what was synced and any part of
/// what was not.
#[derive(Debug)]
struct FakeFile(Mutex<FakeContent>);

#[derive(Debug)]
struct FakeContent {
    bytes: Vec<u8>,
    /// Where what is appended next begins.
    end: usize,
    random: Random,
    /// One in so many calls crashes; another one fails.
    crash_in: u64,
    is_crashed: bool,
    calls: usize,
}

impl FakeFile {
    fn new(bytes: Vec<u8>, crash_in: u64, random: Random) -> Arc<Self> {
        let end = SavedCeilings::read(&bytes).readable_len();
        Arc::new(Self(Mutex::new(FakeContent {
            bytes,
            end,
            random,
            crash_in,
            is_crashed: false,
            calls: 0,
        })))
    }

    fn content(&self) -> std::sync::MutexGuard<'_, FakeContent> {
        self.0.lock().unwrap()
    }
}

impl FakeContent {
    /// Returns whether the call succeeds, and otherwise whether anything of it was done.
    fn begin(&mut self) -> Result<(), bool> {
        self.calls += 1;
        if self.is_crashed {
            return Err(false);
        }
        let crash_in = self.crash_in;
        match self.random.below(crash_in) {
            0 => self.is_crashed = true,
            1 if crash_in > 1 => {}
            _ => return Ok(()),
        }
        Err(self.random.below(2) == 0)
    }
}

impl CeilingLog for FakeFile {
    fn append(&self, records: &[u8]) -> io::Result<()> {
        let mut content = self.content();
        let end = content.end;
        let outcome = content.begin();
        let written = match outcome {
            Ok(()) => records.len(),
            Err(true) => {
                let most = u64::try_from(records.len()).unwrap() + 1;
                usize::try_from(content.random.below(most)).unwrap()
            }
            Err(false) => return Err(io::ErrorKind::StorageFull.into()),
        };
        content.bytes.truncate(end);
        content.bytes.extend_from_slice(&records[..written]);
        if outcome.is_ok() {
            content.end += written;
            return Ok(());
        }
        Err(io::ErrorKind::StorageFull.into())
    }

    fn replace(&self, records: &[u8]) -> io::Result<()> {
        let mut content = self.content();
        let outcome = content.begin();
        if outcome != Err(false) {
            content.bytes = records.to_vec();
            content.end = records.len();
        }
        outcome.map_err(|_done| io::ErrorKind::StorageFull.into())
    }
}

/// What outlives a server, and what its provider has charged.
#[derive(Debug, Default)]
struct World {
    state: Option<Vec<u8>>,
    ceilings: Vec<u8>,
    spent: u64,
    crashes: usize,
}

fn key_with_total() -> Key {
    key(&json!({"global": {"usdTotal": "0.01"}}))
}

fn start(state: Option<&[u8]>, file: Option<Arc<FakeFile>>) -> Budgets {
    let (mut budgets, clock) = budgets();
    let now = (clock.monotonic(), clock.wall());
    let ledger = match state {
        Some(bytes) => Ledger::restore(bytes, now, MAX_ACCOUNTS, AccountId::decode).unwrap(),
        None => Ledger::new(now.0, MAX_ACCOUNTS),
    };
    let memory = MemoryLedger::new(ledger);
    let memory = match file {
        Some(file) => {
            let saved = SavedCeilings::read(&file.content().bytes);
            memory.with_ceilings(file, saved, now)
        }
        None => memory,
    };
    budgets.ledgers = Ledgers::Memory(Arc::new(memory));
    budgets
}

async fn blocking<T: Send + 'static>(
    budgets: &Budgets,
    call: impl FnOnce(&Ledgers, SystemTime) -> T + Send + 'static,
) -> T {
    let (ledgers, wall) = (budgets.ledgers.clone(), budgets.clock.wall());
    tokio::task::spawn_blocking(move || call(&ledgers, wall))
        .await
        .unwrap()
}

impl World {
    /// Runs one server until it crashes or ends in order.
    async fn live(&mut self, random: &mut Random, with_ceilings: bool) {
        let seed = Random(random.below(u64::MAX));
        let file = FakeFile::new(std::mem::take(&mut self.ceilings), 40, seed);
        let log = with_ceilings.then(|| Arc::clone(&file));
        let budgets = start(self.state.as_deref(), log);
        let (key, mut in_flight) = (key_with_total(), Vec::new());
        if with_ceilings {
            let counted = used(&budgets, &key).await;
            assert!(counted >= self.spent, "{counted} of {}", self.spent);
        }
        let mut has_ended = false;
        for _ in 0..random.below(25) {
            match random.below(12) {
                0 => {
                    self.write_state(&budgets);
                    let _failed = blocking(&budgets, |ledgers, wall| {
                        ledgers.ceilings().map(|ceilings| ceilings.compact(wall))
                    })
                    .await;
                }
                1 if random.below(3) == 0 => {
                    has_ended = self.end(&budgets, &mut in_flight, random).await;
                    break;
                }
                2 | 3 => self.finish_one(&mut in_flight, random),
                _ => {
                    let body = json!({"max_tokens": random.below(40) + 1, "messages": []});
                    let reserved = reserve(&budgets, &key, "gpt-4o", &body).await;
                    // Nothing goes out of a server that has crashed.
                    if let (Ok(mut hold), false) = (reserved, file.content().is_crashed) {
                        hold.note_call();
                        in_flight.push(*hold);
                    }
                }
            }
            if file.content().is_crashed {
                break;
            }
        }
        self.crashes += usize::from(!has_ended);
        // Providers may charge for all that was under way. The ledger is gone.
        for mut hold in in_flight {
            self.spent += hold.settle(Outcome::Unknown).unwrap().nanos;
        }
        self.ceilings = file.content().bytes.clone();
    }

    fn finish_one(&mut self, in_flight: &mut Vec<BudgetHold>, random: &mut Random) {
        if let Some(mut hold) = in_flight.pop() {
            let outcome = match random.below(4) {
                0 => Outcome::Refused,
                1 => Outcome::Unknown,
                _ => Outcome::Answered(told(random.below(9), random.below(2))),
            };
            self.spent += hold.settle(outcome).unwrap().nanos;
        }
    }

    /// Replaces the state file, which is done as a whole.
    fn write_state(&mut self, budgets: &Budgets) {
        let mut bytes = Vec::new();
        let now = (budgets.clock.monotonic(), budgets.clock.wall());
        budgets.ledgers.write(now, &mut bytes);
        self.state = Some(bytes);
    }

    /// Ends a server in order, as far as it comes. Returns whether it came to its end.
    async fn end(
        &mut self,
        budgets: &Budgets,
        in_flight: &mut Vec<BudgetHold>,
        random: &mut Random,
    ) -> bool {
        while random.below(5) > 0 && !in_flight.is_empty() {
            self.finish_one(in_flight, random);
        }
        if let Some(ceilings) = budgets.ledgers.ceilings() {
            ceilings.close();
            let body = json!({"max_tokens": 1, "messages": []});
            let late = reserve(budgets, &key_with_total(), "gpt-4o", &body).await;
            assert!(late.is_err(), "closed");
        }
        if budgets.ledgers.has_unwritten() {
            if random.below(8) == 0 {
                return false;
            }
            self.write_state(budgets);
        }
        let cleared = blocking(budgets, |ledgers, _| {
            ledgers
                .ceilings()
                .map_or(Ok(()), |ceilings| ceilings.clear())
        });
        cleared.await.is_ok()
    }
}

/// Lets servers live and crash, and returns what they spent and how many crashed.
async fn lives(seed: u64, with_ceilings: bool) -> World {
    let (mut world, mut random) = (World::default(), Random(seed));
    for _ in 0..30 {
        world.live(&mut random, with_ceilings).await;
    }
    world
}

#[tokio::test]
async fn a_thousand_crashes_never_exceed_a_total() {
    let (mut crashes, mut spent, mut seed) = (0, 0, 0);
    while crashes < 1_000 {
        let world = lives(seed, true).await;
        assert!(world.spent <= LIMIT, "seed {seed}: {}", world.spent);
        (crashes, spent, seed) = (crashes + world.crashes, spent + world.spent, seed + 1);
    }
    assert!(
        spent > seed * LIMIT / 2,
        "they work, too: {spent} of {seed}"
    );
    // The same lives without ceilings exceed it, or the test could not tell.
    let mut exceeded = 0;
    for seed in 0..seed {
        exceeded += u64::from(lives(seed, false).await.spent > LIMIT);
    }
    assert!(exceeded > seed / 2, "{exceeded} of {seed}");
}

#[tokio::test]
async fn a_total_that_ended_in_order_is_exact() {
    let file = FakeFile::new(Vec::new(), u64::MAX, Random(1));
    let budgets = start(None, Some(Arc::clone(&file)));
    let mut world = World::default();
    let body = json!({"max_tokens": 40, "messages": []});
    let mut hold = reserve(&budgets, &key_with_total(), "gpt-4o", &body)
        .await
        .unwrap();
    hold.note_call();
    let spent = hold.settle(Outcome::Answered(told(1, 1))).unwrap().nanos;
    assert!(!file.content().bytes.is_empty());
    assert!(world.end(&budgets, &mut Vec::new(), &mut Random(3)).await);
    assert!(file.content().bytes.is_empty());
    let budgets = start(world.state.as_deref(), Some(file));
    assert_eq!(used(&budgets, &key_with_total()).await, spent);
}

#[tokio::test]
async fn calls_that_wait_at_once_share_a_write_and_those_below_the_ceiling_need_none() {
    let file = FakeFile::new(Vec::new(), u64::MAX, Random(1));
    let budgets = start(None, Some(Arc::clone(&file)));
    let (key, body) = (key_with_total(), json!({"max_tokens": 1, "messages": []}));
    let calls = (0..50).map(|_| reserve(&budgets, &key, "gpt-4o", &body));
    let mut holds = pin!(join_all(calls));
    // The first write is not over before all of them wait.
    let content = file.content();
    assert!(holds.as_mut().now_or_never().is_none());
    drop(content);
    let holds = holds.await;
    assert!(holds.iter().all(Result::is_ok));
    let calls = file.content().calls;
    assert!(calls <= 2, "{calls}");
    drop(holds);
    for _ in 0..40 {
        let _hold = reserve(&budgets, &key, "gpt-4o", &body).await.unwrap();
    }
    assert_eq!(file.content().calls, calls);
}

#[tokio::test]
async fn what_cannot_be_recorded_is_refused_and_reserves_nothing() {
    // Every call crashes.
    let file = FakeFile::new(Vec::new(), 1, Random(1));
    let budgets = start(None, Some(Arc::clone(&file)));
    let (key, body) = (key_with_total(), json!({"max_tokens": 1, "messages": []}));
    let error = reserve(&budgets, &key, "gpt-4o", &body).await.unwrap_err();
    let is_failed = matches!(error, BudgetError::Unrecorded(NotRecorded::Failed(_)));
    assert!(is_failed, "{error:?}");
    assert_eq!(used(&budgets, &key).await, 0);
    {
        let mut content = file.content();
        (content.is_crashed, content.crash_in) = (false, u64::MAX);
    }
    let _hold = reserve(&budgets, &key, "gpt-4o", &body).await.unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_reserves_nothing() {
    let file = FakeFile::new(Vec::new(), u64::MAX, Random(1));
    let budgets = start(None, Some(Arc::clone(&file)));
    let (key, body) = (key_with_total(), json!({"max_tokens": 1, "messages": []}));
    {
        // The write cannot begin.
        let blocked = file.content();
        let mut call = Box::pin(reserve(&budgets, &key, "gpt-4o", &body));
        assert!(
            call.as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        drop(call);
        drop(blocked);
    }
    assert_eq!(used(&budgets, &key).await, 0);
    let _hold = reserve(&budgets, &key, "gpt-4o", &body).await.unwrap();
}

#[tokio::test]
async fn what_is_spent_beyond_a_reservation_is_recorded_too() {
    let file = FakeFile::new(Vec::new(), u64::MAX, Random(1));
    let budgets = start(None, Some(Arc::clone(&file)));
    let (key, body) = (key_with_total(), json!({"max_tokens": 1, "messages": []}));
    let mut hold = reserve(&budgets, &key, "gpt-4o", &body).await.unwrap();
    hold.note_call();
    let spent = hold.settle(Outcome::Answered(told(0, 500))).unwrap().nanos;
    while file.content().calls < 2 {
        tokio::task::yield_now().await;
    }
    let after = start(
        None,
        Some(FakeFile::new(
            file.content().bytes.clone(),
            u64::MAX,
            Random(1),
        )),
    );
    assert!(used(&after, &key).await >= spent);
}

#[test]
fn damaged_records_are_left_out() {
    let account = AccountId::decode(&[1; 17]).unwrap();
    let mut bytes = crate::budgets::ceilings::record_of(&account, 1, 100);
    let record_len = bytes.len();
    bytes.extend(crate::budgets::ceilings::record_of(&account, 7, 50));
    bytes.extend(crate::budgets::ceilings::record_of(&account, 5, 50));
    for index in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[index] ^= 1;
        let saved = SavedCeilings::read(&damaged);
        let (_, total, _) = saved.iter().next().unwrap();
        let is_second = (record_len..2 * record_len).contains(&index);
        assert_eq!(total, if is_second { 5 } else { 7 }, "{index}");
        let is_last = index >= 2 * record_len;
        assert_eq!(saved.unreadable(), usize::from(!is_last), "{index}");
    }
    for length in 0..bytes.len() {
        let saved = SavedCeilings::read(&bytes[..length]);
        assert_eq!(saved.readable_len(), length / record_len * record_len);
        assert_eq!(
            (saved.count() > 0, saved.unreadable()),
            (length >= record_len, 0)
        );
    }
}
