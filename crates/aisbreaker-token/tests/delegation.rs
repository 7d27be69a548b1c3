//! Keys made from keys: none allows more than the one that it was made from.
#![expect(clippy::unwrap_used, reason = "a test stops at the first failure")]

#[expect(dead_code, reason = "each test file uses some of the helpers")]
mod shared;

use std::{
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use aisbreaker_token::{
    Ancestor, Budgets, Grant, KeyId, MAX_DELEGATION_DEPTH, ModelAlias, Opened, RequestLimits,
    RequestQuotas, Restriction, ServiceSecret, Usd,
    delegation::{ChildRequest, DelegationError, GrantPart, child_of},
};
use proptest::prelude::*;
use secrecy::ExposeSecret as _;

use shared::{HOUR, host, now, ring};

fn seal(grant: &Grant, lifetime: Duration) -> Opened<Grant> {
    let key = ring(1).seal(grant, &host(), now(), lifetime).unwrap();
    ring(1).open_grant(key.expose(), &host(), now()).unwrap()
}

fn quotas(per_minute: u32) -> RequestQuotas {
    let limit = NonZeroU32::new(per_minute).unwrap();
    let limits = RequestLimits {
        requests_per_minute: limit,
        requests_per_hour: limit,
        requests_per_day: limit,
    };
    RequestQuotas {
        per_client_request_limits: limits,
        global_request_limits: limits,
    }
}

fn budgets(nanos: u64) -> Option<Box<Budgets>> {
    let mut budgets = Budgets::default();
    budgets.global.usd_total = Some(Usd::from_nanos(nanos));
    Some(Box::new(budgets))
}

fn services(services: &[&str]) -> Restriction {
    let mut restriction = Restriction::default();
    restriction.services = Some(services.iter().map(|id| (*id).to_owned()).collect());
    restriction
}

/// Whether every restriction allows a service by its first letter.
fn allows(restrictions: &[Restriction], service: &str) -> bool {
    restrictions.iter().all(|restriction| {
        let allowed = restriction.services.as_ref();
        allowed.is_none_or(|services| services.iter().any(|prefix| service.starts_with(prefix)))
    })
}

fn can_use(restrictions: &[Restriction], part: GrantPart<'_>) -> bool {
    match part {
        GrantPart::Secret(secret) => allows(restrictions, &secret.service_id),
        GrantPart::Fallback(id) | GrantPart::AliasTarget(id) => allows(restrictions, id),
    }
}

/// Makes a child, and opens it a minute later, when it is valid at the latest.
fn child(parent: Opened<Grant>, request: ChildRequest) -> Result<Opened<Grant>, DelegationError> {
    let (grant, validity) = child_of(parent, request, now(), can_use)?;
    let key = ring(1).seal_for(&grant, &host(), validity).unwrap();
    let later = now() + Duration::from_secs(60);
    Ok(ring(1).open_grant(key.expose(), &host(), later).unwrap())
}

fn request() -> ChildRequest {
    ChildRequest::default()
}

#[test]
fn a_child_lasts_as_long_as_it_is_asked_but_no_longer_than_its_parent() {
    let hours = |hours| Some(HOUR * hours);
    let rows = [
        (None, 5),
        (hours(3), 3),
        (hours(5), 5),
        (hours(6), 5),
        (Some(Duration::MAX), 5),
    ];
    for (lifetime, expected) in rows {
        let mut request = request();
        request.lifetime = lifetime;
        let parent = seal(&Grant::default(), HOUR * 5);
        let child = child(parent, request).unwrap();
        assert_eq!(child.expires_at(), now() + HOUR * expected, "{lifetime:?}");
    }
}

#[test]
fn a_child_of_a_fraction_of_a_second_lasts_as_long_as_its_parent() {
    let late = now() + Duration::from_millis(3_999);
    let parent = seal(&Grant::default(), Duration::from_secs(4));

    let (grant, validity) = child_of(parent, request(), late, can_use).unwrap();

    let key = ring(1).seal_for(&grant, &host(), validity).unwrap();
    let opened = ring(1).open_grant(key.expose(), &host(), late).unwrap();
    assert_eq!(opened.expires_at(), now() + Duration::from_secs(4));
}

#[test]
fn a_child_begins_when_it_is_asked_but_no_earlier_than_its_parent() {
    let at = |seconds: u64| Some(now() + Duration::from_secs(seconds));
    // A parent that begins within the skew of clocks opens already.
    let rows = [
        (None, None, Some(None)),
        (at(60), None, Some(at(60))),
        (None, at(30), Some(at(30))),
        (at(20), at(30), Some(at(30))),
        (at(40), at(30), Some(at(40))),
        (at(3_599), None, Some(at(3_599))),
        (at(3_600), None, None),
        (Some(SystemTime::UNIX_EPOCH - HOUR), None, None),
    ];
    for (asked, of_parent, expected) in rows {
        let period = aisbreaker_token::ValidityPeriod::new(now(), HOUR);
        let period = of_parent.map_or(period, |time| period.with_not_before(time));
        let key = ring(1)
            .seal_for(&Grant::default(), &host(), period)
            .unwrap();
        let opened_at = of_parent.unwrap_or(now());
        let parent = ring(1)
            .open_grant(key.expose(), &host(), opened_at)
            .unwrap();
        let mut request = request();
        request.not_before = asked;
        match (child_of(parent, request, now(), can_use), expected) {
            (Ok((grant, validity)), Some(expected)) => {
                let key = ring(1).seal_for(&grant, &host(), validity).unwrap();
                let later = expected.unwrap_or(now());
                let child = ring(1).open_grant(key.expose(), &host(), later).unwrap();
                assert_eq!(child.not_before(), expected, "{asked:?} {of_parent:?}");
            }
            (outcome, expected) => {
                assert_eq!(expected, None, "{asked:?}");
                assert_eq!(outcome.unwrap_err(), DelegationError::NeverValid);
            }
        }
    }
}

#[test]
fn a_child_names_all_its_ancestors_with_their_quotas_and_budgets() {
    let mut first = Grant::new(Some(quotas(9)), Vec::new());
    first.budgets = budgets(9);
    first.name = Some("first".to_owned());
    let first = seal(&first, HOUR);
    let expected_first =
        Ancestor::new(first.id(), Some(1_795_396_965), Some(quotas(9))).with_budgets(budgets(9));

    let second = child(first, request()).unwrap();
    assert_eq!(
        second.payload().ancestors,
        std::slice::from_ref(&expected_first)
    );
    assert_eq!(second.payload().name, None, "a name is not passed on");
    assert_eq!(second.payload().request_quotas, None, "nor are quotas");
    assert_eq!(second.payload().budgets, None, "nor are budgets");

    let mut asked = request();
    asked.request_quotas = Some(quotas(3));
    asked.budgets = budgets(3);
    asked.name = Some("third".to_owned());
    let expected_second = Ancestor::new(second.id(), Some(1_795_396_965), None);
    let third = child(second, asked).unwrap();
    assert_eq!(third.payload().ancestors, [expected_first, expected_second]);
    assert_eq!(third.payload().name.as_deref(), Some("third"));
    assert_eq!(third.payload().request_quotas, Some(quotas(3)));
    assert_eq!(third.payload().budgets, budgets(3));

    let fourth = child(third, request()).unwrap();
    let of_third = fourth.payload().ancestors.last().unwrap();
    assert_eq!(of_third.budgets, budgets(3));
    assert_eq!(fourth.payload().ancestors[0].budgets, budgets(9));
}

#[test]
fn delegation_ends_where_it_is_forbidden_and_at_the_greatest_depth() {
    // What the first key allows, what each child asks for, and how many children there can be.
    let rows = [
        (None, None, 3, DelegationError::TooDeep),
        (Some(3), None, 3, DelegationError::Forbidden),
        (Some(200), None, 3, DelegationError::Forbidden),
        (Some(2), None, 2, DelegationError::Forbidden),
        (Some(1), None, 1, DelegationError::Forbidden),
        (Some(0), None, 0, DelegationError::Forbidden),
        (Some(0), Some(3), 0, DelegationError::Forbidden),
        (Some(1), Some(3), 1, DelegationError::Forbidden),
        (Some(2), Some(3), 2, DelegationError::Forbidden),
        (None, Some(3), 3, DelegationError::Forbidden),
        (None, Some(0), 1, DelegationError::Forbidden),
        (None, Some(1), 2, DelegationError::Forbidden),
    ];
    for (allowed, asked, expected, error) in rows {
        let mut grant = Grant::default();
        grant.delegation = allowed;
        let mut key = seal(&grant, HOUR);
        let mut made = 0;
        let refused = loop {
            let mut request = request();
            request.delegation = asked;
            match child(key, request) {
                Ok(next) => key = next,
                Err(error) => break error,
            }
            made += 1;
        };
        assert_eq!((made, refused), (expected, error), "{allowed:?} {asked:?}");
    }
}

#[test]
fn what_a_child_cannot_use_is_not_in_it() {
    let secret = |id: &str, text: &str, fallback: &[&str]| {
        let fallback = fallback.iter().map(|id| (*id).to_owned()).collect();
        ServiceSecret::new(id, text.into()).with_fallback(fallback)
    };
    let aliases = [
        ("one", ModelAlias::from("a:1")),
        ("two", ModelAlias::from("b:2").translated()),
        ("three", ModelAlias::from("a:3").translated()),
    ];
    let grant = Grant::new(
        None,
        vec![
            secret("a:1", "canary-a", &["b:2", "a:9"]),
            secret("b:2", "canary-b", &[]),
            secret("a:3", "canary-c", &[]),
        ],
    );
    let grant = grant.with_model_aliases(aliases);
    let mut request = request();
    request.restrict = vec![services(&["a"])];

    let (grant, _) = child_of(seal(&grant, HOUR), request, now(), can_use).unwrap();

    let text = serde_json::to_string(&grant).unwrap();
    assert!(text.contains("canary-a") && text.contains("canary-c"));
    assert!(grant.model_aliases["three"].translate, "as its parent's");
    for dropped in ["canary-b", "b:2", "two"] {
        assert!(!text.contains(dropped), "{dropped} in {text}");
    }
    let order = grant.service_secrets.iter().map(|entry| &*entry.service_id);
    assert!(order.eq(["a:1", "a:3"]), "the order is kept");
}

/// What one link of a random chain asks for.
#[derive(Clone, Debug)]
struct Link {
    hours: u32,
    begins_in: Option<u64>,
    restrict: Vec<Vec<String>>,
    delegation: Option<u8>,
    quotas: Option<u32>,
}

fn link() -> impl Strategy<Value = Link> {
    let restrict = prop::collection::vec(prop::collection::vec("[abc]", 0..3), 0..2);
    (
        1_u32..20,
        prop::option::of(0_u64..60),
        restrict,
        prop::option::of(0_u8..5),
        prop::option::of(1_u32..9),
    )
        .prop_map(|(hours, begins_in, restrict, delegation, quotas)| Link {
            hours,
            begins_in,
            restrict,
            delegation,
            quotas,
        })
}

/// The services that a key has a secret for and is not restricted from.
fn usable(key: &Opened<Grant>) -> Vec<String> {
    let grant = key.payload();
    let entries = grant.service_secrets.iter();
    entries
        .filter(|entry| allows(&grant.restrict, &entry.service_id))
        .map(|entry| entry.auth_secret.expose_secret().to_owned())
        .collect()
}

proptest! {
    #[test]
    fn no_chain_of_keys_widens(links in prop::collection::vec(link(), 1..6)) {
        let secrets = ["a:1", "b:1", "c:1", "a:2", "b:2"];
        let secrets = secrets.map(|id| ServiceSecret::new(id, format!("canary-{id}").into()));
        let mut key = seal(&Grant::new(None, secrets.into()), HOUR * 10);
        let mut ids: Vec<KeyId> = Vec::new();
        for link in links {
            let before = (
                usable(&key),
                key.expires_at(),
                key.not_before(),
                key.payload().restrict.clone(),
                key.payload().delegation,
            );
            ids.push(key.id());
            let mut request = request();
            request.lifetime = Some(HOUR * link.hours);
            request.not_before = link.begins_in.map(|s| now() + Duration::from_secs(s));
            request.delegation = link.delegation;
            request.request_quotas = link.quotas.map(quotas);
            request.restrict = link
                .restrict
                .iter()
                .map(|list| services(&list.iter().map(String::as_str).collect::<Vec<_>>()))
                .collect();
            let Ok(child) = child(key, request) else {
                prop_assert!(ids.len() > MAX_DELEGATION_DEPTH || before.4 == Some(0));
                return Ok(());
            };
            let (usable_before, expiry, not_before, restrict, delegation) = before;
            for secret in usable(&child) {
                prop_assert!(usable_before.contains(&secret), "{}", secret);
            }
            let text = serde_json::to_string(child.payload()).unwrap();
            for id in ["a:1", "b:1", "c:1", "a:2", "b:2"] {
                let is_allowed = allows(&child.payload().restrict, id);
                prop_assert_eq!(text.contains(&format!("canary-{id}")), is_allowed, "{}", id);
            }
            prop_assert!(child.expires_at() <= expiry);
            prop_assert!(child.not_before() >= not_before);
            prop_assert_eq!(&child.payload().restrict[..restrict.len()], &restrict[..]);
            let is_narrower = match (delegation, child.payload().delegation) {
                (Some(before), Some(after)) => after < before,
                (Some(_), None) => false,
                (None, _) => true,
            };
            prop_assert!(is_narrower);
            let ancestors: Vec<_> = child.payload().ancestors.iter().map(|up| up.id).collect();
            prop_assert_eq!(&ancestors, &ids);
            key = child;
        }
    }
}
