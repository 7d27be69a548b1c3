//! What does it cost to seal and to open a key, by size, and to refuse one? Anchor: a v4.local
//! token of `pasetors` with the same claims.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench that cannot be set up must stop"
)]

use std::{
    hint::black_box,
    time::{Duration, SystemTime},
};

use aisbreaker_token::{Grant, Host, KeyRing, ServerKey, ServiceSecret};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pasetors::{
    Local,
    claims::{Claims, ClaimsValidationRules},
    keys::{Generate as _, SymmetricKey},
    local,
    token::UntrustedToken,
    version4::{LocalToken, V4},
};
use serde_json::json;

const NOW: Duration = Duration::from_secs(1_795_396_965);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// An original key that lives a hundred years, from the token crate's vectors.
const ORIGINAL: &str =
    include_str!("../../crates/aisbreaker-token/tests/vectors/original-keys.json");
const ORIGINAL_PHRASE: &str = "vectors-current-keyphrase-2f6c1d";

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + NOW
}

fn host() -> Host {
    Host::parse("api.example.com").expect("a host")
}

fn ring() -> KeyRing {
    KeyRing::new(ServerKey::from_bytes([7; 32]))
}

/// The length of a key's claims besides the grant: `{"aud":…,"iat":…,"exp":…,"jti":…`.
const REGISTERED_BYTES: usize =
    r#"{"aud":"api.example.com","iat":1795396965,"exp":1826932965,"jti":"0123456789012345678901""#
        .len();

/// Returns a grant that makes claims of this many bytes, or nearly so for the smallest.
fn grant(claims_bytes: usize) -> Grant {
    if claims_bytes < 400 {
        return Grant::new(None, vec![ServiceSecret::new("", "".into())]);
    }
    let limits = json!({"requestsPerMinute": 60, "requestsPerHour": 600, "requestsPerDay": 6000});
    let quotas = json!({"perClientRequestLimits": limits, "globalRequestLimits": limits});
    let mut grant = Grant::new(serde_json::from_value(quotas).ok(), Vec::new());
    while grant.service_secrets.len() < claims_bytes / 200 {
        grant.service_secrets.push(ServiceSecret::new(
            "chat:openai.com",
            "sk-0123456789abcdef0123456789abcdef".into(),
        ));
    }
    let missing =
        claims_bytes - REGISTERED_BYTES - serde_json::to_string(&grant).expect("JSON").len();
    let service = &mut grant.service_secrets[0];
    service.auth_secret = format!("sk-{}", "x".repeat(missing + 32)).into();
    grant
}

fn seal(grant: &Grant) -> String {
    ring()
        .seal(grant, &host(), now(), YEAR)
        .expect("sealed")
        .expose()
        .to_owned()
}

fn by_size(criterion: &mut Criterion) {
    let (ring, host) = (ring(), host());
    let mut group = criterion.benchmark_group("token");
    for (name, claims_bytes) in [("100B", 100), ("890B", 890), ("4KiB", 4096)] {
        let grant = grant(claims_bytes);
        let key = seal(&grant);
        println!(
            "token: {name} of claims make a key of {} characters",
            key.len()
        );
        group.throughput(Throughput::Bytes(claims_bytes as u64));
        group.bench_function(BenchmarkId::new("seal", name), |bencher| {
            bencher.iter(|| ring.seal(black_box(&grant), &host, now(), YEAR));
        });
        group.bench_function(BenchmarkId::new("open", name), |bencher| {
            bencher.iter(|| {
                ring.open::<Grant>(black_box(&key), &host, now())
                    .expect("opens")
            });
        });
    }
    group.finish();
}

