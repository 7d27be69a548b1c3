//! Paths that are not served: what the answer says.

use crate::support::{Request, Response, Server};

const BASE_URL: &str = "OpenAI's clients need a base URL that ends with /v1";

/// Checks the form of the error object in a dialect.
#[track_caller]
fn assert_form(row: &str, response: &Response, is_anthropic: bool) {
    let body = response.json();
    let (member, kind) = if is_anthropic {
        ("/error/type", "not_found_error")
    } else {
        ("/error/type", "invalid_request_error")
    };
    assert_eq!(body.pointer(member).unwrap(), kind, "{row}: {body}");
    assert_eq!(body["type"] == "error", is_anthropic, "{row}: {body}");
}

#[test]
fn a_path_that_is_not_served_is_named_with_what_is() {
    let server = Server::start(&[]);
    let rows = [
        ("POST", "/v1/threads", "POST /v1/threads", false),
        ("GET", "/v1/assistants?limit=1", "GET /v1/assistants", false),
        (
            "GET",
            "/v1/threads/thread_abc123/messages/",
            "GET /v1/threads/{id}/messages",
            false,
        ),
        (
            "POST",
            "/anthropic/v1/complete",
            "POST /anthropic/v1/complete",
            true,
        ),
        (
            "POST",
            "/v1/messages/unknown",
            "POST /v1/messages/unknown",
            true,
        ),
        (
            "GET",
            "/openai/v1/messages/batches",
            "GET /openai/v1/messages/batches",
            false,
        ),
        ("GET", "/v1", "GET /v1", false),
    ];
    for (method, path, named, is_anthropic) in rows {
        let response = server.send(&Request::new(method, path));

        let row = format!("{method} {path}");
        assert_eq!(response.status, 404, "{row}");
        assert_form(&row, &response, is_anthropic);
        let message = response.message();
        let expected = format!("this server does not serve {named}; below /v1 it serves ");
        assert!(message.starts_with(&expected), "{row}: {message}");
        for served in ["chat/completions", "messages", "files", "/openapi.json"] {
            assert!(message.contains(served), "{row}: {message}");
        }
        assert!(!message.contains(BASE_URL), "{row}: {message}");
    }
    let anthropic = Request::get("/v1/threads").header("anthropic-version", "2023-06-01");
    assert_form("by its field", &server.send(&anthropic), true);
}

#[test]
fn a_path_with_a_wrong_base_url_says_how_it_should_be() {
    let server = Server::start(&[]);
    let rows = [
        ("POST", "/v1/v1/messages", true),
        ("POST", "/v1/v1/chat/completions", false),
        ("GET", "/v1/openai/v1/models", false),
        ("POST", "/openai/v1/v1/threads", false),
        ("POST", "/chat/completions", false),
        ("POST", "/openai/chat/completions", false),
        ("POST", "/messages", true),
        ("GET", "/batches/batch_1", false),
    ];
    for (method, path, is_anthropic) in rows {
        let response = server.send(&Request::new(method, path));

        assert_eq!(response.status, 404, "{path}");
        assert_form(path, &response, is_anthropic);
        assert!(
            response.message().contains(BASE_URL),
            "{path}: {response:?}"
        );
    }
    for path in [
        "/threads",
        "/chat",
        "/v2/chat/completions",
        "/api/v1/nothing",
    ] {
        let response = server.send(&Request::get(path));

        assert_eq!(response.status, 404, "{path}");
        assert!(
            !response.message().contains(BASE_URL),
            "{path}: {response:?}"
        );
        assert_eq!(response.json()["error"]["statusCode"], 404, "{path}");
    }
}

#[test]
fn nothing_that_may_be_a_secret_is_repeated() {
    let server = Server::start(&[]);
    let canaries = [
        "sk-canary0123456789",
        "aisbreaker_v2_canary",
        "%63anary",
        "CANARY",
    ];
    for canary in canaries {
        for path in [
            format!("/v1/{canary}"),
            format!("/v1/threads/{canary}/x?a={canary}"),
        ] {
            let response = server.send(&Request::get(&path));

            assert_eq!(response.status, 404, "{path}");
            assert!(!response.text().contains(canary), "{path}: {response:?}");
        }
    }
}
