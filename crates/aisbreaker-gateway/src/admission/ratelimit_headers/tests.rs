use std::{cmp::Reverse, time::Instant};

use aisbreaker_quota::{Charge, Engine, Limits};
use http::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::{clock::Clock as _, clock::SystemClock};

/// Quotas per minute, hour and day.
type Quotas = [u32; 3];

/// Returns the state of a request whose key has these quotas, per client and for all, after some
/// requests a second apart.
fn state(of_client: Quotas, of_all: Quotas, requests: u32) -> QuotaState {
    let start = SystemClock::new().monotonic();
    let unlimited = [u32::MAX; 3];
    let limits = [unlimited, of_client, of_all, unlimited];
    let mut name = 0;
    let charges = limits.map(|[minute, hour, day]| {
        name += 1;
        Charge::new(name, Limits::new(minute, hour, day))
    });
    let engine = Engine::new(start, 100);
    let later = |seconds: u32| -> Instant { start + Duration::from_millis(900) * seconds };
    for second in 0..requests {
        let _admitted_or_not = engine.charge_one(&charges, later(second));
    }
    QuotaState::OneKey(engine.peek(&charges, later(requests)))
}

/// Formats all six limits, slowly.
fn six_limits(state: &QuotaState, format: impl Fn(&str, Standing) -> String) -> String {
    let mut limits = Vec::new();
    for (counted, scope) in [
        (CountedRequests::OfClient, "client"),
        (CountedRequests::OfAllClients, "global"),
    ] {
        for window in Window::ALL {
            let name = format!("\"{scope}-{}\"", window.name());
            limits.push(format(&name, state.of_key(counted, window).unwrap()));
        }
    }
    limits.join(", ")
}

fn fields(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let fields = headers.iter();
    fields
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect()
}

proptest! {
    #[test]
    fn values_are_those_of_the_limits(
        of_client in [1..=u32::MAX, 1..=u32::MAX, 1..=u32::MAX],
        of_all in [1..=50_u32, 1..=500_u32, 1..=u32::MAX],
        requests in 0..40_u32,
    ) {
        let state = state(of_client, of_all, requests);
        let policies = six_limits(&state, |name, standing| {
            let (quota, window) = (standing.limit, standing.window.length().as_secs());
            format!("{name};q={quota};w={window}")
        });
        let limits = six_limits(&state, |name, standing| {
            format!("{name};r={};t={}", standing.remaining, ceil_seconds(standing.reset))
        });
        let own = REPORTED.map(|(counted, window)| state.of_key(counted, window).unwrap());
        let own = own.into_iter().min_by_key(|own| (own.remaining, Reverse(own.reset))).unwrap();
        let (limit, remaining) = (own.limit.to_string(), own.remaining.to_string());
        let reset = format!("{}s", ceil_seconds(own.reset));

        let mut headers = HeaderMap::new();
        write(&state, None, &mut headers);

        prop_assert_eq!(fields(&headers), [
            ("ratelimit-policy", policies.as_str()),
            ("ratelimit", limits.as_str()),
            ("x-ratelimit-limit-requests", limit.as_str()),
            ("x-ratelimit-remaining-requests", remaining.as_str()),
            ("x-ratelimit-reset-requests", reset.as_str()),
        ]);
        let mut beside = HeaderMap::new();
        write_beside_provider(&state, SystemTime::UNIX_EPOCH, &mut beside);
        prop_assert_eq!(beside, headers);
    }
}

#[test]
fn the_longest_values_are_written() {
    let mut headers = HeaderMap::new();

    write(&state([u32::MAX; 3], [u32::MAX; 3], 1), None, &mut headers);

    let limits = headers["ratelimit"].to_str().unwrap();
    assert!(
        limits.starts_with("\"client-minute\";r=4294967294;t=60, "),
        "{limits}"
    );
    assert!(
        limits.ends_with(", \"global-day\";r=4294967294;t=87264"),
        "{limits}"
    );
    assert_eq!(headers["x-ratelimit-remaining-requests"], "4294967294");
}

/// Responses share memory for their values.
#[test]
fn responses_keep_their_values_while_others_are_written() {
    let written = |requests| {
        let mut headers = HeaderMap::new();
        write(&state([100; 3], [200; 3], requests), None, &mut headers);
        let texts: Vec<_> = headers
            .values()
            .map(|value| value.as_bytes().to_vec())
            .collect();
        (texts, headers)
    };
    for _ in 0..3 {
        let all: Vec<_> = (1..=60).map(written).collect();
        for (texts, headers) in all {
            let values: Vec<_> = headers.values().map(HeaderValue::as_bytes).collect();
            assert_eq!(values, texts);
        }
    }
}

#[test]
fn fields_of_the_provider_are_found() {
    let rows: [(&[&'static str], [bool; 3]); 6] = [
        (&[], [false; 3]),
        (
            &["content-type", "x-ratelimit", "anthropic-version"],
            [false; 3],
        ),
        (&["ratelimit"], [true, false, false]),
        (&["ratelimit-policy"], [true, false, false]),
        (&["x-ratelimit-reset-requests"], [false, true, false]),
        (
            &[
                "anthropic-ratelimit-requests-remaining",
                "x-ratelimit-limit-tokens",
            ],
            [false, true, true],
        ),
    ];
    for (names, [has_draft, has_openai, has_anthropic]) in rows {
        let mut headers = HeaderMap::new();
        for name in names {
            headers.insert(*name, HeaderValue::from_static("1"));
        }
        let expected = ProviderFields {
            has_draft,
            has_openai,
            has_anthropic,
        };
        assert_eq!(ProviderFields::of(&headers), expected, "{names:?}");
    }
}

#[test]
fn policies_name_their_counter_and_window() {
    let texts = REPORTED.into_iter().zip(policies::TEXTS);
    for ((counted, window), (before, after)) in texts {
        let scope = match counted {
            CountedRequests::OfClient => "client",
            CountedRequests::OfAllClients => "global",
        };
        assert_eq!(before, format!("\"{scope}-{}\";q=", window.name()));
        assert_eq!(after, format!(";w={}", window.length().as_secs()));
    }
}
