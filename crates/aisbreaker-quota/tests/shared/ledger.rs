//! Budgets in a store: the histories of the ledger in memory, and several processes at once.

#[path = "../ledger/history.rs"]
mod history;
#[path = "../ledger/model.rs"]
mod model;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use aisbreaker_quota::{
    ledger::{Budget, BudgetRefusal, Period, Reservation},
    shared::{NotReserved, SharedLedger, SharedReceipt, StoreError},
};
use proptest::{prelude::*, test_runner::TestRunner};
use tokio::{runtime::Runtime, task::JoinSet};

use self::history::{History, Subject, budgets, steps};
use crate::{
    oracle::some_instant,
    redis_server::RedisServer,
    support::{connect, options, options_with_prefix},
};

/// Where slots of all periods begin: ten days after the store's epoch.
const EPOCH: Duration = Duration::from_secs(864_000);

/// Budgets in a store, with a set clock and accounts of their own for each history.
struct Store<'a> {
    history: u32,
    runtime: &'a Runtime,
    ledger: SharedLedger,
    start: Instant,
}

impl Store<'_> {
    fn name(&self, account: usize) -> String {
        format!("{}-{account}", self.history)
    }
}

impl Subject for Store<'_> {
    const READS_ADVANCE: bool = false;
    const CHECKS_EVERY_STEP: bool = false;
    /// Beyond 2^53, not every amount is a double-precision number.
    const EXACT_UP_TO: u64 = Budget::MAX / 2;
    type Budget = Budget;
    type Receipt = SharedReceipt;

    fn reserve(
        &mut self,
        amounts: &[(usize, Budget, u64, bool)],
        now: u64,
    ) -> Result<SharedReceipt, BudgetRefusal> {
        let reservation = |(account, budget, amount, is_kept): &(usize, Budget, u64, bool)| {
            let reservation = Reservation::new(self.name(*account), *budget, *amount);
            match is_kept {
                true => reservation.kept_until(self.start + Duration::from_secs(1 << 30)),
                false => reservation,
            }
        };
        let reservations: Vec<_> = amounts.iter().map(reservation).collect();
        let at = EPOCH + Duration::from_millis(now);
        let reserve = self.ledger.reserve_at(&reservations, self.start, at);
        match self.runtime.block_on(reserve) {
            Ok(receipt) => Ok(receipt),
            Err(NotReserved::Refused(refusal)) => Err(refusal),
            Err(NotReserved::Store(error)) => panic!("{error}"),
        }
    }

    fn settle(&mut self, receipt: SharedReceipt, used: &[u64], now: u64) {
        let at = EPOCH + Duration::from_millis(now);
        let settle = self.ledger.settle_at(receipt, used, at);
        self.runtime.block_on(settle).unwrap();
    }

    fn used(&self, account: usize, budget: &Budget, now: u64) -> Vec<u64> {
        let at = EPOCH + Duration::from_millis(now);
        let name = self.name(account);
        let balances = self.ledger.balances_at(&name, budget, at);
        let balances = self.runtime.block_on(balances).unwrap();
        balances.iter().map(|balance| balance.used).collect()
    }

    fn capacity(&self) -> usize {
        usize::MAX
    }

    fn sweep(&mut self, _now: u64) {}

    fn restart(&mut self, _now: u64) {}
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn a_ledger_in_a_store_is_what_its_reference_is() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let runtime = runtime();
    let engine = runtime.block_on(connect(&server, options()));
    static HISTORIES: AtomicU32 = AtomicU32::new(0);
    let config = ProptestConfig {
        cases: 10_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let histories = (budgets(), steps());
    let played = TestRunner::new(config).run(&histories, |(budgets, (steps_back, steps))| {
        let store = Store {
            history: HISTORIES.fetch_add(1, Ordering::Relaxed),
            runtime: &runtime,
            ledger: engine.ledger(),
            start: some_instant(),
        };
        History::play(store, budgets, steps_back, &steps);
        Ok(())
    });
    played.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Returns what an account has used of the first period of its budget.
pub(crate) async fn used(ledger: &SharedLedger, account: &str, budget: &Budget) -> u64 {
    ledger.balances(&account, budget).await.unwrap()[0].used
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_never_reserve_more_than_is_left() {
    const TASKS: usize = 64;
    const CALLS: u64 = 1_000;
    const LIMIT: u64 = 60_000;
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let engines = [
        connect(&server, options()).await,
        connect(&server, options()).await,
    ];
    let budget = Budget::unlimited().with(Period::Hour, LIMIT);
    let wide = Budget::unlimited().with(Period::Lifetime, Budget::MAX);
    let counts = Arc::new([const { AtomicU64::new(0) }; 2]);
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (ledger, counts) = (engines[task % 2].ledger(), Arc::clone(&counts));
        tasks.spawn(async move {
            let start = some_instant();
            for _ in 0..CALLS {
                let both = [
                    Reservation::new("key", budget, 9),
                    Reservation::new("all", wide, 9),
                ];
                match ledger.reserve(&both, start).await {
                    Ok(receipt) => {
                        counts[0].fetch_add(1, Ordering::Relaxed);
                        ledger.settle(receipt, &[2, 2]).await.unwrap();
                    }
                    Err(NotReserved::Refused(BudgetRefusal::Exceeded { .. })) => {
                        counts[1].fetch_add(1, Ordering::Relaxed);
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        });
    }
    tasks.join_all().await;
    let [admitted, refused] = [0, 1].map(|index: usize| counts[index].load(Ordering::Relaxed));
    assert_eq!(admitted + refused, CALLS * u64::try_from(TASKS).unwrap());
    let ledger = engines[0].ledger();
    assert_eq!(used(&ledger, "key", &budget).await, 2 * admitted);
    assert_eq!(used(&ledger, "all", &wide).await, 2 * admitted);
    // Whoever was refused found no room for nine more, besides what was reserved at that time.
    assert!(
        2 * admitted <= LIMIT && 2 * admitted + 9 * 65 > LIMIT,
        "{admitted}"
    );
}

#[tokio::test]
async fn five_calls_at_once_stay_within_the_budget() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let engines = [
        connect(&server, options()).await,
        connect(&server, options()).await,
    ];
    let budget = Budget::unlimited().with(Period::Day, 100);
    for round in 0..50 {
        let mut tasks = JoinSet::new();
        for (index, amount) in [58, 87, 64, 100, 175].into_iter().enumerate() {
            let ledger = engines[index % 2].ledger();
            tasks.spawn(async move {
                let one = [Reservation::new(format!("round {round}"), budget, amount)];
                let receipt = ledger.reserve(&one, some_instant()).await;
                receipt.map_or(0, |_held| amount)
            });
        }
        let admitted: u64 = tasks.join_all().await.into_iter().sum();
        assert!((58..=100).contains(&admitted), "{admitted}");
    }
}

#[tokio::test]
async fn accounts_expire_when_nothing_in_them_counts() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let ledger = connect(&server, options_with_prefix("ttl")).await.ledger();
    let now = some_instant();
    let seconds_left = |account: &str| -> u64 {
        let name = format!("{{ttl}}:budget:{account}");
        server.cli(&["TTL", &name]).trim().parse().unwrap()
    };
    const DAY: u64 = 86_400;
    let rows = [
        (Period::Minute, None, 60..200),
        (Period::Day, None, DAY..DAY + 1_000),
        (Period::Month, None, 30 * DAY..31 * DAY + 200),
        (Period::Lifetime, None, 0..200),
        (
            Period::Lifetime,
            Some(400 * DAY),
            400 * DAY..400 * DAY + 200,
        ),
    ];
    for (index, (period, kept, expected)) in rows.into_iter().enumerate() {
        let account = format!("account {index}");
        let budget = Budget::unlimited().with(period, 10);
        let reservation = Reservation::new(account.clone(), budget, 5);
        let reservation = match kept {
            Some(kept) => reservation.kept_until(now + Duration::from_secs(kept)),
            None => reservation,
        };
        let receipt = ledger.reserve(&[reservation], now).await.unwrap();
        assert!(expected.contains(&seconds_left(&account)), "{period:?}");
        ledger.settle(receipt, &[0]).await.unwrap();
        assert!(expected.contains(&seconds_left(&account)), "{period:?}");
    }
}

#[tokio::test]
async fn what_another_program_wrote_is_an_error() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let ledger = connect(&server, options_with_prefix("foreign"))
        .await
        .ledger();
    server.cli(&["SET", "{foreign}:budget:a", "hello"]);
    let budget = Budget::unlimited().with(Period::Day, 10);
    let reserved = ledger
        .reserve(&[Reservation::new("a", budget, 1)], some_instant())
        .await;
    assert!(
        matches!(reserved, Err(NotReserved::Store(StoreError::Failed(_)))),
        "{reserved:?}"
    );
    let balances = ledger.balances(&"a", &budget).await;
    assert!(
        matches!(balances, Err(StoreError::Failed(_))),
        "{balances:?}"
    );
}

#[tokio::test]
async fn the_largest_budget_is_exact() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let ledger = connect(&server, options()).await.ledger();
    let budget = Budget::unlimited().with(Period::Day, Budget::MAX);
    let reserve = |amount| [Reservation::new("a", budget, amount)];
    let _held = ledger
        .reserve(&reserve(Budget::MAX - 1), some_instant())
        .await
        .unwrap();
    // The sum is past what a double-precision number holds exactly, and would be rounded down.
    let refused = ledger.reserve(&reserve(2), some_instant()).await;
    let exceeded = |result: &Result<_, NotReserved>| {
        matches!(
            result,
            Err(NotReserved::Refused(BudgetRefusal::Exceeded {
                remaining: 0 | 1,
                ..
            }))
        )
    };
    assert!(exceeded(&refused), "{refused:?}");
    let _last = ledger.reserve(&reserve(1), some_instant()).await.unwrap();
    let refused = ledger.reserve(&reserve(1), some_instant()).await;
    assert!(exceeded(&refused), "{refused:?}");
}

