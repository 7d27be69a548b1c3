//! What is logged about a request, and what never is (contract section 6).

use serde_json::json;

use crate::support::{
    Provider, Request, Server, ample_quotas, base64, call, dummy_call, grant, hop, run,
    send_over_http2, service_at, sse, streamed,
};

#[test]
fn request_id_is_kept_or_generated_returned_and_logged() {
    let server = Server::start(&[]);
    let send = |id: Option<&str>| {
        let mut request = Request::process(&dummy_call());
        if let Some(id) = id {
            request = request.header("X-Request-Id", id);
        }
        server
            .send(&request)
            .header("x-request-id")
            .unwrap()
            .to_owned()
    };

    for id in ["req-1", "0af7651916cd43dd8448eb211c80319c", "a.b:c/d_e"] {
        assert_eq!(send(Some(id)), id);
        server.wait_for_request(id);
    }
    let generated = send(None);
    assert!(generated.len() >= 16, "{generated}");
    assert_ne!(send(None), generated, "ids are unique");
    let line = server.wait_for_request(&generated);
    assert_eq!(
        (&line["status"], &line["method"], &line["route"]),
        (&json!(200), &json!("POST"), &json!("/api/v1/process"))
    );
    assert_eq!(line["service"], "chat:dummy");
    assert!(line["duration_ms"].is_u64(), "{line}");

    let long = "x".repeat(5_000);
    for hostile in [
        "two words",
        "a\"b",
        "r\u{f6}t",
        "{\"status\":200}",
        "<script>",
        &long,
    ] {
        let id = send(Some(hostile));
        assert_ne!(id, hostile);
        server.wait_for_request(&id);
        assert!(!server.log().contains(hostile), "{hostile:?} is in the log");
    }
}

#[test]
fn error_responses_carry_the_request_id() {
    let server = Server::start(&[]);

    for request in [
        Request::get("/nothing"),
        Request::process(&json!({})),
        Request::new("PUT", "/api/v1/ping"),
    ] {
        let response = server.send(&request.header("X-Request-Id", "traced"));
        assert_eq!(
            response.header("x-request-id"),
            Some("traced"),
            "{response:?}"
        );
    }
}

#[test]
fn key_is_identified_but_not_shown() {
    let server = Server::start(&[]);
    let key = server.mint_with_secrets(&json!([]));
    let logged_key = |id: &str| {
        server.send(
            &Request::process(&dummy_call())
                .bearer(&key)
                .header("X-Request-Id", id),
        );
        server.wait_for_request(id)["key"]
            .as_str()
            .unwrap()
            .to_owned()
    };

    assert_eq!(
        logged_key("first"),
        logged_key("second"),
        "the identifier of a key is stable"
    );
    assert!(
        !key.contains(&logged_key("third")),
        "the identifier is a part of the key"
    );
}

/// A provider that repeats in every response what it receives, and adds its own canaries.
fn echoing_provider() -> Provider {
    Provider::start(|request, wire| {
        let body = request.json();
        let secret = request.header("authorization").unwrap_or_default();
        let message = format!("{secret} {}", body["messages"]);
        let delta = json!({"choices": [{"index": 0, "delta": {"content": "canary-answer"}}]});
        let whole = json!({"model": "m", "choices": [{"message": {"content": "canary-answer"}}]});
        match request.target.as_str() {
            "/fail/v1/chat/completions" => {
                wire.json(
                    401,
                    &json!({"error": {"message": message, "type": message}}),
                );
            }
            "/cut/v1/chat/completions" => {
                wire.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncanary-answer");
                wire.close();
            }
            "/bad/v1/chat/completions" => {
                wire.respond(200, &[("X-Canary", "canary-header")], "canary-answer");
            }
            _ if body["stream"] == true => wire.whole_stream(sse(&delta) + "data: [DONE]\n\n"),
            _ => wire.json(200, &whole),
        }
    })
}

/// Calls a provider with canaries in every member and header field.
fn call_with_canaries(server: &Server, bearer: &str, url: &str, is_streamed: bool) {
    let service = service_at("chat:openai.com/canary-engine", url);
    let mut body = call(service, "canary-question");
    body["request"]["stream"] = json!(is_streamed);
    body["request"]["internOptions"] = json!({"user": "canary-user"});
    body["request"]["conversationState"] = json!(base64::encode(
        br#"{"messages":[{"input":{"text":{"role":"user","content":"canary-earlier"}}}]}"#
    ));
    let authorization = match bearer {
        "" => "Basic canary-basic".to_owned(),
        _ => format!("Bearer {bearer}"),
    };
    let request = Request::process(&body)
        .set("Authorization", authorization)
        .header("Cookie", "canary-cookie")
        .header("X-Api-Key", "canary-api-key")
        .header("User-Agent", "canary-agent");
    server.send(&request);
    server.process(bearer, &body);
}

