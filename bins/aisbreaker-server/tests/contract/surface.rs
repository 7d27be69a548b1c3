//! The providers' own APIs: what is passed on, under which paths, with which credentials.

use serde_json::json;

use crate::support::{Provider, Received, Request, Server, grant, roomy, sse};

pub(super) const OPENAI_SECRET: &str = "sk-canary-openai-0123456789";
pub(super) const ANTHROPIC_SECRET: &str = "sk-ant-canary-0123456789";

/// A key for both dialects, all of whose secrets are bound to this provider.
pub(super) fn key_for(server: &Server, provider: &Provider) -> String {
    server.mint_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": OPENAI_SECRET, "url": provider.url()},
        {"serviceId": "chat:anthropic.com", "authSecret": ANTHROPIC_SECRET, "url": provider.url()},
    ]))
}

pub(super) fn post(path: &str, key: &str, body: impl Into<Vec<u8>>) -> Request {
    Request::new("POST", path)
        .bearer(key)
        .set("Content-Type", "application/json")
        .body(body)
}

fn assert_nowhere(received: &Received, key: &str) {
    let all = format!("{received:?}{}", String::from_utf8_lossy(&received.body));
    assert!(
        !all.contains("aisbreaker_") && !all.contains(key),
        "the key is in {all}"
    );
}

#[test]
fn a_request_is_passed_on_as_it_came_with_another_credential() {
    let answer = "{ \"id\":1.50 , \"usage\":{\"prompt_tokens\":3}}\n";
    let provider = Provider::start(move |_, wire| {
        wire.answer(
            201,
            &[("Content-Type", "application/json"), ("X-Mine", "a")],
            answer,
        );
    });
    let server = Server::with_egress(&[]);
    let key = key_for(&server, &provider);
    let body = "{\"unknown\": [1.0, 1e3, {\"model\": \"b\"}] ,\n \"model\" : \"gpt-4o\", \"z\":null, \"a\":\"\\u00e9\\/\"}";

    for base in ["/v1", "/openai/v1", "//v1"] {
        let request = post(&format!("{base}/chat/completions?a=b&c=%2F'"), &key, body)
            .header("OpenAI-Organization", "org")
            .header("X-Unknown", "u")
            .header("Connection", "keep-alive, X-Hop")
            .header("X-Hop", "h");
        let answered = server.send(&request);

        assert_eq!((answered.status, answered.text()), (201, answer), "{base}");
        assert_eq!(answered.header("x-mine"), Some("a"));
    }
    for received in provider.requests() {
        assert_eq!(received.method, "POST");
        assert_eq!(received.target, "/v1/chat/completions?a=b&c=%2F'");
        assert_eq!(received.body, body.as_bytes());
        assert_eq!(
            received.header("authorization"),
            Some(&*format!("Bearer {OPENAI_SECRET}"))
        );
        assert_eq!(received.header("openai-organization"), Some("org"));
        assert_eq!(received.header("x-unknown"), Some("u"));
        assert_eq!(received.header("x-hop"), None);
        assert_eq!(received.header("x-api-key"), None);
        assert_nowhere(&received, &key);
    }
    assert_eq!(provider.requests().len(), 3);
}

#[test]
fn every_operation_goes_to_its_own_path() {
    let provider = Provider::with_answer(200, json!({"ok": true}));
    let server = Server::with_egress(&[]);
    let key = key_for(&server, &provider);
    let with_body = [
        "chat/completions",
        "completions",
        "responses",
        "responses/compact",
        "responses/input_tokens",
        "responses/resp_1/cancel",
        "embeddings",
        "images/generations",
        "images/edits",
        "images/variations",
        "audio/speech",
        "audio/transcriptions",
        "audio/translations",
        "moderations",
        "messages",
        "messages/count_tokens",
    ];
    let without = [
        ("GET", "responses/resp_1"),
        ("DELETE", "responses/resp_1"),
        ("GET", "responses/resp_1/input_items"),
        ("GET", "models/gpt-4o"),
    ];
    let rows = with_body.map(|path| ("POST", path));
    for (method, path) in rows.into_iter().chain(without) {
        let request = Request::new(method, &format!("/v1/{path}")).bearer(&key);
        let request = if method == "POST" {
            request.json(&json!({"model": "m"}))
        } else {
            request
        };

        let answered = server.send(&request);

        assert_eq!(answered.status, 200, "{method} {path}: {}", answered.text());
        let received = provider.requests().pop().unwrap();
        assert_eq!(
            (&*received.method, &*received.target),
            (method, &*format!("/v1/{path}"))
        );
        let is_anthropic = path.starts_with("messages");
        let expected = if is_anthropic {
            ("x-api-key", ANTHROPIC_SECRET.to_owned())
        } else {
            ("authorization", format!("Bearer {OPENAI_SECRET}"))
        };
        assert_eq!(received.header(expected.0), Some(&*expected.1), "{path}");
        let other = if is_anthropic {
            "authorization"
        } else {
            "x-api-key"
        };
        assert_eq!(received.header(other), None, "{path}");
    }
    let allowed = [
        ("chat/completions", "POST, OPTIONS"),
        ("models", "GET, HEAD, OPTIONS"),
        ("responses/r", "GET, HEAD, DELETE, OPTIONS"),
    ];
    for (path, expected) in allowed {
        let answered = server.send(&Request::new("PUT", &format!("/v1/{path}")).bearer(&key));
        assert_eq!(
            (answered.status, answered.header("allow")),
            (405, Some(expected)),
            "{path}"
        );
    }
}

