//! Where a forwarded stream ends: by the events of its operation, however the body is delimited.

use serde_json::{Value, json};

use crate::support::{
    Provider, ReceivedRequest, Request, Server, Wire, call,
    provider_api::{CHAT, MESSAGES, post_with_key, two_dialect_key},
    service, streamed,
};

const RESPONSES: &str = "/v1/responses";
const IMAGES: &str = "/v1/images/generations";

/// How the provider delimits its body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Framing {
    /// By the end of the connection.
    Closed,
    /// In chunks, without the last one.
    Unended,
    /// By a length that is not reached.
    Short,
}

/// Starts a provider that sends these events, whatever it is asked.
fn provider(framing: Framing, events: &str) -> Provider {
    let events = events.to_owned();
    Provider::start(move |_, wire| send(wire, framing, &events))
}

fn send(wire: &mut Wire, framing: Framing, events: &str) {
    let length = (events.len() + 1).to_string();
    let field = match framing {
        Framing::Closed => ("Connection", "close"),
        Framing::Unended => ("Transfer-Encoding", "chunked"),
        Framing::Short => ("Content-Length", length.as_str()),
    };
    wire.head(200, &[("Content-Type", "text/event-stream"), field]);
    match framing {
        Framing::Unended => wire.chunk(events),
        Framing::Closed | Framing::Short => wire.write(events),
    }
    wire.close();
}

/// Starts a provider that sends the events which the request asks for, in the framing it asks for.
fn obedient_provider() -> Provider {
    Provider::start(|received: &ReceivedRequest, wire| {
        let body = received.json();
        let framing = match body["framing"].as_str() {
            Some("Unended") => Framing::Unended,
            Some("Short") => Framing::Short,
            _ => Framing::Closed,
        };
        send(wire, framing, body["events"].as_str().expect("events"));
    })
}

struct Setup {
    server: Server,
    key: String,
    _provider: Provider,
}

impl Setup {
    fn new() -> Self {
        let provider = obedient_provider();
        let server = Server::with_loopback_egress(&[]);
        let key = two_dialect_key(&server, &provider);
        Self {
            server,
            key,
            _provider: provider,
        }
    }

    /// Returns what the client receives of these events.
    fn forwarded(&self, path: &str, framing: Framing, events: &str) -> String {
        let body = json!({
            "model": "m", "stream": true, "events": events, "framing": format!("{framing:?}"),
        });
        let response = self
            .server
            .send(&post_with_key(path, &self.key, body.to_string()));
        assert!(!response.is_truncated, "{path} {events:?}");
        response.text().to_owned()
    }
}

fn event(json: &Value) -> String {
    format!("data: {json}\n\n")
}

fn named(name: &str, json: &Value) -> String {
    format!("event: {name}\ndata: {json}\n\n")
}

fn choice(index: u32, reason: Option<&str>) -> String {
    event(&json!({"choices": [{"index": index, "delta": {}, "finish_reason": reason}]}))
}

