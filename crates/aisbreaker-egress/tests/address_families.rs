//! Every family of addresses that are not public, as the host of a URL and as the address that a
//! name resolves to, called with the client itself. Listeners are at those that this machine has.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step of a test fails the test"
)]

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    time::Duration,
};

use aisbreaker_egress::{
    Client, Failure, Outgoing, Policy, Refusal, Resolve, ResolveFuture, SendError, Stage, Timeouts,
    UrlSource, parse_url,
};
use futures_util::future::join_all;
use http::HeaderMap;

/// Most of these addresses have no route; no test waits longer for one.
const SHORT: Duration = Duration::from_millis(100);
/// Longer than anything here takes, so that a test fails instead of hanging.
const GUARD: Duration = Duration::from_secs(20);

/// A family: its name, some of its addresses, and the network that allows them.
const FAMILIES: &[(&str, &[&str], &str)] = &[
    (
        "this network",
        &["0.0.0.0", "0.1.2.3", "0.255.255.255"],
        "0.0.0.0/8",
    ),
    (
        "private 10/8",
        &["10.0.0.0", "10.0.0.1", "10.255.255.255"],
        "10.0.0.0/8",
    ),
    (
        "private 172.16/12",
        &["172.16.0.1", "172.31.255.255"],
        "172.16.0.0/12",
    ),
    (
        "private 192.168/16",
        &["192.168.0.1", "192.168.255.255"],
        "192.168.0.0/16",
    ),
    (
        "carrier-grade NAT",
        &["100.64.0.0", "100.127.255.255"],
        "100.64.0.0/10",
    ),
    (
        "loopback",
        &["127.0.0.1", "127.1.2.3", "127.255.255.254"],
        "127.0.0.0/8",
    ),
    (
        "link-local",
        &["169.254.0.1", "169.254.255.255"],
        "169.254.0.0/16",
    ),
    (
        "metadata",
        &["169.254.169.254", "169.254.170.2"],
        "169.254.168.0/21",
    ),
    (
        "metadata elsewhere",
        &["100.100.100.200"],
        "100.100.100.200/32",
    ),
    (
        "protocol assignments",
        &["192.0.0.1", "192.0.0.170"],
        "192.0.0.0/24",
    ),
    ("documentation 1", &["192.0.2.1"], "192.0.2.0/24"),
    ("documentation 2", &["198.51.100.1"], "198.51.100.0/24"),
    ("documentation 3", &["203.0.113.1"], "203.0.113.0/24"),
    ("6to4 relays", &["192.88.99.1"], "192.88.99.0/24"),
    (
        "benchmarking",
        &["198.18.0.1", "198.19.255.255"],
        "198.18.0.0/15",
    ),
    (
        "multicast",
        &["224.0.0.1", "232.1.2.3", "239.255.255.255"],
        "224.0.0.0/4",
    ),
    ("reserved", &["240.0.0.1", "254.255.255.255"], "240.0.0.0/4"),
    ("broadcast", &["255.255.255.255"], "255.255.255.255/32"),
    ("v6 unspecified", &["::"], "::/128"),
    ("v6 loopback", &["::1"], "::1/128"),
    // Judged, and so allowed, as the IPv4 addresses that they map.
    (
        "mapped loopback",
        &["::ffff:127.0.0.1", "::ffff:7f00:1"],
        "127.0.0.0/8",
    ),
    (
        "mapped private",
        &["::ffff:10.0.0.1", "::ffff:192.168.0.1", "::ffff:ac10:1"],
        "0.0.0.0/0",
    ),
    (
        "mapped metadata",
        &["::ffff:169.254.169.254", "::ffff:a9fe:a9fe"],
        "169.254.169.254/32",
    ),
    (
        "compatible",
        &["::127.0.0.1", "::7f00:1", "::8.8.8.8", "::2"],
        "::/96",
    ),
    (
        "translated",
        &["::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8"],
        "::ffff:0:0:0/96",
    ),
    (
        "NAT64",
        &["64:ff9b::127.0.0.1", "64:ff9b::a00:1", "64:ff9b::8.8.8.8"],
        "64:ff9b::/96",
    ),
    (
        "local NAT64",
        &["64:ff9b:1::7f00:1", "64:ff9b:1:ffff::10.0.0.1"],
        "64:ff9b:1::/48",
    ),
    ("discard", &["100::1"], "100::/64"),
    ("Teredo", &["2001::1", "2001:0:7f00:1::1"], "2001::/32"),
    (
        "v6 protocol assignments",
        &["2001:1::1", "2001:2::1", "2001:1ff::1"],
        "2001::/23",
    ),
    ("ORCHID", &["2001:10::1", "2001:20::1"], "2001::/23"),
    (
        "v6 documentation",
        &["2001:db8::1", "2001:db8:ffff::1"],
        "2001:db8::/32",
    ),
    (
        "v6 documentation 2",
        &["3fff::1", "3fff:fff::1"],
        "3fff::/20",
    ),
    (
        "6to4",
        &["2002:7f00:1::", "2002:a00:1::1", "2002:808:808::1"],
        "2002::/16",
    ),
    (
        "unique-local",
        &["fc00::1", "fd00::1", "fdff:ffff::1"],
        "fc00::/7",
    ),
    ("v6 metadata", &["fd00:ec2::254"], "fd00:ec2::254/128"),
    ("v6 link-local", &["fe80::1", "febf::1"], "fe80::/10"),
    ("v6 site-local", &["fec0::1", "feff::1"], "fec0::/10"),
    ("v6 multicast", &["ff02::1", "ff0e::1"], "ff00::/8"),
    (
        "ISATAP",
        &["2a00::5efe:10.0.0.1", "2a00::200:5efe:127.0.0.1"],
        "2a00::/16",
    ),
    (
        "unassigned",
        &["1::1", "4000::1", "5f00::1", "e000::1"],
        "::/0",
    ),
];

