//! Contract section 5: which client a request counts for, and what many clients cost.

use std::net::Ipv6Addr;

use super::ratelimit_headers::{PLENTY, assert_refused, call_from, key_with};
use crate::support::{Connection, Request, Server, ample_quotas, dummy_call, quotas};

/// How many requests are in flight at once: few enough that neither side fills its buffers.
const BATCH: usize = 100;

/// A call that claims to come from another client each time, in every header field for that.
fn spoofed(number: u32) -> Request {
    let bits = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let address = Ipv6Addr::from_bits(bits).to_string();
    Request::process(&dummy_call())
        .header(
            "X-Forwarded-For",
            format!("11.{}.{}.1", number / 256 % 256, number % 256),
        )
        .header("X-Forwarded-For", &address)
        .header("Forwarded", format!("for=\"[{address}]\""))
        .header("X-Real-IP", &address)
        .header("CF-Connecting-IP", &address)
}

/// Pipelines these requests, and returns the statuses of the responses.
fn pipelined(server: &Server, requests: impl IntoIterator<Item = Request>) -> Vec<u16> {
    let mut connection = Connection::open(server.address());
    let requests: Vec<Request> = requests.into_iter().collect();
    let mut statuses = Vec::with_capacity(requests.len());
    for batch in requests.chunks(BATCH) {
        let bytes: Vec<u8> = batch.iter().flat_map(Request::to_bytes).collect();
        connection.write(&bytes);
        for request in batch {
            statuses.push(connection.response_to(request.method()).status);
        }
    }
    statuses
}

#[test]
fn key_counts_each_client_and_all_together() {
    let server = Server::start(&[("AISBREAKER_TRUSTED_PROXIES", "127.0.0.0/8,10.0.0.0/8")]);
    let key = key_with(&server, [2, 100, 100], [5, 100, 100]);
    let client = "Request quota exceeded: client requests per minute limit exceeded";
    let global = "Request quota exceeded: global requests per minute limit exceeded";
    let rows = [
        ("192.0.2.1", None),
        ("192.0.2.1:4711", None),
        ("192.0.2.1", Some(client)),
        ("192.0.2.99, 192.0.2.1", Some(client)),
        ("192.0.2.1, 10.1.2.3", Some(client)),
        ("::ffff:192.0.2.1", Some(client)),
        ("2001:db8:1:2::1", None),
        ("[2001:db8:1:2::2]:4711", None),
        ("2001:db8:1:2:ffff::3", Some(client)),
        ("2001:db8:1:3::1", None),
        ("2001:db8:1:3::1", Some(global)),
        ("192.0.2.3", Some(global)),
        ("not an address", Some(global)),
    ];

    for (address, refusal) in rows {
        let response = server.send(&call_from(address, &key));
        match refusal {
            None => assert_eq!(response.status, 200, "{address}: {response:?}"),
            Some(message) => {
                assert_refused(address, &response, message);
            }
        }
    }
}

#[test]
fn client_headers_do_not_multiply_a_client() {
    let server = Server::start(&[]);
    let key = key_with(&server, [2, 100, 100], PLENTY);
    let headers = [
        "X-Forwarded-For",
        "X-Real-IP",
        "Forwarded",
        "CF-Connecting-IP",
        "True-Client-IP",
    ];

    let statuses: Vec<u16> = (0..5)
        .map(|i| {
            let mut request = Request::process(&dummy_call()).bearer(&key);
            for name in headers {
                request = request.header(name, format!("192.0.2.{i}"));
            }
            server.send(&request).status
        })
        .collect();

    assert_eq!(statuses, [200, 200, 429, 429, 429]);
}

#[test]
fn nearest_untrusted_address_behind_a_proxy_is_the_client() {
    let server = Server::start(&[("AISBREAKER_TRUSTED_PROXIES", "127.0.0.1/32")]);
    let key = key_with(&server, [2, 100, 100], PLENTY);

    let statuses: Vec<u16> = (0..4)
        .map(|i| {
            server
                .send(&call_from(&format!("10.9.8.{i}, 198.51.100.7"), &key))
                .status
        })
        .collect();

    assert_eq!(
        statuses,
        [200, 200, 429, 429],
        "addresses that the client itself wrote do not count"
    );
    let two_lines = call_from("203.0.113.5", &key).header("X-Forwarded-For", "198.51.100.7");
    assert_eq!(
        server.send(&two_lines).status,
        429,
        "all field lines are one list"
    );
}

#[test]
fn spoofed_addresses_count_as_one_client_without_memory_growth() {
    const LIMIT: u32 = 30_000;
    let ample = ample_quotas();
    let client_limits = quotas([LIMIT; 3], [1_000_000; 3]).to_string();
    let server = Server::start(&[
        ("AISBREAKER_SERVER_QUOTAS", &ample.to_string()),
        ("AISBREAKER_DEFAULT_QUOTAS", &client_limits),
        // The peer is not one of them.
        ("AISBREAKER_TRUSTED_PROXIES", "10.0.0.0/8"),
        // Request lines would grow the memory of the test process.
        ("AISBREAKER_LOG", "warn,aisbreaker_server=info"),
    ]);
    let warm_up = pipelined(&server, (0..1_000).map(spoofed));
    let before = server.peak_memory();

    let admitted = pipelined(&server, (1_000..LIMIT).map(spoofed));
    let refused = pipelined(&server, (LIMIT..LIMIT + 1_000).map(spoofed));

    assert!(
        warm_up.iter().chain(&admitted).all(|status| *status == 200),
        "a client was refused before its limit"
    );
    assert!(
        refused.iter().all(|status| *status == 429),
        "one client was admitted as another one"
    );
    let grown = server.peak_memory().saturating_sub(before);
    // That many clients would need at least 220 bytes each.
    let expected_of_many = usize::try_from(LIMIT).unwrap() * 220;
    assert!(
        grown < expected_of_many / 4,
        "{grown} bytes more after {LIMIT} requests of one client"
    );
}

#[test]
fn clients_behind_a_proxy_count_separately_up_to_capacity() {
    /// Each client has two counters, and there are two global ones.
    const CLIENTS: usize = 50;
    let server = Server::start(&[
        (
            "AISBREAKER_DEFAULT_QUOTAS",
            &quotas([2; 3], [1_000_000; 3]).to_string(),
        ),
        ("AISBREAKER_TRUSTED_PROXIES", "127.0.0.0/8"),
        ("AISBREAKER_MAX_COUNTERS", &(2 * CLIENTS + 2).to_string()),
    ]);
    let from = |client: usize| call_from(&format!("11.0.{}.{}", client / 256, client % 256), "");

    let first = pipelined(&server, (0..CLIENTS).map(from));
    assert_eq!(first, [200; CLIENTS], "each counts as a client");
    let late = pipelined(&server, (CLIENTS..20 * CLIENTS).map(from));
    let again = pipelined(&server, (0..CLIENTS).chain(0..CLIENTS).map(from));

    // Later clients share one counter, so that they are limited together.
    let admitted = late.iter().filter(|status| **status == 200).count();
    assert!(
        (1..=2).contains(&admitted),
        "{admitted} clients without a counter were admitted"
    );
    assert!(
        late.iter().all(|status| matches!(status, 200 | 429)),
        "{late:?}"
    );
    // Clients with a counter are not affected.
    assert_eq!(
        again[..CLIENTS],
        [200; CLIENTS],
        "the second request of each"
    );
    assert_eq!(
        again[CLIENTS..],
        [429; CLIENTS],
        "the third request of each"
    );
}
