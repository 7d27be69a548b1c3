//! Budgets in keys: read exactly or not at all, written in one way, and refused by servers that do
//! not know them.
#![expect(clippy::unwrap_used, reason = "a test stops at the first failure")]

#[expect(dead_code, reason = "each test file uses some of the helpers")]
mod shared;

use std::collections::BTreeMap;

use aisbreaker_token::{
    BudgetLimits, Budgets, Grant, OpenError, Opened, RequestQuotas, ReservePolicy, Usd,
};
use proptest::prelude::*;
use serde_json::{Value, json, value::RawValue};

use shared::{HOUR, host, now, ring};

/// Opens a key that was sealed with this text as its budgets, as a foreign program may have.
fn open(budgets: &str) -> Result<Opened<Grant>, OpenError> {
    let ring = ring(1);
    let budgets: Box<RawValue> = serde_json::from_str(budgets).unwrap();
    let grant = BTreeMap::from([("budgets", budgets)]);
    let key = ring.seal(&grant, &host(), now(), HOUR).unwrap();
    ring.open_grant(key.expose(), &host(), now())
}

fn nanos(usd: Option<Usd>) -> Option<u64> {
    usd.map(Usd::nanos)
}

#[test]
fn every_member_opens_with_its_exact_value() {
    let opened = open(
        r#"{
            "perClient": {"tokensPerMinute": 30000, "tokensPerHour": 300000,
                          "tokensPerDay": 9007199254740992, "usdPerDay": 8999999.123456789},
            "global": {"tokensPerMinute": 1, "usdPerDay": "20", "usdPerMonth": 200.10,
                       "usdTotal": "9000000"},
            "reserve": "strict", "outputReserve": 4294967295
        }"#,
    );

    let budgets = opened.unwrap().into_payload().budgets.unwrap();
    let Budgets {
        per_client, global, ..
    } = &*budgets;
    assert_eq!(per_client.tokens_per_minute, Some(30_000));
    assert_eq!(per_client.tokens_per_hour, Some(300_000));
    assert_eq!(per_client.tokens_per_day, Some(1 << 53));
    assert_eq!(nanos(per_client.usd_per_day), Some(8_999_999_123_456_789));
    assert_eq!(global.tokens_per_minute, Some(1));
    assert_eq!(global.tokens_per_hour, None);
    assert_eq!(nanos(global.usd_per_day), Some(20_000_000_000));
    assert_eq!(nanos(global.usd_per_month), Some(200_100_000_000));
    assert_eq!(global.usd_total, Some(Usd::MAX));
    assert_eq!(budgets.reserve, ReservePolicy::Strict);
    assert_eq!(budgets.output_reserve, Some(u32::MAX));
    // One way to write it, whatever was read.
    let expected = json!({
        "perClient": {"tokensPerMinute": 30_000, "tokensPerHour": 300_000,
                      "tokensPerDay": 1_u64 << 53, "usdPerDay": "8999999.123456789"},
        "global": {"tokensPerMinute": 1, "usdPerDay": "20", "usdPerMonth": "200.1",
                   "usdTotal": "9000000"},
        "reserve": "strict", "outputReserve": u32::MAX,
    });
    assert_eq!(serde_json::to_value(&budgets).unwrap(), expected);
}

#[test]
fn a_key_opens_only_if_every_limit_is_understood() {
    let good = [
        "{}",
        r#"{"reserve": "estimate"}"#,
        r#"{"perClient": {}, "global": {}}"#,
        r#"{"global": {"usdTotal": null}}"#,
        r#"{"global": {"usdTotal": 0.000000001}}"#,
    ];
    for budgets in good {
        assert!(open(budgets).is_ok(), "{budgets}");
    }
    let bad = [
        "1",
        r#"{"PerClient": {}}"#,
        r#"{"usdTotal": "1"}"#,
        r#"{"perDay": {}}"#,
        r#"{"global": {"tokensPerMonth": 1}}"#,
        r#"{"global": {"usdPerday": "1"}}"#,
        r#"{"global": {"usdPerHour": "1"}}"#,
        r#"{"perClient": {"usdPerMonth": "1"}}"#,
        r#"{"perClient": {"usdTotal": "1"}}"#,
        r#"{"global": {"usdTotal": "1", "usdTotal": "2"}}"#,
        r#"{"global": {}, "global": {}}"#,
        r#"{"global": {"usdTotal": 0}}"#,
        r#"{"global": {"usdTotal": "0.000000000"}}"#,
        r#"{"global": {"usdTotal": -1}}"#,
        r#"{"global": {"usdTotal": 1e2}}"#,
        r#"{"global": {"usdTotal": 0.0000000001}}"#,
        r#"{"global": {"usdTotal": "9000000.000000001"}}"#,
        r#"{"global": {"usdTotal": "five"}}"#,
        r#"{"global": {"usdTotal": ["1"]}}"#,
        r#"{"global": {"tokensPerDay": 0}}"#,
        r#"{"global": {"tokensPerDay": 9007199254740993}}"#,
        r#"{"global": {"tokensPerDay": -1}}"#,
        r#"{"global": {"tokensPerDay": 1.5}}"#,
        r#"{"global": {"tokensPerDay": "1"}}"#,
        r#"{"reserve": "none"}"#,
        r#"{"reserve": "Strict"}"#,
        r#"{"outputReserve": 0}"#,
        r#"{"outputReserve": 4294967296}"#,
    ];
    for budgets in bad {
        assert!(open(budgets).is_err(), "{budgets}");
    }
}

