//! A panic of a service, or of the gateway, is an error like any other: it reveals nothing and
//! affects no other request.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, and here services do as well"
)]

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
    time::{Instant, SystemTime},
};

use aisbreaker_api::{Output, OutputText, Progress, Response, ServiceId, Usage};
use aisbreaker_gateway::{Clock, Config, Gateway, Limits, SystemClock, serve};
use aisbreaker_services::{
    Call, Event, Registry, Reply, ReplyFuture, Service, ServiceError, services::Dummy,
};
use aisbreaker_token::{KeyRing, ServerKey};
use futures_util::{StreamExt as _, stream};
use http::{Request, StatusCode, response::Parts};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};

/// The panic message; no 12 bytes of it occur anywhere else.
const CANARY: &str = "Zr8kVw3nTq6yBm1xHd5jPg9c";
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Where a service panics.
#[derive(Clone, Copy, Debug)]
enum When {
    BeforeItsFuture,
    InItsFuture,
    InTheStream,
    AfterTheEnd,
}

impl Service for When {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        let panic = || -> Option<Result<Event, ServiceError>> { panic!("{CANARY}") };
        match self {
            Self::BeforeItsFuture => panic!("{CANARY}"),
            Self::InItsFuture => Box::pin(async move {
                tokio::task::yield_now().await;
                panic!("{CANARY}")
            }),
            Self::InTheStream => Box::pin(async move {
                let begun = stream::iter([Ok(Event::Progress(Progress::text(0, "begun", true)))]);
                Ok(Reply::Stream(
                    begun.chain(stream::iter(std::iter::from_fn(panic))).boxed(),
                ))
            }),
            Self::AfterTheEnd => Box::pin(async move {
                let text = Output::Text(OutputText::new(0, "whole"));
                let response = Response::new(vec![text], Usage::new(call.service_id.as_str()));
                let end = stream::iter([Ok(Event::Final(response))]);
                Ok(Reply::Stream(
                    end.chain(stream::iter(std::iter::from_fn(panic))).boxed(),
                ))
            }),
        }
    }
}

fn registry() -> Registry {
    let id = |text: &str| ServiceId::parse(text).unwrap();
    Registry::builder()
        .with(&id("chat:dummy"), Dummy::default())
        .with(&id("panics:before"), When::BeforeItsFuture)
        .with(&id("panics:in"), When::InItsFuture)
        .with(&id("panics:stream"), When::InTheStream)
        .with(&id("panics:after"), When::AfterTheEnd)
        .build()
}

fn gateway(clock: impl Clock) -> Gateway {
    Gateway::new(
        Config::new(KeyRing::new(ServerKey::from_bytes([7; 32]))),
        registry(),
        clock,
    )
}

fn request(service: &str, streams: bool) -> Request<Full<Bytes>> {
    let inputs = json!([{"text": {"role": "user", "content": "Hi"}}]);
    let body = json!({
        "service": {"serviceId": service},
        "request": {"inputs": inputs, "stream": streams},
    });
    Request::post("http://localhost/api/v1/process")
        .header("host", "localhost")
        .header("x-request-id", service)
        .body(Full::new(Bytes::from(body.to_string())))
        .unwrap()
}

async fn send(gateway: &Gateway, request: Request<Full<Bytes>>) -> (Parts, String) {
    let (parts, body) = gateway.handle(request, CLIENT).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts, String::from_utf8(body.to_vec()).unwrap())
}

