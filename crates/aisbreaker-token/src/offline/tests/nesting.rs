//! Keys nested in keys: what they allow is what a server would have sealed if it had been asked.

use serde_json::json;

use super::*;
use crate::{
    Budgets, Grant, NestingFault, RequestQuotas, Restriction, SealedKey, ServiceSecret, Usd,
    delegation::{ChildRequest, DelegationError, child_of},
};

fn ring() -> KeyRing {
    KeyRing::new(ServerKey::from_bytes([1; 32])).with_offline_keys()
}

fn restriction(service: &str) -> Restriction {
    Restriction {
        services: Some(vec![service.to_owned()]),
        ..Restriction::default()
    }
}

fn quotas(limit: u32) -> RequestQuotas {
    let limits =
        json!({"requestsPerMinute": limit, "requestsPerHour": limit, "requestsPerDay": limit});
    let quotas = json!({"perClientRequestLimits": limits, "globalRequestLimits": limits});
    serde_json::from_value(quotas).unwrap()
}

fn budgets(nanos: u64) -> Option<Box<Budgets>> {
    let mut budgets = Budgets::default();
    budgets.global.usd_per_day = Some(Usd::from_nanos(nanos));
    Some(Box::new(budgets))
}

fn root_grant() -> Grant {
    let secret = ServiceSecret::new("chat:openai.com", "sk".into());
    let mut grant = Grant::new(Some(quotas(100)), vec![secret]);
    grant.restrict = vec![restriction("chat:")];
    grant.name = Some("root".to_owned());
    grant.budgets = budgets(100);
    grant
}

fn root(grant: &Grant, seconds: u64) -> SealedKey {
    ring().seal_for(grant, &host(), valid_for(seconds)).unwrap()
}

fn nest(parent: &str, grant: &Grant, seconds: u64) -> SealedKey {
    ring()
        .public_key()
        .seal_child(&parent.into(), grant, &host(), valid_for(seconds))
        .unwrap()
}

fn open_at(key: &str, seconds: u64) -> Result<Opened<Grant>, OpenError> {
    ring().open_grant(key, &host(), at(SAMPLE_TIME + seconds))
}

fn chain(levels: usize) -> Vec<SealedKey> {
    let mut keys = vec![root(&root_grant(), 3_600)];
    for _ in 0..levels {
        let parent = keys.last().unwrap().expose().to_owned();
        keys.push(nest(&parent, &Grant::default(), 3_600));
    }
    keys
}

#[test]
fn a_nested_key_has_the_grant_of_its_whole_chain() {
    let child = Grant {
        name: Some("child".to_owned()),
        restrict: vec![restriction("chat:openai.com")],
        request_quotas: Some(quotas(10)),
        budgets: budgets(10),
        ..Grant::default()
    };
    let grandchild = Grant {
        restrict: vec![restriction("chat:openai.com/gpt-4o")],
        delegation: Some(3),
        ..Grant::default()
    };
    let first = root(&root_grant(), 3_600);
    let second = nest(first.expose(), &child, 600);
    let third = nest(second.expose(), &grandchild, 1_200);

    let opened = open_at(third.expose(), 1).unwrap();

    assert_eq!(opened.id(), third.id());
    assert!(opened.is_nested() && opened.is_offline());
    assert_eq!(opened.expires_at(), at(SAMPLE_TIME + 600));
    let grant = opened.payload();
    assert_eq!(grant.name, None);
    assert_eq!(grant.request_quotas, None);
    assert_eq!(grant.budgets, None);
    assert_eq!(grant.delegation, Some(1));
    assert_eq!(grant.service_secrets.len(), 1);
    let services: Vec<_> = grant
        .restrict
        .iter()
        .map(|entry| entry.services.clone().unwrap())
        .collect();
    assert_eq!(
        services.concat(),
        ["chat:", "chat:openai.com", "chat:openai.com/gpt-4o"]
    );
    let ancestors: Vec<_> = grant
        .ancestors
        .iter()
        .map(|key| (key.id, key.request_quotas, key.budgets.clone()))
        .collect();
    assert_eq!(
        ancestors,
        [
            (first.id(), Some(quotas(100)), budgets(100)),
            (second.id(), Some(quotas(10)), budgets(10))
        ]
    );
    assert_eq!(
        open_at(second.expose(), 1)
            .unwrap()
            .payload()
            .name
            .as_deref(),
        Some("child")
    );
    assert_eq!(open_at(third.expose(), 599).err(), None);
    assert!(matches!(
        open_at(third.expose(), 600),
        Err(OpenError::Expired { id, .. }) if id == second.id()
    ));
}