#[tokio::test]
async fn a_very_large_settlement_hides_nothing_of_other_slots() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let ledger = connect(&server, options()).await.ledger();
    let budget = Budget::unlimited().with(Period::Minute, 100);
    let reserve = |amount| [Reservation::new("a", budget, amount)];
    let at = |seconds| EPOCH + Duration::from_secs(seconds);
    let mut large = Vec::new();
    for _ in 0..3 {
        let reserved = ledger.reserve_at(&reserve(1), some_instant(), at(0)).await;
        large.push(reserved.unwrap());
    }
    let five = ledger.reserve_at(&reserve(5), some_instant(), at(30)).await;
    for receipt in large {
        ledger
            .settle_at(receipt, &[u64::MAX], at(31))
            .await
            .unwrap();
    }
    // The large ones have left the minute, the five have not.
    let refused = ledger
        .reserve_at(&reserve(96), some_instant(), at(62))
        .await;
    assert!(
        matches!(
            refused,
            Err(NotReserved::Refused(BudgetRefusal::Exceeded {
                remaining: 95,
                ..
            }))
        ),
        "{refused:?}"
    );
    ledger.settle_at(five.unwrap(), &[4], at(63)).await.unwrap();
    let admitted = ledger
        .reserve_at(&reserve(96), some_instant(), at(64))
        .await;
    assert!(admitted.is_ok(), "{admitted:?}");
}