#[test]
fn a_key_may_come_in_any_field_and_none_of_them_is_passed_on() {
    let provider = Provider::with_answer(200, json!({}));
    let server = Server::with_egress(&[]);
    let key = key_for(&server, &provider);
    let rows: [&[(&str, &str)]; 6] = [
        &[("Authorization", "Bearer {key}")],
        &[("x-api-key", "{key}")],
        &[("api-key", "{key}")],
        &[("Authorization", "Bearer {key}"), ("x-api-key", "{key}")],
        &[("Authorization", "Bearer sk-other"), ("x-api-key", "{key}")],
        &[
            ("Authorization", "Bearer {key}"),
            ("x-api-key", "sk-other"),
            ("x-goog-api-key", "sk-other"),
            ("Cookie", "a={key}"),
        ],
    ];
    for fields in rows {
        for (path, header, secret) in [
            (
                "/v1/messages?beta=true",
                "x-api-key",
                ANTHROPIC_SECRET.to_owned(),
            ),
            (
                "/v1/embeddings",
                "authorization",
                format!("Bearer {OPENAI_SECRET}"),
            ),
        ] {
            let mut request = Request::new("POST", path).json(&json!({"model": "m"}));
            for (name, value) in fields {
                request = request.header(name, value.replace("{key}", &key));
            }
            let answered = server.send(&request.header("anthropic-beta", "one,two"));

            assert_eq!(
                answered.status,
                200,
                "{fields:?} {path}: {}",
                answered.text()
            );
            let received = provider.requests().pop().unwrap();
            assert_eq!(received.header(header), Some(&*secret), "{fields:?} {path}");
            let credentials = [
                "authorization",
                "x-api-key",
                "api-key",
                "x-goog-api-key",
                "cookie",
            ];
            let present = credentials
                .iter()
                .filter(|name| received.header(name).is_some())
                .count();
            assert_eq!(present, 1, "{fields:?} {path}: {received:?}");
            assert_eq!(received.header("anthropic-beta"), Some("one,two"));
            assert!(received.target.ends_with(path), "{received:?}");
            let all = format!("{received:?}");
            assert!(
                !all.contains("sk-other") && !all.contains("aisbreaker_"),
                "{all}"
            );
        }
    }
}

