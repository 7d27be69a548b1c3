//! What a child reaches, compared with what its parent reaches.

use std::net::Ipv4Addr;

use aisbreaker_api::{ServiceId, ServicePattern};
use aisbreaker_egress::UrlSource;
use aisbreaker_services::{Allowance, Credential, Credentials, SealedSecret};
use aisbreaker_token::{Grant, Restriction, ServiceSecret};
use proptest::prelude::*;
use secrecy::ExposeSecret as _;

use super::*;
use crate::restrictions::Restrictions;

/// Returns the ids that are tried: all that patterns distinguish, and some of other forms.
fn ids() -> Vec<String> {
    let mut ids = Vec::new();
    for task in ["chat", "image"] {
        for vendor in ["a", "ab", "b"] {
            for engine in ["", "/m", "/n", "/m/m", "/m/n", "/n/m", "/n/n"] {
                ids.push(format!("{task}:{vendor}{engine}"));
            }
        }
    }
    let others = [
        "chat",
        "chat:",
        "chat:a/",
        "aisbreaker:network",
        "aisbreaker:mirror/service",
    ];
    ids.extend(others.map(str::to_owned));
    ids
}

fn id(text: &str) -> ServiceId {
    ServiceId::parse(text).unwrap()
}

fn services(list: &[&str]) -> Restriction {
    let mut restriction = Restriction::default();
    restriction.services = Some(list.iter().map(|text| (*text).to_owned()).collect());
    restriction
}

fn pattern() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("chat".to_owned()),
        Just("chat:".to_owned()),
        Just("aisbreaker:network".to_owned()),
        "(chat|image):(a|ab|b)(/[mn]){0,2}/?",
    ]
}

/// A secret, or what stands in its place.
fn secret() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[0-9]{8}".prop_map(|digits| format!("canary-{digits}")),
        1 => Just("INVALID".to_owned()),
        1 => Just(String::new()),
        1 => Just("{{secret}}".to_owned()),
    ]
}

fn entries() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec((pattern(), secret()), 0..6)
}

fn restrictions() -> impl Strategy<Value = Vec<Restriction>> {
    let list = prop::collection::vec(pattern(), 0..3).prop_map(|list| {
        let mut restriction = Restriction::default();
        restriction.services = Some(list);
        restriction
    });
    prop::collection::vec(list, 0..3)
}

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn credentials(entries: &[ServiceSecret], restrict: &[Restriction]) -> Credentials {
    let sealed = entries.iter().map(|entry| {
        let pattern = ServicePattern::parse(&*entry.service_id).unwrap();
        SealedSecret::new(pattern, entry.auth_secret.clone(), Vec::new())
    });
    let (_, restrictions) = Restrictions::parse(restrict).unwrap();
    Credentials::Sealed {
        secrets: sealed.collect(),
        bearer: Some("own".into()),
        restrictions,
        url_source: UrlSource::Trusted,
    }
}

/// What a call of this service gets; `None` if it is refused.
fn reached(credentials: &Credentials, text: &str) -> Option<String> {
    let id = id(text);
    if let Some(restrictions) = credentials.restrictions()
        && restrictions.allowance(&id) == Allowance::Refused
    {
        return None;
    }
    Some(match credentials.for_service(&id) {
        Credential::None => "nothing".to_owned(),
        Credential::Blocked => "a bar".to_owned(),
        Credential::Unbound(secret) => format!("unbound {}", secret.expose_secret()),
        Credential::Bound { secret, .. } => secret.expose_secret().to_owned(),
    })
}

fn grant(entries: &[(String, String)], restrict: Vec<Restriction>) -> Grant {
    let secrets = entries
        .iter()
        .map(|(id, secret)| ServiceSecret::new(id.clone(), secret.clone().into()));
    let mut grant = Grant::new(None, secrets.collect());
    grant.restrict = restrict;
    grant
}

fn seal(keys: &KeyRing, grant: &Grant) -> Opened<Grant> {
    let (host, now) = (Host::parse("a.example").unwrap(), now());
    let hour = std::time::Duration::from_secs(3_600);
    let key = keys.seal(grant, &host, now, hour).unwrap();
    keys.open_grant(key.expose(), &host, now).unwrap()
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000)
}

