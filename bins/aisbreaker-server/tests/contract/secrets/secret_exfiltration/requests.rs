//! Attempts by header fields, request targets and routes.

use super::{
    CHAT, USUAL_KEY,
    harness::{
        ExfiltrationHarness,
        Outcome::{self, NoCall, ToProvider},
        body, bound_provider, service_at,
    },
};
use crate::support::{Provider, Request, send_over_http2};

/// Header fields of a call with [`USUAL_KEY`] that the provider should receive.
const FIELDS: &[(&str, &str, Outcome)] = &[
    ("Host", "EVIL", NoCall(401)),
    ("Host", "GOOD", NoCall(401)),
    ("Host", "127.0.0.1", NoCall(401)),
    ("Host", "localhost:EVILPORT", ToProvider(CHAT)),
    ("Host", "LOCALHOST.", ToProvider(CHAT)),
    ("Host", "localhost@EVIL", NoCall(400)),
    ("Host", "localhost, EVIL", NoCall(400)),
    ("Host", "localhost/EVIL", NoCall(400)),
    ("Host", "http://localhost", NoCall(400)),
    ("Host", "", NoCall(400)),
    ("X-Forwarded-Host", "EVIL", ToProvider(CHAT)),
    ("X-Forwarded-Server", "EVIL", ToProvider(CHAT)),
    ("X-Forwarded-Proto", "https", ToProvider(CHAT)),
    ("X-Forwarded-Port", "EVILPORT", ToProvider(CHAT)),
    ("X-Forwarded-Prefix", "http://EVIL", ToProvider(CHAT)),
    ("X-Forwarded-For", "EVIL", ToProvider(CHAT)),
    (
        "Forwarded",
        "for=EVIL;host=EVIL;proto=http",
        ToProvider(CHAT),
    ),
    ("X-Host", "EVIL", ToProvider(CHAT)),
    ("X-Original-Host", "EVIL", ToProvider(CHAT)),
    ("X-Original-URL", "http://EVIL/", ToProvider(CHAT)),
    ("X-Rewrite-URL", "http://EVIL/", ToProvider(CHAT)),
    ("X-Service-Url", "http://EVIL/", ToProvider(CHAT)),
    ("X-HTTP-Method-Override", "CONNECT", ToProvider(CHAT)),
    ("X-AIsBreaker-Hops", "1", ToProvider(CHAT)),
    ("Connection", "authorization", ToProvider(CHAT)),
    (
        "Connection",
        "host, content-type, x-aisbreaker-hops",
        ToProvider(CHAT),
    ),
    ("Connection", "close, EVIL", ToProvider(CHAT)),
    ("Proxy", "http://EVIL", ToProvider(CHAT)),
    ("Proxy-Connection", "keep-alive", ToProvider(CHAT)),
    ("Proxy-Authorization", "Bearer sk-own", ToProvider(CHAT)),
    ("X-Api-Key", "sk-own", ToProvider(CHAT)),
    ("Cookie", "session=own", ToProvider(CHAT)),
    ("OpenAI-Organization", "own", ToProvider(CHAT)),
    ("Upgrade", "h2c", ToProvider(CHAT)),
    ("Upgrade", "websocket", ToProvider(CHAT)),
    ("Alt-Used", "EVIL", ToProvider(CHAT)),
    ("Via", "1.1 EVIL", ToProvider(CHAT)),
    ("Location", "http://EVIL", ToProvider(CHAT)),
    ("Content-Location", "http://EVIL", ToProvider(CHAT)),
    ("Destination", "http://EVIL", ToProvider(CHAT)),
    ("Referer", "http://EVIL", ToProvider(CHAT)),
    ("Origin", "http://EVIL", ToProvider(CHAT)),
    ("Link", "<http://EVIL>; rel=preconnect", ToProvider(CHAT)),
    ("TE", "trailers", ToProvider(CHAT)),
    ("Accept-Encoding", "gzip", ToProvider(CHAT)),
    ("Authorization", "Bearer sk-own", NoCall(400)),
    ("Authorization", "", NoCall(400)),
];