#[tokio::test]
async fn accounts_that_display_alike_are_one() {
    #[derive(Clone, Debug, Eq, PartialEq)]
    struct Name(&'static str);
    impl std::fmt::Display for Name {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(&self.0.to_lowercase())
        }
    }
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let ledger = connect(&server, options()).await.ledger();
    let budget = Budget::unlimited().with(Period::Day, 10);
    let both = |amount| ["ADA", "ada"].map(|name| Reservation::new(Name(name), budget, amount));
    let too_large = ledger.reserve(&both(6), some_instant()).await.unwrap_err();
    assert!(
        matches!(
            too_large,
            NotReserved::Refused(BudgetRefusal::TooLarge {
                reservation: 1,
                requested: 12,
                ..
            })
        ),
        "{too_large:?}"
    );
    let _held = ledger.reserve(&both(3), some_instant()).await.unwrap();
    let exceeded = ledger.reserve(&both(3), some_instant()).await.unwrap_err();
    assert!(
        matches!(
            exceeded,
            NotReserved::Refused(BudgetRefusal::Exceeded {
                reservation: 1,
                remaining: 4,
                ..
            })
        ),
        "{exceeded:?}"
    );
}

#[tokio::test]
async fn a_late_settlement_releases_nothing_of_the_account_that_came_after() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let ledger = connect(&server, options()).await.ledger();
    let budget = Budget::unlimited().with(Period::Lifetime, 100);
    let reserve = |amount| [Reservation::new("a", budget, amount)];
    let at = |seconds| EPOCH + Duration::from_secs(seconds);
    let late = ledger
        .reserve_at(&reserve(80), some_instant(), at(0))
        .await
        .unwrap();
    // As when its time is over.
    server.cli(&["FLUSHALL"]);
    let _held = ledger
        .reserve_at(&reserve(70), some_instant(), at(60))
        .await
        .unwrap();
    ledger.settle_at(late, &[30], at(61)).await.unwrap();
    assert_eq!(used(&ledger, "a", &budget).await, 70);
}
