use std::{
    collections::HashSet,
    net::{Ipv4Addr, Ipv6Addr},
};

use aisbreaker_token::{KeyRing, RequestQuotas, ServerKey};
use futures_util::FutureExt as _;
use ipnet::IpNet;

use super::*;
use crate::{identity::client_address, metrics::Metrics};

const MILLION: u32 = 1_000_000;
/// A request without a key: the client's counters and the global ones, of the server and of the
/// default quotas.
const OF_A_CLIENT: usize = 2;
const GLOBAL: usize = 2;

#[expect(
    clippy::disallowed_methods,
    reason = "an instant can only be had from the system"
)]
fn now() -> Instant {
    Instant::now()
}

/// Roomy quotas, and this network of trusted proxies.
fn config(proxies: &str) -> Config {
    let mut config = Config::new(KeyRing::new(ServerKey::from_bytes([7; 32])));
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
    (config.server_quotas, config.default_quotas) = (quotas, quotas);
    config.trusted_proxies = vec![proxies.parse::<IpNet>().unwrap()];
    config
}

/// Numbers that look random and differ.
fn scatter(number: u32) -> u128 {
    u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

/// What a client that wants to be many writes: addresses of both kinds, ports, brackets, several
/// lines, garbage.
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

fn quotas(now: Instant, capacity: usize) -> Quotas {
    Quotas::new(counters(now, capacity), None, Metrics::new(false).quotas)
}

/// Admits a request from this peer with these fields, as the gateway does.
fn request(
    quotas: &Quotas,
    peer: IpAddr,
    fields: &HeaderMap,
    config: &Config,
    now: Instant,
) -> bool {
    let client = client_address(peer, fields, &config.trusted_proxies);
    admit(quotas, None, client, config, || now)
        .now_or_never()
        .expect("nothing to wait for")
        .is_ok()
}

#[test]
fn a_million_spoofed_clients_of_an_untrusted_peer_are_one() {
    let (config, now) = (config("10.0.0.0/8"), now());

    // One of the peers makes all of them, the others enough to see that the address is what counts.
    let peers = [
        ("192.0.2.1", MILLION),
        ("2001:db8::1", 1_000),
        ("::ffff:192.0.2.1", 1_000),
        ("11.0.0.0", 1_000),
    ];
    for (peer, requests) in peers {
        let quotas = quotas(now, config.max_counters);
        let peer = peer.parse().unwrap();
        assert!(request(&quotas, peer, &HeaderMap::new(), &config, now));
        let after_one = quotas.local.len();
        assert_eq!(after_one, OF_A_CLIENT + GLOBAL);

        for number in 0..requests {
            assert!(
                request(&quotas, peer, &spoofed(number), &config, now),
                "{peer}, request {number}"
            );
        }

        assert_eq!(quotas.local.len(), after_one, "{peer}");
    }
}

#[test]
fn the_clients_of_a_trusted_proxy_are_as_many_as_they_are_up_to_the_capacity() {
    let (config, now) = (config("10.0.0.0/8"), now());
    let proxy = "10.0.0.1".parse().unwrap();
    let capacity = 20_000;
    let quotas = quotas(now, capacity);
    let mut clients = HashSet::new();

    for number in 0..MILLION / 10 {
        // The first line is what the client wrote, the second what the proxy added.
        let mut fields = spoofed(number);
        let client = Ipv6Addr::from_bits(scatter(number));
        fields.append(
            FORWARDED_FOR,
            HeaderValue::try_from(client.to_string()).unwrap(),
        );
        assert!(
            request(&quotas, proxy, &fields, &config, now),
            "request {number}"
        );
        clients.insert(client.to_bits() >> 64);
        let expected = (clients.len() * OF_A_CLIENT + GLOBAL).min(capacity);
        assert_eq!(
            quotas.local.len(),
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
fn counters_are_named_by_ids_and_addresses_that_logs_show_as_well() {
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