fn anchor(criterion: &mut Criterion) {
    let mut claims = Claims::new().expect("claims");
    claims.audience("api.example.com").expect("aud");
    claims
        .token_identifier("0123456789012345678901")
        .expect("jti");
    claims.issued_at("2026-01-01T00:00:00Z").expect("iat");
    claims.not_before("2026-01-01T00:00:00Z").expect("nbf");
    claims.expiration("2126-01-01T00:00:00Z").expect("exp");
    let serde_json::Value::Object(grant) = serde_json::to_value(grant(890)).expect("JSON") else {
        return;
    };
    for (name, value) in grant {
        claims.add_additional(&name, value).expect("member");
    }
    let key = SymmetricKey::<V4>::generate().expect("randomness");
    let text = local::encrypt(&key, &claims, None, None).expect("encrypted");
    let rules = ClaimsValidationRules::new();

    let mut group = criterion.benchmark_group("token");
    group.bench_function("pasetors-decrypt/890B", |bencher| {
        bencher.iter(|| {
            let token =
                UntrustedToken::<Local, V4>::try_from(black_box(text.as_str())).expect("a token");
            local::decrypt(&key, &token, &rules, None, None).expect("opens")
        });
    });
    group.bench_function("pasetors-decrypt-without-claims/890B", |bencher| {
        bencher.iter(|| {
            let token =
                UntrustedToken::<Local, V4>::try_from(black_box(text.as_str())).expect("a token");
            LocalToken::decrypt(&key, &token, None, None).expect("opens")
        });
    });
    group.finish();
}

fn refused(criterion: &mut Criterion) {
    let (ring, host) = (ring(), host());
    let key = seal(&grant(890));
    let mut forged = key.clone();
    forged.replace_range(200..201, if &key[200..201] == "A" { "B" } else { "A" });
    let other_host = Host::parse("other.example.com").expect("a host");
    let other_ring = KeyRing::new(ServerKey::from_bytes([8; 32]));
    let garbage = format!("aisbreaker_{}", "x".repeat(key.len()));

    let mut group = criterion.benchmark_group("token/refuse");
    for (name, ring, key, host, now) in [
        ("forged", &ring, &forged, &host, now()),
        ("wrong-server-key", &other_ring, &key, &host, now()),
        ("expired", &ring, &key, &host, now() + YEAR),
        ("wrong-host", &ring, &key, &other_host, now()),
        ("garbage", &ring, &garbage, &host, now()),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                ring.open::<Grant>(black_box(key), host, now)
                    .expect_err("refused")
            });
        });
    }
    group.finish();
}

/// A forged key must cost no more with many server keys in the ring.
fn ring_size(criterion: &mut Criterion) {
    let host = host();
    let key = seal(&grant(890));
    let mut forged = key.clone();
    forged.replace_range(200..201, if &key[200..201] == "A" { "B" } else { "A" });
    let stranger = {
        let ring = KeyRing::new(ServerKey::from_bytes([0xee; 32]));
        ring.seal(&grant(890), &host, now(), YEAR)
            .expect("sealed")
            .expose()
            .to_owned()
    };

    let mut group = criterion.benchmark_group("token/refuse-by-ring");
    for keys in [1u8, 64] {
        let ring = (8..7 + keys).fold(ring(), |ring, byte| {
            ring.with_opening_key(ServerKey::from_bytes([byte; 32]))
                .expect("ids differ")
        });
        for (name, key) in [("forged", &forged), ("unknown-server-key", &stranger)] {
            group.bench_function(BenchmarkId::new(name, format!("{keys}-keys")), |bencher| {
                bencher.iter(|| {
                    ring.open::<Grant>(black_box(key), &host, now())
                        .expect_err("refused")
                });
            });
        }
    }
    group.finish();
}

fn original(criterion: &mut Criterion) {
    let vectors: serde_json::Value = serde_json::from_str(ORIGINAL).expect("JSON");
    let vectors = vectors["extra_tokens"].as_array().expect("a list");
    let vector = vectors
        .iter()
        .find(|vector| vector["name"] == "extra-100y")
        .expect("the vector");
    let key = vector["token"].as_str().expect("a text");
    let ring = KeyRing::new(ServerKey::parse(ORIGINAL_PHRASE).expect("a phrase"));
    let host = host();
    criterion.bench_function("token/open-original/640B", |bencher| {
        bencher.iter(|| {
            ring.open::<Grant>(black_box(key), &host, now())
                .expect("opens")
        });
    });
}

criterion_group!(benches, by_size, anchor, refused, ring_size, original);
criterion_main!(benches);
