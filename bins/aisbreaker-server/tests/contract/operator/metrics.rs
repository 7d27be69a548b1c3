//! The metrics: what is counted, in which formats, for whom, and what never appears.

use std::collections::BTreeMap;

use aisbreaker_gateway::{Clock as _, SystemClock};
use aisbreaker_services::prices::Prices;
use serde_json::{Value, json};

use crate::support::{
    Connection, Provider, Request, Response, Server, UnreachableAddresses, ample_quotas, call,
    dummy_call, grant,
    openai::{completion, completion_stream, content_event, openai_call},
    provider_api::{CHAT, post_with_key, two_dialect_key},
    service, sse,
};

const LISTEN: (&str, &str) = ("AISBREAKER_METRICS_LISTEN", "127.0.0.1:0");

/// The metrics of a server, which also fetches them.
struct Metrics<'a> {
    server: &'a Server,
    address: std::net::SocketAddr,
}

impl<'a> Metrics<'a> {
    fn of(server: &'a Server) -> Self {
        let address = server.metrics_address();
        Self { server, address }
    }

    fn send(&self, request: &Request) -> Response {
        Connection::open(self.address).send(request)
    }

    fn text(&self) -> String {
        let response = self.send(&Request::get("/metrics"));
        assert_eq!(response.status, 200, "{response:?}");
        response.text().to_owned()
    }

    /// Returns all series with their values.
    fn series(&self) -> BTreeMap<String, f64> {
        let text = self.text();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            (name.to_owned(), value.parse().expect("a number"))
        });
        series.collect()
    }

    /// Sends a request whose response need not be read to its end, and waits until it is over.
    fn finish(&self, id: &str, request: Request) -> Value {
        let mut connection = self.server.connect();
        connection.write(&request.header("x-request-id", id).to_bytes());
        if id == "left" {
            connection.head();
            // Its first event, so that the provider has answered when the client leaves.
            assert!(connection.try_chunk().is_some());
            drop(connection);
        } else {
            connection.response_to("POST");
        }
        self.server.wait_for_request(id)
    }
}

/// A provider whose answer depends on the model.
fn provider() -> Provider {
    Provider::start(|received, wire| {
        let request = received.json();
        let model = request["model"].as_str().unwrap_or_default().to_owned();
        match &*model {
            "bad" => wire.json(400, &json!({})),
            "limited" => wire.json(429, &json!({})),
            "broken" => wire.json(500, &json!({})),
            "slow" => wire.hold(),
            "cut" => {
                wire.stream();
                wire.chunk(sse(
                    &json!({"choices": [{"index": 0, "delta": {"content": "a"}}]}),
                ));
                wire.close();
            }
            "left" => {
                wire.stream();
                wire.chunk(content_event("a"));
                wire.hold();
            }
            _ if request["stream"] == true => wire.whole_stream(completion_stream(&["a", "b"])),
            _ => wire.json(200, &completion("a")),
        }
    })
}

#[test]
fn calls_are_counted_by_provider_operation_and_outcome() {
    let provider = provider();
    let unreachable = UnreachableAddresses::new();
    let server = Server::with_loopback_egress(&[LISTEN, ("AISBREAKER_PROVIDER_TIMEOUT", "300ms")]);
    let metrics = Metrics::of(&server);
    let key = two_dialect_key(&server, &provider);
    let nowhere = server.mint_with_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": "x", "url": unreachable.refusing_url()},
    ]));
    let chat = |key: &str, model: &str, stream: bool| {
        let body = json!({"model": model, "stream": stream});
        post_with_key(CHAT, key, body.to_string())
    };

    metrics.finish("ok-1", chat(&key, "m", false));
    metrics.finish("ok-2", chat(&key, "m", true));
    for model in ["bad", "limited", "broken", "slow"] {
        metrics.finish(model, chat(&key, model, false));
    }
    for model in ["cut", "left"] {
        metrics.finish(model, chat(&key, model, true));
    }
    metrics.finish("nowhere", chat(&nowhere, "m", false));
    let process = Request::process(&openai_call("a")).bearer(&key);
    metrics.finish("process", process);
    metrics.finish("dummy", Request::process(&dummy_call()));

    let series = metrics.series();
    let calls = |operation: &str, outcome: &str| {
        let name = format!(
            "aisbreaker_provider_calls_total{{provider=\"openai.com\",operation=\"{operation}\",\
             outcome=\"{outcome}\"}}"
        );
        series.get(&name).copied()
    };
    for (outcome, count) in [
        ("ok", 2.0),
        ("client_error", 1.0),
        ("rate_limited", 1.0),
        ("server_error", 1.0),
        ("timeout", 1.0),
        ("unreachable", 1.0),
        ("cut", 1.0),
        ("left", 1.0),
    ] {
        let counted = calls("chat/completions", outcome);
        assert_eq!(counted, Some(count), "{outcome}: {series:#?}");
    }
    assert_eq!(calls("process", "ok"), Some(1.0));
    let all: f64 = series
        .iter()
        .filter(|(name, _)| name.starts_with("aisbreaker_provider_calls_total"))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(all, 10.0, "a dummy is no provider: {series:#?}");
    let chat = "{provider=\"openai.com\",operation=\"chat/completions\"}";
    let durations = series[&format!("aisbreaker_provider_duration_seconds_count{chat}")];
    let first_bytes = series[&format!("aisbreaker_provider_first_byte_seconds_count{chat}")];
    assert_eq!((durations, first_bytes), (9.0, 7.0), "two had no answer");
    assert_eq!(series["aisbreaker_overhead_seconds_count"], 10.0);
    // Two whole answers, of which the completion has 9 and 12 tokens.
    for (kind, count) in [("input", 18.0), ("output", 24.0)] {
        let name = format!("aisbreaker_tokens_total{{provider=\"openai.com\",kind=\"{kind}\"}}");
        assert_eq!(series.get(&name), Some(&count), "{series:#?}");
    }
}

