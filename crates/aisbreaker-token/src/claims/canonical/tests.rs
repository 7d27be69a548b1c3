//! Compares the reader with the `Deserialize` implementations.

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;
use crate::claims;

/// Returns what the `Deserialize` implementations read.
fn read_by_serde(json: &str) -> Option<(RegisteredClaims<'_>, Grant)> {
    let mut registered = RegisteredClaims::new(Version::V2);
    let grant = claims::parse(json, &mut registered).ok()?;
    Some((registered, grant))
}

/// Returns all that is in claims.
fn contents((registered, grant): &(RegisteredClaims<'_>, Grant)) -> String {
    let RegisteredClaims {
        audience,
        expiry,
        not_before,
        issued_at,
        id,
        ..
    } = registered;
    let grant = serde_json::to_string(grant).unwrap();
    format!("{audience:?} {expiry:?} {not_before:?} {issued_at:?} {id:?} {grant}")
}

/// A text as people write them, sometimes with what must be escaped.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[a-z:.{}\"é]{0,12}", 30 => "[a-zA-Z0-9:/._é-]{0,40}"]
}

fn plain() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9:/._é -]{0,40}"
}

fn quotas() -> impl Strategy<Value = RequestQuotas> {
    let limits = || {
        [1..=u32::MAX, 1..=u32::MAX, 1..=u32::MAX].prop_map(|limits| {
            let [requests_per_minute, requests_per_hour, requests_per_day] =
                limits.map(|limit| NonZeroU32::new(limit).unwrap());
            RequestLimits {
                requests_per_minute,
                requests_per_hour,
                requests_per_day,
            }
        })
    };
    (limits(), limits()).prop_map(|(per_client_request_limits, global_request_limits)| {
        RequestQuotas {
            per_client_request_limits,
            global_request_limits,
        }
    })
}

fn budgets() -> impl Strategy<Value = Box<Budgets>> {
    let limits = || {
        let tokens = || vec(option::of(1..=BudgetLimits::MAX_TOKENS), 3);
        let usd = || vec(option::of(1..=Usd::MAX.nanos()), 3);
        (tokens(), usd()).prop_map(|(tokens, usd)| BudgetLimits {
            tokens_per_minute: tokens[0],
            tokens_per_hour: tokens[1],
            tokens_per_day: tokens[2],
            usd_per_day: usd[0].map(Usd::from_nanos),
            usd_per_month: usd[1].map(Usd::from_nanos),
            usd_total: usd[2].map(Usd::from_nanos),
        })
    };
    (limits(), limits(), any::<bool>(), option::of(1..=u32::MAX)).prop_map(
        |(per_client, global, is_strict, output_reserve)| {
            Box::new(Budgets {
                per_client: BudgetLimits {
                    usd_per_month: None,
                    usd_total: None,
                    ..per_client
                },
                global,
                reserve: if is_strict {
                    ReservePolicy::Strict
                } else {
                    ReservePolicy::Estimate
                },
                output_reserve,
            })
        },
    )
}

fn restriction(text: impl Fn() -> BoxedStrategy<String>) -> impl Strategy<Value = Restriction> {
    let texts = || option::of(vec(text(), 0..3));
    (texts(), texts(), texts(), texts(), option::of(any::<u32>())).prop_map(
        |(services, operations, clients, origins, max_body_bytes)| Restriction {
            services,
            operations,
            clients,
            origins,
            max_body_bytes: max_body_bytes.map(u64::from),
        },
    )
}

fn grant(text: impl Fn() -> BoxedStrategy<String> + Copy) -> impl Strategy<Value = Grant> {
    let secret = (text(), text(), vec(text(), 0..3), vec(text(), 0..3)).prop_map(
        |(id, secret, url, fallback)| {
            ServiceSecret::new(id, secret.into())
                .with_url(url)
                .with_fallback(fallback)
        },
    );
    (
        option::of(text()),
        option::of(quotas()),
        option::of(budgets()),
        vec(secret, 0..4),
        vec((text(), text()), 0..3),
        vec(restriction(text), 0..3),
        option::of(any::<u8>()),
    )
        .prop_map(
            |(name, quotas, budgets, secrets, aliases, restrict, delegation)| {
                let mut grant = Grant::new(quotas, secrets).with_model_aliases(aliases);
                grant.name = name;
                grant.budgets = budgets;
                grant.restrict = restrict;
                grant.delegation = delegation;
                grant
            },
        )
}