/// Streams that are whole, by operation.
fn whole_streams() -> Vec<(&'static str, String)> {
    let delta = event(&json!({"type": "some.delta", "delta": "a"}));
    let typed = |name: &str| format!("{delta}{}", event(&json!({"type": name, "x": {}})));
    let stop = choice(0, Some("stop"));
    let usage = event(&json!({"choices": [], "usage": {"prompt_tokens": 1}}));
    let error = json!({"error": {"message": "overloaded", "type": "server_error"}});
    let mut rows = vec![
        (CHAT, format!("{stop}data: [DONE]\n\n")),
        (CHAT, format!("{stop}data:  [DONE]  \r\n\r\n")),
        (CHAT, format!("{stop}data: [DONE]")),
        (CHAT, format!("{stop}data: [DONE]\n\n: bye\n\n")),
        (CHAT, stop.clone()),
        (CHAT, format!("{stop}{usage}")),
        (CHAT, stop.replace("\n\n", "\r\n\r\n")),
        (CHAT, stop.replace("\n\n", "\r\r")),
        (CHAT, stop.trim_end().to_owned()),
        (
            CHAT,
            choice(0, None) + &choice(1, None) + &choice(1, Some("stop")) + &stop,
        ),
        (CHAT, choice(0, None) + &event(&error)),
        (
            CHAT,
            choice(0, None) + &named("error", &json!({"message": "x"})),
        ),
        (
            CHAT,
            choice(0, None) + "data: {\"error\":\ndata: {\"message\":\"x\"}}\n\n",
        ),
        (CHAT, stop.replace("finish_reason", "finish\\u005freason")),
        ("/v1/completions", stop.clone()),
        ("/v1/completions", "data: a\n\ndata: [DONE]\n\n".to_owned()),
        ("/openai/v1/chat/completions", stop),
        (MESSAGES, typed("message_stop")),
        (
            MESSAGES,
            typed("message_stop").replace("\"type\":", "\"ty\\u0070e\" : "),
        ),
        (MESSAGES, named("message_stop", &json!({}))),
        (
            MESSAGES,
            format!("{}event: ping\ndata: {{}}\n\n", typed("message_stop")),
        ),
        (
            MESSAGES,
            format!(
                "{delta}{}",
                event(&json!({"x": {"type": "y"}, "type": "message_stop"}))
            ),
        ),
        (
            MESSAGES,
            named(
                "error",
                &json!({"type": "error", "error": {"type": "overloaded_error"}}),
            ),
        ),
        (RESPONSES, typed("error")),
        (
            RESPONSES,
            named("response.completed", &json!({"response": {}})),
        ),
        (
            RESPONSES,
            format!("{}data: [DONE]\n\n", typed("response.completed")),
        ),
        ("/v1/audio/speech", typed("speech.audio.done")),
        ("/v1/audio/transcriptions", typed("transcript.text.done")),
        ("/v1/audio/translations", typed("transcript.text.done")),
        (IMAGES, typed("image_generation.completed")),
        ("/v1/images/edits", typed("image_edit.completed")),
        (
            IMAGES,
            event(&json!({"b64_json": "x".repeat(3 << 20), "type": "image_generation.completed"})),
        ),
    ];
    for end in ["completed", "failed", "incomplete", "cancelled"] {
        rows.push((RESPONSES, typed(&format!("response.{end}"))));
    }
    rows
}

/// Streams that were cut, though they have the words of an end.
fn cut_streams() -> Vec<(&'static str, String)> {
    let delta = |text: &str| event(&json!({"type": "some.delta", "delta": {"text": text}}));
    vec![
        (CHAT, choice(0, None)),
        (
            CHAT,
            choice(0, None) + &choice(1, None) + &choice(0, Some("stop")),
        ),
        (CHAT, choice(0, Some(""))),
        (
            CHAT,
            choice(0, Some("stop")) + "data: {\"choices\":[],\"usa",
        ),
        (
            CHAT,
            event(&json!({"choices": [{"delta": {"content": "[DONE]"}}]})),
        ),
        (
            CHAT,
            event(&json!({"choices": [{"delta": {"finish_reason": "stop"}}]})),
        ),
        (
            CHAT,
            event(&json!({"error": null, "choices": [{"delta": {"error": "x"}}]})),
        ),
        (CHAT, event(&json!({"type": "message_stop"}))),
        (CHAT, "data: a\n: [DONE]\n\n".to_owned()),
        (MESSAGES, delta("message_stop \"type\":\"message_stop\"")),
        (
            MESSAGES,
            named(
                "content_block_start",
                &json!({"type": "content_block_start", "content_block": {"type": "tool_use", "name": "message_stop", "input": {"type": "message_stop"}}}),
            ),
        ),
        (MESSAGES, event(&json!({"type": "response.completed"}))),
        (MESSAGES, "event: message_stop\n".to_owned()),
        (MESSAGES, "data: {\"type\":\"message_stop\"".to_owned()),
        (MESSAGES, ": message_stop\n\n".to_owned()),
        (
            RESPONSES,
            named(
                "response.created",
                &json!({"type": "response.created", "response": {"error": null, "metadata": {"a": "response.completed", "type": "response.completed"}}}),
            ),
        ),
        (
            RESPONSES,
            "data: {\"type\":\"response.completed\",\"response\":{\"out".to_owned(),
        ),
        (
            IMAGES,
            event(&json!({"type": "image_generation.partial_image"})),
        ),
        (
            IMAGES,
            format!("data: {{\"b64_json\":\"{}", "x".repeat(3 << 20)),
        ),
        (
            "/v1/audio/speech",
            event(&json!({"type": "transcript.text.done"})),
        ),
    ]
}

