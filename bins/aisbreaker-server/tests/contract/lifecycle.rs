//! The life of connections and of the process: who leaves, who is refused, who is slow, and the
//! end. The end of a busy server is in `drain`.

use std::sync::{Mutex, mpsc};

use serde_json::{Value, json};

use crate::support::{
    Connection, Provider, Request, Server, assert_error, call, hop, http2_beginning, service,
    service_at, sse, streamed,
};

fn dummy() -> Value {
    call(service("chat:dummy"), "Hi")
}

/// A provider whose stream begins with one piece and goes on when it is told to; and what tells it.
fn slow_stream() -> (Provider, mpsc::Sender<()>) {
    let (go, may_go_on) = mpsc::channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let chunk = |content: &str| {
        sse(&json!({"model": "m", "choices": [{"index": 0, "delta": {"content": content}}]}))
    };
    let provider = Provider::start(move |_, wire| {
        wire.stream();
        wire.chunk(chunk("one"));
        let _told = may_go_on.lock().unwrap().recv();
        wire.chunk(chunk("two") + "data: [DONE]\n\n");
        wire.end();
    });
    (provider, go)
}

/// A connection on which a stream has begun.
fn begun_stream(server: &Server, provider: &Provider) -> Connection {
    let body = streamed(call(service_at("chat:openai.com", &provider.url()), "Hi"));
    let mut connection = server.connect();
    connection.write(&Request::process(&body).bearer("sk-own").to_bytes());
    assert_eq!(connection.head().status, 200);
    assert_eq!(
        connection.event().unwrap().data["outputs"][0]["text"]["content"],
        "one"
    );
    connection
}

#[test]
fn a_client_that_leaves_ends_the_call_to_the_provider_and_is_logged() {
    for streams in [false, true] {
        let (tell, told) = mpsc::channel();
        let (arrive, arrived) = mpsc::channel();
        let (tell, arrive) = (Mutex::new(tell), Mutex::new(arrive));
        let provider = Provider::start(move |_, wire| {
            if streams {
                wire.stream();
                wire.chunk(sse(
                    &json!({"choices": [{"index": 0, "delta": {"content": "one"}}]}),
                ));
            }
            arrive.lock().unwrap().send(()).unwrap();
            tell.lock().unwrap().send(wire.wait_until_closed()).unwrap();
        });
        let server = Server::with_egress(&[]);
        let mut body = call(service_at("chat:openai.com", &provider.url()), "Hi");
        body["request"]["stream"] = json!(streams);
        let mut connection = server.connect();
        connection.write(
            &Request::process(&body)
                .bearer("sk-own")
                .header("X-Request-Id", "left")
                .to_bytes(),
        );
        arrived.recv().unwrap();
        if streams {
            assert_eq!(connection.head().status, 200);
            assert_eq!(connection.event().unwrap().name, "progress");
        }

        drop(connection);

        assert!(
            told.recv().unwrap(),
            "the call to the provider goes on (streams: {streams})"
        );
        assert_eq!(
            server.wait_for_request("left")["status"],
            499,
            "streams: {streams}"
        );
    }
}

#[test]
fn a_client_that_gives_up_a_stream_of_http_2_ends_the_call_to_the_provider() {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let provider = Provider::start(move |_, wire| {
        wire.stream();
        wire.chunk(sse(
            &json!({"choices": [{"index": 0, "delta": {"content": "one"}}]}),
        ));
        tell.lock().unwrap().send(wire.wait_until_closed()).unwrap();
    });
    let server = Server::with_egress(&[]);
    let body = streamed(call(service_at("chat:openai.com", &provider.url()), "Hi")).to_string();
    let request = hyper::Request::post("http://localhost/api/v1/process")
        .header("authorization", "Bearer sk-own");

    let first = http2_beginning(&server, request.body(body).unwrap());

    assert!(first.starts_with("event: progress\n"), "{first}");
    assert!(told.recv().unwrap());
    server.wait_for_log("the client that left", |line| line["status"] == 499);
}

#[test]
fn a_client_that_does_not_read_holds_the_provider_back() {
    // Far more than what fits into the buffers of three sockets and one server.
    const PIECES: usize = 2_000;
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let provider = Provider::start(move |_, wire| {
        let piece =
            sse(&json!({"choices": [{"index": 0, "delta": {"content": "x".repeat(50_000)}}]}));
        wire.stream();
        let written = (0..PIECES)
            .take_while(|_| wire.chunk_in_time(&piece))
            .count();
        tell.lock().unwrap().send(written).unwrap();
    });
    let server = Server::with_egress(&[]);
    let body = streamed(call(service_at("chat:openai.com", &provider.url()), "Hi"));
    let mut connection = server.connect();
    connection.write(&Request::process(&body).bearer("sk-own").to_bytes());

    let written = told.recv().unwrap();

    assert!(
        written < PIECES,
        "the server swallowed {written} pieces that nobody reads"
    );
    assert_eq!(connection.head().status, 200);
}