/// Method, target and outcome of requests with [`USUAL_KEY`] in `Authorization`. The body of a
/// `POST` is a call of `chat:openai.com`.
const REQUESTS: &[(&str, &str, Outcome)] = &[
    ("POST", "/api/v1/process", ToProvider(CHAT)),
    ("POST", "/api/v1alpha1/process/", ToProvider(CHAT)),
    ("POST", "//api/v1/process", ToProvider(CHAT)),
    ("POST", "http://localhost/api/v1/process", ToProvider(CHAT)),
    (
        "POST",
        "http://localhost:EVILPORT/api/v1/process",
        ToProvider(CHAT),
    ),
    (
        "POST",
        "/api/v1/process?url=http://EVIL&service.url=http://EVIL",
        ToProvider(CHAT),
    ),
    ("POST", "http://EVIL/api/v1/process", NoCall(401)),
    ("POST", "https://EVIL/api/v1alpha1/process", NoCall(401)),
    ("POST", "http://localhost@EVIL/api/v1/process", NoCall(400)),
    ("POST", "http://EVIL@localhost/api/v1/process", NoCall(400)),
    ("POST", "http://EVIL", NoCall(405)),
    ("POST", "//EVIL/api/v1/process", NoCall(404)),
    ("POST", "/api/v1/process/http://EVIL", NoCall(404)),
    ("POST", "/http://EVIL/api/v1/process", NoCall(404)),
    ("POST", "/api/v1/../v1/process", NoCall(404)),
    ("POST", "/api/v1%2fprocess", NoCall(404)),
    ("POST", "/api/v1/oauth/token", NoCall(400)),
    ("POST", "/api/v1alpha1/oauth/token/", NoCall(400)),
    ("POST", "/api/v1/ping", NoCall(405)),
    ("POST", "/healthz", NoCall(405)),
    ("GET", "/", NoCall(200)),
    ("GET", "http://EVIL/", NoCall(200)),
    ("GET", "/api/v1/ping?url=http://EVIL", NoCall(200)),
    ("GET", "/api/v1/version?name=http://EVIL", NoCall(200)),
    ("GET", "http://EVIL/api/v1alpha1/version", NoCall(200)),
    ("GET", "http://EVIL/healthz", NoCall(200)),
    ("GET", "http://EVIL/readyz", NoCall(200)),
    ("GET", "http://EVIL/stolen", NoCall(404)),
    ("GET", "/api/v1/process?url=http://EVIL", NoCall(405)),
    ("GET", "http://EVIL/api/v1/oauth/token", NoCall(405)),
    ("HEAD", "/api/v1/process", NoCall(204)),
    ("HEAD", "http://EVIL/api/v1alpha1/process", NoCall(204)),
    ("HEAD", "http://EVIL/api/v1/oauth/token", NoCall(405)),
    ("OPTIONS", "/api/v1/process", NoCall(204)),
    ("OPTIONS", "http://EVIL/api/v1/oauth/token", NoCall(204)),
    ("OPTIONS", "*", NoCall(404)),
    ("PUT", "/api/v1/process", NoCall(405)),
    ("TRACE", "/api/v1/process", NoCall(405)),
    ("CONNECT", "EVIL", NoCall(405)),
    ("CONNECT", "localhost:EVILPORT", NoCall(405)),
];

