//! Requests with secrets in all places where none should be, and their expected statuses.

use serde_json::{Value, json};

use super::harness::{LeakHarness, planted};
use crate::support::{
    Provider, Request, ample_quotas, call, closed_url, dummy_call, grant, hop, quotas, service,
    service_at, streamed,
};

/// A name, the expected status of a caller without credentials, and the request.
type Row = (&'static str, u16, Request);

fn dummy() -> Request {
    Request::process(&dummy_call())
}

/// All requests: they are refused, or succeed without repeating their content, whoever sends them.
pub(super) fn all(harness: &LeakHarness, provider: &Provider) -> Vec<Row> {
    [
        routes(harness),
        head_faults(),
        call_faults(),
        unreachable_addresses(provider),
        minting_requests(),
    ]
    .concat()
}

/// Keys, good and bad, in `Authorization` and in other places.
pub(super) fn with_keys(harness: &LeakHarness) -> Vec<Row> {
    let dummy = dummy();
    let openai = Request::process(&call(service("chat:openai.com"), "Hi"));
    let elsewhere = service_at("chat:openai.com", "https://elsewhere.example");
    let key = &harness.key;
    vec![
        ("a good key", 200, dummy.clone().bearer(key)),
        ("a good key for a provider", 200, openai.bearer(key)),
        (
            "a key for another address",
            403,
            Request::process(&call(elsewhere, "Hi")).bearer(key),
        ),
        (
            "an altered key",
            401,
            dummy.clone().bearer(&harness.altered),
        ),
        (
            "an expired key",
            401,
            dummy.clone().bearer(&harness.expired),
        ),
        (
            "a key of another host",
            401,
            dummy.clone().bearer(&harness.foreign),
        ),
        (
            "the default key at another host",
            401,
            dummy.clone().set("Host", "elsewhere.example"),
        ),
        (
            "a truncated key",
            401,
            dummy.clone().bearer(&key[..key.len() - 30]),
        ),
        (
            "an overlong key",
            401,
            dummy.clone().bearer(&format!("{key}{}", key.repeat(20))),
        ),
        (
            "a key in quotes",
            401,
            dummy.clone().bearer(&format!("\"{key}\"")),
        ),
        (
            "a key after a second scheme",
            401,
            dummy.clone().bearer(&format!("Bearer {key}")),
        ),
        (
            "a key in two fields",
            400,
            dummy
                .clone()
                .bearer(key)
                .header("Authorization", format!("Bearer {key}")),
        ),
        (
            "another scheme",
            401,
            dummy.clone().set("Authorization", format!("Basic {key}")),
        ),
        ("no scheme", 401, dummy.clone().set("Authorization", key)),
        (
            "a key within its quota",
            200,
            dummy.clone().bearer(&harness.rare),
        ),
        (
            "a key beyond its quota",
            429,
            dummy.clone().bearer(&harness.rare),
        ),
        (
            "a key as a cookie",
            200,
            dummy.clone().header("Cookie", key),
        ),
        (
            "a key as a request id",
            200,
            dummy.clone().header("X-Request-Id", key),
        ),
        (
            "a key as a referrer",
            200,
            dummy
                .clone()
                .header("Referer", key)
                .header("User-Agent", key),
        ),
        (
            "a key as an address",
            200,
            dummy.clone().header("X-Forwarded-For", key),
        ),
        ("a key as a host", 400, dummy.clone().set("Host", key)),
        (
            "a key in the query",
            200,
            dummy.path(&format!("/api/v1/process?access_token={key}")),
        ),
        ("a key as the body", 400, Request::process(&json!(key))),
        (
            "a key for minting",
            200,
            Request::mint(&json!({"requestAuthAndQuotas": {}})).bearer(key),
        ),
    ]
}

/// Routes, methods and paths.
fn routes(harness: &LeakHarness) -> Vec<Row> {
    let cookie = planted::COOKIE;
    vec![
        ("a stream", 200, Request::process(&streamed(dummy_call()))),
        ("a page", 200, Request::get("/")),
        ("the version", 200, Request::get("/api/v1/version")),
        (
            "a secret in the query",
            200,
            Request::get(&format!("/api/v1/ping?key={cookie}")),
        ),
        ("health", 200, Request::get("/healthz")),
        ("an unknown path", 404, Request::get(&format!("/{cookie}"))),
        (
            "a key in the path",
            404,
            Request::get(&format!("/api/v1/{}", harness.key)),
        ),
        (
            "a wrong method",
            405,
            Request::new("PUT", "/api/v1/process"),
        ),
        (
            "an unknown method",
            405,
            Request::new(planted::SEALING, "/api/v1/ping"),
        ),
        (
            "a preflight",
            204,
            Request::new("OPTIONS", "/api/v1/process"),
        ),
        ("HEAD", 204, Request::new("HEAD", "/api/v1/process")),
    ]
}

/// Faults of the head, and of the encoding of the body.
fn head_faults() -> Vec<Row> {
    let secret = planted::SEALED;
    let many = (0..150).fold(dummy(), |request, i| {
        request.header(&format!("x-{i}"), planted::COOKIE)
    });
    let gzip = dummy().header("Content-Encoding", "gzip");
    vec![
        ("an invalid host", 400, dummy().set("Host", secret)),
        (
            "a wrong content type",
            400,
            dummy().set("Content-Type", secret),
        ),
        (
            "an unknown encoding",
            415,
            gzip.clone().set("Content-Encoding", secret),
        ),
        ("no gzip", 400, gzip.body(secret)),
        (
            "two secrets",
            400,
            dummy()
                .bearer(secret)
                .header("Authorization", planted::CALLERS),
        ),
        (
            "wrong hops",
            400,
            dummy().header("x-aisbreaker-hops", secret),
        ),
        (
            "a truncated body",
            408,
            dummy()
                .body(format!("{{\"{secret}"))
                .header("Content-Length", "500"),
        ),
        (
            "an oversized body",
            413,
            Request::process(&json!({"service": secret.repeat(5_000)})),
        ),
        ("too many fields", 431, many),
    ]
}

/// Faults of the body of a call.
fn call_faults() -> Vec<Row> {
    let (secret, cookie) = (planted::SEALED, planted::COOKIE);
    let dummy = service("chat:dummy");
    let with = |request: Value| json!({"service": dummy, "request": request});
    let at = |url: &str| call(service_at("chat:openai.com", url), "Hi");
    let inputs = json!([{"text": {"content": "Hi"}}]);
    let rows = [
        ("no object", 400, json!([secret])),
        (
            "no service",
            400,
            json!({"service": secret, "request": {"inputs": inputs}}),
        ),
        (
            "no id",
            400,
            json!({"service": {"serviceId": [secret]}, "request": {"inputs": inputs}}),
        ),
        ("no inputs", 400, with(json!({"inputs": secret}))),
        ("no input", 400, with(json!({"inputs": [{"text": secret}]}))),
        (
            "a wrong role",
            400,
            with(json!({"inputs": [{"text": {"role": secret, "content": "Hi"}}]})),
        ),
        (
            "a wrong image",
            400,
            with(json!({"inputs": [{"image": {"url": [secret]}}]})),
        ),
        (
            "a wrong state",
            400,
            with(json!({"inputs": inputs, "conversationState": secret})),
        ),
        (
            "wrong options",
            400,
            with(json!({"inputs": inputs, "internOptions": secret})),
        ),
        ("a wrong url", 400, at(secret)),
        (
            "a url with a password",
            400,
            at(&format!("https://u:{cookie}@one.example")),
        ),
        (
            "a url with a query",
            400,
            at(&format!("https://one.example?key={cookie}")),
        ),
        ("no such service", 404, call(service("chat:nobody"), "Hi")),
    ];
    let no_json = (
        "no JSON",
        400,
        Request::process(&json!(null)).body(format!("{{\"{secret}")),
    );
    rows.into_iter()
        .map(|(row, status, body)| (row, status, Request::process(&body)))
        .chain([no_json])
        .collect()
}

/// Addresses that cannot or must not be reached.
fn unreachable_addresses(provider: &Provider) -> Vec<Row> {
    let closed = closed_url();
    let rows = [
        ("a private address", 403, "http://192.168.0.1".to_owned()),
        ("an address that refuses", 503, closed),
        ("an unknown name", 503, "https://nobody.invalid".to_owned()),
        ("no TLS", 503, provider.url().replace("http:", "https:")),
    ];
    let call_at = |url: &str| Request::process(&call(hop(url, &service("chat:dummy")), "Hi"));
    rows.into_iter()
        .map(|(row, status, url)| (row, status, call_at(&url)))
        .collect()
}

/// Valid and invalid minting requests.
fn minting_requests() -> Vec<Row> {
    let secret = planted::SEALED;
    let auth = |members: Value| json!({"requestAuthAndQuotas": members});
    let entry = |id: &str, secret: &str| {
        grant(
            &ample_quotas(),
            &json!([{"serviceId": id, "authSecret": secret}]),
        )
    };
    let sealed = json!([{"serviceId": "", "authSecret": secret}]);
    let rows = [
        ("minting", 200, entry("", secret)),
        (
            "minting with unknown members",
            200,
            json!({"requestAuthAndQuotas": {"jti": secret, "x": secret},
            "clientSecret": secret}),
        ),
        (
            "wrong quotas",
            400,
            auth(json!({"requestQuotas": {"perClientRequestLimits": secret}})),
        ),
        (
            "a wrong limit",
            400,
            grant(&quotas([0; 3], [1; 3]), &sealed),
        ),
        ("a wrong secret", 400, entry("", &format!("{secret}\n"))),
        ("a wrong id", 400, entry(&format!("{secret}\n"), secret)),
        ("no list", 400, auth(json!({"serviceSecrets": secret}))),
        ("no entry", 400, auth(json!({"serviceSecrets": [secret]}))),
        (
            "a wrong address",
            400,
            auth(
                json!({"serviceSecrets": [{"serviceId": "", "authSecret": secret, "url": secret}]}),
            ),
        ),
        (
            "a wrong span",
            400,
            json!({"requestAuthAndQuotas": {}, "expirationTimeSpan": secret}),
        ),
        ("too long a key", 400, entry("", &secret.repeat(300))),
    ];
    let no_json = (
        "no JSON for a key",
        400,
        Request::mint(&json!(1)).body(format!("{{\"authSecret\": \"{secret}")),
    );
    rows.into_iter()
        .map(|(row, status, body)| (row, status, Request::mint(&body)))
        .chain([no_json])
        .collect()
}
