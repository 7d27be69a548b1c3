//! Contract section 2: cross-origin requests.

use serde_json::json;

use super::all_paths;
use crate::support::{Request, Server, call, dummy_call, grant, quotas, service, streamed};

#[test]
fn preflight_allows_method_and_requested_headers_on_every_route() {
    let server = Server::start(&[]);

    for (method, path) in all_paths() {
        let request = Request::new("OPTIONS", &path)
            .header("Origin", "https://app.example")
            .header("Access-Control-Request-Method", method)
            .header(
                "Access-Control-Request-Headers",
                "authorization, content-type, x-custom-one,x-two",
            );
        let response = server.send(&request);
        assert_eq!(response.status, 204, "{path}: {response:?}");
        assert_eq!(
            response.header("access-control-allow-origin"),
            Some("*"),
            "{path}"
        );
        let methods = response
            .header("access-control-allow-methods")
            .unwrap_or_default();
        assert!(
            methods.split(',').any(|allowed| allowed.trim() == method),
            "{path}: {methods}"
        );
        let allowed = response
            .header("access-control-allow-headers")
            .unwrap_or_default()
            .to_lowercase();
        let headers: Vec<&str> = allowed.split(',').map(str::trim).collect();
        for header in ["authorization", "content-type", "x-custom-one", "x-two"] {
            assert!(
                headers.contains(&header),
                "{path}: {header} is not in {headers:?}"
            );
        }
    }
}

#[test]
fn preflight_always_allows_authorization_and_content_type() {
    let response = Server::start(&[]).send(&Request::new("OPTIONS", "/api/v1/process"));

    assert_eq!(response.status, 204);
    let headers = response
        .header("access-control-allow-headers")
        .unwrap_or_default()
        .to_lowercase();
    assert!(
        headers.contains("authorization") && headers.contains("content-type"),
        "{headers}"
    );
}

#[test]
fn every_response_allows_any_origin() {
    let server_quotas = quotas([100; 3], [100; 3]).to_string();
    let server = Server::start(&[
        ("AISBREAKER_MAX_BODY_BYTES", "1000"),
        ("AISBREAKER_SERVER_QUOTAS", &server_quotas),
    ]);
    let tight = quotas([1; 3], [1; 3]);
    let spent = server.mint(&grant(&tight, &json!([])));
    let dummy = dummy_call();
    assert_eq!(server.process(&spent, &dummy).status, 200);
    let process = Request::process;
    let rows = [
        (200, Request::get("/")),
        (200, Request::get("/healthz")),
        (200, Request::get("/readyz")),
        (200, Request::get("/api/v1/ping")),
        (200, Request::get("/api/v1/version")),
        (200, Request::mint(&json!({"requestAuthAndQuotas": {}}))),
        (200, process(&dummy)),
        (200, process(&streamed(dummy.clone()))),
        (204, Request::new("HEAD", "/api/v1/process")),
        (204, Request::new("OPTIONS", "/api/v1/process")),
        (400, process(&json!({}))),
        (400, Request::mint(&json!({}))),
        (401, process(&dummy).bearer("aisbreaker_nonsense")),
        (401, process(&call(service("chat:openai.com"), "Hi"))),
        (404, Request::get("/nothing")),
        (404, process(&call(service("chat:nothing"), "Hi"))),
        (405, Request::get("/api/v1/process")),
        (
            413,
            process(&call(service("chat:dummy"), &"x".repeat(1000))),
        ),
        (415, process(&dummy).header("Content-Encoding", "br")),
        (429, process(&dummy).bearer(&spent)),
        (
            431,
            Request::get("/api/v1/ping").header("X-Flood", "x".repeat(60_000)),
        ),
    ];

    for (status, request) in rows {
        let response = server.send(&request.header("Origin", "https://app.example"));
        assert_eq!(response.status, status, "{response:?}");
        assert_eq!(
            response.header("access-control-allow-origin"),
            Some("*"),
            "{response:?}"
        );
    }
}

#[test]
fn contract_headers_are_exposed_to_browsers() {
    let server = Server::start(&[]);

    let request = Request::process(&dummy_call()).header("Origin", "https://app.example");
    let response = server.send(&request);

    let exposed = response
        .header("access-control-expose-headers")
        .unwrap_or_default()
        .to_lowercase();
    for header in [
        "ratelimit",
        "ratelimit-policy",
        "retry-after",
        "x-should-retry",
        "x-request-id",
    ] {
        assert!(
            exposed.split(',').any(|name| name.trim() == header),
            "{header} is not in {exposed:?}"
        );
    }
}