#[test]
fn requests_refusals_and_keys_are_counted() {
    let server = Server::start(&[LISTEN]);
    let metrics = Metrics::of(&server);
    let mut short = grant(&ample_quotas(), &json!([]));
    short["expirationTimeSpan"] = json!("2h");
    let key = server.mint(&short);
    metrics.finish("short", Request::process(&dummy_call()).bearer(&key));
    metrics.finish("bad-mint", Request::mint(&json!({})));
    metrics.finish(
        "bad-key",
        Request::process(&dummy_call()).bearer("aisbreaker_x"),
    );
    metrics.finish("nothing", Request::new("POST", "/nothing"));

    let series = metrics.series();
    for (name, count) in [
        (
            "requests_total{route=\"/api/v1/process\",status=\"200\"}",
            1.0,
        ),
        (
            "requests_total{route=\"/api/v1/process\",status=\"401\"}",
            1.0,
        ),
        ("requests_total{route=\"unknown\",status=\"404\"}", 1.0),
        (
            "request_duration_seconds_count{route=\"/api/v1/process\"}",
            2.0,
        ),
        (
            "request_duration_seconds_bucket{route=\"/api/v1/process\",le=\"81.92\"}",
            2.0,
        ),
        ("rejected_total{reason=\"invalid_key\"}", 1.0),
        ("rejected_total{reason=\"invalid_request\"}", 1.0),
        ("rejected_total{reason=\"not_found\"}", 1.0),
        ("rejected_total{reason=\"quota_exceeded\"}", 0.0),
        ("keys_minted_total{outcome=\"minted\"}", 1.0),
        ("keys_minted_total{outcome=\"refused\"}", 1.0),
        ("requests_with_expiring_key_total{within=\"1d\"}", 1.0),
        ("requests_with_expiring_key_total{within=\"7d\"}", 0.0),
        ("requests_in_flight", 0.0),
        ("keys_revoked", 0.0),
        ("log_lines_left_out_total", 0.0),
        ("config_last_reload_successful", 1.0),
        ("buffered_bytes_limit", f64::from(512 << 20)),
    ] {
        let name = format!("aisbreaker_{name}");
        assert_eq!(series.get(&name), Some(&count), "{name} in {series:#?}");
    }
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        series[&format!("aisbreaker_build_info{{version=\"{version}\"}}")],
        1.0
    );
    // The kernel counts it in ticks of 10 ms.
    let has_used_cpu = |_| metrics.series()["process_cpu_seconds_total"] > 0.0;
    assert!((0..10_000).any(has_used_cpu));
    for name in [
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_start_time_seconds",
        "process_open_fds",
        "process_max_fds",
    ] {
        assert!(
            series.get(name).is_some_and(|value| *value > 0.0),
            "{name}: {series:#?}"
        );
    }
}

#[test]
fn fallbacks_are_counted_for_the_provider_that_is_called_instead() {
    let provider = provider();
    let server = Server::with_loopback_egress(&[LISTEN]);
    let metrics = Metrics::of(&server);
    let key = server.mint_with_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": "one", "url": provider.url(),
         "fallback": ["chat:groq.com/m"]},
        {"serviceId": "chat:groq.com", "authSecret": "two", "url": provider.url()},
    ]));

    let body = json!({"model": "chat:openai.com/broken"}).to_string();
    let line = metrics.finish("fallback", post_with_key(CHAT, &key, body));

    assert_eq!(
        (&line["status"], &line["provider"]),
        (&json!(200), &json!("groq.com"))
    );
    let series = metrics.series();
    let name = "aisbreaker_fallbacks_total{provider=\"groq.com\",outcome=\"ok\"}";
    assert_eq!(series.get(name), Some(&1.0), "{series:#?}");
}

