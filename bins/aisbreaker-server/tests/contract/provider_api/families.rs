//! The families of resources that are passed through: files, batches, and what else a provider keeps.

use serde_json::{Value, json};

use crate::support::{
    Provider, ReceivedRequest, Request, Response, Server, ample_quotas,
    families::ResourceRequest,
    grant,
    provider_api::{ANTHROPIC_SECRET, OPENAI_SECRET, post_with_key, two_dialect_key},
};

/// Content that is none of the types that are read elsewhere, and names a model.
const CONTENT: &[u8] = b"\x00\xff{\"model\": \"other\", \"model\": 1}\r\n--b\r\n\xfe";

/// Checks which provider a request was sent to, by its credential.
#[track_caller]
fn assert_sent_to(received: &ReceivedRequest, is_anthropic: bool) {
    let openai = format!("Bearer {OPENAI_SECRET}");
    let (secret, authorization) = if is_anthropic {
        (Some(ANTHROPIC_SECRET), None)
    } else {
        (None, Some(&*openai))
    };
    assert_eq!(received.header("x-api-key"), secret, "{received:?}");
    assert_eq!(
        received.header("authorization"),
        authorization,
        "{received:?}"
    );
}

#[test]
fn every_request_is_passed_through_byte_for_byte() {
    let answer = "\u{0}data: {\"usage\": {\"prompt_tokens\": 1}}\n\n{\"model\":1.50}";
    let provider = Provider::start(move |_, wire| {
        let fields = [
            ("Content-Type", "application/octet-stream"),
            ("Content-Disposition", "attachment; filename=\"a\""),
            ("X-Mine", "m"),
        ];
        wire.respond(206, &fields, answer);
    });
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    for resource in ResourceRequest::all() {
        let target = format!("/v1/{}?beta=true&after=a%2Fb'&limit=1", resource.path);
        let mut request = resource
            .request(&key, CONTENT)
            .path(&target)
            .header("anthropic-beta", "files-api-2025-04-14")
            .header("Range", "bytes=0-1");
        let is_post = resource.method == "POST";
        if is_post {
            let content_type = "multipart/form-data; boundary=b; charset=utf-16";
            request = request
                .header("Content-Type", content_type)
                .header("Content-Encoding", "zstd");
        }

        let response = server.send(&request);

        assert_eq!(
            (response.status, response.text()),
            (206, answer),
            "{resource:?}"
        );
        assert_eq!(
            response.header("content-disposition"),
            Some("attachment; filename=\"a\"")
        );
        assert_eq!(response.header("x-mine"), Some("m"));
        let received = provider.requests().pop().unwrap();
        assert_eq!(received.method, resource.method, "{resource:?}");
        assert_eq!(received.target, target, "{resource:?}");
        let content = if is_post { CONTENT } else { b"" };
        assert_eq!(received.body, content, "{resource:?}");
        assert_eq!(
            received.header("content-encoding"),
            is_post.then_some("zstd")
        );
        assert_eq!(
            received.header("anthropic-beta"),
            Some("files-api-2025-04-14")
        );
        assert_eq!(received.header("range"), Some("bytes=0-1"));
        assert_sent_to(&received, resource.is_anthropic);
        let all = format!("{received:?}");
        assert!(!all.contains("aisbreaker_"), "{all}");
    }
}

#[test]
fn the_dialect_of_a_shared_path_is_that_of_its_client() {
    let provider = Provider::with_response(404, json!({"error": "of the provider"}));
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    let rows = [
        ("/v1/files", None, false),
        ("/v1/files", Some("anthropic-version"), true),
        ("/openai/v1/files", Some("anthropic-version"), false),
        ("/anthropic/v1/files", None, true),
        ("//v1/skills/a/", Some("anthropic-version"), true),
    ];
    for (path, field, is_anthropic) in rows {
        let mut request = Request::get(path).bearer(&key);
        if let Some(name) = field {
            request = request.header(name, "2023-06-01");
        }

        let response = server.send(&request);

        assert_eq!(response.status, 404, "{path} {field:?}");
        assert_eq!(response.json(), json!({"error": "of the provider"}));
        let received = provider.requests().pop().unwrap();
        assert_sent_to(&received, is_anthropic);
        assert!(received.target.starts_with("/v1/"), "{received:?}");
        assert!(!received.target.ends_with('/'), "{received:?}");
    }
}

