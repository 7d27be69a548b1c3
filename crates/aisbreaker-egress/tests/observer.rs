//! What an observer learns of an exchange, against real sockets on loopback.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step of a test fails the test"
)]

mod support;

use std::sync::{Arc, Mutex};

use aisbreaker_egress::{
    Body, ExchangeEnd, ExchangeStart, Observer, Outgoing, SendError, Timeouts, UrlSource,
};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::timeout,
};

use support::{GUARD, accept, client, listen};

/// Writes down what it learns, and adds a header field.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Notes {
    fn add(&self, note: String) {
        self.0.lock().unwrap().push(note);
    }

    fn taken(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer for Notes {
    fn on_send(&self, start: ExchangeStart<'_>, headers: &mut HeaderMap) {
        headers.insert("x-observed", HeaderValue::from_static("yes"));
        let ExchangeStart { method, scheme, .. } = start;
        self.add(format!("{method} {scheme} {}", start.host));
    }

    fn on_head(&self, status: StatusCode) {
        self.add(status.as_str().to_owned());
    }

    fn on_end(&self, end: ExchangeEnd<'_>) {
        self.add(format!("{end:?}"));
    }
}

/// Accepts one connection, reads the head of the request, sends this response and closes.
async fn answer(listener: &TcpListener, response: &str) -> String {
    let mut stream = accept(listener).await;
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        let count = timeout(GUARD, stream.read_buf(&mut read)).await.unwrap();
        assert_ne!(count.unwrap(), 0, "cut request");
    }
    stream.write_all(response.as_bytes()).await.unwrap();
    String::from_utf8(read).unwrap()
}

/// Sends a request to a server that gives this answer, and returns the response and the request as
/// the server received it.
async fn exchange(
    notes: &Arc<Notes>,
    answered: &str,
) -> (Result<Response<Body>, SendError>, String) {
    let (listener, url) = listen().await;
    let client = client(Timeouts::default());
    let sent = client.send(&url, UrlSource::Trusted, outgoing(notes));
    timeout(
        GUARD,
        futures_util::future::join(sent, answer(&listener, answered)),
    )
    .await
    .expect("the client hangs")
}

fn outgoing(notes: &Arc<Notes>) -> Outgoing {
    Outgoing::get(HeaderMap::new()).with_observer(Some(Arc::<Notes>::clone(notes)))
}

#[tokio::test]
async fn a_complete_response_ends_the_exchange_whether_or_not_its_end_is_read() {
    let rows = [
        ("Content-Length: 2\r\n\r\nhi", 1),
        ("Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 2),
        ("Content-Length: 0\r\n\r\n", 0),
    ];
    for (response, polls) in rows {
        let notes = Arc::<Notes>::default();
        let (response, request) = exchange(&notes, &format!("HTTP/1.1 200 OK\r\n{response}")).await;
        let mut body = response.unwrap().into_body();
        for _ in 0..polls {
            let _frame_or_end = timeout(GUARD, body.frame()).await.expect("the body hangs");
        }

        assert_eq!(
            notes.taken(),
            ["GET http 127.0.0.1", "200", "Complete"],
            "{polls}"
        );
        drop(body);
        assert_eq!(notes.taken().len(), 3, "it ends once");
        assert!(request.contains("x-observed: yes\r\n"), "{request}");
    }
}

#[tokio::test]
async fn a_body_that_is_cut_or_dropped_ends_the_exchange_so() {
    for (reads_on, end) in [(true, "Failed(Cut)"), (false, "Dropped")] {
        let notes = Arc::<Notes>::default();
        let cut = "HTTP/1.1 500 Whatever\r\nContent-Length: 9\r\n\r\nhi";
        let (response, _) = exchange(&notes, cut).await;
        let body = response.unwrap().into_body();
        if reads_on {
            timeout(GUARD, body.collect()).await.unwrap().unwrap_err();
        } else {
            drop(body);
        }

        assert_eq!(notes.taken(), ["GET http 127.0.0.1", "500", end]);
    }
}

#[tokio::test]
async fn a_request_without_a_response_ends_the_exchange_too() {
    let notes = Arc::<Notes>::default();
    let (response, _) = exchange(&notes, "").await;
    assert!(response.is_err());
    assert_eq!(notes.taken(), ["GET http 127.0.0.1", "Failed(Cut)"]);

    let notes = Arc::<Notes>::default();
    let client = client(Timeouts::default());
    let refused = Uri::from_static("http://192.0.2.1/");
    let sent = client.send(&refused, UrlSource::Trusted, outgoing(&notes));
    sent.await.map(drop).unwrap_err();
    assert_eq!(
        notes.taken(),
        ["GET http 192.0.2.1", "Failed(Forbidden(Scheme))"]
    );

    let notes = Arc::<Notes>::default();
    let (_listener, url) = listen().await;
    let sent = client.send(&url, UrlSource::Trusted, outgoing(&notes));
    assert!(sent.now_or_never().is_none(), "nobody answered");
    assert_eq!(notes.taken(), ["GET http 127.0.0.1", "Dropped"]);
}
