//! Streams of keys with budgets: the provider is asked for the usage, and a client that did not ask
//! sees none.

use std::time::Duration;

use aisbreaker_gateway::{Clock as _, SystemClock};
use aisbreaker_token::{Host, KeyRing, ServerKey, ValidityPeriod};
use serde_json::{Value, json};

use crate::support::{
    KEY, Provider, Response, Server, ample_quotas, gzip,
    provider_api::{CHAT, post_with_key},
};

const COMPLETIONS: &str = "/v1/completions";
const OPTIONS: &str = r#""stream_options":{"include_usage":true}"#;

/// What Azure sends first.
const FILTER: &str = "data: {\"choices\":[],\"prompt_filter_results\":[{\"prompt_index\":0}],\"usage\":null}\r\n\r\n";
const DELTA: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\u{e4}\"},\"finish_reason\":null}],\"usage\":null}\n\n";
const STOP: &str = ": alive\ndata: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\r\n\r\n";
const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":7}}\r\n\r\n";
const DONE: &str = "data: [DONE]\n\n";

/// Seals a key for two providers at `url`, of which the first one is called if none is named, and
/// only openai.com knows `stream_options`.
fn key(url: &str, members: &Value) -> String {
    let mut grant = json!({
        "requestQuotas": ample_quotas(),
        "serviceSecrets": [
            {"serviceId": "chat:openai.com", "authSecret": "one", "url": url},
            {"serviceId": "chat:groq.com", "authSecret": "two", "url": url},
            {"serviceId": "chat:vllm/down", "authSecret": "three", "url": url,
             "fallback": ["chat:groq.com/second", "chat:openai.com/third"]},
        ],
    });
    let object = grant.as_object_mut().unwrap();
    object.extend(members.as_object().unwrap().clone());
    let ring = KeyRing::new(ServerKey::parse(KEY).unwrap());
    let period = ValidityPeriod::new(SystemClock::new().wall(), Duration::from_secs(600));
    let host = Host::parse("localhost").unwrap();
    let sealed = ring.seal_for(&grant, &host, period).unwrap();
    sealed.expose().to_owned()
}

/// Limits that no test reaches.
fn budgets() -> Value {
    json!({"budgets": {"perClient": {"tokensPerDay": 1_000_000_000}}})
}

fn key_with_budgets(url: &str) -> String {
    key(url, &budgets())
}

/// Returns the events of a stream, with the usage if it was asked for.
fn events(asked: bool) -> String {
    let usage = if asked { USAGE } else { "" };
    [FILTER, DELTA, STOP, usage, DONE].concat()
}

/// Starts a provider that reports the usage as OpenAI does, in pieces of `length` bytes.
fn provider(length: usize) -> Provider {
    Provider::start(move |received, wire| {
        let text = String::from_utf8(received.body.clone()).unwrap();
        let body: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap();
        let asked = body["stream_options"]["include_usage"] == true;
        wire.stream();
        for piece in events(asked).as_bytes().chunks(length) {
            wire.chunk(piece);
        }
        wire.end();
    })
}

fn assert_tokens(server: &Server, response: &Response) {
    let id = response.header("x-request-id").expect("an id");
    let line = server.wait_for_request(id);
    assert_eq!(line["input_tokens"], 3, "{line}");
    assert_eq!(line["output_tokens"], 7, "{line}");
}