#[test]
fn a_path_takes_the_methods_that_its_provider_has() {
    let provider = Provider::with_response(200, json!({}));
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    let rows = [
        ("files", "PUT", "GET, HEAD, POST, OPTIONS"),
        ("files/file-1", "POST", "GET, HEAD, DELETE, OPTIONS"),
        ("files/file-1/content", "DELETE", "GET, HEAD, OPTIONS"),
        ("uploads", "GET", "POST, OPTIONS"),
        ("conversations", "GET", "POST, OPTIONS"),
        ("chat/completions", "DELETE", "GET, HEAD, POST, OPTIONS"),
        ("videos/edits", "GET", "POST, OPTIONS"),
        ("models/ft:a", "POST", "GET, HEAD, DELETE, OPTIONS"),
        (
            "fine_tuning/checkpoints/a/permissions/b",
            "GET",
            "DELETE, OPTIONS",
        ),
    ];
    for (path, method, allowed) in rows {
        let path = format!("/v1/{path}");
        let response = server.send(&Request::new(method, &path).bearer(&key));
        assert_eq!(
            (response.status, response.header("allow")),
            (405, Some(allowed)),
            "{method} {path}"
        );
        let preflight = Request::new("OPTIONS", &path)
            .header("Origin", "https://app.example.com")
            .header("Access-Control-Request-Method", "GET");
        let response = server.send(&preflight);
        assert_eq!(
            response.header("access-control-allow-methods"),
            Some(allowed),
            "{path}"
        );
    }
    assert!(provider.requests().is_empty());

    for path in ["/v1/files/file-1/content", "/v1/chat/completions"] {
        let response = server.send(&Request::new("HEAD", path).bearer(&key));
        assert_eq!((response.status, response.text()), (200, ""), "{path}");
        assert_eq!(provider.requests().pop().unwrap().method, "GET", "{path}");
    }
}

#[test]
fn nothing_but_an_id_stands_where_an_id_is() {
    let provider = Provider::trap();
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    let long = "a".repeat(257);
    let ids = [
        "..", ".", "...", "%2e%2e", "a%2Fb", "a/b/c", "a;b", "a,b", "*", &long, &key,
    ];
    for id in ids {
        for path in [
            format!("/v1/files/{id}/content"),
            format!("/v1/vector_stores/vs_1/files/{id}"),
            format!("/v1/batches/{id}/cancel"),
        ] {
            for method in ["GET", "POST"] {
                let response = server.send(&Request::new(method, &path).bearer(&key));
                assert!(
                    matches!(response.status, 400 | 404),
                    "{method} {path}: {response:?}"
                );
                assert!(!response.text().contains("aisbreaker_"), "{response:?}");
            }
        }
    }
    assert!(provider.requests().is_empty(), "{:?}", provider.requests());
}

#[test]
fn the_first_service_of_the_dialect_has_the_resources() {
    let failing = Provider::with_response(503, json!({"error": "mine"}));
    let other = Provider::with_response(200, json!({}));
    let server = Server::with_loopback_egress(&[]);
    let key = server.mint_with_secrets(&json!([
        {"serviceId": "chat:anthropic.com", "authSecret": "a", "url": other.url()},
        {"serviceId": "chat:groq.com", "authSecret": "g", "url": failing.url(),
         "fallback": ["chat:openai.com"]},
        {"serviceId": "chat:openai.com", "authSecret": "o", "url": other.url()},
    ]));

    let response = server.send(&Request::get("/v1/files").bearer(&key));

    assert_eq!(response.status, 503);
    assert_eq!(response.json(), json!({"error": "mine"}));
    assert_eq!(response.header("x-aisbreaker-attempts"), None);
    assert_eq!(
        failing.only_request().header("authorization"),
        Some("Bearer g")
    );
    assert!(other.requests().is_empty());
}

#[test]
fn a_model_is_deleted_where_it_is() {
    let provider = Provider::with_response(200, json!({"deleted": true}));
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    let model = "ft:gpt-4o-mini-2024-07-18:org::B7R9VjQd";
    for path in [
        format!("/v1/models/{model}"),
        format!("/v1/models/openai.com/{model}"),
        format!("/v1/models/{}", model.replace(':', "%3A")),
    ] {
        let response = server.send(&Request::new("DELETE", &path).bearer(&key));

        assert_eq!(response.status, 200, "{path}: {response:?}");
        let received = provider.requests().pop().unwrap();
        assert_eq!(received.method, "DELETE");
        assert_eq!(
            received.target,
            format!("/v1/models/{}", model.replace(':', "%3A")),
            "{path}"
        );
    }
}