/// Sends canaries in requests that call no provider, or that are invalid.
fn send_other_canaries(server: &Server) {
    let greeting = json!({"serviceId": "chat:dummy", "greeting": "canary-greeting"});
    let logging = json!({"serviceId": "aisbreaker:logging", "forward2ServiceProps": greeting});
    let nested = hop(&server.url(), &logging);
    server.process("canary-own", &streamed(call(nested, "canary-question")));
    for request in [
        Request::mint(&json!({"requestAuthAndQuotas": {"canary-member": "canary-value"}})),
        Request::mint(&grant(
            &ample_quotas(),
            &json!([{"serviceId": "x", "authSecret": "canary-broken\n"}]),
        )),
        Request::new("POST", "/api/v1/process").body("{\"canary-json"),
        Request::get("/canary-path?canary-query=1"),
        Request::get("/api/v1/version?name=canary-name"),
    ] {
        server.send(&request);
    }
    let mut broken = server.connect();
    broken.write(b"GET / HTTP/1.1\r\nCanary-Header canary-broken\r\n\r\n");
    broken.read_to_end();
    let over_http2 = hyper::Request::post("http://localhost/api/v1/process?canary-query")
        .header("authorization", "Bearer canary-own")
        .header("cookie", "canary-cookie")
        .body(call(greeting, "canary-question").to_string())
        .unwrap();
    let responses = send_over_http2(server, vec![over_http2]);
    assert!(responses[0].1.contains("canary-greeting"), "{responses:?}");
}

#[test]
fn secrets_and_content_are_never_logged() {
    for format in ["json", "text"] {
        let provider = echoing_provider();
        let mut environment = vec![
            ("AUTH_ENCRYPTION_KEYPHRASE", "canary-phrase-to-seal-with"),
            (
                "AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES",
                "canary-phrase-to-open-with",
            ),
            ("AISBREAKER_LOG", "trace"),
            ("AISBREAKER_LOG_FORMAT", format),
        ];
        let sealed = json!([
            {"serviceId": "chat:openai.com", "authSecret": "canary-sealed", "url": provider.url()},
        ]);
        let default_key = Server::with_loopback_egress(&environment).mint_with_secrets(&sealed);
        environment.push(("DEFAULT_AISBREAKER_API_KEY", &default_key));
        let mut server = Server::with_loopback_egress(&environment);
        let key = server.mint_with_secrets(&sealed);
        let altered = format!("{}x", &key[..key.len() - 1]);

        for bearer in ["", "canary-own", &key, &altered, "aisbreaker_canary"] {
            for path in ["", "/fail", "/cut", "/bad", "/?canary-query"] {
                let url = format!("{}{path}", provider.url());
                call_with_canaries(&server, bearer, &url, false);
                call_with_canaries(&server, bearer, &url, true);
            }
        }
        send_other_canaries(&server);
        server.signal("TERM");
        let (_, whole_log) = server.wait_for_exit();

        let log = whole_log
            .replace("chat:openai.com/canary-engine", "chat:openai.com/...")
            .to_lowercase();
        assert!(log.contains("request"), "there is no log");
        let leaks: Vec<&str> = log.lines().filter(|line| line.contains("canary")).collect();
        assert!(leaks.is_empty(), "{format}: in the log: {leaks:#?}");
        for text in [&key, &default_key, &altered] {
            let part = &text["aisbreaker_".len() + 150..][..30];
            assert!(
                !log.contains(&part.to_lowercase()),
                "{format}: a key is in the log"
            );
        }
    }
}

#[test]
fn unread_log_blocks_neither_requests_nor_shutdown() {
    let mut server = Server::start_with_unread_log();
    let mut connection = server.connect();

    // Their log lines are many times the capacity of a pipe.
    for i in 0..2_000 {
        assert_eq!(
            connection.send(&Request::get("/api/v1/ping")).status,
            200,
            "request {i}"
        );
    }

    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.process("", &dummy_call()).status, 200);
    server.signal("TERM");
    assert_eq!(server.wait_for_exit_unread().code(), Some(0));
}

#[test]
fn full_log_queue_does_not_block_shutdown() {
    // Somewhat more than the lines that the log's queue holds.
    const REQUESTS: usize = 8_500;
    const AT_ONCE: usize = 100;
    let mut server = Server::start_with_unread_log();
    server.fill_unread_log();
    let mut connection = server.connect();
    let requests = Request::get("/api/v1/ping").to_bytes().repeat(AT_ONCE);

    for i in 0..REQUESTS / AT_ONCE {
        connection.write(&requests);
        for _ in 0..AT_ONCE {
            assert_eq!(connection.response_to("GET").status, 200, "requests {i}");
        }
    }

    server.signal("TERM");
    assert_eq!(server.wait_for_exit_unread().code(), Some(0));
}

#[test]
fn log_format_defaults_to_text() {
    // The process exits at once, since the port is occupied.
    let occupied = Provider::trap();
    let output = run(&["--listen", &occupied.address().to_string()], &[]);

    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("WARN") && !log.contains("\"level\""), "{log}");
}

#[test]
fn lines_over_the_rate_limit_are_omitted_and_counted() {
    const REQUESTS: u64 = 500;
    let server = Server::start(&[("AISBREAKER_LOG_MAX_PER_SECOND", "10")]);
    let mut connection = server.connect();

    for _ in 0..REQUESTS {
        assert_eq!(connection.send(&Request::get("/api/v1/ping")).status, 200);
    }

    let (mut written, mut omitted) = (0, 0);
    server.wait_for_log("every request to be written or counted", |line| {
        written += u64::from(line["message"] == "request");
        omitted += line["left_out"].as_u64().unwrap_or_default();
        written + omitted == REQUESTS
    });
    assert!(omitted > written, "{written} lines for {REQUESTS} requests");
}
