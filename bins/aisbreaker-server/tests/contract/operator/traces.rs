//! Traces: what an OpenTelemetry collector is sent, and what providers learn of a trace.

mod collector;
mod outages;
mod propagation;

use serde_json::{Value, json};

use self::collector::{Collector, ReceivedSpan, request_and_calls};
use super::tls::TlsServer;
use crate::support::{
    Canaries, Provider, Request, Server, UnreachableAddresses, ample_quotas, call, dummy_call,
    grant,
    openai::{completion, completion_stream, content_event},
    provider_api::{CHAT, post_with_key},
    service, streamed,
};

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER_SPAN: &str = "b7ad6b7169203331";
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const CHAT_BODY: &str =
    r#"{"model":"openai.com/gpt-4o","messages":[{"role":"user","content":"Hi"}]}"#;

/// Mints a key for a service at the first URL that falls back to one at the second.
fn key_with_fallback(server: &Server, first: &str, second: &str) -> String {
    server.mint_with_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": "sk-first-0123456789", "url": first,
         "fallback": "chat:groq.com/m2"},
        {"serviceId": "chat:groq.com", "authSecret": "sk-second-0123456789", "url": second},
    ]))
}

/// Mints a key for a service at this URL.
fn key(server: &Server, url: &str) -> String {
    server.mint_with_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": "sk-first-0123456789", "url": url},
    ]))
}

fn process_call() -> Value {
    call(service("chat:openai.com/gpt-4o"), "Hi")
}

/// Keeps the spans of the route.
fn of_route(spans: Vec<ReceivedSpan>, route: &str) -> Vec<ReceivedSpan> {
    let is_of_route = |span: &ReceivedSpan| {
        !span.is_server || span.attributes.get("http.route") == Some(&json!(route))
    };
    spans.into_iter().filter(is_of_route).collect()
}

/// Sends the request with a `traceparent` and returns its span and those of its calls.
fn trace_of(
    collector: &Collector,
    server: &mut Server,
    request: Request,
) -> (ReceivedSpan, Vec<ReceivedSpan>) {
    let route = if request.to_bytes().starts_with(b"POST /api") {
        "/api/v1/process"
    } else {
        CHAT
    };
    server.send(&request.header("traceparent", TRACEPARENT));
    let spans = collector.spans_of(server);
    request_and_calls(of_route(spans, route))
}

#[test]
fn every_attempt_at_a_provider_is_a_span_of_the_request() {
    for is_process in [false, true] {
        let failing = Provider::with_response(500, json!({"error": {"message": "no"}}));
        let answering = Provider::with_response(200, completion("Hello"));
        let collector = Collector::start();
        let mut server = collector.serve(&[]);
        let key = key_with_fallback(&server, &failing.url(), &answering.url());
        let (route, request) = if is_process {
            (
                "/api/v1/process",
                Request::process(&process_call()).bearer(&key),
            )
        } else {
            (CHAT, post_with_key(CHAT, &key, CHAT_BODY))
        };
        let (span, calls) = trace_of(&collector, &mut server, request);

        assert_eq!((&*span.trace_id, &*span.parent_id), (TRACE_ID, CALLER_SPAN));
        assert_eq!(span.name, format!("POST {route}"));
        assert!(!span.is_error && span.start <= span.end, "{span:?}");
        let expected = json!({
            "http.request.method": "POST", "http.route": route, "url.scheme": "http",
            "client.address": "127.0.0.1", "http.response.status_code": 200,
        });
        assert_eq!(json!(span.attributes), expected);

        let [first, second] = &calls[..] else {
            panic!("not two calls: {calls:#?}")
        };
        for call in [first, second] {
            assert_eq!(
                (&call.trace_id, &call.parent_id),
                (&span.trace_id, &span.span_id)
            );
            assert!(span.start <= call.start && call.start <= call.end && call.end <= span.end);
        }
        assert_eq!((&*first.name, first.is_error), ("chat gpt-4o", true));
        let expected = json!({
            "http.request.method": "POST", "url.scheme": "http",
            "server.address": "127.0.0.1", "server.port": failing.port(),
            "http.response.status_code": 500, "error.type": "500",
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
        });
        assert_eq!(json!(first.attributes), expected);
        assert_eq!((&*second.name, second.is_error), ("chat m2", false));
        let expected = json!({
            "http.request.method": "POST", "url.scheme": "http",
            "server.address": "127.0.0.1", "server.port": answering.port(),
            "http.response.status_code": 200,
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "groq",
            "gen_ai.request.model": "m2",
            "gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 12,
        });
        assert_eq!(json!(second.attributes), expected);

        for (provider, call) in [(&failing, first), (&answering, second)] {
            let received = provider.only_request();
            let traceparent = format!("00-{TRACE_ID}-{}-01", call.span_id);
            assert_eq!(received.header("traceparent"), Some(&*traceparent));
        }
    }
}

