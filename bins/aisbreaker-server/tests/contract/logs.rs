//! What is logged of a request, and what never is (contract section 6).

use serde_json::{Value, json};

use crate::support::{
    Provider, Request, Server, base64, call, grant, hop, http2, roomy, run, service, service_at,
    sse, streamed,
};

fn dummy() -> Value {
    call(service("chat:dummy"), "Hi")
}

#[test]
fn a_request_id_is_taken_over_or_made_and_always_returned_and_logged() {
    let server = Server::start(&[]);
    let send = |id: Option<&str>| {
        let request = id.iter().fold(Request::process(&dummy()), |request, id| {
            request.header("X-Request-Id", id)
        });
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
    let made = send(None);
    assert!(made.len() >= 16, "{made}");
    assert_ne!(send(None), made, "always another one");
    let line = server.wait_for_request(&made);
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
fn errors_have_a_request_id_too() {
    let server = Server::start(&[]);

    for request in [
        Request::get("/nothing"),
        Request::process(&json!({})),
        Request::new("PUT", "/api/v1/ping"),
    ] {
        let answer = server.send(&request.header("X-Request-Id", "traced"));
        assert_eq!(answer.header("x-request-id"), Some("traced"), "{answer:?}");
    }
}

#[test]
fn the_log_names_a_key_without_showing_it() {
    let server = Server::start(&[]);
    let key = server.mint_secrets(&json!([]));
    let name = |id: &str| {
        server.send(
            &Request::process(&dummy())
                .bearer(&key)
                .header("X-Request-Id", id),
        );
        server.wait_for_request(id)["key"]
            .as_str()
            .unwrap()
            .to_owned()
    };

    assert_eq!(name("first"), name("second"), "one key has one name");
    assert!(
        !key.contains(&name("third")),
        "the name is a part of the key"
    );
}

#[test]
fn no_secret_and_no_content_is_ever_logged() {
    for format in ["json", "text"] {
        let echoing = Provider::start(|received, wire| {
            let body = received.json();
            let told = format!(
                "{} {}",
                received.header("authorization").unwrap_or_default(),
                body["messages"]
            );
            match received.target.as_str() {
                "/fail/v1/chat/completions" => {
                    wire.json(401, &json!({"error": {"message": told, "type": told}}))
                }
                "/cut/v1/chat/completions" => {
                    wire.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncanary-answer");
                    wire.cut();
                }
                "/bad/v1/chat/completions" => {
                    wire.answer(200, &[("X-Canary", "canary-header")], "canary-answer")
                }
                _ if body["stream"] == true => {
                    wire.whole_stream(
                        sse(&json!({"choices": [{"index": 0, "delta": {"content": "canary-answer"}}]}))
                            + "data: [DONE]\n\n",
                    );
                }
                _ => wire.json(
                    200,
                    &json!({"model": "m", "choices": [{"message": {"content": "canary-answer"}}]}),
                ),
            }
        });
        let environment = [
            ("AUTH_ENCRYPTION_KEYPHRASE", "canary-phrase-to-seal-with"),
            (
                "AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES",
                "canary-phrase-to-open-with",
            ),
            ("AISBREAKER_LOG", "trace"),
            ("AISBREAKER_LOG_FORMAT", format),
        ];
        let first = Server::with_egress(&environment);
        let sealed = json!([{"serviceId": "chat:openai.com", "authSecret": "canary-sealed", "url": echoing.url()}]);
        let default = first.mint_secrets(&sealed);
        drop(first);
        let mut environment = environment.to_vec();
        environment.push(("DEFAULT_AISBREAKER_API_KEY", &default));
        let mut server = Server::with_egress(&environment);
        let key = server.mint_secrets(&sealed);
        server.send(&Request::mint(
            &json!({"requestAuthAndQuotas": {"canary-member": "canary-value"}}),
        ));
        server.send(&Request::mint(&grant(
            &roomy(),
            &json!([{"serviceId": "x", "authSecret": "canary-broken\n"}]),
        )));
        let altered = format!("{}x", &key[..key.len() - 1]);
        for bearer in ["", "canary-own", &key, &altered, "aisbreaker_canary"] {
            for path in ["", "/fail", "/cut", "/bad", "/?canary-query"] {
                for streams in [false, true] {
                    let mut body = call(
                        service_at(
                            "chat:openai.com/canary-engine",
                            &format!("{}{path}", echoing.url()),
                        ),
                        "canary-question",
                    );
                    body["request"]["stream"] = json!(streams);
                    body["request"]["internOptions"] = json!({"user": "canary-user"});
                    body["request"]["conversationState"] = json!(base64::encode(
                        br#"{"messages":[{"input":{"text":{"role":"user","content":"canary-earlier"}}}]}"#
                    ));
                    server.send(
                        &Request::process(&body)
                            .set(
                                "Authorization",
                                if bearer.is_empty() {
                                    "Basic canary-basic".to_owned()
                                } else {
                                    format!("Bearer {bearer}")
                                },
                            )
                            .header("Cookie", "canary-cookie")
                            .header("X-Api-Key", "canary-api-key")
                            .header("User-Agent", "canary-agent"),
                    );
                    server.process(bearer, &body);
                }
            }
        }
        let greeting = json!({"serviceId": "chat:dummy", "greeting": "canary-greeting"});
        let logging = json!({"serviceId": "aisbreaker:logging", "forward2ServiceProps": greeting});
        let hop = hop(&server.url(), &logging);
        server.process("canary-own", &streamed(call(hop, "canary-question")));
        server.send(&Request::new("POST", "/api/v1/process").body("{\"canary-json"));
        server.send(&Request::get("/canary-path?canary-query=1"));
        server.send(&Request::get("/api/v1/version?name=canary-name"));
        let mut broken = server.connect();
        broken.write(b"GET / HTTP/1.1\r\nCanary-Header canary-broken\r\n\r\n");
        broken.rest();
        let other_protocol = hyper::Request::post("http://localhost/api/v1/process?canary-query")
            .header("authorization", "Bearer canary-own")
            .header("cookie", "canary-cookie")
            .body(
                call(
                    json!({"serviceId": "chat:dummy", "greeting": "canary-greeting"}),
                    "canary-question",
                )
                .to_string(),
            );
        let answers = http2(&server, vec![other_protocol.unwrap()]);
        assert!(answers[0].1.contains("canary-greeting"), "{answers:?}");
        server.signal("TERM");
        let (_, log) = server.wait();

        let engine = "chat:openai.com/canary-engine";
        let log = log.replace(engine, "chat:openai.com/...").to_lowercase();
        assert!(log.contains("request"), "there is a log");
        let leaks: Vec<&str> = log.lines().filter(|line| line.contains("canary")).collect();
        assert!(leaks.is_empty(), "{format}: in the log: {leaks:#?}");
        for text in [&key, &default, &altered] {
            let part = &text["aisbreaker_".len() + 150..][..30];
            assert!(
                !log.contains(&part.to_lowercase()),
                "{format}: a key is in the log"
            );
        }
    }
}

#[test]
fn a_log_that_nobody_reads_stops_neither_requests_nor_the_end() {
    let mut server = Server::start_unread();
    let mut connection = server.connect();

    // Their lines are many times what a pipe holds.
    for i in 0..2_000 {
        assert_eq!(
            connection.send(&Request::get("/api/v1/ping")).status,
            200,
            "request {i}"
        );
    }

    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.process("", &dummy()).status, 200);
    server.signal("TERM");
    assert_eq!(server.wait_unread().code(), Some(0));
}

#[test]
fn a_log_that_nobody_reads_does_not_stop_the_end_though_no_more_lines_may_wait() {
    // Somewhat more than the lines that wait (`WAITING_LINES`).
    const REQUESTS: usize = 8_500;
    const AT_ONCE: usize = 100;
    let mut server = Server::start_unread();
    server.fill_unread();
    let mut connection = server.connect();
    let requests = Request::get("/api/v1/ping").to_bytes().repeat(AT_ONCE);

    for i in 0..REQUESTS / AT_ONCE {
        connection.write(&requests);
        for _ in 0..AT_ONCE {
            assert_eq!(connection.answer_to("GET").status, 200, "requests {i}");
        }
    }

    server.signal("TERM");
    assert_eq!(server.wait_unread().code(), Some(0));
}

#[test]
fn the_log_is_text_unless_asked_otherwise() {
    // The run is short: the port is taken.
    let taken = Provider::trap();
    let output = run(&["--listen", &taken.address().to_string()], &[]);

    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("WARN") && !told.contains("\"level\""),
        "{told}"
    );
}
