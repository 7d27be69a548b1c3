//! What is reserved and what it is settled to, on a clock that stands still.

mod ceilings;

use std::{
    sync::{LazyLock, Mutex},
    time::{Instant, SystemTime},
};

use aisbreaker_api::ServiceId;
use aisbreaker_quota::ledger::Ledger;
use aisbreaker_services::{
    CallOutcome, ProviderCalls, Providers, ServiceError, ServiceTier, Tokens,
};
use aisbreaker_token::{Ancestor, Budgets as KeyBudgets};
use serde_json::{Value, json};

use super::*;
use crate::budgets::{
    demand::CAPS_OF_CHAT,
    hold::{Outcome, settle_failure},
    ledgers::MemoryLedger,
};

static PRICES: LazyLock<Prices> = LazyLock::new(Prices::builtin);
static PROVIDERS: LazyLock<Providers> = LazyLock::new(Providers::builtin);

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
        prices: PRICES.clone(),
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
    reserve_for(budgets, key, &[("openai.com", model)], body).await
}

/// Reserves for a call of one of these models.
async fn reserve_for(
    budgets: &Budgets,
    key: &Key,
    models: &[(&str, &str)],
    body: &Value,
) -> Result<Box<BudgetHold>, BudgetError> {
    reserve_with(budgets, key, (models, body), ProviderCalls::kept()).await
}