#[test]
fn a_stream_is_one_span_until_its_end() {
    for is_process in [false, true] {
        let provider = Provider::start(|_, wire| wire.whole_stream(completion_stream(&["a", "b"])));
        let collector = Collector::start();
        let mut server = collector.serve(&[]);
        let key = key(&server, &provider.url());
        let request = if is_process {
            Request::process(&streamed(process_call())).bearer(&key)
        } else {
            post_with_key(CHAT, &key, CHAT_BODY.replacen('{', r#"{"stream":true,"#, 1))
        };
        let (span, calls) = trace_of(&collector, &mut server, request);

        assert!(!span.is_error, "{span:?}");
        assert_eq!(calls.len(), 1, "{calls:#?}");
        assert!(!calls[0].is_error && calls[0].end <= span.end, "{calls:#?}");
        assert_eq!(calls[0].parent_id, span.span_id);
    }
}

#[test]
fn a_long_model_is_cut() {
    let provider = Provider::with_response(200, completion("Hello"));
    let collector = Collector::start();
    let mut server = collector.serve(&[]);
    let key = key(&server, &provider.url());
    let body = CHAT_BODY.replace("gpt-4o", &"m".repeat(200));
    let (_, calls) = trace_of(&collector, &mut server, post_with_key(CHAT, &key, body));

    assert_eq!(calls.len(), 1, "{calls:#?}");
    let model = "m".repeat(128);
    assert_eq!(calls[0].attributes["gen_ai.request.model"], model);
    assert_eq!(calls[0].name, format!("chat {model}"));
}

#[test]
fn a_provider_that_fails_is_named_by_error_type() {
    let unreachable = UnreachableAddresses::new();
    let cutting = Provider::start(|_, wire| {
        wire.write(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 1000\r\n\r\n",
        );
        wire.write(content_event("one"));
        wire.close();
    });
    let rows = [
        (
            unreachable.refusing_url(),
            "connection_refused",
            None,
            "provider_unreachable",
        ),
        (cutting.url(), "cut", Some(200), "provider_cut"),
    ];
    for (url, word, status, of_request) in rows {
        let collector = Collector::start();
        let mut server = collector.serve(&[]);
        let key = key(&server, &url);
        let request = post_with_key(CHAT, &key, CHAT_BODY.replacen('{', r#"{"stream":true,"#, 1));
        let (span, calls) = trace_of(&collector, &mut server, request);

        assert_eq!(calls.len(), 1, "{word}: {calls:#?}");
        assert!(calls[0].is_error, "{word}");
        assert_eq!(calls[0].attributes["error.type"], word);
        let code = calls[0].attributes.get("http.response.status_code");
        assert_eq!(code.and_then(Value::as_i64), status, "{word}");
        assert_eq!(span.attributes["error.type"], of_request, "{word}");
        assert!(span.is_error, "{word}");
    }
}

#[test]
fn a_client_that_leaves_is_named_by_error_type() {
    let provider = Provider::start(|_, wire| {
        wire.stream();
        wire.chunk(content_event("one"));
        wire.hold();
    });
    let collector = Collector::start();
    let mut server = collector.serve(&[]);
    let key = key(&server, &provider.url());
    let mut connection = server.connect();
    let body = CHAT_BODY.replacen('{', r#"{"stream":true,"#, 1);
    let request = post_with_key(CHAT, &key, body).header("X-Request-Id", "left");
    connection.write(&request.to_bytes());
    assert_eq!(connection.head().status, 200);
    connection.try_chunk().expect("the first event");
    drop(connection);
    server.wait_for_request("left");

    let spans = of_route(collector.spans_of(&mut server), CHAT);
    let (span, calls) = request_and_calls(spans);
    assert_eq!(calls.len(), 1, "{calls:#?}");
    for span in [&span, &calls[0]] {
        assert_eq!(span.attributes["error.type"], "client_left");
        assert_eq!(span.attributes["http.response.status_code"], 200);
    }
}

#[test]
fn the_log_line_has_the_trace_id_and_probes_and_files_are_not_traced() {
    let collector = Collector::start();
    let mut server = collector.serve(&[]);
    for path in ["/healthz", "/readyz"] {
        let probe = Request::get(path).header("X-Request-Id", path.trim_matches('/'));
        assert_eq!(server.send(&probe).status, 200);
        assert!(server.wait_for_request(path.trim_matches('/'))["trace_id"].is_null());
    }
    assert_eq!(server.get("/console/").status, 200);
    let dummy = Request::process(&dummy_call()).header("X-Request-Id", "dummy");
    server.send(&dummy);
    let line = server.wait_for_request("dummy");

    let (span, calls) = request_and_calls(collector.spans_of(&mut server));
    assert_eq!(line["trace_id"], span.trace_id.as_str());
    assert_eq!(span.parent_id, "", "a root");
    assert!(
        calls.is_empty(),
        "a service of the server itself: {calls:#?}"
    );
}

#[test]
fn refused_requests_have_spans_without_anything_that_callers_chose() {
    let collector = Collector::start();
    let mut server = collector.serve(&[]);
    server.send(&Request::new("BREW", "/canary-path?canary-query"));
    server.send(&Request::get("/v1/models/canary-model").bearer("aisbreaker_canary"));

    let spans = collector.spans_of(&mut server);
    let names: Vec<&str> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["HTTP", "GET /v1/models/{id}"]);
    assert_eq!(spans[0].attributes["http.request.method"], "_OTHER");
    assert_eq!(spans[0].attributes["http.response.status_code"], 404);
    assert_eq!(spans[1].attributes["http.response.status_code"], 401);
    assert!(
        spans.iter().all(|span| !span.is_error),
        "no fault of the server: {spans:#?}"
    );
    for request in collector.requests() {
        let text = String::from_utf8_lossy(&request.body);
        assert!(!text.contains("canary"), "{text}");
    }
}

#[test]
fn no_secret_and_no_content_is_exported() {
    let secrets = [
        ("the provider's secret", "sk-5Tq8zRk2mVw7pXc4"),
        ("the question", "question-9hJd3sLf6gBn"),
        ("the answer", "answer-2kWq7eZx5rTy"),
        ("the query", "query-8uIo4pAs1dFg"),
        ("a field", "field-6cVb9nMq3wEr"),
        ("the baggage", "baggage-4tYu7iOp1aSd"),
        ("the key of the collector", "collector-3xCv6bNm9qWe"),
        ("the URL of the collector", "token-7gHj2kLz5xCv"),
    ];
    let mut canaries = Canaries::default();
    for (name, secret) in secrets {
        canaries.plant(name, secret);
    }
    let answering = Provider::with_response(200, completion("answer-2kWq7eZx5rTy"));
    let failing = Provider::start(|request, wire| {
        let secret = request.header("authorization").unwrap_or_default();
        let message = format!("{secret} {}", String::from_utf8_lossy(&request.body));
        wire.json(500, &json!({"error": {"message": message}}));
    });
    let collector = Collector::start();
    let endpoint = format!("{}/v1/traces", collector.url());
    let mut server = collector.serve(&[
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &endpoint),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "x-token=collector-3xCv6bNm9qWe",
        ),
        ("AISBREAKER_LOG", "trace"),
    ]);
    let secrets = json!([
        {"serviceId": "chat:openai.com", "authSecret": "sk-5Tq8zRk2mVw7pXc4",
         "url": failing.url(), "fallback": "chat:groq.com/m2"},
        {"serviceId": "chat:groq.com", "authSecret": "sk-5Tq8zRk2mVw7pXc4", "url": answering.url()},
    ]);
    let key = server.mint(&grant(&ample_quotas(), &secrets));
    canaries.plant("the key", &key["aisbreaker_".len()..]);
    let question = json!({"role": "user", "content": "question-9hJd3sLf6gBn"});
    let body = json!({"model": "openai.com/gpt-4o", "messages": [question]}).to_string();
    let forwarded = post_with_key(&format!("{CHAT}?a=query-8uIo4pAs1dFg"), &key, body);
    let mut process = process_call();
    process["request"]["inputs"][0]["text"]["content"] = json!("question-9hJd3sLf6gBn");
    for request in [forwarded, Request::process(&process).bearer(&key)] {
        let request = request
            .header("X-Field", "field-6cVb9nMq3wEr")
            .header("baggage", "user=baggage-4tYu7iOp1aSd")
            .header("Cookie", "a=field-6cVb9nMq3wEr");
        assert_eq!(server.send(&request).status, 200);
    }

    let spans = collector.spans_of(&mut server);
    assert_eq!(
        spans.iter().filter(|span| !span.is_server).count(),
        4,
        "{spans:#?}"
    );
    for request in collector.requests() {
        assert_eq!(request.header("x-token"), Some("collector-3xCv6bNm9qWe"));
        canaries.assert_not_in("a request to the collector", &request.body);
    }
    canaries.assert_not_in("the log", server.log());
}

#[test]
fn the_process_is_named_by_the_standard_variables() {
    let rows: [(&[(&str, &str)], &str); 3] = [
        (&[], "aisbreaker-server"),
        (&[("OTEL_SERVICE_NAME", "gateway-a")], "gateway-a"),
        (
            &[(
                "OTEL_RESOURCE_ATTRIBUTES",
                "service.name=gateway-b,deployment.environment.name=test",
            )],
            "gateway-b",
        ),
    ];
    for (environment, expected) in rows {
        let collector = Collector::start();
        let mut server = collector.serve(environment);
        server.process("", &dummy_call());
        collector.spans_of(&mut server);

        let resource = collector.resource();
        assert_eq!(resource["service.name"], expected);
        assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
        let is_set = environment.len() == 1 && expected == "gateway-b";
        assert_eq!(resource.contains_key("deployment.environment.name"), is_set);
    }
}

#[test]
fn the_scheme_is_that_of_the_listener() {
    let collector = Collector::start();
    let url = collector.url();
    let mut tls = TlsServer::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]);
    let answer = tls.connect().send(&Request::get("/api/v1/ping"));
    assert_eq!(answer.status, 200);
    let (span, _) = request_and_calls(collector.spans_of(&mut tls.server));
    assert_eq!(span.attributes["url.scheme"], "https");
}

#[test]
fn a_secret_in_the_host_of_a_key_is_in_no_span_and_no_line_of_the_log() {
    const SECRET: &str = "sk-Canary-7Tz9rWk2LpXc5Nf8";
    let collector = Collector::start();
    let mut server = collector.serve(&[]);
    let url = format!("https://{SECRET}.invalid");
    let key = server.mint_with_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": SECRET, "url": url},
    ]));
    let response = server.process(&key, &process_call());
    assert_eq!(response.status, 503, "{response:?}");
    let spans = collector.spans_of(&mut server);
    let (_, calls) = request_and_calls(of_route(spans, "/api/v1/process"));
    assert_eq!(calls[0].attributes["server.address"], "***.invalid");
    let log = server.log().to_lowercase();
    assert!(log.contains("https://***.invalid"), "{log}");
    assert!(!log.contains(&SECRET.to_lowercase()), "{log}");
}