#[test]
fn whole_stream_without_a_length_is_forwarded_as_it_is() {
    let setup = Setup::new();
    for (path, events) in whole_streams() {
        let forwarded = setup.forwarded(path, Framing::Closed, &events);
        assert!(
            forwarded == events,
            "{path}: {:.300} became {:.600}",
            events,
            forwarded
        );
    }
}

#[test]
fn cut_stream_ends_with_an_error_whatever_its_texts_say() {
    let setup = Setup::new();
    for (path, events) in cut_streams() {
        for framing in [Framing::Closed, Framing::Unended, Framing::Short] {
            let forwarded = setup.forwarded(path, framing, &events);
            assert!(
                forwarded.contains("cut short") && forwarded.ends_with("\n\n"),
                "{path} {framing:?}: {:.300} became {:.600}",
                events,
                forwarded
            );
        }
    }
}

#[test]
fn nothing_is_added_after_the_last_event_of_a_broken_body() {
    let setup = Setup::new();
    let stop = choice(0, Some("stop"));
    let rows = [
        (CHAT, format!("{stop}data: [DONE]\n\n"), true),
        (CHAT, format!("{stop}data: [DONE]\n\n: bye\n\n"), true),
        (CHAT, event(&json!({"error": {"message": "x"}})), true),
        // The rest of it is missing.
        (CHAT, stop, false),
        (MESSAGES, event(&json!({"type": "message_stop"})), true),
        (
            MESSAGES,
            named("message_stop", &json!({"type": "message_stop"})) + "event: ping\ndata: {}\n\n",
            true,
        ),
        (MESSAGES, named("error", &json!({"type": "error"})), true),
        (RESPONSES, event(&json!({"type": "response.failed"})), true),
    ];
    for (path, events, is_whole) in rows {
        for framing in [Framing::Unended, Framing::Short] {
            let forwarded = setup.forwarded(path, framing, &events);
            assert_eq!(
                forwarded == events,
                is_whole,
                "{path} {framing:?}: {forwarded}"
            );
            assert_eq!(
                forwarded.contains("cut short"),
                !is_whole,
                "{path} {framing:?}"
            );
        }
    }
}

#[test]
fn both_surfaces_agree_on_the_end_of_a_stream() {
    let mut rows = whole_streams();
    rows.extend(cut_streams());
    rows.retain(|(path, _)| [CHAT, MESSAGES].contains(path));
    let server = Server::with_loopback_egress(&[]);
    for (path, events) in rows {
        let provider = provider(Framing::Closed, &events);
        let key = two_dialect_key(&server, &provider);
        let forwarded = server.send(&post_with_key(path, &key, r#"{"model":"m","stream":true}"#));
        let id = if path == CHAT {
            "chat:openai.com/m"
        } else {
            "chat:anthropic.com/m"
        };
        let request = Request::process(&streamed(call(service(id), "Hi"))).bearer(&key);
        let processed = server.send(&request);

        let has_error =
            forwarded.text().contains("\"error\":{") || forwarded.text().contains("event: error");
        assert_eq!(
            processed.text().contains("event: error"),
            has_error || events.contains("\"error\":\ndata:"),
            "{path} {events:?}: {} and {}",
            forwarded.text(),
            processed.text()
        );
    }
}