/// Each row: what the client sends, and what the provider gets.
#[test]
fn client_that_did_not_ask_sees_no_usage_and_is_counted() {
    let rows = [
        (
            r#"{"model":"m","stream":true,"n":1.50}"#.to_owned(),
            format!(r#"{{"model":"m",{OPTIONS},"stream":true,"n":1.50}}"#),
        ),
        (
            "\u{feff} \n{ \"stream\" : true , \"x\":{\"stream_options\":0}, \"model\" : \"m\" }\n"
                .to_owned(),
            format!(
                "\u{feff} \n{{ \"stream\" : true , \"x\":{{\"stream_options\":0}}, \"model\" : \"m\",{OPTIONS} }}\n"
            ),
        ),
        (
            r#"{"model":"openai.com/gpt-9","stream":true}"#.to_owned(),
            format!(r#"{{"model":"gpt-9",{OPTIONS},"stream":true}}"#),
        ),
    ];
    let server = Server::with_loopback_egress(&[]);
    for length in [1, 50, 10_000] {
        let provider = provider(length);
        let key = key_with_budgets(&provider.url());
        for (sent, expected) in &rows {
            for path in [CHAT, COMPLETIONS] {
                let plain =
                    post_with_key(path, &key, sent.as_str()).header("Accept-Encoding", "gzip, br");
                let coded = post_with_key(path, &key, gzip(sent.as_bytes()))
                    .header("Content-Encoding", "gzip");
                for request in [plain, coded] {
                    let response = server.send(&request);

                    assert_eq!(response.text(), events(false), "{length} {path} {sent}");
                    assert!(!response.is_truncated, "{length} {path} {sent}");
                    assert_tokens(&server, &response);
                    let received = provider.requests().pop().unwrap();
                    let body = String::from_utf8(received.body.clone()).unwrap();
                    assert_eq!(&body, expected, "{path}");
                    let length = expected.len().to_string();
                    assert_eq!(received.header("content-length"), Some(&*length));
                    assert_eq!(received.header("content-encoding"), None);
                    assert_eq!(received.header("accept-encoding"), Some("identity"));
                }
            }
        }
    }
}

#[test]
fn client_that_asked_sees_everything_and_the_provider_gets_what_was_sent() {
    let server = Server::with_loopback_egress(&[]);
    let provider = provider(50);
    let key = key_with_budgets(&provider.url());
    let rows = [
        (
            r#""stream":true,"stream_options":{"include_usage":true}"#,
            true,
        ),
        (
            r#""stream_options":{"include_usage":true},"stream":true"#,
            true,
        ),
        (
            r#""stream":true,"stream_options":{"include_usage":false}"#,
            false,
        ),
        (r#""stream":true,"stream_options":{}"#, false),
        (r#""stream":true,"stream_options":null"#, false),
        (
            r#""stream":true,"str\u0065am_options":{"include_usage":true}"#,
            true,
        ),
        (
            r#""stream":true,"Stream_Options":{"include_usage":true}"#,
            false,
        ),
        (r#""stream":false"#, false),
        (r#""stream":null"#, false),
        (r#""x":{"stream":true}"#, false),
    ];
    for (members, asked) in rows {
        let sent = format!(r#"{{"model":"m",{members}}}"#);

        let response = server.send(&post_with_key(CHAT, &key, sent.as_str()));

        assert_eq!(response.text(), events(asked), "{sent}");
        let received = provider.requests().pop().unwrap();
        assert_eq!(received.body, sent.as_bytes(), "{sent}");
        if asked {
            assert_tokens(&server, &response);
        }
    }
}

/// Without budgets, or where the provider may not know the option.
#[test]
fn body_is_sent_and_the_stream_forwarded_as_they_came() {
    let all = [FILTER, DELTA, STOP, USAGE, DONE].concat();
    let sent_events = all.clone();
    let provider = Provider::start(move |_, wire| wire.whole_stream(&sent_events));
    let server = Server::with_loopback_egress(&[]);
    let with_budgets = key_with_budgets(&provider.url());
    let without_budgets = key(&provider.url(), &json!({}));
    let rows = [
        (&with_budgets, CHAT, "groq.com/m"),
        (&with_budgets, "/v1/responses", "m"),
        (&without_budgets, CHAT, "m"),
        (&without_budgets, COMPLETIONS, "m"),
    ];
    for (key, path, model) in rows {
        let sent = json!({"model": model, "stream": true}).to_string();
        let response = server.send(&post_with_key(path, key, sent.as_str()));

        assert_eq!(response.text(), all, "{path} {model}");
        let received = provider.requests().pop().unwrap();
        let expected = sent.replace("groq.com/", "");
        assert_eq!(received.body, expected.as_bytes(), "{path}");
    }
}

#[test]
fn each_service_of_a_fallback_is_asked_as_it_understands() {
    let provider = Provider::start(|received, wire| {
        let body = received.json();
        match body["model"].as_str() {
            Some("third") => {
                let asked = body["stream_options"]["include_usage"] == true;
                wire.whole_stream(events(asked));
            }
            _ => wire.json(503, &json!({"error": {"message": "down"}})),
        }
    });
    let server = Server::with_loopback_egress(&[]);
    let key = key_with_budgets(&provider.url());
    let sent = r#"{"stream":true,"model":"vllm/down"}"#;

    let response = server.send(&post_with_key(CHAT, &key, sent));

    assert_eq!(response.text(), events(false));
    assert_tokens(&server, &response);
    let bodies: Vec<_> = provider
        .requests()
        .into_iter()
        .map(|received| String::from_utf8(received.body).unwrap())
        .collect();
    let asking = |model: &str| format!(r#"{{"stream":true,"model":"{model}",{OPTIONS}}}"#);
    let plain = r#"{"stream":true,"model":"second"}"#.to_owned();
    assert_eq!(bodies, [asking("down"), plain, asking("third")]);
}

#[test]
fn stream_that_is_cut_after_its_usage_ends_in_an_error() {
    let provider = Provider::start(|_, wire| {
        wire.stream();
        wire.chunk([DELTA, USAGE, "data: {\"choi"].concat());
        wire.close();
    });
    let server = Server::with_loopback_egress(&[]);
    let key = key_with_budgets(&provider.url());

    let response = server.send(&post_with_key(CHAT, &key, r#"{"model":"m","stream":true}"#));

    let text = response.text();
    let error = text.strip_prefix(DELTA).expect("the delta first");
    let data = error.strip_prefix("data: ").expect("one event after it");
    let error: Value = serde_json::from_str(data).expect("its data");
    assert_eq!(error["error"]["type"], "server_error", "{text}");
    assert_tokens(&server, &response);
}

#[test]
fn key_made_from_one_with_budgets_has_them_too() {
    let provider = provider(50);
    let server = Server::with_loopback_egress(&[]);
    let mut ancestor = budgets();
    ancestor["id"] = json!("012345678901234567890A");
    ancestor["requestQuotas"] = ample_quotas();
    let key = key(&provider.url(), &json!({"up": [ancestor]}));

    let response = server.send(&post_with_key(CHAT, &key, r#"{"model":"m","stream":true}"#));

    assert_eq!(response.text(), events(false));
    assert_tokens(&server, &response);
}

#[test]
fn stream_that_parsers_could_read_differently_is_refused_with_budgets() {
    let provider = provider(50);
    let server = Server::with_loopback_egress(&[]);
    let with_budgets = key_with_budgets(&provider.url());
    let without_budgets = key(&provider.url(), &json!({}));
    let rows = [
        (
            r#"{"model":"m","stream":true,"stream":false}"#,
            "stream is there twice",
        ),
        (
            r#"{"model":"m","STREAM":true}"#,
            "stream must be written in small letters",
        ),
    ];
    for (sent, message) in rows {
        let refused = server.send(&post_with_key(CHAT, &with_budgets, sent));
        let forwarded = server.send(&post_with_key(CHAT, &without_budgets, sent));

        assert_eq!(refused.status, 400, "{sent}: {refused:?}");
        let error = refused.json()["error"].clone();
        assert_eq!(error["type"], "invalid_request_error", "{sent}: {error}");
        assert!(
            error["message"].as_str().unwrap().contains(message),
            "{sent}: {error}"
        );
        assert_eq!(forwarded.status, 200, "{sent}");
        assert_eq!(provider.requests().pop().unwrap().body, sent.as_bytes());
    }
}
