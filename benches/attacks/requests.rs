//! Requests as they go over the wire.

use std::io::Write as _;

use aisbreaker_benches::calls;
use flate2::{Compression, write::GzEncoder};

use crate::target::Target;

/// A head without its end, and with whatever framing is named.
pub(crate) fn head(target: &Target, framing: &str) -> String {
    calls::request_head(&target.key, framing)
}

/// A whole call with this body.
pub(crate) fn call(target: &Target, body: &str) -> Vec<u8> {
    calls::request(&target.key, body)
}

/// A call of `chat:dummy`.
pub(crate) fn dummy(target: &Target) -> Vec<u8> {
    calls::dummy_request(&target.key)
}

/// The same with a key that was altered.
pub(crate) fn with_bad_key(target: &Target) -> Vec<u8> {
    let altered = Target {
        key: format!("{}AAAA", &target.key[..target.key.len() - 4]).into(),
        ..target.clone()
    };
    dummy(&altered)
}

/// A call whose answer is a long stream.
pub(crate) fn long_stream(target: &Target) -> Vec<u8> {
    let text = "word ".repeat(100_000);
    let body = format!(
        r#"{{"service":{{"serviceId":"chat:dummy"}},"request":{{"inputs":[{{"text":{{"role":"user","content":"{text}"}}}}],"stream":true}}}}"#
    );
    call(target, &body)
}

/// A call whose answer is a stream of the provider at this port; the key is the caller's own.
pub(crate) fn stream_of_a_provider(target: &Target, port: u16) -> Vec<u8> {
    let own = Target {
        key: "sk-own".into(),
        ..target.clone()
    };
    let body = format!(
        r#"{{"service":{{"serviceId":"chat:openai.com","url":"http://127.0.0.1:{port}"}},"request":{{"inputs":[{{"text":{{"role":"user","content":"Hi"}}}}],"stream":true}}}}"#
    );
    call(&own, &body)
}

/// A call whose body is small and inflates to 64 MiB.
pub(crate) fn bomb(target: &Target) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![b' '; 1 << 20];
    (0..64).for_each(|_| encoder.write_all(&zeros).expect("memory takes it"));
    let body = encoder.finish().expect("memory takes it");
    let framing = format!(
        "content-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head(target, &framing).into_bytes(), body].concat()
}
