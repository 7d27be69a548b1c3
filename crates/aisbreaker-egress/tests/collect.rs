//! Collecting a body within the bounds of the client and of a memory budget.
#![expect(clippy::unwrap_used, reason = "a failed step of a test fails the test")]

use aisbreaker_egress::{
    Body, Bounds, Client, CollectError, MemoryBudget, Outgoing, Policy, SendError, Timeouts,
    UrlSource, parse_url,
};
use http::HeaderMap;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const STEP_BYTES: usize = 16 << 10;
const LIMIT_BYTES: usize = 3 * STEP_BYTES;

/// Returns the body of a response that a server writes as it is here, and then closes.
async fn body(response: String, budget: &MemoryBudget) -> Body {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _request = stream.read(&mut [0; 1024]).await.unwrap();
        let _cancelled = stream.write_all(response.as_bytes()).await;
    });
    let mut bounds = Bounds::default();
    bounds.max_collected_bytes = LIMIT_BYTES;
    let policy = Policy::strict().allow("127.0.0.0/8").unwrap();
    let client = Client::new(policy, Timeouts::default()).with_bounds(bounds);
    let request = Outgoing::get(HeaderMap::new()).with_budget(budget.clone());
    let url = parse_url(&url).unwrap();
    client
        .send(&url, UrlSource::Trusted, request)
        .await
        .unwrap()
        .into_body()
}

fn with_length(length: usize) -> String {
    let content = "x".repeat(length);
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{content}")
}

fn in_chunks(chunks: usize) -> String {
    let chunk = format!("{STEP_BYTES:x}\r\n{}\r\n", "x".repeat(STEP_BYTES));
    let chunks = chunk.repeat(chunks);
    format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
}

#[tokio::test]
async fn a_collected_body_is_charged_to_the_budget_until_its_reservation_drops() {
    for (response, length) in [
        (with_length(0), 0),
        (with_length(LIMIT_BYTES), LIMIT_BYTES),
        (in_chunks(3), LIMIT_BYTES),
    ] {
        let budget = MemoryBudget::default();

        let (bytes, reservation) = body(response, &budget)
            .await
            .collect_bounded()
            .await
            .unwrap();

        assert_eq!(bytes.len(), length);
        assert!(bytes.iter().all(|byte| *byte == b'x'));
        assert_eq!(budget.held_bytes(), length);
        drop(reservation);
        assert_eq!(budget.held_bytes(), 0);
    }
}

#[tokio::test]
async fn a_body_over_a_limit_is_an_error_and_holds_nothing() {
    let too_long = CollectError::TooLong {
        limit_bytes: LIMIT_BYTES,
    };
    let mut reservation = MemoryBudget::new(0).reservation();
    let spent = CollectError::from(reservation.hold(STEP_BYTES).unwrap_err());
    let cut = CollectError::Broken(SendError::Cut);
    let unfinished = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc".to_owned();
    for (name, response, budget_bytes, expected) in [
        (
            "announced",
            with_length(LIMIT_BYTES + 1),
            usize::MAX,
            &too_long,
        ),
        ("chunked", in_chunks(4), usize::MAX, &too_long),
        ("budget", in_chunks(2), STEP_BYTES, &spent),
        ("cut", unfinished, usize::MAX, &cut),
    ] {
        let budget = MemoryBudget::new(budget_bytes);

        let refused = body(response, &budget).await.collect_bounded().await;

        assert_eq!(refused.unwrap_err(), *expected, "{name}");
        assert_eq!(budget.held_bytes(), 0, "{name}");
    }
}
