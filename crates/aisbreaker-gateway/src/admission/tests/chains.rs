//! Keys that were made from others: charged together with everything they were made from.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use aisbreaker_quota::{
    Window,
    shared::{SharedEngine, SharedOptions, StoreAddress},
};
use aisbreaker_token::{Ancestor, KeyId};
use proptest::prelude::*;

use super::{
    super::{
        backend::{OnStoreFailure, SharedQuotas},
        counters::quota_owners,
    },
    *,
};
use crate::failure::Failure;

const PLENTY: u32 = 1_000_000;

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

/// Quotas with this limit per day, from one client and from all.
fn per_day(client: u32, global: u32) -> RequestQuotas {
    let limits = |per_day| RequestLimits {
        requests_per_minute: number(PLENTY),
        requests_per_hour: number(PLENTY),
        requests_per_day: number(per_day),
    };
    RequestQuotas {
        per_client_request_limits: limits(client),
        global_request_limits: limits(global),
    }
}

/// The id of a key, as text.
fn id(key: u32) -> KeyId {
    let text = format!("{key:A>21}A");
    text.parse().unwrap()
}

/// A key that was made from these, the first of them first.
fn key(number: u32, quotas: Option<RequestQuotas>, ancestors: &[Ancestor]) -> Key {
    Key {
        id: id(number),
        name: None,
        quotas,
        budgets: None,
        issued_at: None,
        expires_at: SystemTime::UNIX_EPOCH,
        ancestors: ancestors.to_vec(),
    }
}

fn ancestor(number: u32, quotas: Option<RequestQuotas>) -> Ancestor {
    Ancestor::new(id(number), None, quotas)
}

/// Admission that counts in memory, or in its share of a store that does not answer.
fn admission_with(store: Option<SharedQuotas>, default: RequestQuotas) -> Admission {
    let metrics = Metrics::new(store.is_some()).quotas;
    let backend = Arc::new(Backend::new(counters(now(), 100_000), store, metrics));
    let quotas = ServerQuotas {
        all: per_day(PLENTY, PLENTY),
        default,
        minting: default,
    };
    Admission::new(backend, quotas)
}

fn in_memory() -> Admission {
    admission_with(None, per_day(PLENTY, PLENTY))
}

fn admit(admission: &Admission, key: &Key, client: u8, now: Instant) -> Result<Permit, Failure> {
    let client = IpAddr::from([192, 0, 2, client]);
    let admitted = admission.admit(Some(key), client, || now);
    let outcome = admitted.now_or_never().expect("nothing to wait for");
    outcome.map_err(Failure::from)
}

/// What is used of each limit per day, as every key of the chain counts it.
fn used(admission: &Admission, key: &Key, client: u8, now: Instant) -> Vec<(usize, [u32; 2])> {
    let client = IpAddr::from([192, 0, 2, client]);
    let peeked = admission.peek(Some(key), client, || now).now_or_never();
    let (owners, _) = peeked.expect("nothing to wait for").unwrap();
    let used = |standings: &Standings<2>, charge| {
        let standing = standings.of(charge, Window::Day).unwrap();
        standing.limit.get() - standing.remaining
    };
    owners
        .iter()
        .map(|(owner, standings)| (owner.level, [used(standings, 0), used(standings, 1)]))
        .collect()
}