#[test]
fn a_client_that_leaves_ends_the_calls_of_all_servers_in_between() {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let provider = Provider::start(move |_, wire| {
        wire.stream();
        wire.chunk(sse(
            &json!({"choices": [{"index": 0, "delta": {"content": "one"}}]}),
        ));
        tell.lock().unwrap().send(wire.wait_until_closed()).unwrap();
    });
    let [here, there] = [(); 2].map(|()| Server::with_egress(&[]));
    let props = hop(
        &there.url(),
        &service_at("chat:openai.com", &provider.url()),
    );
    let mut connection = here.connect();
    connection.write(
        &Request::process(&streamed(call(props, "Hi")))
            .bearer("sk-own")
            .to_bytes(),
    );
    assert_eq!(connection.head().status, 200);
    assert_eq!(connection.event().unwrap().name, "progress");

    drop(connection);

    assert!(told.recv().unwrap());
    for server in [here, there] {
        server.wait_for_log("the client that left", |line| line["status"] == 499);
    }
}

#[test]
fn a_signal_lets_a_stream_come_to_its_end() {
    for signal in ["TERM", "INT"] {
        let (provider, go) = slow_stream();
        let mut server = Server::with_egress(&[]);
        let mut idle = server.connect();
        assert_eq!(idle.send(&Request::get("/readyz")).status, 200);
        let mut stream = begun_stream(&server, &provider);

        server.signal(signal);
        server.wait_for_log("the drain", |line| line["message"] == "draining");

        // Connections that are open are told; whoever connects now finds nobody.
        let ready = idle.send(&Request::get("/readyz"));
        assert_eq!(ready.status, 503, "{signal}: {ready:?}");
        let healthy = idle.send(&Request::get("/healthz"));
        assert_eq!(healthy.status, 200, "{signal}: {healthy:?}");
        assert_error(signal, &idle.send(&Request::process(&dummy())), 503, "");
        assert!(
            std::net::TcpStream::connect(server.address()).is_err(),
            "{signal}: still listening"
        );

        go.send(()).unwrap();
        assert_eq!(
            stream.event().unwrap().data["outputs"][0]["text"]["content"],
            "two",
            "{signal}"
        );
        assert_eq!(stream.event().unwrap().name, "final", "{signal}");
        assert_eq!(stream.event(), None, "{signal}");
        drop((stream, idle));
        let (status, log) = server.wait();
        assert_eq!(status.code(), Some(0), "{signal}: {log}");
    }
}

#[test]
fn an_idle_server_ends_at_once_and_well() {
    let mut server = Server::start(&[]);
    let mut idle = server.connect();
    assert_eq!(idle.send(&Request::get("/api/v1/ping")).status, 200);

    server.signal("TERM");

    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(idle.rest().is_empty(), "the idle connection is closed");
}

#[test]
fn a_refusal_by_a_server_that_ends_tells_to_come_again_and_closes() {
    let (provider, _go) = slow_stream();
    let server = Server::with_egress(&[]);
    let rows = [
        Request::process(&dummy()),
        Request::process(&streamed(dummy())),
        Request::mint(&json!({"requestAuthAndQuotas": {}})),
        Request::get("/api/v1/ping"),
        Request::get("/api/v1/version"),
        Request::get("/api/v1/quota"),
        Request::get("/"),
    ];
    let mut open: Vec<Connection> = rows.iter().map(|_| server.connect()).collect();
    for connection in &mut open {
        assert_eq!(connection.send(&Request::get("/api/v1/ping")).status, 200);
    }
    let _stream = begun_stream(&server, &provider);

    server.signal("TERM");
    server.wait_for_log("the drain", |line| line["message"] == "draining");

    for (request, mut connection) in rows.iter().zip(open) {
        let row = format!("{request:?}");
        let answer = connection.send(request);
        assert_error(&row, &answer, 503, "shutting down");
        assert_eq!(answer.header("retry-after"), Some("1"), "{row}: {answer:?}");
        assert_eq!(
            answer.header("connection"),
            Some("close"),
            "{row}: {answer:?}"
        );
        assert!(connection.rest().is_empty(), "{row}");
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM"), ("TERM", "INT")] {
        let (provider, _go) = slow_stream();
        let mut server = Server::with_egress(&[("AISBREAKER_DRAIN_TIMEOUT", "10m")]);
        let mut stream = begun_stream(&server, &provider);

        server.signal(first);
        server.wait_for_log("the drain", |line| line["message"] == "draining");
        server.signal(second);

        server.wait();
        assert_eq!(stream.try_chunk(), None, "{first} {second}");
    }
}

