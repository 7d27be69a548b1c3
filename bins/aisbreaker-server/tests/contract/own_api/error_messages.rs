//! Messages say in the caller's words what is wrong and what to do.

use serde_json::json;

use crate::support::{
    Provider, Request, Server, call,
    openai::SECRET,
    provider_api::{CHAT, post_with_key},
    service, service_at,
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