#[test]
fn connections_and_requests_in_flight_are_shown_while_they_last() {
    let provider = provider();
    let server = Server::with_loopback_egress(&[LISTEN]);
    let metrics = Metrics::of(&server);
    let key = two_dialect_key(&server, &provider);
    let body = json!({"model": "left", "stream": true}).to_string();
    let mut connection = server.connect();
    let request = post_with_key(CHAT, &key, body).header("x-request-id", "held");
    connection.write(&request.to_bytes());
    connection.head();

    let series = metrics.series();
    assert_eq!(series["aisbreaker_requests_in_flight"], 1.0);
    assert!(series["aisbreaker_connections"] >= 1.0);

    drop(connection);
    server.wait_for_request("held");
    assert_eq!(metrics.series()["aisbreaker_requests_in_flight"], 0.0);
}

#[test]
fn ten_thousand_models_make_no_series() {
    const CONNECTIONS: usize = 4;
    const MODELS: usize = 2_500;
    const AT_ONCE: usize = 50;
    let provider = Provider::without_recording(|_, wire| wire.json(200, &completion("a")));
    let server = Server::with_loopback_egress(&[LISTEN]);
    let metrics = Metrics::of(&server);
    let key = two_dialect_key(&server, &provider);
    let send = |name: String| {
        let body = json!({"model": name, "user": name}).to_string();
        post_with_key(CHAT, &key, body).header("x-request-id", &name)
    };
    for name in ["first", "chat:vendor.example/m"] {
        server.send(&send(name.to_owned()));
    }
    let before: Vec<String> = metrics.series().into_keys().collect();

    std::thread::scope(|scope| {
        for thread in 0..CONNECTIONS {
            let (server, send) = (&server, &send);
            scope.spawn(move || {
                let mut connection = server.connect();
                for batch in 0..MODELS / AT_ONCE {
                    let names = (0..AT_ONCE).map(|i| format!("model-{thread}-{batch}-{i}"));
                    let requests: Vec<u8> = names.flat_map(|name| send(name).to_bytes()).collect();
                    connection.write(&requests);
                    for _ in 0..AT_ONCE {
                        assert_eq!(connection.response_to("POST").status, 200);
                    }
                }
            });
        }
    });
    for i in 0..20 {
        server.send(&send(format!("chat:vendor-{i}.example/m")));
    }

    let after = metrics.series();
    let name = "aisbreaker_provider_calls_total{provider=\"openai.com\",operation=\"chat/completions\",\
                outcome=\"ok\"}";
    assert_eq!(after[name], 10_001.0);
    assert!(before.iter().eq(after.keys()), "{:#?}", after.keys());
}

#[test]
fn a_family_of_resources_is_one_series() {
    let usage = json!({"prompt_tokens": 7, "completion_tokens": 9});
    let provider = Provider::with_response(200, json!({"model": "m", "usage": usage}));
    let server = Server::with_loopback_egress(&[LISTEN]);
    let metrics = Metrics::of(&server);
    let key = two_dialect_key(&server, &provider);
    let paths = [
        "/v1/vector_stores",
        "/v1/vector_stores/vs_canary",
        "/v1/vector_stores/vs_canary/files/file-canary",
    ];
    for (index, path) in paths.into_iter().enumerate() {
        metrics.finish(&format!("id-{index}"), Request::get(path).bearer(&key));
    }

    let series = metrics.series();

    let requests = r#"aisbreaker_requests_total{route="/v1/vector_stores",status="200"}"#;
    assert_eq!(series[requests], 3.0, "{series:?}");
    let calls = r#"aisbreaker_provider_calls_total{provider="openai.com",operation="vector_stores",outcome="ok"}"#;
    assert_eq!(series[calls], 3.0, "{series:?}");
    let names: Vec<_> = series.keys().collect();
    assert!(!format!("{names:?}").contains("canary"), "{names:?}");
    // The usage in a stored object is of a request that was counted.
    let has_tokens = names
        .iter()
        .any(|name| name.starts_with("aisbreaker_tokens_total"));
    assert!(!has_tokens, "{names:?}");
}