/// A resolver that returns these addresses for every name.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<Vec<IpAddr>>>);

impl Names {
    fn set(&self, addresses: &[&str]) {
        *self.0.lock().unwrap() = addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect();
    }
}

impl Resolve for Names {
    fn resolve(&self, _host: &str) -> ResolveFuture {
        let answer = self.0.lock().unwrap().clone();
        Box::pin(async move { Ok(answer) })
    }
}

/// Listeners at one port of all special-purpose addresses of this machine. Nothing must connect.
struct Traps {
    port: u16,
    listeners: Vec<TcpListener>,
}

impl Traps {
    fn listen() -> Self {
        let first = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        let others = ["127.1.2.3", "127.255.255.254", "::1"]
            .iter()
            .filter_map(|address| {
                TcpListener::bind(SocketAddr::new(address.parse().unwrap(), port)).ok()
            });
        let listeners: Vec<TcpListener> = [first].into_iter().chain(others).collect();
        listeners
            .iter()
            .for_each(|listener| listener.set_nonblocking(true).unwrap());
        Self { port, listeners }
    }

    fn assert_untouched(&self, row: &str) {
        for listener in &self.listeners {
            let found = listener.accept().map_err(|error| error.kind());
            assert!(
                matches!(found, Err(ErrorKind::WouldBlock)),
                "{row}: there is a connection"
            );
        }
    }

    /// Whether there is a connection that was not accepted yet. Accepts it.
    fn is_touched(&self) -> bool {
        self.listeners
            .iter()
            .any(|listener| listener.accept().is_ok())
    }
}

/// A client with the default timeouts, and its resolver.
fn client(policy: Policy) -> (Client, Names) {
    client_with_timeouts(policy, Timeouts::default())
}

/// A client with short timeouts for calls without a response, and its resolver.
fn impatient_client(policy: Policy) -> (Client, Names) {
    client_with_timeouts(
        policy,
        Timeouts::default()
            .with_connect(SHORT)
            .with_response(2 * SHORT),
    )
}

fn client_with_timeouts(policy: Policy, timeouts: Timeouts) -> (Client, Names) {
    let names = Names::default();
    (
        Client::with_resolver(policy, timeouts, Arc::new(names.clone())),
        names,
    )
}

/// Returns why a request to this URL fails. It must fail.
async fn send(client: &Client, url: &str) -> SendError {
    let url = parse_url(&format!("{url}/v1")).unwrap();
    let sending = client.send(
        &url,
        UrlSource::Trusted,
        Outgoing::post(HeaderMap::new(), "hello"),
    );
    let outcome = tokio::time::timeout(GUARD, sending)
        .await
        .expect("the client hangs");
    outcome.map(drop).expect_err("a response from nowhere")
}

/// Returns an address as the host of a URL.
fn host(address: &str) -> String {
    if address.contains(':') {
        format!("[{address}]")
    } else {
        address.to_owned()
    }
}

fn rows() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    FAMILIES.iter().flat_map(|(family, addresses, network)| {
        addresses
            .iter()
            .map(|address| (*family, *address, *network))
    })
}