/// Returns the claims as `seal` spells them.
fn sealed(grant: &Grant, not_before: Option<u32>) -> String {
    let nbf = not_before.map_or(String::new(), |nbf| format!(r#""nbf":{nbf},"#));
    let grant = serde_json::to_string(grant).unwrap();
    let members = grant.strip_prefix('{').unwrap();
    let separator = if members == "}" { "" } else { "," };
    format!(
        r#"{{"aud":"h.example","iat":1000000,"exp":1000001,{nbf}"jti":"AAAAAAAAAAAAAAAAAAAAAA"{separator}{members}"#
    )
}

/// Checks that if the claims are read, they are read as by the `Deserialize` implementations.
fn check(json: &str) {
    if let Some(claims) = read(json) {
        let expected = read_by_serde(json).map(|claims| contents(&claims));
        assert_eq!(Some(contents(&claims)), expected, "{json}");
    }
}

proptest! {
    #[test]
    fn reads_what_is_sealed(
        grant in grant(|| plain().boxed()),
        not_before in option::of(any::<u32>()),
    ) {
        let json = sealed(&grant, not_before);

        prop_assert!(read(&json).is_some(), "{json}");
        check(&json);
    }

    #[test]
    fn reads_no_other_than_serde(
        grant in grant(|| text().boxed()),
        edits in vec((any::<prop::sample::Index>(), 0..4_usize, select(vec![
            "", ",", ":", "\"", "\\", "{", "}", "[", "]", "0", "1", "-1", "null", " ", "{}", "[]",
            "\"a\"", "18446744073709551616", "4294967296", "1.5", "1e3", "\"x\":1,", "\"name\":",
            "\"exp\":1,", "\u{1}", "é",
        ])), 0..3),
    ) {
        let mut json = sealed(&grant, None);
        check(&json);
        for (at, deleted, inserted) in edits {
            let boundaries: Vec<usize> =
                (0..=json.len()).filter(|&at| json.is_char_boundary(at)).collect();
            let start = at.index(boundaries.len());
            let end = (start + deleted).min(boundaries.len() - 1);
            json.replace_range(boundaries[start]..boundaries[end], inserted);
            check(&json);
        }
    }
}

#[test]
fn reads_no_value_that_serde_refuses() {
    let members = |members: &str| {
        let json = sealed(&Grant::default(), None);
        format!("{},{members}}}", json.strip_suffix('}').unwrap())
    };
    for payload in [
        r#""name":null"#,
        r#""name":"a","name":"b""#,
        r#""serviceSecrets":[],"name":"a""#,
        r#""serviceSecrets":[{"serviceId":"a"}]"#,
        r#""serviceSecrets":[{"serviceId":"a","authSecret":"b","url":null}]"#,
        r#""serviceSecrets":[{"serviceId":"a","authSecret":"b","url":[]}]"#,
        r#""serviceSecrets":[{"serviceId":"a","authSecret":"b","url":["c"],"fallback":"d"}]"#,
        r#""serviceSecrets":[{"serviceId":"a","authSecret":"b",}]"#,
        r#""budgets":{}"#,
        r#""budgets":{"perClient":{}}"#,
        r#""budgets":{"perClient":{"usdTotal":"1"}}"#,
        r#""budgets":{"global":{"tokensPerDay":0}}"#,
        r#""budgets":{"global":{"tokensPerDay":9007199254740993}}"#,
        r#""budgets":{"global":{"usdPerDay":"0"}}"#,
        r#""budgets":{"global":{"usdPerDay":"01"}}"#,
        r#""budgets":{"global":{"usdPerDay":"2.50"}}"#,
        r#""budgets":{"outputReserve":0}"#,
        r#""budgets":{"reserve":"strict","outputReserve":4294967296}"#,
        r#""modelAliases":{}"#,
        r#""modelAliases":{"a":"b","a":"c"}"#,
        r#""modelAliases":{"a":{"model":"b","translate":true}}"#,
        r#""restrict":[{}]"#,
        r#""restrict":[{"maxBodyBytes":01}]"#,
        r#""delegation":256"#,
        r#""delegation":1,"up":[]"#,
        r#""unknown":1"#,
    ] {
        check(&members(payload));
    }
}
