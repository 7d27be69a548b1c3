//! A connection that breaks before the answer begins: the fallback is called on both surfaces.

use serde_json::json;

use crate::support::{
    Provider, Request, Server, Wire, call,
    openai::{completion, completion_stream},
    provider_api::{CHAT, post_with_key},
    service, streamed,
};

type Fault = (&'static str, fn(&mut Wire));

/// What a provider does instead of sending a whole head.
const FAULTS: [Fault; 11] = [
    ("closed", |wire| wire.close()),
    ("reset", |wire| wire.reset()),
    ("half a status line", |wire| {
        wire.write("HTTP/1.1 20");
        wire.close();
    }),
    ("half a head", |wire| {
        wire.write("HTTP/1.1 200 OK\r\nContent-Ty");
        wire.close();
    }),
    ("reset in the head", |wire| {
        wire.write("HTTP/1.1 200 OK\r\nContent-Ty");
        wire.reset();
    }),
    ("no blank line", |wire| {
        wire.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n");
        wire.close();
    }),
    ("not HTTP", |wire| {
        wire.write("SSH-2.0-OpenSSH_9.6\r\n");
        wire.close();
    }),
    ("random bytes", |wire| {
        wire.write(b"\x16\x03\x01\x00\xff\xfe\x00\r\n\r\n");
        wire.close();
    }),
    ("invalid field", |wire| {
        wire.write("HTTP/1.1 200 OK\r\nContent Type: x\r\n\r\n{}");
        wire.close();
    }),
    ("interim response only", |wire| {
        wire.write("HTTP/1.1 102 Processing\r\n\r\n");
        wire.close();
    }),
    ("too many fields", |wire| {
        wire.write("HTTP/1.1 200 OK\r\n");
        wire.write("x: y\r\n".repeat(10_000));
        wire.write("\r\n{}");
        wire.close();
    }),
];

/// Starts a provider whose model is the name of a fault, or a valid answer.
fn provider() -> Provider {
    Provider::start(|received, wire| {
        let request = received.json();
        let model = request["model"].as_str().unwrap_or_default();
        match FAULTS.iter().find(|(name, _)| *name == model) {
            Some((_, fault)) => fault(wire),
            None if request["stream"] == true => wire.whole_stream(completion_stream(&["good"])),
            None => wire.json(200, &completion("good")),
        }
    })
}

#[test]
fn fallback_is_called_when_the_connection_breaks_before_the_answer() {
    let provider = provider();
    let server = Server::with_loopback_egress(&[]);
    let key = server.mint_with_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": "one", "url": provider.url(),
         "fallback": "chat:groq.com/good"},
        {"serviceId": "chat:groq.com", "authSecret": "two", "url": provider.url()},
    ]));
    for (fault, _) in FAULTS {
        let id = format!("chat:openai.com/{}", fault.replace(' ', "%20"));
        let attempts = format!(
            "\"chat:openai.com/{}\";status=502, \"chat:groq.com/good\";status=200",
            fault.replace(' ', "?")
        );
        for is_stream in [false, true] {
            let body = json!({"model": format!("chat:openai.com/{fault}"), "stream": is_stream});
            let response = server.send(&post_with_key(CHAT, &key, body.to_string()));
            assert_eq!(response.status, 200, "{id}: {response:?}");
            assert!(response.text().contains("good"), "{id}: {response:?}");
            assert_eq!(
                response.header("x-aisbreaker-attempts"),
                Some(&*attempts),
                "{id}"
            );
        }

        let body = call(service(&format!("chat:openai.com/{fault}")), "Hi");
        let whole = server.process(&key, &body);
        assert_eq!(whole.content(), "good", "{id}");
        assert_eq!(
            whole.header("x-aisbreaker-attempts"),
            Some(&*attempts),
            "{id}"
        );
        let (_, last) = server.process(&key, &streamed(body)).stream();
        assert_eq!(last["outputs"][0]["text"]["content"], "good", "{id}");
        assert_eq!(last["usage"]["service"]["serviceId"], "chat:groq.com/good");
    }
}

#[test]
fn last_broken_connection_is_reported_when_all_break() {
    let provider = provider();
    let server = Server::with_loopback_egress(&[]);
    let key = server.mint_with_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": "one", "url": provider.url(),
         "fallback": "chat:groq.com/reset"},
        {"serviceId": "chat:groq.com", "authSecret": "two", "url": provider.url()},
    ]));
    let response = server.send(&post_with_key(CHAT, &key, r#"{"model":"closed"}"#));
    let processed =
        server.send(&Request::process(&call(service("chat:openai.com/closed"), "Hi")).bearer(&key));
    for response in [response, processed] {
        assert_eq!(response.status, 502, "{response:?}");
        assert_eq!(
            response.header("x-aisbreaker-attempts"),
            Some("\"chat:openai.com/closed\";status=502, \"chat:groq.com/reset\";status=502")
        );
    }
}

#[test]
fn a_broken_body_calls_no_fallback() {
    let provider = Provider::start(|received, wire| match received.json()["model"].as_str() {
        Some("good") => wire.json(200, &completion("good")),
        _ => {
            wire.head(
                200,
                &[
                    ("Content-Type", "application/json"),
                    ("Content-Length", "99"),
                ],
            );
            wire.write(r#"{"choices": ["#);
            wire.close();
        }
    });
    let server = Server::with_loopback_egress(&[]);
    let key = server.mint_with_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": "one", "url": provider.url(),
         "fallback": "chat:groq.com/good"},
        {"serviceId": "chat:groq.com", "authSecret": "two", "url": provider.url()},
    ]));
    let body = call(service("chat:openai.com/m"), "Hi");
    assert_eq!(server.process(&key, &body).status, 502);
    let (_, error) = server.process(&key, &streamed(body)).stream_error();
    assert_eq!(error["statusCode"], 502);
    assert!(
        server
            .send(&post_with_key(CHAT, &key, r#"{"model":"m"}"#))
            .is_truncated
    );
    assert_eq!(provider.requests().len(), 3);
}