/// The log of this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let lines = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(move || writer.clone());
        (
            log,
            tracing::subscriber::set_default(lines.with_max_level(tracing::Level::TRACE).finish()),
        )
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Returns the line of the request with this id.
    fn of(&self, id: &str) -> Value {
        let lines = self.text();
        let mut lines = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.find(|line| line["request_id"] == id).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[track_caller]
fn assert_fault(row: &str, (parts, body): &(Parts, String)) {
    assert_eq!(
        parts.status,
        StatusCode::INTERNAL_SERVER_ERROR,
        "{row}: {body}"
    );
    assert_eq!(parts.headers["content-type"], "application/json", "{row}");
    assert_eq!(parts.headers["access-control-allow-origin"], "*", "{row}");
    assert!(parts.headers.contains_key("x-request-id"), "{row}");
    let id = parts.headers["x-request-id"].to_str().unwrap();
    let expected = json!({"error": {
        "message": format!("this server has a fault; try again (request {id})"),
        "statusCode": 500,
        "statusText": "Internal Server Error",
    }});
    assert_eq!(
        serde_json::from_str::<Value>(body).unwrap(),
        expected,
        "{row}"
    );
    assert_silent(row, &format!("{parts:?} {body}"));
}

#[track_caller]
fn assert_silent(row: &str, text: &str) {
    for piece in CANARY.as_bytes().windows(12) {
        assert!(
            !text.contains(str::from_utf8(piece).unwrap()),
            "{row}: {text}"
        );
    }
}

#[tokio::test]
async fn panic_before_the_response_is_an_internal_error() {
    let (log, _logging) = Log::start();
    let gateway = gateway(SystemClock::new());
    let rows = [
        ("panics:before", false),
        ("panics:before", true),
        ("panics:in", false),
        ("panics:in", true),
    ];
    // A stream that was not requested is collected, so its panic also precedes the response.
    for (service, streams) in rows.into_iter().chain([("panics:stream", false)]) {
        let row = format!("{service} {streams}");

        let answer = send(&gateway, request(service, streams)).await;

        assert_fault(&row, &answer);
        assert!(
            answer.0.headers.contains_key("ratelimit"),
            "{row}: it was charged"
        );
        let line = log.of(service);
        let logged = (&line["status"], &line["service"], &line["cause"]);
        assert_eq!(
            logged,
            (&json!(500), &json!(service), &json!("the service panicked")),
            "{row}: {line}"
        );
    }
    assert_eq!(
        send(&gateway, request("chat:dummy", false)).await.0.status,
        StatusCode::OK
    );
    assert_silent("the log", &log.text());
}

#[tokio::test]
async fn panic_in_a_stream_ends_it_with_an_error_event() {
    let (log, _logging) = Log::start();
    let gateway = gateway(SystemClock::new());

    let (parts, body) = send(&gateway, request("panics:stream", true)).await;

    assert_eq!(parts.status, StatusCode::OK);
    let events: Vec<&str> = body.split("\n\n").collect();
    assert!(events[0].starts_with("event: progress\n"), "{body}");
    let id = parts.headers["x-request-id"].to_str().unwrap();
    let last = format!(
        "event: error\ndata: {{\"error\":{{\"message\":\"this server has a fault; try again (request {id})\",\
         \"statusCode\":500,\"statusText\":\"Internal Server Error\"}}}}"
    );
    assert_eq!(events[1..], [&last, ""], "{body}");
    assert_eq!(log.of("panics:stream")["cause"], "the service panicked");
    assert_silent("the log and the body", &(log.text() + &body));
}

#[tokio::test]
async fn panic_after_the_final_event_changes_nothing() {
    let (log, _logging) = Log::start();

    let (_, body) = send(&gateway(SystemClock::new()), request("panics:after", true)).await;

    assert!(
        body.starts_with("event: final\n") && body.matches("event: ").count() == 1,
        "{body}"
    );
    assert_eq!(log.of("panics:after")["status"], 200);
    assert_silent("the log and the body", &(log.text() + &body));
}

#[tokio::test]
async fn panic_of_the_gateway_is_an_internal_error() {
    /// The gateway reads wall time when it opens or seals a key.
    #[derive(Debug)]
    struct NoWall(SystemClock);

    impl Clock for NoWall {
        fn wall(&self) -> SystemTime {
            panic!("{CANARY}")
        }

        fn monotonic(&self) -> Instant {
            self.0.monotonic()
        }
    }

    let (log, _logging) = Log::start();
    let gateway = gateway(NoWall(SystemClock::new()));
    let mint = Request::post("/api/v1/oauth/token")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("x-request-id", "mint")
        .body(Full::new(Bytes::from(r#"{"requestAuthAndQuotas":{}}"#)));

    for (row, request) in [
        ("chat:dummy", request("chat:dummy", true)),
        ("mint", mint.unwrap()),
    ] {
        assert_fault(row, &send(&gateway, request).await);
        let line = log.of(row);
        assert_eq!(
            (&line["status"], &line["cause"]),
            (&json!(500), &json!("the gateway panicked")),
            "{row}"
        );
    }
    assert_silent("the log", &log.text());
}

#[tokio::test]
async fn panic_does_not_affect_other_requests_on_the_connection() {
    // Without a log here, call sites that run first would stay disabled in the other tests.
    let (_log, _logging) = Log::start();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(
        listener,
        gateway(SystemClock::new()),
        Limits::default(),
        async {
            let _told = stopped.await;
        },
    ));
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);

    // A long request, during which all others panic.
    let mut lasting = request("chat:dummy", true);
    let inputs = json!([{"text": {"role": "user", "content": "Hi"}}]);
    let dummy = json!({"serviceId": "chat:dummy", "delayMillis": 1});
    let body = json!({"service": dummy, "request": {"inputs": inputs, "stream": true}});
    *lasting.body_mut() = Full::new(Bytes::from(body.to_string()));
    let mut lasting = client.send_request(lasting).await.unwrap().into_body();
    let first = lasting.frame().await.unwrap().unwrap().into_data().unwrap();
    for service in [
        "panics:before",
        "panics:in",
        "panics:stream",
        "panics:after",
    ] {
        for streams in [false, true] {
            let answer = client
                .send_request(request(service, streams))
                .await
                .unwrap();
            let (parts, body) = answer.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            assert!(!body.is_empty(), "{service} {streams}: {parts:?}");
        }
    }
    let rest = lasting.collect().await.unwrap().to_bytes();
    let events = String::from_utf8([first, rest].concat()).unwrap();

    assert!(
        events.contains("event: final\n") && !events.contains("event: error"),
        "{events}"
    );
    drop(client);
    connection.await.unwrap().unwrap();
    stop.send(()).unwrap();
    server.await.unwrap();
}