#[test]
fn a_key_that_ends_or_never_opened_ends_the_keys_around_it() {
    let short = root(&root_grant(), 60);
    let elsewhere = Host::parse("elsewhere.example").unwrap();
    let foreign_host = ring()
        .seal_for(&root_grant(), &elsewhere, valid_for(60))
        .unwrap();
    let other = ServerKey::from_bytes([9; 32]);
    let foreign_server = KeyRing::new(other)
        .seal_for(&root_grant(), &host(), valid_for(60))
        .unwrap();
    let early = valid_for(60).with_not_before(at(SAMPLE_TIME + 30));
    let later = ring().seal_for(&root_grant(), &host(), early).unwrap();
    let around = |parent: &str| nest(parent, &Grant::default(), 3_600);
    let changed = short.expose().replacen("..", "..A", 1);

    assert!(open_at(around(short.expose()).expose(), 59).is_ok());
    for (name, key, seconds, expected) in [
        ("expired", around(short.expose()), 60, "expired"),
        (
            "another host",
            around(foreign_host.expose()),
            1,
            "another host",
        ),
        (
            "another server",
            around(foreign_server.expose()),
            1,
            "not in the ring",
        ),
        (
            "not yet valid",
            around(later.expose()),
            29,
            "not valid before",
        ),
        ("changed", around(&changed), 1, "malformed"),
        ("no key", around("aisbreaker_x"), 1, "malformed"),
        ("a secret", around("sk-x"), 1, "not an aisbreaker key"),
        ("empty", around(""), 1, "not an aisbreaker key"),
    ] {
        let error = open_at(key.expose(), seconds).unwrap_err();
        assert!(error.to_string().contains(expected), "{name}: {error}");
    }
    assert!(open_at(around(later.expose()).expose(), 30).is_ok());
}

#[test]
fn a_chain_has_at_most_four_keys_however_it_is_made() {
    let nested = chain(4);
    let too_deep = |key: &SealedKey| OpenError::Nested {
        id: key.id(),
        fault: DelegationError::TooDeep.into(),
    };

    assert_eq!(
        open_at(nested[3].expose(), 1)
            .unwrap()
            .payload()
            .ancestors
            .len(),
        3
    );
    let error = open_at(nested[4].expose(), 1).unwrap_err();
    assert!(matches!(
        error,
        OpenError::Nested {
            fault: NestingFault::Delegation(DelegationError::TooDeep),
            ..
        }
    ));

    // A server makes a native key from a nested one, which is nested again.
    let opened = open_at(nested[2].expose(), 1).unwrap();
    let (grant, period) = child_of(
        opened,
        ChildRequest::default(),
        at(SAMPLE_TIME + 1),
        |_, _| true,
    )
    .unwrap();
    let native = ring().seal_for(&grant, &host(), period).unwrap();
    let deeper = nest(native.expose(), &Grant::default(), 60);
    assert_eq!(open_at(deeper.expose(), 1).err(), Some(too_deep(&deeper)));
}

