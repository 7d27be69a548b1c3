//! Requests with secrets in all places where none should be, and what becomes of them.

use serde_json::{Value, json};

use super::scene::{Scene, secrets};
use crate::support::{
    Provider, Request, call, grant, hop, quotas, roomy, service, service_at, streamed,
};

type Row = (&'static str, u16, Request);

/// Requests that are refused, or answered well without their content, whoever sends them.
pub(super) fn all(scene: &Scene, provider: &Provider) -> Vec<Row> {
    [
        ways(scene),
        heads(),
        calls(),
        unreachable(provider),
        mintings(),
    ]
    .concat()
}

fn dummy() -> Request {
    Request::process(&call(service("chat:dummy"), "Hi"))
}

/// Routes, methods and paths.
fn ways(scene: &Scene) -> Vec<Row> {
    let cookie = secrets::COOKIE;
    vec![
        (
            "a stream",
            200,
            Request::process(&streamed(call(service("chat:dummy"), "Hi"))),
        ),
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
            Request::get(&format!("/api/v1/{}", scene.key)),
        ),
        (
            "a wrong method",
            405,
            Request::new("PUT", "/api/v1/process"),
        ),
        (
            "a made-up method",
            405,
            Request::new(secrets::SEALING, "/api/v1/ping"),
        ),
        ("preflight", 204, Request::new("OPTIONS", "/api/v1/process")),
        ("a head", 204, Request::new("HEAD", "/api/v1/process")),
    ]
}

/// What is wrong with the head or the coding of the body.
fn heads() -> Vec<Row> {
    let secret = secrets::SEALED;
    let many = (0..150).fold(dummy(), |request, i| {
        request.header(&format!("x-{i}"), secrets::COOKIE)
    });
    let gzip = dummy().header("Content-Encoding", "gzip");
    vec![
        ("a host that is none", 400, dummy().set("Host", secret)),
        (
            "a wrong content type",
            400,
            dummy().set("Content-Type", secret),
        ),
        (
            "a wrong coding",
            415,
            gzip.clone().set("Content-Encoding", secret),
        ),
        ("no gzip", 400, gzip.body(secret)),
        (
            "two secrets",
            400,
            dummy()
                .bearer(secret)
                .header("Authorization", secrets::CALLERS),
        ),
        (
            "wrong hops",
            400,
            dummy().header("x-aisbreaker-hops", secret),
        ),
        (
            "a body that is cut",
            408,
            dummy()
                .body(format!("{{\"{secret}"))
                .header("Content-Length", "500"),
        ),
        (
            "a body that is too long",
            413,
            Request::process(&json!({"service": secret.repeat(5_000)})),
        ),
        ("too many fields", 431, many),
    ]
}

/// What is wrong with a call.
fn calls() -> Vec<Row> {
    let (secret, cookie) = (secrets::SEALED, secrets::COOKIE);
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

/// Addresses at which nobody answers, or may be asked.
fn unreachable(provider: &Provider) -> Vec<Row> {
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let closed = format!("http://{}", closed.expect("a port that nobody listens on"));
    let rows = [
        ("an address inside", 403, "http://192.168.0.1".to_owned()),
        ("an address of nobody", 503, closed),
        ("a name of nobody", 503, "https://nobody.invalid".to_owned()),
        ("no TLS", 503, provider.url().replace("http:", "https:")),
    ];
    let call_at = |url: &str| Request::process(&call(hop(url, &service("chat:dummy")), "Hi"));
    rows.into_iter()
        .map(|(row, status, url)| (row, status, call_at(&url)))
        .collect()
}

/// What is right and wrong with requests for keys.
fn mintings() -> Vec<Row> {
    let secret = secrets::SEALED;
    let auth = |members: Value| json!({"requestAuthAndQuotas": members});
    let entry =
        |id: &str, secret: &str| grant(&roomy(), &json!([{"serviceId": id, "authSecret": secret}]));
    let sealed = json!([{"serviceId": "", "authSecret": secret}]);
    let rows = [
        ("minting", 200, entry("", secret)),
        (
            "minting with what is not known",
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