#[test]
fn other_hosts_are_misdirected() {
    let server = Server::start(&[(
        "AISBREAKER_PUBLIC_HOSTS",
        "api.example.com, API2.example.com.,[::1]",
    )]);
    let rows = [
        ("api.example.com", true),
        ("API.EXAMPLE.COM:8443", true),
        ("api.example.com.", true),
        ("api2.example.com", true),
        ("[::1]:3000", true),
        ("example.com", false),
        ("api.example.com.evil.example", false),
        ("localhost", false),
        ("127.0.0.1", false),
    ];

    for (host, is_ours) in rows {
        let requests = [
            Request::process(&dummy()),
            Request::process(&streamed(dummy())),
            Request::mint(&json!({"requestAuthAndQuotas": {}})),
            Request::get("/api/v1/ping"),
            Request::get("/api/v1/version"),
        ];
        for request in requests {
            let answer = server.send(&request.set("Host", host));
            if is_ours {
                assert_eq!(answer.status, 200, "{host}: {answer:?}");
            } else {
                assert_error(host, &answer, 421, "");
            }
        }
    }
}

#[test]
fn connections_over_the_cap_are_told_that_there_is_no_room() {
    let server = Server::start(&[("AISBREAKER_MAX_CONNECTIONS", "2")]);
    let mut open = [server.connect(), server.connect()];
    for connection in &mut open {
        assert_eq!(connection.send(&Request::get("/api/v1/ping")).status, 200);
    }

    let mut refused = server.connect();
    assert_error("the third", &refused.answer_to("GET"), 503, "");
    assert!(refused.rest().is_empty());

    // Those that are in are served on, and there is room again when one has left.
    let [mut first, second] = open;
    assert_eq!(first.send(&Request::get("/api/v1/ping")).status, 200);
    drop(second);
    let is_admitted = || server.connect().send(&Request::get("/api/v1/ping")).status == 200;
    assert!(
        (0..10_000).any(|_| is_admitted()),
        "there is no room though one has left"
    );
}

#[test]
fn a_head_that_does_not_come_in_time_ends_the_connection() {
    let server = Server::start(&[("AISBREAKER_HEADER_TIMEOUT", "200ms")]);

    for beginning in [
        "",
        "G",
        "POST /api/v1/process HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        "PRI * HTTP/2.0\r\n\r\n",
    ] {
        let mut connection = server.connect();
        connection.write(beginning.as_bytes());
        let answer = connection.rest();
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    assert_eq!(server.get("/api/v1/ping").status, 200);
}

#[test]
fn a_body_that_pauses_for_too_long_ends_the_request() {
    let server = Server::start(&[("AISBREAKER_BODY_TIMEOUT", "200ms")]);
    let mut connection = server.connect();
    let body = dummy().to_string();

    connection.write(&Request::process(&dummy()).to_bytes()[..]);
    assert_eq!(connection.answer_to("POST").status, 200);
    let partial = Request::new("POST", "/api/v1/process")
        .header("Content-Length", "1000")
        .body(body);
    connection.write(&partial.to_bytes());

    let answer = connection.answer_to("POST");
    assert!((400..500).contains(&answer.status), "{answer:?}");
    assert_error("slow body", &answer, answer.status, "");
    assert!(connection.rest().is_empty());
}

#[test]
fn a_stream_goes_on_though_its_client_is_slow_to_send_again() {
    let (provider, go) = slow_stream();
    let server = Server::with_egress(&[("AISBREAKER_HEADER_TIMEOUT", "100ms")]);
    let mut stream = begun_stream(&server, &provider);
    // Three header timeouts long, by the server's own clock.
    for _ in 0..3 {
        let mut idle = server.connect();
        idle.rest();
    }

    go.send(()).unwrap();

    assert_eq!(
        stream.event().unwrap().data["outputs"][0]["text"]["content"],
        "two"
    );
    assert_eq!(stream.event().unwrap().name, "final");
}

#[test]
fn the_server_serves_on_after_a_crowd_of_rude_clients() {
    let server = Server::start(&[]);

    for _ in 0..50 {
        let mut rude = server.connect();
        rude.write(
            b"POST /api/v1/process HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{\"service\"",
        );
        drop(rude);
        let mut stream = server.connect();
        stream.write(&Request::process(&streamed(dummy())).to_bytes());
        drop(stream);
    }

    assert_eq!(server.process("", &dummy()).status, 200);
    assert!(!server.log().contains("panicked"));
}