#[test]
fn a_key_may_forbid_keys_around_it() {
    for (levels, allowed) in [(Some(0), 0), (Some(1), 1), (Some(2), 2), (None, 3)] {
        let mut grant = root_grant();
        grant.delegation = levels;
        let mut key = root(&grant, 60).expose().to_owned();
        for level in 1..=3 {
            key = nest(&key, &Grant::default(), 60).expose().to_owned();
            let opened = open_at(&key, 1);
            assert_eq!(
                opened.is_ok(),
                level <= allowed,
                "{levels:?} {level}: {opened:?}"
            );
        }
    }
    let child = Grant {
        delegation: Some(0),
        ..Grant::default()
    };
    let first = nest(root(&root_grant(), 60).expose(), &child, 60);
    let second = nest(first.expose(), &Grant::default(), 60);
    assert!(open_at(first.expose(), 1).is_ok());
    assert_eq!(
        open_at(second.expose(), 1).err(),
        Some(OpenError::Nested {
            id: second.id(),
            fault: DelegationError::Forbidden.into()
        })
    );
}

#[test]
fn a_nested_key_brings_nothing_that_its_parent_lacks() {
    let parent = root(&root_grant(), 60);
    let with = |member: &str, value: Value| {
        let claims = json!({
            "aud": "h.example",
            "iat": SAMPLE_TIME,
            "exp": SAMPLE_TIME + 60,
            "parent": parent.expose(),
            member: value,
        });
        let drawn = Drawn {
            ephemeral: [9; KEY_BYTES].into(),
            iv: [9; IV_BYTES],
        };
        let text = ring()
            .public_key()
            .encrypt(&drawn, claims.to_string().into_bytes().into());
        open_at(text.expose_secret(), 1)
    };
    let secret = json!([{"serviceId": "chat:openai.com", "authSecret": "mine"}]);

    assert!(with("name", json!("child")).is_ok());
    for (member, value) in [
        ("serviceSecrets", secret),
        ("modelAliases", json!({"a": "chat:openai.com/b"})),
    ] {
        assert!(
            matches!(
                with(member, value),
                Err(OpenError::Nested {
                    fault: NestingFault::NotNarrower,
                    ..
                })
            ),
            "{member}"
        );
    }
    for (member, value) in [
        ("up", json!([])),
        ("parent", json!(null)),
        ("parent", json!([parent.expose()])),
        ("unknown", json!(1)),
    ] {
        assert!(with(member, value).is_err(), "{member}");
    }
    assert!(matches!(
        ring().public_key().seal_child(
            &parent.expose().into(),
            &root_grant(),
            &host(),
            valid_for(9)
        ),
        Err(SealError::NotNarrower)
    ));
}

#[test]
fn only_a_grant_can_be_nested() {
    let key = chain(1).pop().unwrap();

    let opened = ring().open::<Value>(key.expose(), &host(), at(SAMPLE_TIME + 1));

    let fault = NestingFault::NoGrant;
    assert_eq!(
        opened.err(),
        Some(OpenError::Nested {
            id: key.id(),
            fault
        })
    );
}

#[test]
fn every_offline_key_of_a_chain_is_checked_as_it_was_sealed() {
    let public_key = ring().public_key();
    let first = public_key
        .seal(&root_grant(), &host(), valid_for(60))
        .unwrap();
    let second = nest(first.expose(), &Grant::default(), 60);
    let third = nest(second.expose(), &Grant::default(), 60);
    let mut checked = Vec::new();
    let open = |key: &SealedKey, refused: Option<crate::KeyId>, checked: &mut Vec<_>| {
        ring().open_grant_with(key.expose(), &host(), at(SAMPLE_TIME + 1), |key| {
            checked.push((
                key.id(),
                key.is_nested(),
                key.payload().service_secrets.len(),
            ));
            if refused == Some(key.id()) {
                return Err(OpenError::Malformed);
            }
            Ok(())
        })
    };

    let opened = open(&third, None, &mut checked).unwrap();

    assert_eq!(opened.payload().service_secrets.len(), 1);
    assert_eq!(
        checked,
        [
            (third.id(), true, 0),
            (second.id(), true, 0),
            (first.id(), false, 1)
        ]
    );
    for key in [&first, &second, &third] {
        let opened = open(&third, Some(key.id()), &mut Vec::new());
        assert_eq!(opened.err(), Some(OpenError::Malformed));
    }
    let native = root(&root_grant(), 60);
    checked.clear();
    open(&native, Some(native.id()), &mut checked).unwrap();
    open(
        &nest(native.expose(), &Grant::default(), 60),
        Some(native.id()),
        &mut checked,
    )
    .unwrap();
    assert_eq!(
        checked.len(),
        1,
        "a key that a server sealed is not checked"
    );
}