#[test]
fn a_provider_gets_its_version_unless_the_caller_names_one() {
    let provider = Provider::with_answer(200, json!({}));
    let server = Server::with_egress(&[]);
    let key = key_for(&server, &provider);
    for (version, expected) in [(None, "2023-06-01"), (Some("2099-01-01"), "2099-01-01")] {
        let request = post("/v1/messages", &key, r#"{"model":"m"}"#);
        let request = version.map_or(request.clone(), |version| {
            request.header("anthropic-version", version)
        });
        assert_eq!(server.send(&request).status, 200);
        assert_eq!(
            provider
                .requests()
                .pop()
                .unwrap()
                .header("anthropic-version"),
            Some(expected)
        );
    }
}

#[test]
fn a_secret_of_the_callers_own_goes_to_the_provider_that_it_names() {
    let provider = Provider::with_answer(200, json!({}));
    let rows = format!(
        "[[provider]]\nid = \"mine.example\"\nurl = \"{0}\"\nopenai = \"/x\"\nanthropic = \"/y\"\nauth = \"api-key\"\n",
        provider.url()
    );
    let config = crate::support::ConfigFile::new(&rows);
    let server = Server::with_egress(&[("AISBREAKER_CONFIG", config.path())]);

    let answered = server.send(&post(
        "/v1/embeddings",
        "sk-own",
        r#"{"model": "mine.example/e", "input": "a"}"#,
    ));
    assert_eq!(answered.status, 200, "{}", answered.text());
    let received = provider.sole_request();
    assert_eq!(received.target, "/x/embeddings");
    assert_eq!(received.header("api-key"), Some("sk-own"));
    assert_eq!(received.header("authorization"), None);
    assert_eq!(received.body, br#"{"model": "e", "input": "a"}"#);

    let answered = server.send(&post(
        "/v1/messages",
        "sk-own",
        r#"{"model":"mine.example/e"}"#,
    ));
    assert_eq!(
        (answered.status, provider.requests()[1].target.as_str()),
        (200, "/y/messages")
    );
}

#[test]
fn the_model_is_renamed_where_it_is_a_service_id_or_an_alias() {
    let provider = Provider::with_answer(200, json!({}));
    let server = Server::with_egress(&[]);
    let mut grant = grant(
        &roomy(),
        &json!([
            {"serviceId": "chat:openai.com", "authSecret": OPENAI_SECRET, "url": provider.url()},
            {"serviceId": "chat:groq.com", "authSecret": "sk-groq-canary", "url": format!("{}/openai/v1/", provider.url())},
        ]),
    );
    grant["requestAuthAndQuotas"]["modelAliases"] = json!({"fast": "chat:groq.com/llama\"8b"});
    let key = server.mint(&grant);
    let rows = [
        (
            r#"{"model":"gpt-4o","a":1}"#,
            "/v1/chat/completions",
            r#"{"model":"gpt-4o","a":1}"#,
        ),
        (
            r#"{"a":{"model":"fast"},"mod\u0065l" : "fast"}"#,
            "/openai/v1/chat/completions",
            r#"{"a":{"model":"fast"},"mod\u0065l" : "llama\"8b"}"#,
        ),
        (
            r#"{"model":"groq.com/x/y"}"#,
            "/openai/v1/chat/completions",
            r#"{"model":"x/y"}"#,
        ),
        (
            r#"{"model":"chat:openai.com/gpt-4o" , "b":"chat:openai.com/gpt-4o"}"#,
            "/v1/chat/completions",
            r#"{"model":"gpt-4o" , "b":"chat:openai.com/gpt-4o"}"#,
        ),
        (
            "\u{feff}{\"model\":\"\\u0066ast\"}",
            "/openai/v1/chat/completions",
            "\u{feff}{\"model\":\"llama\\\"8b\"}",
        ),
        (
            r#"{"messages":[]}"#,
            "/v1/chat/completions",
            r#"{"messages":[]}"#,
        ),
    ];
    for (body, target, expected) in rows {
        let answered = server.send(&post("/v1/chat/completions", &key, body));
        assert_eq!(answered.status, 200, "{body}: {}", answered.text());
        let received = provider.requests().pop().unwrap();
        let body = String::from_utf8(received.body.clone()).unwrap();
        assert_eq!(
            (received.target.as_str(), body.as_str()),
            (target, expected)
        );
    }
}

#[test]
fn in_a_form_only_the_field_of_the_model_is_renamed() {
    let provider = Provider::with_answer(200, json!({"text": "ok"}));
    let server = Server::with_egress(&[]);
    let key = key_for(&server, &provider);
    let form = |model: &str| {
        let mut form =
            b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n"
                .to_vec();
        form.extend(0..=255_u8);
        form.extend_from_slice(b"\r\n--c\r\nname=\"model\"\r\n\r\nx");
        let model = format!(
            "\r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--b--\r\n"
        );
        form.extend_from_slice(model.as_bytes());
        form
    };
    for path in ["audio/transcriptions", "images/edits"] {
        let content_type = "multipart/form-data; boundary=b";
        let request = post(
            &format!("/v1/{path}"),
            &key,
            form("chat:openai.com/whisper-1"),
        );
        let answered = server.send(&request.set("Content-Type", content_type));

        assert_eq!(answered.status, 200, "{}", answered.text());
        let received = provider.requests().pop().unwrap();
        assert_eq!(received.header("content-type"), Some(content_type));
        assert_eq!(received.body, form("whisper-1"), "{path}");
    }
}

#[test]
fn a_redirect_is_not_passed_on() {
    let provider = Provider::start(|_, wire| {
        wire.answer(307, &[("Location", "https://elsewhere.example/")], "")
    });
    let server = Server::with_egress(&[]);
    let told = server.send(&post(
        "/v1/embeddings",
        &key_for(&server, &provider),
        r#"{"model":"m"}"#,
    ));
    assert_eq!(
        (told.status, told.header("location")),
        (502, None),
        "{}",
        told.text()
    );
}

#[test]
fn a_sealed_secret_stays_bound_whatever_path_is_asked_for() {
    let provider = Provider::trap();
    let server = Server::with_egress(&[]);
    let key = key_for(&server, &provider);
    let paths = [
        "/v1/responses/../files",
        "/v1/responses/%2e%2e%2ffiles",
        "/v1/models/../files",
        "/v1/models/%2e%2e/files",
        "/v1/models/a%2F..%2F..%2Ffiles",
        "/v1/models/openai.com/../../files",
        "/v1/models/chat%3Aopenai.com%2F..%2Ffiles",
        "/v1/files",
        "/v1/responses/a/b",
    ];
    for path in paths {
        let told = server.send(&Request::get(path).bearer(&key));
        assert!(
            matches!(told.status, 400 | 404),
            "{path}: {} {}",
            told.status,
            told.text()
        );
    }
    for model in ["chat:openai.com/..", "../files"] {
        let answered = server.send(&post(
            "/v1/embeddings",
            &key,
            json!({"model": model}).to_string(),
        ));
        assert_eq!(answered.status, 200, "a model is in the body only");
    }
    assert!(
        provider
            .requests()
            .iter()
            .all(|received| received.target == "/v1/embeddings"),
        "{:?}",
        provider.requests()
    );
    let before = provider.requests().len();
    let told = server.send(&post(
        "/v1/embeddings",
        &key,
        json!({"model": key}).to_string(),
    ));
    assert_eq!(told.status, 400);
    for query in [
        format!("key={key}"),
        format!("a=b&key=x{}", key.replace('_', "%5f")),
    ] {
        let told = server.send(&post(
            &format!("/v1/embeddings?{query}"),
            &key,
            r#"{"model":"m"}"#,
        ));
        assert_eq!(told.status, 400, "{query}");
    }
    assert_eq!(provider.requests().len(), before);
}

#[test]
fn a_request_that_goes_round_in_circles_ends() {
    let server = Server::with_egress(&[]);
    let round = server.url();
    let secrets = json!([{"serviceId": "chat:openai.com", "authSecret": "sk-none", "url": round}]);
    let inner = server.mint_at("127.0.0.1", &grant(&roomy(), &secrets));
    let rows = json!([{"serviceId": "chat:openai.com", "authSecret": inner, "url": round}]);
    let key = server.mint_secrets(&rows);
    let told = server
        .send(&post("/v1/embeddings", &key, r#"{"model":"m"}"#).header("x-aisbreaker-hops", "7"));
    assert_eq!(told.status, 400, "{}", told.text());
    assert!(
        told.message().contains("look for a loop"),
        "{}",
        told.text()
    );
}

#[test]
fn an_answer_of_no_bytes_is_whole() {
    let provider = Provider::start(|received, wire| match received.method.as_str() {
        "DELETE" => wire.head(204, &[("Content-Type", "text/event-stream")]),
        "POST" => wire.answer(200, &[("Content-Type", "text/event-stream")], ""),
        _ => wire.answer(200, &[("Content-Type", "application/json")], ""),
    });
    let server = Server::with_egress(&[]);
    let key = key_for(&server, &provider);
    let one = "/v1/responses/r";
    let rows = [
        ("empty", "GET", one, 200),
        ("none", "DELETE", one, 204),
        ("no-event", "POST", "/v1/responses/r/cancel", 200),
    ];
    for (id, method, path, status) in rows {
        let request = Request::new(method, path)
            .bearer(&key)
            .header("x-request-id", id);
        let answered = server.send(&request);
        assert_eq!(
            (answered.status, answered.body.len()),
            (status, 0),
            "{method}"
        );
        assert_eq!(server.wait_for_request(id)["status"], status, "{method}");
    }
}

#[test]
fn a_stream_is_of_the_events_that_came() {
    let events = format!(
        "{}: c\n\n{}data: [DONE]\n\n",
        sse(&json!({"a": 1})),
        sse(&json!({"usage": {"prompt_tokens": 5}}))
    );
    let told = events.clone();
    let provider = Provider::start(move |_, wire| wire.whole_stream(&told));
    let server = Server::with_egress(&[]);
    let answered = server.send(&post(
        "/v1/chat/completions",
        &key_for(&server, &provider),
        r#"{"model":"m","stream":true}"#,
    ));
    assert_eq!(answered.text(), events);
    assert_eq!(answered.header("content-type"), Some("text/event-stream"));
    assert_eq!(answered.header("x-accel-buffering"), Some("no"));
}