/// Calls each child from many threads, and returns how many requests were admitted.
fn call_children(admission: &Admission, children: &[Key]) -> u32 {
    let (now, admitted) = (now(), AtomicU32::new(0));
    thread::scope(|scope| {
        for start in 0..8 {
            let admitted = &admitted;
            scope.spawn(move || {
                for round in 0..2_u8 {
                    for child in children.iter().skip(start).step_by(8) {
                        let is_admitted = admit(admission, child, round, now).is_ok();
                        admitted.fetch_add(u32::from(is_admitted), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    admitted.into_inner()
}

fn thousand_children(ancestors: &[Ancestor]) -> Vec<Key> {
    let own = |child| (child % 2 == 0).then(|| per_day(PLENTY, PLENTY));
    (1_000..2_000)
        .map(|child| key(child, own(child), ancestors))
        .collect()
}

/// The keys above a thousand children, of which one admits 300 requests a day.
fn chains_above() -> Vec<Vec<Ancestor>> {
    let (tight, wide) = (Some(per_day(PLENTY, 300)), Some(per_day(PLENTY, PLENTY)));
    vec![
        vec![ancestor(1, tight)],
        vec![ancestor(1, tight), ancestor(2, wide)],
        vec![ancestor(1, wide), ancestor(2, tight), ancestor(3, None)],
        vec![ancestor(1, wide), ancestor(2, wide), ancestor(3, tight)],
    ]
}

#[test]
fn a_thousand_children_never_pass_the_limits_of_what_they_were_made_from() {
    for ancestors in chains_above() {
        let admission = in_memory();
        let children = thousand_children(&ancestors);

        assert_eq!(call_children(&admission, &children), 300, "{ancestors:?}");

        let mut by_children = 0;
        for child in &children {
            for client in 0..2 {
                for (level, [of_client, of_all]) in used(&admission, child, client, now()) {
                    match level {
                        0 => by_children += of_client,
                        _ => assert_eq!(of_all, 300, "a refusal leaves no charge"),
                    }
                }
            }
        }
        assert!(by_children <= 300, "{by_children}");
    }
}

#[tokio::test]
async fn a_thousand_children_never_pass_the_share_of_a_server_without_its_store() {
    for ancestors in chains_above() {
        // Nobody listens on this port.
        let address = StoreAddress::parse("redis://127.0.0.1:1/0").unwrap();
        let engine = SharedEngine::start(address, SharedOptions::default()).unwrap();
        let store = SharedQuotas::new(engine, OnStoreFailure::Local, number(4));
        let admission = admission_with(Some(store), per_day(PLENTY, PLENTY));
        admission.backend.wait_for_store().await;

        let admitted = call_children(&admission, &thousand_children(&ancestors));

        assert_eq!(admitted, 300 / 4, "{ancestors:?}");
    }
}

#[test]
fn the_first_key_falls_to_the_default_quotas_and_others_to_what_they_were_made_from() {
    let (default, own) = (per_day(7, 7), Some(per_day(9, 9)));
    let rows = [
        (key(1, own, &[]), vec![(1, 0, false)]),
        (key(1, None, &[]), vec![(1, 0, true)]),
        (
            key(2, own, &[ancestor(1, own)]),
            vec![(2, 0, false), (1, 1, false)],
        ),
        (key(2, None, &[ancestor(1, own)]), vec![(1, 1, false)]),
        (
            key(2, own, &[ancestor(1, None)]),
            vec![(2, 0, false), (1, 1, true)],
        ),
        (key(2, None, &[ancestor(1, None)]), vec![(1, 1, true)]),
        (
            key(3, None, &[ancestor(1, None), ancestor(2, None)]),
            vec![(1, 2, true)],
        ),
        (
            key(
                4,
                own,
                &[ancestor(1, own), ancestor(2, None), ancestor(3, own)],
            ),
            vec![(4, 0, false), (3, 1, false), (1, 3, false)],
        ),
    ];
    for (key, expected) in rows {
        let owners: Vec<_> = quota_owners(&key, &default)
            .into_iter()
            .map(|owner| (owner.key.unwrap(), owner.level, owner.are_default))
            .collect();
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(number, level, is_default)| (id(number), level, is_default))
            .collect();
        assert_eq!(owners, expected, "{key:?}");
    }
}

#[test]
fn a_refusal_names_the_key_whose_limit_it_was() {
    let now = now();
    let wide = Some(per_day(PLENTY, PLENTY));
    let alone = key(3, Some(per_day(1, 5)), &[]);
    let admission = in_memory();
    assert!(admit(&admission, &alone, 1, now).is_ok());
    let refused = admit(&admission, &alone, 1, now).unwrap_err();
    assert!(refused.message.contains("(1 per day and client; "));
    let rows = [
        (Some(per_day(1, 5)), wide, wide, None, "client"),
        (Some(per_day(5, 1)), wide, wide, None, "global"),
        (wide, Some(per_day(1, 5)), wide, Some(2), "client"),
        (wide, wide, Some(per_day(5, 1)), Some(1), "global"),
        (None, wide, Some(per_day(1, 5)), Some(1), "client"),
    ];
    for (own, of_parent, of_first, named, scope) in rows {
        let admission = in_memory();
        let child = key(3, own, &[ancestor(1, of_first), ancestor(2, of_parent)]);
        assert!(admit(&admission, &child, 1, now).is_ok());

        let refused = admit(&admission, &child, 1, now).unwrap_err();

        let start = format!("Request quota exceeded: {scope} requests per day limit exceeded (1 ");
        assert!(refused.message.starts_with(&start), "{}", refused.message);
        let expected = named.map(|number| format!("of the key {}, ", id(number)));
        let expected = expected.unwrap_or_else(|| " of this key; ".to_owned());
        assert!(refused.message.contains(&expected), "{}", refused.message);
        let reset = refused.headers["x-ratelimit-remaining-requests"].clone();
        assert_eq!(reset, "0");
    }
}

#[test]
fn headers_report_the_tightest_limit_of_the_chain_for_each_window() {
    let limits = |numbers: [u32; 3]| {
        let [minute, hour, day] = numbers.map(number);
        RequestLimits {
            requests_per_minute: minute,
            requests_per_hour: hour,
            requests_per_day: day,
        }
    };
    let quotas = |client, global| {
        Some(RequestQuotas {
            per_client_request_limits: limits(client),
            global_request_limits: limits(global),
        })
    };
    let parent = ancestor(1, quotas([10, 80, 900], [40, 70, 600]));
    let child = key(2, quotas([20, 50, 900], [30, 80, 500]), &[parent]);
    let permit = admit(&in_memory(), &child, 1, now()).unwrap();

    let mut headers = HeaderMap::new();
    permit.write_headers(&mut headers);

    assert_eq!(
        headers["ratelimit-policy"],
        "\"client-minute\";q=10;w=60, \"client-hour\";q=50;w=3600, \"client-day\";q=900;w=86400, \
         \"global-minute\";q=30;w=60, \"global-hour\";q=70;w=3600, \"global-day\";q=500;w=86400"
    );
    assert_eq!(headers["x-ratelimit-limit-requests"], "10");
    assert_eq!(headers["x-ratelimit-remaining-requests"], "9");
}

proptest! {
    /// The oracle counts requests; all of them are in one window.
    #[test]
    fn a_request_is_admitted_if_and_only_if_everything_it_is_charged_to_has_room(
        limits in prop::collection::vec(prop::option::of((1_u32..6, 1_u32..9)), 8),
        default in (1_u32..6, 1_u32..9),
        calls in prop::collection::vec((0_usize..8, 0_u8..3), 1..100),
    ) {
        // Key 0 is first; of the others, each is made from the one at half its number.
        let quotas: Vec<_> = limits
            .iter()
            .map(|limits| limits.map(|(client, global)| per_day(client, global)))
            .collect();
        let (default, now) = (per_day(default.0, default.1), now());
        let admission = admission_with(None, default);
        let up = |key: &usize| (*key > 0).then_some(*key / 2);
        let keys: Vec<Key> = (0..8)
            .map(|number: usize| {
                let mut above: Vec<_> = std::iter::successors(up(&number), up)
                    .map(|above| ancestor(u32::try_from(above).unwrap(), quotas[above]))
                    .collect();
                above.reverse();
                key(u32::try_from(number).unwrap(), quotas[number], &above)
            })
            .collect();
        let mut of_all = HashMap::<usize, u32>::new();
        let mut of_client = HashMap::<(usize, u8), u32>::new();
        for (called, client) in calls {
            let line: Vec<_> = std::iter::successors(Some(called), up)
                .filter(|key| *key == 0 || quotas[*key].is_some())
                .collect();
            let has_room = line.iter().all(|key| {
                let quotas = quotas[*key].unwrap_or(default);
                let day = |limits: RequestLimits| limits.requests_per_day.get();
                of_all.get(key).copied().unwrap_or(0) < day(quotas.global_request_limits)
                    && of_client.get(&(*key, client)).copied().unwrap_or(0)
                        < day(quotas.per_client_request_limits)
            });
            prop_assert_eq!(admit(&admission, &keys[called], client, now).is_ok(), has_room);
            if has_room {
                for key in &line {
                    *of_all.entry(*key).or_default() += 1;
                    *of_client.entry((*key, client)).or_default() += 1;
                }
            }
            for (level, counted) in used(&admission, &keys[called], client, now) {
                let key = std::iter::successors(Some(called), up).nth(level).unwrap();
                let expected = [
                    of_client.get(&(key, client)).copied().unwrap_or(0),
                    of_all.get(&key).copied().unwrap_or(0),
                ];
                prop_assert_eq!(counted, expected, "key {}", key);
            }
        }
    }
}
