//! Rows about opening keys.

use std::{
    path::{Path, PathBuf},
    process::Command,
    rc::Rc,
    time::{Duration, SystemTime},
};

use aisbreaker_benches::claims::{Claims, grant, host, ring};
use aisbreaker_token::{Grant, KeyRing, ServerKey};
use pasetors::{
    Local,
    keys::SymmetricKey,
    token::UntrustedToken,
    version4::{LocalToken, V4},
};

use crate::{cpu::sample, row::Measurement};

/// The size of claims for which the design sets its figures.
const CLAIMS_BYTES: usize = 890;
const ISSUED: SystemTime = SystemTime::UNIX_EPOCH;
const LIFETIME: Duration = Duration::from_secs(1_826_932_968);

fn now() -> SystemTime {
    ISSUED + Duration::from_secs(1_795_396_968)
}

pub(crate) fn rows(jose: Option<PathBuf>) -> Vec<Measurement> {
    vec![
        jose_row(jose),
        Measurement::ratio("open a key / pasetors v4.local", "ns", 0.25, || {
            let ring = Rc::new(ring());
            (sample(opening(&ring)), sample(pasetors()))
        }),
        Measurement::ratio(
            "refuse a forged key, 64 keys in the ring / one",
            "ns",
            1.1,
            || {
                let one = ring();
                let many = (100..163).fold(ring(), |ring, byte| {
                    ring.with_opening_key(ServerKey::from_bytes([byte; 32]))
                        .expect("key ids differ")
                });
                (sample(refusing(many)), sample(refusing(one)))
            },
        ),
        Measurement::absolute(
            "length of a key with 890 B of claims",
            "chars",
            1360.0,
            || {
                Box::new(|| {
                    let chars = u32::try_from(sealed(&ring()).len()).expect("keys are short");
                    f64::from(chars)
                })
            },
        )
        .without_goal()
        .noted("given by the format"),
    ]
}

fn jose_row(jose: Option<PathBuf>) -> Measurement {
    let (name, goal) = ("open a key / jose 4.15 jwtDecrypt (CPU)", 0.2);
    let Some(directory) = jose else {
        return Measurement::not_measured(name, goal, "needs Node and --jose");
    };
    Measurement::ratio(name, "ns", goal, move || {
        let ring = Rc::new(ring());
        (sample(opening(&ring)), Box::new(move || node(&directory)))
    })
}

/// Measures the nanoseconds of CPU time per key that Node takes with `jose`, as the original server
/// does.
fn node(directory: &Path) -> f64 {
    let output = Command::new("node")
        .args(["--input-type=module", "--eval", include_str!("jose.mjs")])
        .current_dir(directory)
        .output()
        .expect("node runs");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim()
        .parse()
        .unwrap_or_else(|_| panic!("jose failed: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Seals a key whose claims, including the registered ones, have [`CLAIMS_BYTES`].
fn sealed(ring: &KeyRing) -> String {
    let lifetime = LIFETIME.saturating_sub(Duration::from_secs(1_795_396_968));
    let key = ring
        .seal(&grant(CLAIMS_BYTES), &host(), now(), lifetime)
        .expect("it seals");
    key.expose().to_owned()
}

fn opening(ring: &Rc<KeyRing>) -> impl FnMut() -> Grant + use<> {
    let (ring, key, host) = (Rc::clone(ring), sealed(ring), host());
    move || {
        ring.open_grant(&key, &host, now())
            .expect("it opens")
            .into_payload()
    }
}

fn refusing(ring: KeyRing) -> impl FnMut() -> bool {
    let (mut key, host) = (sealed(&ring), host());
    // A character of the ciphertext, which only the authentication tag gives away.
    let at = key.len() - 30;
    let forged = if key.remove(at) == 'A' { 'B' } else { 'A' };
    key.insert(at, forged);
    move || ring.open_grant(&key, &host, now()).is_err()
}

/// Returns the complete check of the same claims in the other library's format: decrypt, parse,
/// compare host and times.
fn pasetors() -> impl FnMut() -> Claims {
    let key = SymmetricKey::<V4>::from(&[7; 32]).expect("32 bytes are a key");
    let claims = Claims {
        aud: host().to_string(),
        iat: 1_795_396_968,
        exp: 1_826_932_968,
        jti: "0123456789012345678901".to_owned(),
        grant: grant(CLAIMS_BYTES),
    };
    let message = serde_json::to_vec(&claims).expect("it serialises");
    let token = LocalToken::encrypt(&key, &message, None, None).expect("it encrypts");
    move || {
        let untrusted =
            UntrustedToken::<Local, V4>::try_from(token.as_str()).expect("it is a token");
        let trusted = LocalToken::decrypt(&key, &untrusted, None, None).expect("it decrypts");
        let claims: Claims = serde_json::from_str(trusted.payload()).expect("it parses");
        assert!(claims.aud == host().as_str() && claims.exp > 1_795_396_968);
        claims
    }
}
