//! What is reserved and what it is settled to, on a clock that stands still.

use std::{
    sync::Mutex,
    time::{Instant, SystemTime},
};

use aisbreaker_quota::ledger::Ledger;
use aisbreaker_services::{ProviderCalls, Providers, Tokens};
use aisbreaker_token::Budgets as KeyBudgets;
use serde_json::{Value, json};

use super::*;
use crate::budgets::{hold::Outcome, ledgers::MemoryLedger};

#[derive(Debug)]
struct SteppedClock(Mutex<Instant>);

impl SteppedClock {
    fn step(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

impl Clock for SteppedClock {
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
    }

    fn monotonic(&self) -> Instant {
        *self.0.lock().unwrap()
    }
}

#[expect(clippy::disallowed_methods, reason = "where the stepped clock begins")]
fn budgets() -> (Budgets, Arc<SteppedClock>) {
    let now = Instant::now();
    let clock = Arc::new(SteppedClock(Mutex::new(now)));
    let budgets = Budgets {
        ledgers: Ledgers::Memory(Arc::new(MemoryLedger::new(Ledger::new(now, 1_000)))),
        prices: Prices::builtin(),
        max_lifetime: Duration::from_secs(86_400),
        may_last: true,
        may_be_uncounted: false,
        clock: Arc::clone(&clock) as _,
        metrics: BudgetMetrics::default(),
    };
    (budgets, clock)
}

fn key(budgets: &Value) -> Key {
    let budgets: KeyBudgets = serde_json::from_value(budgets.clone()).unwrap();
    Key {
        id: "AAAAAAAAAAAAAAAAAAAAAA".parse().unwrap(),
        name: None,
        quotas: None,
        budgets: Some(Box::new(budgets)),
        issued_at: None,
        expires_at: SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000),
        ancestors: Vec::new(),
    }
}

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

async fn reserve(
    budgets: &Budgets,
    key: &Key,
    model: &str,
    body: &Value,
) -> Result<Box<BudgetHold>, BudgetError> {
    let providers = Providers::builtin();
    let provider = providers.find("openai.com").unwrap();
    let spending = Spending {
        demand: Demand::of_json(body.to_string().as_bytes()).unwrap(),
        writes: true,
        models: vec![CalledModel {
            service: CalledService::Provider(provider),
            name: model,
        }],
        calls: ProviderCalls::kept(),
    };
    let accounts = budgets.accounts(Some(key), CLIENT).unwrap();
    let reserved = budgets.reserve(&accounts, &spending).await?;
    Ok(reserved.hold)
}

/// What is used of the key's first budget.
async fn used(budgets: &Budgets, key: &Key) -> u64 {
    let accounts = budgets.accounts(Some(key), CLIENT).unwrap();
    let balances = budgets.balances(&accounts.list[0]).await.unwrap();
    balances[0].used
}

fn told(input: u64, output: u64) -> Tokens {
    let mut tokens = Tokens::default();
    (tokens.input, tokens.output) = (Some(input), Some(output));
    tokens
}

#[tokio::test]
async fn each_end_is_settled_by_the_table() {
    let key = key(&json!({"global": {"tokensPerDay": 1_000_000}}));
    let body = json!({"max_tokens": 5_000, "messages": []});
    let input = u64::try_from(body.to_string().len()).unwrap().div_ceil(2);
    let rows = [
        (Some(Outcome::Answered(told(9, 12))), 0, 21),
        (Some(Outcome::Answered(told(9, 9_000))), 0, 9_009),
        (Some(Outcome::Answered(Tokens::default())), 0, input + 5_000),
        (Some(Outcome::Refused), 0, 0),
        (Some(Outcome::Unknown), 0, input + 5_000),
        // A thousand tokens in each second that began.
        (Some(Outcome::Cut(Tokens::default())), 0, input + 1_000),
        (Some(Outcome::Cut(Tokens::default())), 2, input + 3_000),
        (Some(Outcome::Cut(Tokens::default())), 60, input + 5_000),
        (Some(Outcome::Cut(told(9, 1_200))), 0, 1_209),
        (Some(Outcome::Cut(told(9, 7_000))), 60, 7_009),
        (None, 2, input + 3_000),
    ];
    for (outcome, seconds, expected) in rows {
        let (budgets, clock) = budgets();
        let mut hold = reserve(&budgets, &key, "gpt-4o", &body).await.unwrap();
        assert_eq!(used(&budgets, &key).await, input + 5_000);
        hold.note_call(None);
        clock.step(Duration::from_secs(seconds));
        match outcome {
            Some(outcome) => {
                assert!(hold.settle(outcome).is_some());
                assert_eq!(hold.settle(Outcome::Refused), None, "only once");
            }
            None => drop(hold),
        }
        assert_eq!(used(&budgets, &key).await, expected, "{outcome:?}");
    }
    let (budgets, _) = budgets();
    drop(reserve(&budgets, &key, "gpt-4o", &body).await.unwrap());
    assert_eq!(used(&budgets, &key).await, 0, "no provider was called");
}

#[tokio::test]
async fn dollars_are_reserved_at_the_dearest_rate_and_settled_at_the_right_one() {
    let key = key(&json!({"global": {"usdPerDay": "1"}}));
    let (budgets, _) = budgets();
    let body = json!({"max_tokens": 1_000, "messages": []});
    let mut hold = reserve(&budgets, &key, "gpt-4o", &body).await.unwrap();
    // 2.50 dollars a million in, 10 out.
    let input = u64::try_from(body.to_string().len()).unwrap().div_ceil(2);
    assert_eq!(used(&budgets, &key).await, input * 2_500 + 1_000 * 10_000);
    hold.note_call(None);
    let mut tokens = told(1_000, 12);
    tokens.cached = Some(900);
    let spent = hold.settle(Outcome::Answered(tokens)).unwrap();
    assert_eq!(spent.nanos, 100 * 2_500 + 900 * 1_250 + 12 * 10_000);
    let error = reserve(&budgets, &key, "no-such-model", &body)
        .await
        .unwrap_err();
    assert!(
        matches!(error, BudgetError::PriceUnknown { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_total_needs_counts_that_last() {
    let key = key(&json!({"global": {"usdTotal": "1"}}));
    let (mut budgets, _) = budgets();
    budgets.may_last = false;
    let body = json!({"max_tokens": 1, "messages": []});
    let error = reserve(&budgets, &key, "gpt-4o", &body).await.unwrap_err();
    assert!(matches!(error, BudgetError::Volatile), "{error:?}");
}

#[test]
fn the_largest_that_fits_is_found() {
    for end in 0..50 {
        for limit in 0..60 {
            let expected = (0..end).filter(|number| *number <= limit).max();
            assert_eq!(largest(end, |number| number <= limit), expected);
        }
        assert_eq!(largest(end, |_| false), None);
    }
}