proptest! {
    #[test]
    fn a_chain_reaches_no_more_than_its_first_key_and_what_it_may_it_still_reaches(
        entries in entries(),
        first in restrictions(),
        links in prop::collection::vec(restrictions(), 1..4),
    ) {
        let host = Host::parse("a.example").unwrap();
        let keys = KeyRing::new(aisbreaker_token::ServerKey::from_bytes([1; 32]));
        let mut key = seal(&keys, &grant(&entries, first));
        for restrict in links {
            let before = credentials(&key.payload().service_secrets, &key.payload().restrict);
            let exchange = Exchange { keys: &keys, host: &host, client: CLIENT, now: now() };
            let mut request = delegation::ChildRequest::default();
            request.restrict = restrict;
            let sealed = exchange.seal_child(key, request).unwrap();
            let child = keys.open_grant(sealed.expose(), &host, now()).unwrap();
            let grant = child.payload();
            let after = credentials(&grant.service_secrets, &grant.restrict);
            for text in &ids() {
                match reached(&after, text) {
                    None => {}
                    Some(reached_now) => {
                        prop_assert_eq!(Some(reached_now), reached(&before, text), "{}", text);
                    }
                }
            }
            key = child;
        }
        // A secret that is for nothing that is allowed is not in the key.
        let after = credentials(&key.payload().service_secrets, &key.payload().restrict);
        let allowed: Vec<_> = ids()
            .into_iter()
            .filter(|text| reached(&after, text).is_some())
            .collect();
        for entry in &key.payload().service_secrets {
            if entry.auth_secret.expose_secret().starts_with("canary") {
                let pattern = ServicePattern::parse(&*entry.service_id).unwrap();
                let is_usable = allowed.iter().any(|text| {
                    pattern.matches(&id(text)) || pattern.as_str().starts_with("aisbreaker:")
                });
                prop_assert!(is_usable, "{:?}", pattern);
            }
        }
    }
}

#[test]
fn only_what_a_restriction_may_allow_is_reached() {
    let rows: [(&[&[&str]], &str, bool); 28] = [
        (&[], "chat:a", true),
        (&[], "", true),
        (&[&[]], "", false),
        (&[&[]], "aisbreaker:network", false),
        (&[&["chat:a"]], "", true),
        (&[&["chat:a"]], "chat:", true),
        (&[&["chat:a"]], "chat", true),
        (&[&["chat:a"]], "chat:a", true),
        (&[&["chat:a"]], "chat:a/", true),
        (&[&["chat:a/"]], "chat:a", true),
        (&[&["chat:a"]], "chat:a/m", true),
        (&[&["chat:a/m"]], "chat:a", true),
        (&[&["chat:a/m"]], "chat:a/n", false),
        (&[&["chat:a"]], "chat:ab", false),
        (&[&["chat:ab"]], "chat:a", false),
        (&[&["chat:a"]], "image:a", false),
        (&[&["chat:a"]], "aisbreaker:network", true),
        (&[&["chat:a"]], "aisbreaker:", true),
        (&[&["chat:a"]], "aisbreaker:mirror/service", true),
        (&[&["chat:a"], &["chat:b"]], "chat:", false),
        (&[&["chat:a"], &["chat:b"]], "", false),
        (&[&["chat:a"], &["chat:b"]], "aisbreaker:proxy", false),
        (&[&["chat:a"], &["chat:"]], "chat:a", true),
        (&[&["chat:a/m"], &["chat:a/n"]], "chat:a", false),
        (
            &[&["chat:a/m", "chat:b"], &["chat:a/n", "chat:b"]],
            "chat:",
            true,
        ),
        (
            &[&["chat:a/m", "chat:b"], &["chat:a/n", "chat:b"]],
            "chat:a",
            false,
        ),
        (&[&["\n"]], "", false),
        (&[&[""]], "chat:a", true),
    ];
    for (lists, pattern, expected) in rows {
        let restrictions: Vec<_> = lists.iter().map(|list| services(list)).collect();
        let reach = Reach::new(&restrictions);
        assert_eq!(reach.meets(pattern), expected, "{lists:?} {pattern:?}");
    }
}

#[test]
fn a_restriction_that_shuts_everything_out_leaves_nothing_to_reach() {
    let none = Some(Vec::new());
    let mut rows = vec![Restriction::default(); 3];
    rows[0].operations.clone_from(&none);
    rows[1].clients.clone_from(&none);
    rows[2].origins = none;
    for restriction in rows {
        assert!(!Reach::new(&[restriction]).meets("chat:a"));
    }
}

#[test]
fn what_bars_a_service_stays_and_other_entries_go() {
    let keys = KeyRing::new(aisbreaker_token::ServerKey::from_bytes([1; 32]));
    let host = Host::parse("a.example").unwrap();
    let entry = |id: &str, secret: &str| (id.to_owned(), secret.to_owned());
    let entries = [
        entry("chat:a/m", "INVALID"),
        entry("chat:a", "canary-a"),
        entry("chat:b", ""),
        entry("chat:c", "{{secret}}"),
        entry("image:", "canary-image"),
        entry("", "canary-every"),
    ];
    let exchange = Exchange {
        keys: &keys,
        host: &host,
        client: CLIENT,
        now: now(),
    };
    let mut request = delegation::ChildRequest::default();
    request.restrict = vec![services(&["chat:d"])];

    let sealed = exchange.seal_child(seal(&keys, &grant(&entries, vec![])), request);

    let opened = keys.open_grant(sealed.unwrap().expose(), &host, now());
    let child = opened.unwrap().into_payload();
    let left: Vec<_> = child
        .service_secrets
        .iter()
        .map(|entry| (&*entry.service_id, entry.auth_secret.expose_secret()))
        .collect();
    assert_eq!(
        left,
        [
            ("chat:a/m", "INVALID"),
            ("chat:b", ""),
            ("chat:c", "{{secret}}"),
            ("", "canary-every"),
        ]
    );
}