/// The grant of the release before budgets.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only whether it can be read matters")]
struct OlderGrant {
    name: Option<String>,
    request_quotas: Option<RequestQuotas>,
    #[serde(default)]
    service_secrets: Vec<Value>,
    #[serde(default)]
    restrict: Vec<Value>,
    delegation: Option<u8>,
    #[serde(default, rename = "up")]
    ancestors: Vec<OlderAncestor>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only whether it can be read matters")]
struct OlderAncestor {
    id: aisbreaker_token::KeyId,
    iat: Option<u64>,
    request_quotas: Option<RequestQuotas>,
}

#[test]
fn an_older_server_refuses_a_key_with_budgets_of_its_own_or_of_an_ancestor() {
    let ring = ring(1);
    let mut budgets = Budgets::default();
    budgets.global.usd_total = Some(Usd::from_nanos(1));
    let ancestor = |budgets| {
        let id = "AAAAAAAAAAAAAAAAAAAAAA".parse().unwrap();
        aisbreaker_token::Ancestor::new(id, Some(1), None).with_budgets(budgets)
    };
    let rows = [
        ("none", None, None, true),
        ("its own", Some(budgets.clone()), None, false),
        ("without limits", Some(Budgets::default()), None, false),
        ("an ancestor's", None, Some(budgets), false),
    ];
    for (row, own, of_ancestor, opens) in rows {
        let mut grant = Grant::new(None, Vec::new());
        grant.budgets = own.map(Box::new);
        grant.ancestors = vec![ancestor(of_ancestor.map(Box::new))];
        let key = ring.seal(&grant, &host(), now(), HOUR).unwrap();

        let older = ring.open::<OlderGrant>(key.expose(), &host(), now());

        assert_eq!(older.is_ok(), opens, "{row}");
        let newer = ring.open_grant(key.expose(), &host(), now()).unwrap();
        assert_eq!(newer.payload().budgets, grant.budgets, "{row}");
        assert_eq!(newer.payload().ancestors, grant.ancestors, "{row}");
    }
}

#[test]
fn a_key_is_not_sealed_with_dollars_that_would_not_open() {
    let mut budgets = Budgets::default();
    budgets.global.usd_total = Some(Usd::from_nanos(Usd::MAX.nanos() + 1));
    let mut grant = Grant::default();
    grant.budgets = Some(Box::new(budgets));

    assert!(ring(1).seal(&grant, &host(), now(), HOUR).is_err());
}

fn tokens() -> impl Strategy<Value = Option<u64>> {
    prop::option::of(1..=BudgetLimits::MAX_TOKENS)
}

fn usd() -> impl Strategy<Value = Option<Usd>> {
    prop::option::of((1..=Usd::MAX.nanos()).prop_map(Usd::from_nanos))
}

fn limits(is_global: bool) -> impl Strategy<Value = BudgetLimits> {
    let values = (tokens(), tokens(), tokens(), usd(), usd(), usd());
    values.prop_map(move |(minute, hour, day, usd_day, month, total)| {
        let mut limits = BudgetLimits::default();
        limits.tokens_per_minute = minute;
        limits.tokens_per_hour = hour;
        limits.tokens_per_day = day;
        limits.usd_per_day = usd_day;
        limits.usd_per_month = month.filter(|_| is_global);
        limits.usd_total = total.filter(|_| is_global);
        limits
    })
}

fn any_budgets() -> impl Strategy<Value = Budgets> {
    let reserve = prop_oneof![Just(ReservePolicy::Estimate), Just(ReservePolicy::Strict)];
    let output = prop::option::of(1..=u32::MAX);
    (limits(false), limits(true), reserve, output).prop_map(
        |(per_client, global, reserve, output_reserve)| {
            let mut budgets = Budgets::default();
            budgets.per_client = per_client;
            budgets.global = global;
            budgets.reserve = reserve;
            budgets.output_reserve = output_reserve;
            budgets
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever is sealed opens unchanged, however often it is sealed again, and as the same text.
    #[test]
    fn budgets_never_drift(budgets in any_budgets()) {
        let text = serde_json::to_string(&budgets).unwrap();
        let mut sealed = budgets.clone();
        for _ in 0..3 {
            let opened = open(&serde_json::to_string(&sealed).unwrap()).unwrap();
            sealed = *opened.into_payload().budgets.unwrap();
            prop_assert_eq!(&sealed, &budgets);
            prop_assert_eq!(&serde_json::to_string(&sealed).unwrap(), &text);
        }
    }

    /// A child and its own child carry the limits of all keys above, to the nano-dollar.
    #[test]
    fn the_chain_keeps_all_limits(budgets in prop::collection::vec(any_budgets(), 1..=3)) {
        use aisbreaker_token::delegation::{ChildRequest, child_of};

        let ring = ring(1);
        let open = |key: &str| ring.open_grant(key, &host(), now()).unwrap();
        let mut grant = Grant::default();
        grant.budgets = Some(Box::new(budgets[0].clone()));
        let mut key = ring.seal(&grant, &host(), now(), HOUR).unwrap();
        for own in budgets[1..].iter().cloned().map(Some).chain([None]) {
            let mut request = ChildRequest::default();
            request.budgets = own.map(Box::new);
            let (grant, period) =
                child_of(open(key.expose()), request, now(), |_, _| true).unwrap();
            key = ring.seal_for(&grant, &host(), period).unwrap();
        }

        let last = open(key.expose()).into_payload();

        prop_assert_eq!(last.budgets, None);
        let above: Vec<_> = last.ancestors.into_iter().map(|key| *key.budgets.unwrap()).collect();
        prop_assert_eq!(above, budgets);
    }
}