#[test]
fn nothing_of_a_request_or_an_answer_is_in_the_metrics() {
    let provider = Provider::start(|_, wire| {
        let body = json!({"error": {"message": "canary", "type": "canary", "code": "canary"}});
        wire.respond(418, &[("x-request-id", "canary")], body.to_string());
    });
    let server = Server::with_loopback_egress(&[LISTEN]);
    let metrics = Metrics::of(&server);
    let canary = "sk-canary-0123456789";
    let mut body = grant(
        &ample_quotas(),
        &json!([{"serviceId": "", "authSecret": canary, "url": provider.url()}]),
    );
    body["requestAuthAndQuotas"]["name"] = json!("canary");
    let key = server.mint(&body);
    let requests = [
        post_with_key(
            CHAT,
            &key,
            json!({"model": "canary", "user": "canary"}).to_string(),
        ),
        post_with_key(CHAT, canary, json!({"model": "canary"}).to_string()),
        Request::process(&call(service("chat:canary.example/canary"), "canary")).bearer(&key),
        Request::process(&call(service("chat:openai.com/canary"), "canary")).bearer(&key),
        Request::get("/canary?canary=canary"),
        Request::new("CANARY", "/v1/canary").set("Host", "canary.example"),
    ];
    for (index, request) in requests.into_iter().enumerate() {
        let id = format!("canary-{index}");
        let sent = request
            .header("x-request-id", &id)
            .header("user-agent", "canary");
        server.send(&sent);
        server.wait_for_request(&id);
    }

    for accept in ["text/plain", "application/openmetrics-text"] {
        let response = metrics.send(&Request::get("/metrics").header("Accept", accept));
        let text = response.text().to_lowercase();
        assert!(text.contains("aisbreaker_provider_calls_total"), "{text}");
        for secret in ["canary", &key[11..60].to_lowercase(), "127.0.0.1"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[test]
fn format_is_the_one_that_is_asked_for() {
    let server = Server::start(&[LISTEN]);
    let metrics = Metrics::of(&server);
    let get = |accept: &str| metrics.send(&Request::get("/metrics").header("Accept", accept));

    for accept in ["", "*/*", "text/plain;version=0.0.4"] {
        let response = get(accept);
        let expected = Some("text/plain; version=0.0.4; charset=utf-8");
        assert_eq!(response.header("content-type"), expected, "{accept}");
        let text = response.text();
        assert!(
            !text.contains("# EOF") && !text.contains("# UNIT"),
            "{text}"
        );
        assert!(
            text.contains("# TYPE aisbreaker_keys_minted_total counter\n"),
            "{text}"
        );
    }
    let prometheus = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    let response = get(prometheus);
    let expected = Some("application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert_eq!(response.header("content-type"), expected);
    let text = response.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert!(
        text.contains("# TYPE aisbreaker_keys_minted counter\n"),
        "{text}"
    );
}

#[test]
fn foreign_host_names_are_refused() {
    let hosts = ("AISBREAKER_METRICS_HOSTS", "aisbreaker, metrics.internal");
    let server = Server::start(&[LISTEN, hosts]);
    let metrics = Metrics::of(&server);
    let status = |host: &str| {
        metrics
            .send(&Request::get("/metrics").set("Host", host))
            .status
    };

    for host in [
        "localhost",
        "LOCALHOST:9090",
        "127.0.0.1",
        "10.1.2.3:9090",
        "[::1]:9090",
        "aisbreaker:9090",
        "metrics.internal",
    ] {
        assert_eq!(status(host), 200, "{host}");
    }
    for host in [
        "attacker.example",
        "localhost.attacker.example",
        "127.0.0.1.attacker.example",
        "0x7f000001",
        "other.internal:9090",
        "",
    ] {
        assert_eq!(status(host), 421, "{host:?}");
    }
    let twice = Request::get("/metrics")
        .header("Host", "localhost")
        .header("Host", "attacker.example");
    assert_ne!(metrics.send(&twice).status, 200);
}

#[test]
fn lines_that_the_log_leaves_out_are_counted() {
    let limit = ("AISBREAKER_LOG_MAX_PER_SECOND", "10");
    let server = Server::start(&[LISTEN, limit]);
    let metrics = Metrics::of(&server);
    let mut connection = server.connect();
    for _ in 0..200 {
        assert_eq!(connection.send(&Request::get("/api/v1/ping")).status, 200);
    }
    server.wait_for_log("lines that are left out", |line| line["left_out"].is_u64());

    let left_out = metrics.series()["aisbreaker_log_lines_left_out_total"];
    assert!(left_out > 0.0, "{left_out}");
}

#[test]
fn the_age_of_the_builtin_prices_is_shown() {
    let server = Server::start(&[LISTEN]);
    let age = || Prices::age(SystemClock::new().wall()).as_secs();
    let before = age();
    let text = Metrics::of(&server).text();
    let shown = text
        .lines()
        .find_map(|line| line.strip_prefix("aisbreaker_budget_prices_age_seconds "))
        .unwrap_or_else(|| panic!("no age in {text}"));
    let shown: u64 = shown.parse().unwrap();
    assert!((before..=age()).contains(&shown), "{shown}");
}