/// Sends a request with this id, and returns the line about it.
fn logged(server: &Server, request: Request, id: &str) -> (Response, Value) {
    let response = server.send(&request.header("X-Request-Id", id));
    (response, server.wait_for_request(id))
}

#[test]
fn the_log_has_the_path_and_the_name_of_the_family() {
    let provider = Provider::with_response(
        200,
        json!({"object": "chat.completion", "model": "m", "usage": {"prompt_tokens": 7, "completion_tokens": 9}}),
    );
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    let rows = [
        (
            "GET",
            "/v1/vector_stores/vs_1/files/file-1",
            "/v1/vector_stores/{vector_store_id}/files/{file_id}",
            "vector_stores",
        ),
        (
            "GET",
            "/v1/chat/completions",
            "/v1/chat/completions",
            "chat/completions/{id}",
        ),
        (
            "POST",
            "/anthropic/v1/messages/batches/msgbatch_1/cancel",
            "/v1/messages/batches/{batch_id}/cancel",
            "messages/batches",
        ),
    ];
    for (index, (method, path, route, operation)) in rows.into_iter().enumerate() {
        let request = Request::new(method, path).bearer(&key);
        let (response, line) = logged(&server, request, &format!("id-{index}"));

        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(
            (&line["route"], &line["operation"]),
            (&json!(route), &json!(operation)),
            "{line}"
        );
        // What was used is of an earlier request, which has counted it.
        assert_eq!(line.get("input_tokens"), None, "{line}");
    }
}

#[test]
fn a_request_for_resources_leaves_the_query_without_keys() {
    let provider = Provider::trap();
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);

    let response = server.send(&post_with_key(&format!("/v1/files?key={key}"), &key, "{}"));

    assert_eq!(response.status, 400, "{response:?}");
    assert!(provider.requests().is_empty());
}

#[test]
fn the_results_of_a_batch_are_fetched_from_this_server() {
    let url = "https://api.anthropic.com/v1/messages/batches/msgbatch_1/results";
    let provider = Provider::start(move |received, wire| match &*received.target {
        "/v1/messages/batches/msgbatch_1/results" => {
            let line = format!("{{\"custom_id\":\"a\",\"results_url\":\"{url}\"}}\n");
            wire.respond(200, &[("Content-Type", "application/json")], &line);
        }
        _ => {
            let batch = format!("{{\"id\" : 1.50, \"results_url\": \"{url}\"}}");
            let fields = [("Content-Type", "application/json"), ("request-id", "r")];
            wire.respond(200, &fields, &batch);
        }
    });
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    let expected = r#"{"id" : 1.50, "results_url": "/v1/messages/batches/msgbatch_1/results"}"#;
    for (method, path) in [
        ("GET", "/v1/messages/batches"),
        ("POST", "/v1/messages/batches"),
        ("GET", "/v1/messages/batches/msgbatch_1"),
        ("POST", "/anthropic/v1/messages/batches/msgbatch_1/cancel"),
    ] {
        let response = server.send(&Request::new(method, path).bearer(&key));

        assert_eq!(
            (response.status, response.text()),
            (200, expected),
            "{path}"
        );
        assert_eq!(response.header("request-id"), Some("r"), "{path}");
    }
    // The results are the provider's, byte for byte.
    let path = "/v1/messages/batches/msgbatch_1/results";
    let results = server.send(&Request::get(path).bearer(&key));
    assert!(results.text().contains(url), "{results:?}");
}

#[test]
fn another_server_has_the_resources_of_its_key() {
    let provider = Provider::with_response(200, json!({"id": "file-1"}));
    let next = Server::with_loopback_egress(&[("AUTH_ENCRYPTION_KEYPHRASE", "the next server's")]);
    let server = Server::with_loopback_egress(&[]);
    let secrets = json!([
        {"serviceId": "chat:openai.com", "authSecret": OPENAI_SECRET, "url": provider.url()},
    ]);
    let mut limited = grant(&ample_quotas(), &secrets);
    limited["restrict"] = json!({"operations": ["chat/completions"]});
    for (inner, status) in [(grant(&ample_quotas(), &secrets), 200), (limited, 403)] {
        let inner = next.mint_at("127.0.0.1", &inner);
        let key = server.mint_with_secrets(&json!([
            {"serviceId": "chat:openai.com", "authSecret": inner, "url": next.url()},
        ]));

        let response = server.send(&Request::get("/v1/files/file-1").bearer(&key));

        assert_eq!(response.status, status, "{response:?}");
    }
    let received = provider.only_request();
    assert_eq!(received.target, "/v1/files/file-1");
    assert_sent_to(&received, false);
}
