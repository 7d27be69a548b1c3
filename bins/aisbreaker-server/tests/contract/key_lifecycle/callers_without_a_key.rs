//! `AISBREAKER_REQUIRE_KEY`: callers without a key of this server get no service called.

use serde_json::json;

use crate::support::{
    KEY, Provider, Request, Response, Server, ample_quotas, call, dummy_call, grant,
    provider_api::{CHAT, MESSAGES},
    refused_start, service, service_at, streamed,
};

const REQUIRED: (&str, &str) = ("AISBREAKER_REQUIRE_KEY", "true");
/// What every refusal says: where a key comes from.
const HINT: &str = "/api/v1/oauth/token";

fn assert_refused(row: &str, response: &Response) {
    assert_eq!(response.status, 401, "{row}: {response:?}");
    let message = response.message();
    assert!(message.contains(HINT), "{row}: {message}");
    assert_eq!(response.header("www-authenticate"), Some("Bearer"), "{row}");
}

/// Requests of callers without a key, all of which would call a service.
fn requests_without_a_key(url: &str) -> Vec<(String, Request)> {
    let chat = json!({"model": "chat:openai.com/gpt", "messages": []}).to_string();
    let requests = [
        ("dummy", Request::process(&dummy_call())),
        ("a stream", Request::process(&streamed(dummy_call()))),
        (
            "a url",
            Request::process(&call(service_at("chat:openai.com", url), "Hi")),
        ),
        (
            "the old path",
            Request::process(&dummy_call()).path("/api/v1alpha1/process"),
        ),
        ("chat completions", Request::post(CHAT, chat.clone())),
        ("messages", Request::post(MESSAGES, chat.clone())),
        ("responses", Request::post("/v1/responses", chat)),
        ("models", Request::get("/v1/models")),
        ("a file", Request::get("/v1/responses/resp_1")),
    ];
    let mut rows = Vec::new();
    for (name, request) in requests {
        rows.push((format!("{name}, anonymous"), request.clone()));
        rows.push((
            format!("{name}, own secret"),
            request.clone().bearer("sk-own"),
        ));
        let entrusted = request.clone().bearer("sk-of-a-key-elsewhere");
        rows.push((
            format!("{name}, entrusted"),
            entrusted.header("x-aisbreaker-sealed", "1"),
        ));
        if request_is_provider_api(name) {
            rows.push((
                format!("{name}, own secret in x-api-key"),
                request.header("x-api-key", "sk-own"),
            ));
        }
    }
    rows
}

fn request_is_provider_api(name: &str) -> bool {
    ["chat completions", "messages", "responses", "models"].contains(&name)
}

#[test]
fn callers_without_a_key_are_refused_on_both_surfaces() {
    let trap = Provider::trap();
    let server = Server::with_loopback_egress(&[REQUIRED]);

    for (row, request) in requests_without_a_key(&trap.url()) {
        assert_refused(&row, &server.send(&request));
    }

    assert_eq!(trap.connections(), 0);
}

#[test]
fn a_key_still_works_and_so_does_everything_that_calls_no_service() {
    let server = Server::start(&[REQUIRED]);
    let key = server.mint(&grant(&ample_quotas(), &json!([])));
    let preflight = Request::new("OPTIONS", "/api/v1/process")
        .header("Origin", "https://a.example")
        .header("Access-Control-Request-Method", "POST");
    let rows = [
        ("a key", Request::process(&dummy_call()).bearer(&key), 200),
        ("ping", Request::get("/api/v1/ping"), 200),
        ("version", Request::get("/api/v1/version"), 200),
        ("root", Request::get("/"), 200),
        ("health", Request::get("/healthz"), 200),
        ("readiness", Request::get("/readyz"), 200),
        ("quota", Request::get("/api/v1/quota"), 200),
        ("preflight", preflight, 204),
    ];
    for (row, request, status) in rows {
        let response = server.send(&request);
        assert_eq!(response.status, status, "{row}: {response:?}");
    }
}

#[test]
fn the_default_key_is_a_key() {
    let minting = Server::start(&[]);
    let key = minting.mint(&grant(&ample_quotas(), &json!([])));
    let server = Server::start(&[REQUIRED, ("DEFAULT_AISBREAKER_API_KEY", &key)]);

    let anonymous = server.process("", &dummy_call());
    let with_own_secret = server.process("sk-own", &dummy_call());

    assert_eq!(anonymous.status, 200, "{anonymous:?}");
    assert_refused("own secret", &with_own_secret);
}

#[test]
fn is_off_by_default_and_takes_no_other_values() {
    for environment in [&[][..], &[("AISBREAKER_REQUIRE_KEY", "false")]] {
        let server = Server::start(environment);
        for bearer in ["", "sk-own"] {
            let response = server.process(bearer, &call(service("chat:dummy"), "Hi"));
            assert_eq!(response.status, 200, "{environment:?} {bearer}");
        }
    }
    for variable in ["AISBREAKER_REQUIRE_KEY", "AISBREAKER_EGRESS_ALLOW_CALLERS"] {
        let environment = [("AUTH_ENCRYPTION_KEYPHRASE", KEY), (variable, "maybe")];
        let errors = refused_start(&["--listen", "127.0.0.1:0"], &environment);
        assert!(errors.contains(variable), "{errors}");
    }
}
