//! Requests as bytes.

use std::{
    io::Write as _,
    time::{Duration, SystemTime},
};

use aisbreaker_benches::calls;
use aisbreaker_token::{Host, SealingPublicKey, ServerKey, ValidityPeriod};
use flate2::{Compression, write::GzEncoder};

use crate::target::Target;

/// Returns the head of a request, up to and including `framing`.
pub(crate) fn head(target: &Target, framing: &str) -> String {
    calls::request_head(&target.key, framing)
}

/// Returns a whole request with this body.
pub(crate) fn request(target: &Target, body: &str) -> Vec<u8> {
    calls::request(&target.key, body)
}

/// Returns a request to `chat:dummy`.
pub(crate) fn dummy(target: &Target) -> Vec<u8> {
    calls::dummy_request(&target.key)
}

/// Returns the same with an altered key.
pub(crate) fn with_bad_key(target: &Target) -> Vec<u8> {
    let altered = Target {
        key: format!("{}AAAA", &target.key[..target.key.len() - 4]).into(),
        ..target.clone()
    };
    dummy(&altered)
}

/// Returns the same with a key that was sealed offline for another server, and names this one's.
pub(crate) fn with_forged_offline_key(target: &Target) -> Vec<u8> {
    let public_key = calls::public_key(target.address);
    let other = ServerKey::from_bytes([9; 32]).public_key();
    let renamed = other
        .to_jwk()
        .replace(other.id().as_str(), public_key.id().as_str());
    let forger = SealingPublicKey::from_jwk(&renamed).expect("it is a public key");
    let host = Host::parse("localhost").expect("it is a host");
    let period = ValidityPeriod::new(SystemTime::now(), Duration::from_secs(3_600));
    let forged = forger
        .seal(&serde_json::json!({}), &host, period)
        .expect("it is sealed");
    dummy(&Target {
        key: forged.expose().into(),
        ..target.clone()
    })
}

/// Returns a request whose response is a long stream.
pub(crate) fn long_stream(target: &Target) -> Vec<u8> {
    let text = "word ".repeat(100_000);
    let body = format!(
        r#"{{"service":{{"serviceId":"chat:dummy"}},"request":{{"inputs":[{{"text":{{"role":"user","content":"{text}"}}}}],"stream":true}}}}"#
    );
    request(target, &body)
}

/// Returns a request for a stream of the provider at this port, with a secret of the caller.
pub(crate) fn provider_stream(target: &Target, port: u16) -> Vec<u8> {
    let own = Target {
        key: "sk-own".into(),
        ..target.clone()
    };
    let body = format!(
        r#"{{"service":{{"serviceId":"chat:openai.com","url":"http://127.0.0.1:{port}"}},"request":{{"inputs":[{{"text":{{"role":"user","content":"Hi"}}}}],"stream":true}}}}"#
    );
    request(&own, &body)
}

/// Returns a request whose body is small and inflates to 64 MiB.
pub(crate) fn bomb(target: &Target) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let spaces = vec![b' '; 1 << 20];
    (0..64).for_each(|_| encoder.write_all(&spaces).expect("memory takes it"));
    let body = encoder.finish().expect("memory takes it");
    let framing = format!(
        "content-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head(target, &framing).into_bytes(), body].concat()
}