#[tokio::test]
async fn no_special_purpose_address_is_dialled_by_default() {
    let traps = Traps::listen();
    let port = traps.port;
    let (client, names) = client(Policy::strict());

    for (family, address, _) in rows() {
        let row = format!("{family}, {address}");
        names.set(&[address]);
        for host in [
            host(address),
            "name.example".to_owned(),
            "name.example.".to_owned(),
        ] {
            let secure = send(&client, &format!("https://{host}:{port}")).await;
            assert_eq!(
                secure,
                SendError::Forbidden(Refusal::Address),
                "{row} by https://{host}"
            );
            let plain = send(&client, &format!("http://{host}:{port}")).await;
            assert_eq!(
                plain,
                SendError::Forbidden(Refusal::Scheme),
                "{row} by http://{host}"
            );
            let own_port = send(&client, &format!("https://{host}")).await;
            assert_eq!(
                own_port,
                SendError::Forbidden(Refusal::Address),
                "{row} by https://{host}"
            );
        }
        traps.assert_untouched(&row);
    }
}

#[tokio::test]
async fn an_exception_for_one_family_allows_no_other() {
    let traps = Traps::listen();
    let allowed = [
        "10.0.0.0/8",
        "fd00:1::/32",
        "https://other.example",
        "http://name.example:1",
        "https://name.example:1",
    ];
    let policy = allowed.iter().fold(Policy::strict(), |policy, entry| {
        policy.allow(entry).unwrap()
    });
    let (client, names) = client(policy);

    for (family, address, _) in rows() {
        let as_ipv4 = address
            .parse::<IpAddr>()
            .unwrap()
            .to_canonical()
            .to_string();
        if as_ipv4.starts_with("10.") {
            continue;
        }
        names.set(&[address]);
        for host in [host(address), "name.example".to_owned()] {
            let refused = send(&client, &format!("https://{host}:{}", traps.port)).await;
            assert_eq!(
                refused,
                SendError::Forbidden(Refusal::Address),
                "{family}, {address} by {host}"
            );
        }
        traps.assert_untouched(family);
    }
}

#[tokio::test]
async fn an_address_of_every_family_is_dialled_once_its_network_is_allowed() {
    let traps = Traps::listen();
    let port = traps.port;
    let attempts = rows().flat_map(|(family, address, network)| {
        let policy = Policy::strict().allow(network).unwrap();
        [host(address), "name.example".to_owned()].map(|host| {
            let policy = policy.clone();
            async move {
                let (client, names) = impatient_client(policy);
                names.set(&[address]);
                let outcome = send(&client, &format!("http://{host}:{port}")).await;
                // Most of them have no route, and none responds. What matters is the attempt.
                let is_tried = matches!(
                    outcome,
                    SendError::Unreachable(Failure::Refused | Failure::Network)
                        | SendError::Timeout(Stage::Connect | Stage::Response)
                );
                assert!(
                    is_tried,
                    "{family}, {address} by {host} with {network}: {outcome:?}"
                );
            }
        })
    });

    join_all(attempts).await;

    assert!(traps.is_touched(), "no listener was reached");
}

#[tokio::test]
async fn listeners_notice_connections() {
    // The other tests rely on this: an allowed call reaches the listener.
    let traps = Traps::listen();
    let everything = Policy::strict()
        .allow("0.0.0.0/0")
        .unwrap()
        .allow("::/0")
        .unwrap();

    for address in ["127.0.0.1", "127.1.2.3", "0.0.0.0", "::ffff:127.0.0.1"] {
        for host in [host(address), "name.example".to_owned()] {
            let (client, names) = impatient_client(everything.clone());
            names.set(&[address]);
            let url = format!("http://{host}:{}", traps.port);
            // Nothing responds; the connection waits to be accepted.
            let outcome = send(&client, &url).await;
            assert!(
                matches!(outcome, SendError::Timeout(_)),
                "{address} by {host}: {outcome:?}"
            );
            assert!(traps.is_touched(), "{address} by {host}");
        }
    }
}

#[tokio::test]
async fn only_the_allowed_addresses_of_a_name_are_dialled() {
    let traps = Traps::listen();
    let private: Vec<&str> = rows().map(|(_, address, _)| address).collect();
    let (client, names) = client(Policy::strict());
    let url = format!("https://name.example:{}", traps.port);

    names.set(&private);
    let none = send(&client, &url).await;

    assert_eq!(none, SendError::Forbidden(Refusal::Address));
    traps.assert_untouched("all families at once");

    // 2000::1 counts as public, and no host has it.
    let mixed: Vec<&str> = private
        .iter()
        .copied()
        .chain(["2000::1"])
        .chain(private.iter().copied())
        .collect();
    let (client, names) = impatient_client(Policy::strict());
    client.load_certificates().await.unwrap();
    names.set(&mixed);
    let tried = send(&client, &url).await;
    let is_tried = matches!(
        tried,
        SendError::Unreachable(_) | SendError::Timeout(Stage::Connect)
    );
    assert!(is_tried, "{tried:?}");
    traps.assert_untouched("a public address among them");
}