/// A chain of four keys with some 800 bytes of claims each is half as long as may be.
#[test]
fn a_chain_has_at_most_as_many_characters_as_any_key() {
    let mut grant = Grant {
        restrict: vec![restriction(&"x".repeat(700))],
        ..Grant::default()
    };
    let mut keys = vec![root(&grant, 60).expose().to_owned()];
    for _ in 0..3 {
        keys.push(nest(keys.last().unwrap(), &grant, 60).expose().to_owned());
    }
    assert!(open_at(&keys[3], 1).is_ok());
    assert!(
        keys[3].len() < MAX_OPEN_CHARS / 2 + 256,
        "{}",
        keys[3].len()
    );

    grant.restrict = vec![restriction(&"x".repeat(9_000))];
    let sealed =
        ring()
            .public_key()
            .seal_child(&keys[3].as_str().into(), &grant, &host(), valid_for(9));
    assert!(matches!(
        sealed,
        Err(SealError::TooLong {
            maximum_chars: MAX_OPEN_CHARS,
            ..
        })
    ));
}

proptest! {
    /// The same children, made by a server and nested: they allow the same, for as long.
    #[test]
    fn a_nested_key_allows_what_a_child_of_its_parent_does(
        root_delegation in proptest::option::of(0_u8..4),
        levels in proptest::collection::vec(
            (1_u64..5_000, proptest::option::of(0_u8..5), proptest::option::of(1_u32..50), 0_usize..3),
            1..5,
        ),
    ) {
        let mut grant = root_grant();
        grant.delegation = root_delegation;
        let root = root(&grant, 3_600);
        let (mut online, mut nested) = (Some(root.expose().to_owned()), root.expose().to_owned());
        for (lifetime, delegation, limit, restrictions) in levels {
            let child = Grant {
                delegation,
                request_quotas: limit.map(quotas),
                budgets: limit.and_then(|limit| budgets(limit.into())),
                restrict: vec![restriction("chat:x"); restrictions],
                ..Grant::default()
            };
            nested = nest(&nested, &child, lifetime).expose().to_owned();
            let request = ChildRequest {
                lifetime: Some(Duration::from_secs(lifetime)),
                not_before: None,
                name: None,
                request_quotas: child.request_quotas,
                budgets: child.budgets,
                restrict: child.restrict,
                delegation,
            };
            online = online.and_then(|parent| {
                let opened = open_at(&parent, 0).unwrap();
                let (grant, period) = child_of(opened, request, at(SAMPLE_TIME), |_, _| true).ok()?;
                let sealed = ring().seal_for(&grant, &host(), period).unwrap();
                Some(sealed.expose().to_owned())
            });

            let as_nested = open_at(&nested, 0);

            prop_assert_eq!(as_nested.is_ok(), online.is_some(), "{:?}", as_nested);
            let (Ok(as_nested), Some(online)) = (as_nested, &online) else { break };
            let as_child = open_at(online, 0).unwrap();
            prop_assert_eq!(as_nested.expires_at(), as_child.expires_at());
            let shown = |opened: &Opened<Grant>| {
                let mut grant = serde_json::to_value(opened.payload()).unwrap();
                // Other keys have other ids.
                for ancestor in grant["up"].as_array_mut().unwrap() {
                    ancestor["id"] = json!("");
                }
                grant
            };
            prop_assert_eq!(shown(&as_nested), shown(&as_child));
        }
    }
}
