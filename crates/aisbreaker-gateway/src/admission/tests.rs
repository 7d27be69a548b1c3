mod chains;

use std::{
    collections::HashSet,
    net::{Ipv4Addr, Ipv6Addr},
};

use aisbreaker_token::RequestLimits;
use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue};
use ipnet::IpNet;

use super::{
    counters::{CounterId, Scope, counters},
    *,
};
use crate::{request::client::client_address, telemetry::metrics::Metrics};

const MILLION: u32 = 1_000_000;
/// The counters of a request without a key: per client and global, of the server's quotas and of
/// the default quotas.
const OF_A_CLIENT: usize = 2;
const GLOBAL: usize = 2;

#[expect(
    clippy::disallowed_methods,
    reason = "an instant can only be had from the system"
)]
fn now() -> Instant {
    Instant::now()
}

/// Admission with ample quotas and room for this many counters.
fn admission(now: Instant, capacity: usize) -> Admission {
    let plenty = NonZeroU32::new(2 * MILLION).unwrap();
    let limits = RequestLimits {
        requests_per_minute: plenty,
        requests_per_hour: plenty,
        requests_per_day: plenty,
    };
    let quotas = RequestQuotas {
        per_client_request_limits: limits,
        global_request_limits: limits,
    };
    let counters = counters(now, capacity);
    let backend = Arc::new(Backend::new(counters, None, Metrics::new(false).quotas));
    let quotas = ServerQuotas {
        all: quotas,
        default: quotas,
        minting: quotas,
    };
    Admission::new(backend, quotas)
}

fn trusted_proxies() -> Vec<IpNet> {
    vec!["10.0.0.0/8".parse().unwrap()]
}

/// Distinct numbers that look random.
fn scatter(number: u32) -> u128 {
    u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

/// The fields of a client that pretends to be many: addresses of both families, ports, brackets,
/// several lines, garbage.
fn spoofed(number: u32) -> HeaderMap {
    let bits = scatter(number);
    let v4 = Ipv4Addr::from_bits(number.wrapping_mul(2_654_435_761));
    let v6 = Ipv6Addr::from_bits(bits);
    let lines = match number % 4 {
        0 => vec![v4.to_string()],
        1 => vec![format!("[{v6}]:{}", number % 65_536)],
        2 => vec![format!("{v6}, {v4}"), format!("unknown, {v4}:80")],
        _ => vec![v6.to_string(), String::new(), v4.to_string()],
    };
    let value = |line: String| (FORWARDED_FOR, HeaderValue::try_from(line).unwrap());
    lines.into_iter().map(value).collect()
}

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Admits a request from this peer with these fields, as the gateway does.
fn request(admission: &Admission, peer: IpAddr, fields: &HeaderMap, now: Instant) -> bool {
    let client = client_address(peer, fields, &trusted_proxies());
    admission
        .admit(None, client, || now)
        .now_or_never()
        .expect("nothing to wait for")
        .is_ok()
}

#[test]
fn a_million_spoofed_clients_of_an_untrusted_peer_are_one() {
    let now = now();

    // One peer sends a million; the others send enough to show that only the address counts.
    let peers = [
        ("192.0.2.1", MILLION),
        ("2001:db8::1", 1_000),
        ("::ffff:192.0.2.1", 1_000),
        ("11.0.0.0", 1_000),
    ];
    for (peer, requests) in peers {
        let admission = admission(now, 4 * MILLION as usize);
        let peer = peer.parse().unwrap();
        assert!(request(&admission, peer, &HeaderMap::new(), now));
        let after_one = admission.backend.counter_count();
        assert_eq!(after_one, OF_A_CLIENT + GLOBAL);

        for number in 0..requests {
            assert!(
                request(&admission, peer, &spoofed(number), now),
                "{peer}, request {number}"
            );
        }

        assert_eq!(admission.backend.counter_count(), after_one, "{peer}");
    }
}

#[test]
fn clients_of_a_trusted_proxy_are_distinct_up_to_the_capacity() {
    let now = now();
    let proxy = "10.0.0.1".parse().unwrap();
    let capacity = 20_000;
    let admission = admission(now, capacity);
    let mut clients = HashSet::new();

    for number in 0..MILLION / 10 {
        // The client wrote the first line, and the proxy added the second.
        let mut fields = spoofed(number);
        let client = Ipv6Addr::from_bits(scatter(number));
        fields.append(
            FORWARDED_FOR,
            HeaderValue::try_from(client.to_string()).unwrap(),
        );
        assert!(request(&admission, proxy, &fields, now), "request {number}");
        clients.insert(client.to_bits() >> 64);
        let expected = (clients.len() * OF_A_CLIENT + GLOBAL).min(capacity);
        assert_eq!(
            admission.backend.counter_count(),
            expected,
            "after {} clients",
            clients.len()
        );
    }

    assert!(
        clients.len() > 10 * capacity / OF_A_CLIENT / 2,
        "too few for the capacity: {}",
        clients.len()
    );
}

#[test]
fn counters_are_named_by_ids_and_addresses_as_logged() {
    let client = |address: &str| Some(ClientId::of(address.parse().unwrap()));
    let name = |scope, key, client| CounterId { scope, key, client }.to_string();
    let key = *b"\x00\x10\x83\x10\x51\x87\x20\x92\x8b\x30\xd3\x8f\x41\x14\x93\x51";
    let rows = [
        (name(Scope::Server, [0; 16], None), "server"),
        (
            name(Scope::Server, [0; 16], client("192.0.2.7")),
            "server:192.0.2.7",
        ),
        (
            name(Scope::Default, [0; 16], client("::ffff:192.0.2.7")),
            "default:192.0.2.7",
        ),
        (
            name(Scope::Default, [0; 16], client("255.255.255.255")),
            "default:255.255.255.255",
        ),
        (name(Scope::Minting, [0; 16], None), "minting"),
        (
            name(Scope::Minting, [0; 16], client("192.0.2.7")),
            "minting:192.0.2.7",
        ),
        (
            name(Scope::Key, key, client("2001:db8:1:2:3:4:5:6")),
            "key:ABCDEFGHIJKLMNOPQRSTUQ:2001:db8:1:2::/64",
        ),
        (name(Scope::Key, key, None), "key:ABCDEFGHIJKLMNOPQRSTUQ"),
        (
            name(Scope::Key, [0; 16], client("::")),
            "key:AAAAAAAAAAAAAAAAAAAAAA:::/64",
        ),
    ];
    for (name, expected) in rows {
        assert_eq!(name, expected);
    }
}
