//! Attempts by a provider that replies with the address of the trap.

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::{
    CHAT, HOP, USUAL_KEY,
    harness::{ExfiltrationHarness, MARK, body, service_at, status_of},
};
use crate::support::{Provider, Request};

/// Values of `Location`. `SECRET` is the bearer value that the provider was sent.
const LOCATIONS: &[&str] = &[
    "http://EVIL/stolen",
    "//EVIL/stolen",
    "https://EVIL/stolen",
    "http://GOOD@EVIL/stolen",
    "http://EVIL/stolen?key=SECRET",
    "/stolen",
    "stolen",
];

/// All redirect statuses, including obsolete ones.
const REDIRECTS: [u16; 9] = [300, 301, 302, 303, 304, 305, 306, 307, 308];

/// Other replies that name the trap: head, body, and the expected status. The body `OK` stands for
/// a valid answer.
const REPLIES: &[(&str, &str, u16)] = &[
    ("HTTP/1.1 200 OK\r\nRefresh: 0; url=http://EVIL/", "OK", 200),
    (
        "HTTP/1.1 200 OK\r\nAlt-Svc: http=\"EVIL\"; ma=3600, h2c=\"EVIL\", h2=\"EVIL\"",
        "OK",
        200,
    ),
    (
        "HTTP/1.1 200 OK\r\nLink: <http://EVIL/>; rel=\"preconnect preload next\"",
        "OK",
        200,
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Location: http://EVIL/\r\nLocation: http://EVIL/",
        "OK",
        200,
    ),
    (
        "HTTP/1.1 200 OK\r\nSet-Cookie: key=SECRET; Domain=EVIL",
        "OK",
        200,
    ),
    (
        "HTTP/1.1 200 OK\r\nReport-To: {\"endpoints\": [{\"url\": \"http://EVIL\"}]}",
        "OK",
        200,
    ),
    ("HTTP/1.1 201 Created\r\nLocation: http://EVIL/", "OK", 200),
    ("HTTP/1.1 202 Accepted\r\nLocation: http://EVIL/", "", 502),
    (
        "HTTP/1.1 200 OK",
        r#"<meta http-equiv="refresh" content="0; url=http://EVIL/">"#,
        502,
    ),
    (
        "HTTP/1.1 200 OK",
        r#"{"url": "http://EVIL/", "location": "http://EVIL/", "next": "http://EVIL/"}"#,
        502,
    ),
    (
        "HTTP/1.1 100 Continue\r\nLocation: http://EVIL/\r\n\r\nHTTP/1.1 200 OK",
        "OK",
        200,
    ),
    (
        "HTTP/1.1 103 Early Hints\r\nLink: <http://EVIL/>; rel=preconnect\r\n\r\nHTTP/1.1 200 OK",
        "OK",
        200,
    ),
    (
        "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\nLocation: http://EVIL/",
        "",
        502,
    ),
    (
        "HTTP/1.1 401 Who\r\nWWW-Authenticate: Bearer realm=\"http://EVIL/\"",
        r#"{"error": {"message": "SECRET"}}"#,
        401,
    ),
    (
        "HTTP/1.1 407 Proxy\r\nProxy-Authenticate: Basic realm=\"http://EVIL/\"",
        r#"{"error": {"type": "SECRET"}}"#,
        407,
    ),
    (
        "HTTP/1.1 421 Misdirected\r\nAlt-Svc: http=\"EVIL\"",
        r#"{"error": {"message": "http://EVIL/?SECRET"}}"#,
        421,
    ),
    (
        "HTTP/1.1 429 Slow\r\nRetry-After: 1\r\nLocation: http://EVIL/",
        r#"{"error": {"message": "SECRETSECRET"}}"#,
        429,
    ),
    (
        "HTTP/1.1 503 Moved\r\nRetry-After: 0\r\nLocation: http://EVIL/",
        "SECRET",
        503,
    ),
];

/// Starts a provider that sends the current reply, with the bearer value in place of `SECRET`.
fn replaying_provider(reply: Arc<Mutex<(String, String)>>) -> Provider {
    Provider::start(move |request, wire| {
        let (head, body_template) = reply.lock().unwrap().clone();
        let authorization = request.header("authorization").unwrap_or_default();
        let secret = authorization.strip_prefix("Bearer ").unwrap_or_default();
        let chat = json!({"choices": [{"message": {"role": "assistant", "content": "ok"}}]});
        let hop = json!({
            "outputs": [], "usage": {"service": {"serviceId": "chat:dummy"}, "totalMilliseconds": 1},
        });
        let body = match body_template.as_str() {
            "OK" if request.target.ends_with("/process") => hop.to_string(),
            "OK" => chat.to_string(),
            template => template.replace("SECRET", secret),
        };
        let framing = if head.contains(" 101 ") {
            String::new()
        } else {
            format!(
                "\r\nContent-Type: application/json\r\nContent-Length: {}",
                body.len()
            )
        };
        wire.write(format!("{head}{framing}\r\n\r\n{body}").replace("SECRET", secret));
    })
}

/// Calls a provider with this reply as a chat and as a hop, streamed and not. Each call is made
/// twice, so that a redirect could be remembered.
fn try_reply(harness: &ExfiltrationHarness, key: &str, row: &str, status: u16) {
    for (id, secret) in [("chat:openai.com", CHAT), ("aisbreaker:network", HOP)] {
        for is_stream in [false, true, false, true] {
            let before = harness.provider.requests().len();
            let body = body(&service_at(id, None), is_stream);
            let response = harness
                .server
                .send(&Request::post("/api/v1/process", body).bearer(key));
            let row = format!("{row}, {id}, stream: {is_stream}");
            assert_eq!(status_of(&response), status, "{row}: {response:?}");
            let text = format!("{response:?}");
            assert!(
                !text.contains(MARK) && !text.contains("stolen"),
                "{row}: {text}"
            );
            let sent = harness.provider.requests().split_off(before);
            assert_eq!(sent.len(), 1, "{row}: not one call: {sent:?}");
            assert_eq!(
                sent[0].header("authorization"),
                Some(&*format!("Bearer {secret}")),
                "{row}"
            );
            assert_eq!(sent[0].header("cookie"), None, "{row}");
            assert_eq!(
                harness.trap.connections(),
                0,
                "{row}: the server connected to the trap"
            );
        }
    }
}

#[test]
fn redirects_are_never_followed() {
    let reply = Arc::new(Mutex::new(Default::default()));
    let harness = ExfiltrationHarness::with(
        &[],
        replaying_provider(Arc::clone(&reply)),
        Provider::trap(),
    );
    let key = harness.key(USUAL_KEY);

    for status in REDIRECTS {
        for location in LOCATIONS {
            let head = format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {location}");
            *reply.lock().unwrap() = (harness.fill(&head), String::new());
            try_reply(&harness, &key, &head, 502);
        }
    }

    harness.assert_untouched();
}

#[test]
fn provider_replies_redirect_no_secret() {
    let reply = Arc::new(Mutex::new(Default::default()));
    let harness = ExfiltrationHarness::with(
        &[],
        replaying_provider(Arc::clone(&reply)),
        Provider::trap(),
    );
    let key = harness.key(USUAL_KEY);

    for (head, body, status) in REPLIES {
        *reply.lock().unwrap() = (harness.fill(head), harness.fill(body));
        try_reply(&harness, &key, &format!("{head} {body}"), *status);
    }

    harness.assert_untouched();
}
