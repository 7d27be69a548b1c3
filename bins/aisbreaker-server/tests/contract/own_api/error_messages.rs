//! Messages say in the caller's words what is wrong and what to do.

use serde_json::json;

use crate::support::{
    Provider, Request, Server, call,
    openai::{SECRET, content_event},
    provider_api::{CHAT, MESSAGES, post_with_key},
    service, service_at, streamed,
};

/// Words that only those know who know the program.
const INSIDE: [&str; 6] = [
    "Service(",
    "Provider(",
    "Error:",
    "getaddrinfo",
    "factory",
    "E_",
];

#[test]
fn unknown_service_names_the_nearest_one() {
    let server = Server::start(&[]);
    for (id, expected) in [
        ("chat:openai", "did you mean 'chat:openai.com'?"),
        ("chat:openai/gpt-4o", "did you mean 'chat:openai.com'?"),
        (
            "chat:antropic.com/claude",
            "did you mean 'chat:anthropic.com'?",
        ),
        ("chat:nonsense", "such as 'chat:openai.com/gpt-4o'"),
    ] {
        let response = server.process("", &call(service(id), "Hi"));
        let message = response.message();
        assert_eq!(response.status, 404, "{message}");
        assert!(
            message.starts_with(&format!("there is no service '{id}'; ")),
            "{message}"
        );
        assert!(message.contains(expected), "{message}");
        // Clients of the original server look for these words.
        assert!(
            message.contains(&format!("No factory registered for serviceId '{id}'")),
            "{message}"
        );
    }
}

#[test]
fn errors_name_the_service_as_the_caller_does() {
    let provider = Provider::with_response(418, json!({"error": {"message": "No tea."}}));
    let server = Server::with_loopback_egress(&[]);
    for id in [
        "chat:openai.com/m",
        "chat:ollama/m",
        "chat:anthropic.com/m",
        "chat:gemini.google.com/m",
        "chat:replicate.com/a/m",
        "text-to-image:openai.com",
        "text-to-image:stability.ai/core",
    ] {
        let response = server.process(SECRET, &call(service_at(id, &provider.url()), "Hi"));
        assert_eq!(response.message(), format!("{id}: No tea."));
    }
}

#[test]
fn host_in_a_key_is_not_named_and_nothing_else_speaks_from_the_inside() {
    let allowed = [("AISBREAKER_EGRESS_ALLOW", "http://localhost-invalid")];
    let server = Server::with_loopback_egress(&allowed);
    let key = server.mint_with_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": "s", "url": "http://localhost-invalid"},
    ]));
    let processed = Request::process(&call(service("chat:openai.com/m"), "Hi")).bearer(&key);
    for request in [processed, post_with_key(CHAT, &key, r#"{"model":"m"}"#)] {
        let response = server.send(&request);
        let message = response.message();
        assert_eq!(response.status, 503, "{message}");
        assert!(
            message.ends_with(": the host of the service cannot be found; try again later, or use a key with another url"),
            "{message}"
        );
        for word in INSIDE {
            assert!(!message.contains(word), "{word}: {message}");
        }
        assert!(!message.contains("localhost-invalid"), "{message}");
    }
}

#[test]
fn messages_of_every_surface_end_with_the_id_of_the_request() {
    let refused = json!({"error": {"message": "No tea."}});
    let provider = Provider::with_response(418, refused);
    let cut = Provider::start(|_, wire| {
        wire.stream();
        wire.chunk(content_event("a"));
        wire.close();
    });
    let server = Server::with_loopback_egress(&[]);
    let key = |provider: &Provider| {
        let secret = json!({"serviceId": "", "authSecret": "s", "url": provider.url()});
        server.mint_with_secrets(&json!([secret]))
    };
    let cut_key = key(&cut);
    let form = Request::new("POST", "/api/v1/oauth/revoke")
        .body("token=")
        .set("Content-Type", "application/x-www-form-urlencoded");
    let unknown = call(service("chat:nonsense"), "Hi");
    let streamed_call = streamed(call(service("chat:openai.com/m"), "Hi"));
    let stream = r#"{"model":"m","stream":true}"#;
    let rows = [
        (Request::get("/nothing"), 404),
        (Request::process(&unknown), 404),
        (Request::mint(&json!({})), 400),
        (form, 400),
        (Request::get("/v1/nothing"), 404),
        (post_with_key(CHAT, "aisbreaker_x", "{}"), 401),
        (post_with_key(MESSAGES, "aisbreaker_x", "{}"), 401),
        (post_with_key(CHAT, &cut_key, stream), 200),
        (Request::process(&streamed_call).bearer(&cut_key), 200),
    ];
    for (index, (request, status)) in rows.into_iter().enumerate() {
        let response = server.send(&request.header("x-request-id", "pasted-1"));
        let body = response.text();
        assert_eq!(response.status, status, "row {index}: {body}");
        assert!(
            body.contains(r#" (request pasted-1)""#),
            "row {index}: {body}"
        );
    }

    // A message that is passed on stays as it is.
    let key = key(&provider);
    let processed = Request::process(&call(service("chat:openai.com/m"), "Hi")).bearer(&key);
    for request in [processed, post_with_key(CHAT, &key, r#"{"model":"m"}"#)] {
        let response = server.send(&request.header("x-request-id", "pasted-1"));
        assert_eq!(response.status, 418);
        assert!(!response.text().contains("pasted-1"), "{}", response.text());
    }
}
