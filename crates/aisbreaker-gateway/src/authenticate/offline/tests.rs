use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use aisbreaker_api::ServicePattern;
use aisbreaker_egress::UrlSource;
use aisbreaker_token::{
    Host, KeyRing, OfflinePayload, OpenError, SealingPublicKey, ServerKey, ValidityPeriod,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::*;
use crate::{
    admission::{ServerQuotas, backend::Backend, counters::counters},
    api::token::{
        MintPolicy,
        grant_rules::{GrantRules, RuleBroken},
        mint_request::MintRequest,
    },
    authenticate::Authenticator,
    clock::SystemClock,
    config::Config,
    telemetry::metrics::Metrics,
};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;
const DAY: Duration = Duration::from_secs(86_400);

/// A client, the counters of its failures, and a clock that stands still.
pub(crate) struct Client {
    admission: Admission,
    clock: StoppedClock,
    address: IpAddr,
}

#[derive(Debug)]
struct StoppedClock(Mutex<Instant>);

impl Clock for StoppedClock {
    fn wall(&self) -> SystemTime {
        NOW
    }

    fn monotonic(&self) -> Instant {
        *self.0.lock().unwrap()
    }
}

impl Client {
    pub(crate) fn new() -> Self {
        let now = SystemClock::new().monotonic();
        let config = Config::new(ring());
        let backend = Arc::new(Backend::new(
            counters(now, 1_000),
            None,
            Metrics::new(false).quotas,
        ));
        Self {
            admission: Admission::new(
                backend,
                ServerQuotas {
                    all: config.server_quotas,
                    default: config.default_quotas,
                    minting: config.mint_quotas,
                },
            ),
            clock: StoppedClock(Mutex::new(now)),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }

    pub(crate) fn failures(&self) -> OfflineFailures<'_> {
        OfflineFailures {
            admission: &self.admission,
            clock: &self.clock,
            client: self.address,
        }
    }

    fn wait(&self, time: Duration) {
        *self.clock.0.lock().unwrap() += time;
    }
}

fn server_key() -> ServerKey {
    ServerKey::from_bytes([7; 32])
}

fn ring() -> KeyRing {
    KeyRing::new(server_key()).with_offline_keys()
}

fn host() -> Host {
    Host::parse("a.example").unwrap()
}

fn authenticator(policy: MintPolicy) -> Authenticator {
    Authenticator {
        keys: Arc::new(ring()),
        default_key: None,
        rules: Arc::new(GrantRules {
            keys: Arc::new(ring()),
            policy,
            max_lifetime: DAY,
            relay: None,
        }),
        requires_key: false,
        sealed_urls: UrlSource::Trusted,
    }
}

fn now() -> SystemTime {
    NOW + 10 * DAY
}

fn public_key() -> SealingPublicKey {
    server_key().public_key()
}

fn seal(payload: &Value, period: ValidityPeriod) -> SecretString {
    let sealed = public_key().seal(payload, &host(), period).unwrap();
    sealed.expose().into()
}

fn seal_for_a_day(payload: &Value) -> SecretString {
    seal(payload, ValidityPeriod::new(now(), DAY))
}

fn secrets(id: &str, secret: &str) -> Value {
    json!({"serviceSecrets": [{"serviceId": id, "authSecret": secret}]})
}

fn open(policy: MintPolicy, key: &SecretString) -> Result<(), AuthenticationError> {
    let client = Client::new();
    authenticator(policy)
        .open(key.expose_secret(), &host(), now(), client.failures())
        .map(drop)
}

/// Whatever minting refuses, in a request or by its policy, is refused when an offline key is
/// opened.
#[test]
fn an_offline_key_keeps_to_all_rules_of_minting() {
    let long = "x".repeat(65);
    let rows = [
        ("nothing", json!({}), true),
        ("a secret", secrets("chat:openai.com", "sk"), true),
        ("a secret of every service", secrets("", "sk"), true),
        ("a name", json!({"name": "laptop"}), true),
        ("a long name", json!({"name": long}), false),
        ("an empty name", json!({"name": ""}), false),
        (
            "a name of control characters",
            json!({"name": "a\u{7}b"}),
            false,
        ),
        ("a key as its name", json!({"name": "aisbreaker_x"}), false),
        ("delegation", json!({"delegation": 3}), true),
        ("too deep delegation", json!({"delegation": 4}), false),
        ("an invalid service id", secrets("chat:\n", "sk"), false),
        (
            "a secret with a line break",
            secrets("chat:", "s\nk"),
            false,
        ),
        (
            "an invalid url",
            json!({"serviceSecrets": [{"serviceId": "chat:", "authSecret": "", "url": "ftp://a.example"}]}),
            false,
        ),
        (
            "a url with a user",
            json!({"serviceSecrets": [{"serviceId": "chat:", "authSecret": "", "url": "https://u@a.example"}]}),
            false,
        ),
        (
            "a fallback without a vendor",
            json!({"serviceSecrets": [{"serviceId": "chat:", "authSecret": "", "fallback": "chat:"}]}),
            false,
        ),
        (
            "nine fallbacks",
            json!({"serviceSecrets": [
                {"serviceId": "chat:", "authSecret": "", "fallback": vec!["chat:openai.com"; 9]}
            ]}),
            false,
        ),
        (
            "an alias",
            json!({"modelAliases": {"a": "chat:openai.com/b"}}),
            true,
        ),
        (
            "an alias without a model",
            json!({"modelAliases": {"a": "chat:openai.com"}}),
            false,
        ),
        (
            "an empty alias",
            json!({"modelAliases": {"": "chat:openai.com/b"}}),
            false,
        ),
        (
            "an alias of control characters",
            json!({"modelAliases": {"\u{1}": "chat:openai.com/b"}}),
            false,
        ),
        (
            "a restriction",
            json!({"restrict": [{"services": ["chat:"]}]}),
            true,
        ),
        (
            "65 services",
            json!({"restrict": [{"services": vec!["chat:"; 65]}]}),
            false,
        ),
        (
            "nine restrictions",
            json!({"restrict": vec![json!({}); 9]}),
            false,
        ),
        (
            "an unknown restriction",
            json!({"restrict": [{"models": []}]}),
            false,
        ),
        ("an unknown member", json!({"requestQuota": {}}), false),
        ("its own ancestors", json!({"up": []}), false),
        ("quotas of zero", json!({"requestQuotas": {}}), false),
    ];
    for (row, payload, opens) in rows {
        let key = seal_for_a_day(&payload);

        let opened = open(MintPolicy::default(), &key);
        let request = json!({"requestAuthAndQuotas": payload}).to_string();
        let minted = MintRequest::parse(request.as_bytes(), DAY);

        assert_eq!(opened.is_ok(), opens, "{row}: {opened:?}");
        let is_minted = minted.is_ok_and(|request| request.warnings.is_empty());
        assert_eq!(is_minted, opens, "minting: {row}");
    }
}

#[test]
fn an_offline_key_holds_the_secret_of_those_who_may_mint() {
    let policy = || MintPolicy {
        secret: Some("open sesame".into()),
        ..MintPolicy::default()
    };
    let payload = json!({});
    for (row, given, opens) in [
        ("none", None, false),
        ("another", Some("open sesamy"), false),
        ("its beginning", Some("open"), false),
        ("an empty one", Some(""), false),
        ("the secret", Some("open sesame"), true),
    ] {
        let secret = given.map(SecretString::from);
        let mut claims = OfflinePayload::new(&payload);
        if let Some(secret) = &secret {
            claims = claims.with_client_secret(secret);
        }
        let period = ValidityPeriod::new(now(), DAY);
        let sealed = public_key().seal(&claims, &host(), period).unwrap();

        let opened = open(policy(), &sealed.expose().into());

        let is_refused_for_it = matches!(
            opened,
            Err(AuthenticationError::RuleBroken(RuleBroken::UnknownSealer))
        );
        assert_eq!(
            (opened.is_ok(), is_refused_for_it),
            (opens, !opens),
            "{row}"
        );
    }
    // Where anyone may mint, a secret is no fault, as at minting.
    let secret = SecretString::from("any");
    let claims = OfflinePayload::new(&payload).with_client_secret(&secret);
    let period = ValidityPeriod::new(now(), DAY);
    let sealed = public_key().seal(&claims, &host(), period).unwrap();
    assert!(open(MintPolicy::default(), &sealed.expose().into()).is_ok());
}

#[test]
fn an_offline_key_holds_secrets_for_allowed_services_only() {
    for (id, secret, opens) in [
        ("chat:openai.com", "sk", true),
        ("chat:openai.com/gpt-4o", "sk", true),
        ("chat:openai.community", "sk", false),
        ("chat:", "sk", false),
        ("", "sk", false),
        ("", "INVALID", true),
        ("chat:dummy", "", true),
    ] {
        let policy = MintPolicy {
            services: Some(vec![ServicePattern::parse("chat:openai.com").unwrap()]),
            ..MintPolicy::default()
        };

        let opened = open(policy, &seal_for_a_day(&secrets(id, secret)));

        assert_eq!(opened.is_ok(), opens, "{id:?} {secret:?}: {opened:?}");
    }
}

#[test]
fn an_offline_key_is_valid_for_no_longer_than_a_minted_one() {
    let second = Duration::from_secs(1);
    let ages = [
        ("as long as may be", now(), DAY, true),
        ("a second longer", now(), DAY + second, false),
        ("sealed a minute ahead", now() + 60 * second, DAY, true),
        ("sealed later", now() + 61 * second, DAY, false),
        ("backdated", now() - DAY, DAY + 60 * second, false),
        ("almost expired", now() - DAY + second, DAY, true),
        ("for centuries", now(), 100_000 * DAY, false),
        ("sealed in 1970", NOW, 11 * DAY, false),
    ];
    for (row, issued_at, lifetime, opens) in ages {
        let key = seal(&json!({}), ValidityPeriod::new(issued_at, lifetime));

        let opened = open(MintPolicy::default(), &key);

        assert_eq!(opened.is_ok(), opens, "{row}: {opened:?}");
    }
}

/// The key of another server, under the name of this one.
fn forged() -> SecretString {
    let jwk = ServerKey::from_bytes([9; 32]).public_key().to_jwk();
    let other_name = jwk.replace(
        ServerKey::from_bytes([9; 32]).public_key().id().as_str(),
        public_key().id().as_str(),
    );
    let forger = SealingPublicKey::from_jwk(&other_name).unwrap();
    let period = ValidityPeriod::new(now(), DAY);
    let sealed = forger.seal(&json!({}), &host(), period).unwrap();
    sealed.expose().into()
}

#[test]
fn of_ten_thousand_forged_keys_sixty_a_minute_are_opened() {
    let authenticator = authenticator(MintPolicy::default());
    let (mut client, forged) = (Client::new(), forged());
    let open = |client: &Client, key: &SecretString| {
        authenticator.open(key.expose_secret(), &host(), now(), client.failures())
    };
    let count_opened = |client: &Client| {
        let mut opened = 0;
        for _ in 0..10_000 {
            match open(client, &forged).map(drop) {
                Err(AuthenticationError::InvalidKey(OpenError::NotAuthentic { .. })) => opened += 1,
                Err(AuthenticationError::TooManyFailures) => {}
                outcome => unreachable!("{outcome:?}"),
            }
        }
        opened
    };

    assert_eq!(count_opened(&client), 60);
    assert_eq!(count_opened(&client), 0);

    let good = seal_for_a_day(&json!({}));
    assert!(matches!(
        open(&client, &good),
        Err(AuthenticationError::TooManyFailures)
    ));
    let native = ring().seal(&json!({}), &host(), now(), DAY).unwrap();
    assert!(
        open(&client, &native.expose().into()).is_ok(),
        "a minted key"
    );

    client.wait(Duration::from_secs(61));
    assert!(open(&client, &good).is_ok());
    assert_eq!(count_opened(&client), 60);

    client.address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    assert!(open(&client, &good).is_ok(), "another client");
}

#[test]
fn keys_that_open_count_as_no_failure_and_those_that_break_a_rule_do() {
    let authenticator = authenticator(MintPolicy::default());
    let client = Client::new();
    let open = |key: &SecretString| {
        authenticator.open(key.expose_secret(), &host(), now(), client.failures())
    };
    let good = seal_for_a_day(&json!({}));
    let too_long = seal(&json!({}), ValidityPeriod::new(now(), 2 * DAY));
    let malformed = SecretString::from("aisbreaker_".to_owned() + &"x".repeat(300));

    for _ in 0..200 {
        assert!(open(&good).is_ok());
        assert!(open(&malformed).is_err(), "read no further than its header");
    }
    for _ in 0..60 {
        assert!(matches!(
            open(&too_long),
            Err(AuthenticationError::RuleBroken(RuleBroken::TooLong))
        ));
    }
    assert!(matches!(
        open(&good),
        Err(AuthenticationError::TooManyFailures)
    ));
}