/// Reserves for a request that causes these calls.
async fn reserve_with(
    budgets: &Budgets,
    key: &Key,
    (models, body): (&[(&str, &str)], &Value),
    calls: ProviderCalls,
) -> Result<Box<BudgetHold>, BudgetError> {
    let models = models.iter().map(|(provider, name)| CalledModel {
        service: CalledService::Provider(PROVIDERS.find(provider).unwrap()),
        name,
    });
    let spending = Spending {
        demand: Demand::of_json(body.to_string().as_bytes())
            .unwrap()
            .obeying(CAPS_OF_CHAT),
        writes: true,
        models: models.collect(),
        calls,
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

fn told(input: impl Into<Option<u64>>, output: impl Into<Option<u64>>) -> Tokens {
    let mut tokens = Tokens::default();
    (tokens.input, tokens.output) = (input.into(), output.into());
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
        // What was not told stays reserved.
        (Some(Outcome::Answered(told(9, None))), 0, 9 + 5_000),
        (Some(Outcome::Answered(told(None, 12))), 0, input + 12),
        (Some(Outcome::Answered(told(u64::MAX, 1))), 0, u64::MAX),
        (Some(Outcome::Streamed(told(9, 12))), 60, 21),
        (
            Some(Outcome::Streamed(Tokens::default())),
            60,
            input + 5_000,
        ),
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
        hold.note_call();
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
    hold.note_call();
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

/// Settles a call of one of these models, and returns what it cost in nano-dollars.
async fn cost(models: &[(&str, &str)], body: &Value, outcome: Outcome) -> u64 {
    let key = key(&json!({"global": {"usdPerDay": "1000"}}));
    let (budgets, clock) = budgets();
    let mut hold = reserve_for(&budgets, &key, models, body).await.unwrap();
    hold.note_call();
    clock.step(Duration::from_millis(500));
    let spent = hold.settle(outcome).unwrap();
    assert_eq!(used(&budgets, &key).await, spent.nanos);
    spent.nanos
}

#[tokio::test]
async fn what_is_not_told_costs_what_it_can_have_cost() {
    let text = json!({"max_tokens": 1_000, "messages": []});
    let bytes = |body: &Value| u64::try_from(body.to_string().len()).unwrap();
    let input = |body: &Value| bytes(body).div_ceil(2);
    let answered = |tokens| Outcome::Answered(tokens);

    // 2.50 and 10 dollars a million tokens; the other one has 0.15 and 0.60.
    let models = [("openai.com", "gpt-4o-mini"), ("openai.com", "gpt-4o")];
    let any = cost(&models, &text, answered(told(1_000, 12))).await;
    assert_eq!(any, 1_000 * 2_500 + 12 * 10_000, "the dearest of them");
    let only_input = cost(&models, &text, answered(told(1_000, None))).await;
    assert_eq!(only_input, 1_000 * 2_500 + 1_000 * 10_000);
    let only_output = cost(&models, &text, answered(told(None, 12))).await;
    assert_eq!(only_output, input(&text) * 2_500 + 12 * 10_000);

    // Priority was asked for, and the provider says nothing of the tier.
    let gpt = [("openai.com", "gpt-5")];
    let asked = json!({"max_tokens": 1_000, "messages": [], "service_tier": "priority"});
    let untold = cost(&gpt, &asked, answered(told(1_000, 12))).await;
    let mut tokens = told(1_000, 12);
    tokens.tier = Some(ServiceTier::Priority);
    assert_eq!(untold, cost(&gpt, &text, answered(tokens)).await);
    tokens.tier = Some(ServiceTier::Standard);
    let standard = cost(&gpt, &asked, answered(tokens)).await;
    assert!(standard < untold);
    let flex = json!({"max_tokens": 1_000, "messages": [], "service_tier": "flex"});
    assert_eq!(cost(&gpt, &flex, answered(told(1_000, 12))).await, standard);

    // A request that writes to a cache is cut before its input is told: 6 dollars for an hour.
    let claude = [("anthropic.com", "claude-sonnet-4-5")];
    let cached = json!({"max_tokens": 1, "messages": [], "cache_control": {"type": "ephemeral"}});
    let cut = cost(&claude, &cached, Outcome::Cut(Tokens::default())).await;
    assert_eq!(cut, input(&cached) * 6_000 + 15_000);

    // The provider's own cost was told before the cut.
    let mut tokens = told(10, 10);
    tokens.cost = Some(5_000_000_000);
    assert_eq!(cost(&gpt, &text, Outcome::Cut(tokens)).await, 5_000_000_000);

    // 128 answers are written at the same time.
    let many = json!({"max_tokens": 500, "n": 128, "messages": []});
    let cut = cost(&models, &many, Outcome::Cut(Tokens::default())).await;
    assert_eq!(cut, input(&many) * 2_500 + 128 * 500 * 10_000);

    // Audio is dearer than text.
    let audio =
        json!({"max_tokens": 1, "messages": [{"input_audio": {"data": "QUJD".repeat(64)}}]});
    let mut tokens = told(100, 1);
    tokens.input_audio = Some(100);
    let model = [("openai.com", "gpt-4o-audio-preview")];
    let of_audio = cost(&model, &audio, answered(tokens)).await;
    let reserved = cost(&model, &audio, Outcome::Unknown).await;
    assert!(of_audio <= reserved, "{of_audio} {reserved}");
}

/// A client may ask a provider to tell no usage, and set no cap.
#[tokio::test]
async fn a_stream_that_nobody_counted_is_not_at_the_price_of_an_estimate() {
    let key = key(&json!({"global": {"tokensPerDay": 1_000_000}}));
    let body = json!({"stream": true, "stream_options": {"include_usage": false}});
    let input = u64::try_from(body.to_string().len()).unwrap().div_ceil(2);
    for (seconds, output) in [(0, 4_096), (2, 4_096), (8, 9_000), (10_000, 16_384)] {
        let (budgets, clock) = budgets();
        let mut hold = reserve(&budgets, &key, "gpt-4o", &body).await.unwrap();
        assert_eq!(used(&budgets, &key).await, input + 4_096);
        hold.note_call();
        clock.step(Duration::from_secs(seconds));
        hold.settle(Outcome::Streamed(Tokens::default()));
        assert_eq!(used(&budgets, &key).await, input + output, "{seconds} s");
    }
}

#[tokio::test]
async fn a_price_of_each_request_is_added_to_that_of_its_tokens() {
    // 3 and 15 dollars a million tokens, and 0.014 a request.
    let sonar = [("perplexity.ai", "sonar-pro")];
    let body = json!({"max_tokens": 1_000, "messages": [], "n": 2});
    let input = u64::try_from(body.to_string().len()).unwrap().div_ceil(2);
    let reserved = cost(&sonar, &body, Outcome::Unknown).await;
    assert_eq!(reserved, input * 3_000 + 2_000 * 15_000 + 2 * 14_000_000);
    let spent = cost(&sonar, &body, Outcome::Answered(told(100, 1_000))).await;
    assert_eq!(spent, 100 * 3_000 + 1_000 * 15_000 + 2 * 14_000_000);
}

#[tokio::test]
async fn an_answer_that_this_server_has_no_room_for_is_paid_for() {
    let key = key(&json!({"global": {"tokensPerDay": 1_000_000}}));
    let body = json!({"max_tokens": 5_000, "messages": []});
    let (budgets, _) = budgets();
    let mut hold = reserve(&budgets, &key, "gpt-4o", &body).await.unwrap();
    let reserved = used(&budgets, &key).await;
    hold.note_call();
    let full = ServiceError::Overloaded("there is no room for the answer".into());
    settle_failure(&mut hold, &full);
    assert_eq!(used(&budgets, &key).await, reserved);
}

#[tokio::test]
async fn a_call_without_an_answer_counts_as_reserved_beside_that_of_a_fallback() {
    let key = key(&json!({"global": {"tokensPerDay": 1_000_000}}));
    let body = json!({"max_tokens": 5_000, "messages": []});
    let reserved = u64::try_from(body.to_string().len()).unwrap().div_ceil(2) + 5_000;
    let id = ServiceId::parse("chat:openai.com").unwrap();
    let answered = Outcome::Answered(told(9, 12));
    let rows = [
        (vec![CallOutcome::Cut], answered, 21 + reserved),
        (vec![CallOutcome::Timeout; 2], answered, 21 + 2 * reserved),
        (vec![CallOutcome::ServerError], answered, 21),
        (vec![CallOutcome::Unreachable], answered, 21),
        // The last call is the one whose end is not known.
        (vec![CallOutcome::Timeout], Outcome::Unknown, reserved),
        (
            vec![CallOutcome::Timeout; 2],
            Outcome::Unknown,
            2 * reserved,
        ),
        (vec![CallOutcome::Timeout], Outcome::Refused, reserved),
    ];
    for (ends, outcome, expected) in rows {
        let (budgets, _) = budgets();
        let calls = ProviderCalls::kept();
        let request: (&[_], _) = (&[("openai.com", "gpt-4o")], &body);
        let mut hold = reserve_with(&budgets, &key, request, calls.clone())
            .await
            .unwrap();
        hold.note_call();
        for end in &ends {
            calls.begin(&id).end(*end);
        }
        assert!(hold.settle(outcome).is_some());
        let spent = used(&budgets, &key).await;
        assert_eq!(spent, expected, "{ends:?} {outcome:?}");
    }
}

#[tokio::test]
async fn a_chain_is_as_strict_as_its_strictest_key_and_outlives_its_child() {
    let mut child = key(&json!({"perClient": {"tokensPerDay": 9}, "outputReserve": 10}));
    let budgets_of = |value: Value| serde_json::from_value(value).unwrap();
    let parent = json!({"global": {"usdTotal": "1"}, "reserve": "strict", "outputReserve": 77});
    let id = "BBBBBBBBBBBBBBBBBBBBBA".parse().unwrap();
    let parent = Ancestor::new(id, None, None).with_budgets(Some(budgets_of(parent)));
    child.ancestors = vec![parent];
    let (budgets, clock) = budgets();
    let accounts = budgets.accounts(Some(&child), CLIENT).unwrap();
    assert_eq!(accounts.policy, ReservePolicy::Strict);
    assert_eq!(accounts.output_reserve, 77);
    let shown: Vec<_> = accounts
        .list
        .iter()
        .map(|account| (account.level, account.id.unit, account.id.is_global()))
        .collect();
    assert_eq!(
        shown,
        [(0, Unit::Tokens, false), (1, Unit::Usd, true)],
        "nearest first"
    );
    // When the parent ends is not known, so its total is kept for as long as any key can live.
    let longest = clock.monotonic() + budgets.max_lifetime;
    assert_eq!(accounts.list[1].keep_until, Some(longest));
    assert_eq!(accounts.list[0].keep_until, None, "it has no total");
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