/// Bodies of minting requests by the holder of [`USUAL_KEY`], and the status. `KEY` is the key.
const MINTINGS: &[(&str, u16)] = &[
    (r#"{"requestAuthAndQuotas": {}}"#, 200),
    (
        r#"{"requestAuthAndQuotas": {"serviceSecrets": [{"serviceId": "", "authSecret": "{{secret}}", "url": "http://EVIL"}]}}"#,
        200,
    ),
    (
        r#"{"requestAuthAndQuotas": {}, "clientId": "KEY", "clientSecret": "KEY"}"#,
        200,
    ),
    (
        r#"{"requestAuthAndQuotas": {"serviceSecrets": [{"serviceId": "", "authSecret": "KEY", "url": "http://EVIL"}]}}"#,
        400,
    ),
    (
        r#"{"requestAuthAndQuotas": {"serviceSecrets": "KEY"}}"#,
        400,
    ),
    (
        r#"{"requestAuthAndQuotas": {"serviceSecrets": [{"serviceId": "", "authSecret": "x", "url": "http://GOOD@EVIL"}]}}"#,
        400,
    ),
    (r#"{"requestAuthAndQuotas": "KEY"}"#, 400),
];

/// All header fields of every call to a provider.
const SENT_FIELDS: [&str; 8] = [
    "accept",
    "accept-encoding",
    "authorization",
    "content-length",
    "content-type",
    "host",
    "user-agent",
    "x-aisbreaker-sealed",
];

/// A call that reaches the provider unless something redirects it.
fn bound_call(is_stream: bool) -> String {
    body(&service_at("chat:openai.com", None), is_stream)
}

#[test]
fn header_fields_redirect_no_secret() {
    let harness = ExfiltrationHarness::new();
    let key = harness.key(USUAL_KEY);

    for path in ["/api/v1/process", "/api/v1alpha1/process"] {
        for (name, value, outcome) in FIELDS {
            for is_stream in [false, true] {
                let row = format!("{name}: {value}, stream: {is_stream}");
                let request = Request::post(path, bound_call(is_stream)).bearer(&key);
                harness.attempt(
                    &row,
                    &request.header(name, harness.fill(value)),
                    &key,
                    *outcome,
                );
            }
        }
    }

    for received in harness.provider.requests() {
        let mut names: Vec<_> = received
            .headers
            .iter()
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect();
        names.sort_unstable();
        assert_eq!(names, SENT_FIELDS, "{received:?}");
    }
    harness.assert_untouched();
}

#[test]
fn http2_header_fields_redirect_no_secret() {
    let harness = ExfiltrationHarness::new();
    let key = harness.key(USUAL_KEY);
    let rows = [
        ("http://localhost/api/v1/process", None, 200),
        ("http://EVIL/api/v1/process", None, 401),
        ("https://EVIL/api/v1/process", Some("localhost"), 401),
        ("http://localhost@EVIL/api/v1/process", None, 400),
        ("http://EVIL/api/v1/ping", Some("EVIL"), 405),
    ];
    let requests = rows.iter().map(|(uri, host, _)| {
        let mut request = hyper::Request::post(harness.fill(uri))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {key}"))
            .header("x-forwarded-host", harness.fill("EVIL"))
            .header("forwarded", harness.fill("host=EVIL"));
        if let Some(host) = host {
            request = request.header("host", harness.fill(host));
        }
        request.body(bound_call(false)).unwrap()
    });

    let responses = send_over_http2(&harness.server, requests.collect());

    for ((uri, host, status), (head, body)) in rows.iter().zip(responses) {
        assert_eq!(head.status.as_u16(), *status, "{uri} {host:?}: {body}");
    }
    assert_eq!(harness.provider.requests().len(), 1);
    harness.assert_untouched();
}

#[test]
fn trusted_proxy_decides_only_the_host_of_the_key() {
    let trusted = [("AISBREAKER_TRUSTED_PROXIES", "127.0.0.1")];
    let harness = ExfiltrationHarness::with(&trusted, bound_provider(), Provider::trap());
    let key = harness.key(USUAL_KEY);
    let rows = [
        ("X-Forwarded-Host", "localhost", ToProvider(CHAT)),
        ("X-Forwarded-Host", "EVIL, localhost", ToProvider(CHAT)),
        ("X-Forwarded-Host", "EVIL", NoCall(401)),
        ("X-Forwarded-Host", "localhost, EVIL", NoCall(401)),
        ("X-Forwarded-Host", "localhost@EVIL", NoCall(400)),
        ("X-Forwarded-For", "EVIL", ToProvider(CHAT)),
        ("X-Forwarded-Proto", "https", ToProvider(CHAT)),
        ("Forwarded", "host=EVIL", ToProvider(CHAT)),
    ];

    for (name, value, outcome) in rows {
        let request = Request::post("/api/v1/process", bound_call(false)).bearer(&key);
        let row = format!("{name}: {value}");
        harness.attempt(
            &row,
            &request.header(name, harness.fill(value)),
            &key,
            outcome,
        );
    }

    harness.assert_untouched();
}

#[test]
fn no_route_sends_a_secret_elsewhere() {
    let harness = ExfiltrationHarness::new();
    let key = harness.key(USUAL_KEY);

    for (method, target, outcome) in REQUESTS {
        let mut request = Request::new(method, &harness.fill(target)).bearer(&key);
        if *method == "POST" {
            request = request
                .header("Content-Type", "application/json")
                .body(bound_call(false));
        }
        harness.attempt(&format!("{method} {target}"), &request, &key, *outcome);
    }

    harness.assert_untouched();
}

#[test]
fn minting_reveals_nothing_of_a_key() {
    let harness = ExfiltrationHarness::new();
    let key = harness.key(USUAL_KEY);

    for path in ["/api/v1/oauth/token", "/api/v1alpha1/oauth/token"] {
        for (text, status) in MINTINGS {
            let request = Request::post(path, harness.fill(text).replace("KEY", &key)).bearer(&key);
            let response = harness.attempt(text, &request, &key, NoCall(*status));
            assert!(!response.text().contains(&key), "{text}: {response:?}");
        }
    }

    harness.assert_untouched();
}
