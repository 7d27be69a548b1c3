//! Keys that are sealed with the public key of a server, by code of its own: any header, any claims.

use std::time::{SystemTime, UNIX_EPOCH};

use aes_gcm::{AeadInOut as _, Aes256Gcm, KeyInit as _, Nonce};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};

use super::Server;

/// The only key of a key set.
pub(crate) fn public_key(server: &Server) -> Value {
    let response = server.get("/.well-known/jwks.json");
    assert_eq!(response.status, 200, "{response:?}");
    response.json()["keys"][0].clone()
}

/// Returns claims for the host `localhost` that are valid for an hour, with these members.
pub(crate) fn claims(members: &Value) -> Value {
    let now = seconds_now();
    let mut claims = json!({"aud": "localhost", "iat": now, "exp": now + 3600});
    let object = claims.as_object_mut().expect("an object");
    object.extend(members.as_object().expect("an object").clone());
    claims
}

#[expect(
    clippy::disallowed_methods,
    reason = "the server compares it with its own clock"
)]
pub(crate) fn seconds_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a time after 1970").as_secs()
}

/// Seals claims with the public key of a server.
pub(crate) fn seal(server: &Server, claims: &Value) -> String {
    seal_for(&public_key(server), claims)
}

/// Seals claims with a public key.
pub(crate) fn seal_for(public_key: &Value, claims: &Value) -> String {
    let x = public_key["x"].as_str().expect("x");
    let mut public = [0; 32];
    Base64UrlUnpadded::decode(x, &mut public).expect("base64url");
    let ephemeral = StaticSecret::from([7; 32]);
    let epk = PublicKey::from(&ephemeral);
    let header = json!({
        "alg": "ECDH-ES",
        "enc": "A256GCM",
        "kid": public_key["kid"],
        "epk": {"kty": "OKP", "crv": "X25519", "x": Base64UrlUnpadded::encode_string(epk.as_bytes())},
    });
    let header = Base64UrlUnpadded::encode_string(header.to_string().as_bytes());
    let shared = ephemeral.diffie_hellman(&PublicKey::from(public));
    let mut kdf = Sha256::new();
    for piece in [
        &[0, 0, 0, 1][..],
        shared.as_bytes(),
        &[0, 0, 0, 7],
        b"A256GCM",
        &[0; 8],
        &[0, 0, 1, 0],
    ] {
        kdf.update(piece);
    }
    let mut text = claims.to_string().into_bytes();
    let tag = Aes256Gcm::new(&kdf.finalize())
        .encrypt_inout_detached(
            &Nonce::from([9; 12]),
            header.as_bytes(),
            text.as_mut_slice().into(),
        )
        .expect("a short text");
    let [iv, text, tag] = [&[9; 12][..], &text, &tag].map(Base64UrlUnpadded::encode_string);
    format!("aisbreaker_{header}..{iv}.{text}.{tag}")
}
