//! Contract section 5 and trusted proxies: how many clients there are, and what it costs the
//! server.

use std::net::Ipv6Addr;

use serde_json::json;

use crate::support::{Connection, Request, Server, call, quotas, roomy, service};

/// How many requests are on their way at once: few enough that nobody waits for the other to read.
const BATCH: usize = 100;

/// A call in which a client claims to be another one each time, in every way there is.
fn spoofed(number: u32) -> Request {
    let bits = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let address = Ipv6Addr::from_bits(bits).to_string();
    Request::process(&call(service("chat:dummy"), "Hi"))
        .header(
            "X-Forwarded-For",
            format!("11.{}.{}.1", number / 256 % 256, number % 256),
        )
        .header("X-Forwarded-For", &address)
        .header("Forwarded", format!("for=\"[{address}]\""))
        .header("X-Real-IP", &address)
        .header("CF-Connecting-IP", &address)
}

/// The statuses of the answers to these requests, which are sent without waiting for each.
fn pipelined(server: &Server, requests: impl IntoIterator<Item = Request>) -> Vec<u16> {
    let mut connection = Connection::open(server.address());
    let requests: Vec<Request> = requests.into_iter().collect();
    let batches = requests.chunks(BATCH).flat_map(|batch| {
        connection.write(
            &batch
                .iter()
                .flat_map(Request::to_bytes)
                .collect::<Vec<u8>>(),
        );
        batch
            .iter()
            .map(|request| connection.answer_to(request.method()).status)
            .collect::<Vec<u16>>()
    });
    batches.collect()
}

#[test]
fn tens_of_thousands_of_spoofed_clients_are_one_and_cost_no_memory() {
    const LIMIT: u32 = 30_000;
    let plenty = roomy();
    let of_a_client = quotas([LIMIT; 3], [1_000_000; 3]).to_string();
    let server = Server::start(&[
        ("AISBREAKER_SERVER_QUOTAS", &plenty.to_string()),
        ("AISBREAKER_DEFAULT_QUOTAS", &of_a_client),
        // They come from somewhere else.
        ("AISBREAKER_TRUSTED_PROXIES", "10.0.0.0/8"),
        // The log is kept by the tests, and not by the server.
        ("AISBREAKER_LOG", "warn,aisbreaker_server=info"),
    ]);
    let warm = pipelined(&server, (0..1_000).map(spoofed));
    let before = server.peak_memory();

    let admitted = pipelined(&server, (1_000..LIMIT).map(spoofed));
    let refused = pipelined(&server, (LIMIT..LIMIT + 1_000).map(spoofed));

    assert!(
        warm.iter().chain(&admitted).all(|status| *status == 200),
        "a client was refused before its limit"
    );
    assert!(
        refused.iter().all(|status| *status == 429),
        "one client was admitted as another one"
    );
    let grown = server.peak_memory().saturating_sub(before);
    // As that many clients, they would need 220 bytes each at least.
    let of_as_many = usize::try_from(LIMIT).unwrap() * 220;
    assert!(
        grown < of_as_many / 4,
        "{grown} bytes more after {LIMIT} requests of one client"
    );
}

#[test]
fn the_clients_of_a_trusted_proxy_are_counted_apart_up_to_the_capacity() {
    /// With two counters for each client, and two global ones.
    const OWN: usize = 50;
    let server = Server::start(&[
        (
            "AISBREAKER_DEFAULT_QUOTAS",
            &quotas([2; 3], [1_000_000; 3]).to_string(),
        ),
        ("AISBREAKER_TRUSTED_PROXIES", "127.0.0.0/8"),
        ("AISBREAKER_MAX_COUNTERS", &(2 * OWN + 2).to_string()),
    ]);
    let from = |client: usize| {
        let body =
            json!({"service": {"serviceId": "chat:dummy"}, "request": call("", "Hi")["request"]});
        Request::process(&body).header(
            "X-Forwarded-For",
            format!("11.0.{}.{}", client / 256, client % 256),
        )
    };

    let first = pipelined(&server, (0..OWN).map(from));
    assert_eq!(first, [200; OWN], "each is a client of its own");
    let late = pipelined(&server, (OWN..20 * OWN).map(from));
    let again = pipelined(&server, (0..OWN).chain(0..OWN).map(from));

    // Those that come too late share a counter, so that they are limited together.
    let admitted = late.iter().filter(|status| **status == 200).count();
    assert!(
        (1..=2).contains(&admitted),
        "{admitted} of those without a counter were admitted"
    );
    assert!(
        late.iter().all(|status| matches!(status, 200 | 429)),
        "{late:?}"
    );
    // Those that have one are not affected.
    assert_eq!(again[..OWN], [200; OWN], "the second request of each");
    assert_eq!(again[OWN..], [429; OWN], "the third request of each");
}
