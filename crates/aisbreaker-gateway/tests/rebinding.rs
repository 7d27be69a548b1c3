//! DNS rebinding, against the whole gateway: a name that resolves to a public address first and to
//! a private one later, or to both at once, leads no secret and no request to the private address.
//!
//! 127.0.0.2 represents a public address: the operator allows it. A trap listens at the same port
//! of 127.0.0.1.
#![expect(clippy::unwrap_used, reason = "a failed step of a test fails the test")]

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
    time::Duration,
};

use aisbreaker_egress::{Client, Policy, Resolve, ResolveFuture, Timeouts};
use aisbreaker_gateway::{Config, Gateway, SystemClock, quotas_from_json};
use aisbreaker_services::services::{Options, standard};
use aisbreaker_token::{KeyRing, ServerKey};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const SECRET: &str = "sk-sealed-canary";
const PUBLIC: &str = "127.0.0.2";
const PRIVATE: &str = "127.0.0.1";
/// A public address that nobody has.
const NOWHERE: &str = "2000::1";

/// Resolves each name to the next of its answers, and fails when there are none left.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<VecDeque<Vec<IpAddr>>>>);

impl Script {
    fn set(&self, answers: &[&[&str]]) {
        let parse = |answer: &&[&str]| {
            answer
                .iter()
                .map(|address| address.parse().unwrap())
                .collect()
        };
        *self.0.lock().unwrap() = answers.iter().map(parse).collect();
    }

    fn answers_left(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Resolve for Script {
    fn resolve(&self, _host: &str) -> ResolveFuture {
        let answer = self
            .0
            .lock()
            .unwrap()
            .pop_front()
            .ok_or_else(|| io::Error::other("no such host"));
        Box::pin(async move { answer })
    }
}

/// A gateway with scripted name resolution, and the trap.
struct Scene {
    gateway: Gateway,
    client: Client,
    names: Script,
    trap: std::net::TcpListener,
}

impl Scene {
    fn new(policy: Policy) -> Self {
        let names = Script::default();
        // Short, since some of the addresses are unreachable.
        let timeouts = Timeouts::default()
            .with_connect(Duration::from_secs(1))
            .with_response(Duration::from_secs(10));
        // Anybody may mint here, so the URLs in keys are no better than those of callers.
        let policy = policy.extend_to_untrusted();
        let client = Client::with_resolver(policy, timeouts, Arc::new(names.clone()));
        let mut config = Config::new(KeyRing::new(ServerKey::from_bytes([7; 32])));
        let limits =
            json!({"requestsPerMinute": 1000, "requestsPerHour": 1000, "requestsPerDay": 1000});
        let quotas =
            json!({"perClientRequestLimits": limits, "globalRequestLimits": limits}).to_string();
        config.server_quotas = quotas_from_json(&quotas).unwrap();
        config.default_quotas = quotas_from_json(&quotas).unwrap();
        let registry = standard(client.clone(), Options::default()).build();
        let gateway = Gateway::new(config, registry, SystemClock::new());
        let trap = std::net::TcpListener::bind((PRIVATE, 0)).unwrap();
        trap.set_nonblocking(true).unwrap();
        Self {
            gateway,
            client,
            names,
            trap,
        }
    }

    fn port(&self) -> u16 {
        self.trap.local_addr().unwrap().port()
    }

    fn assert_untouched(&self, row: &str) {
        let found = self.trap.accept().map_err(|error| error.kind());
        assert!(
            matches!(found, Err(ErrorKind::WouldBlock)),
            "{row}: somebody connected to the trap"
        );
    }

    async fn post(&self, path: &str, bearer: &str, body: &Value) -> (u16, String) {
        let request = Request::post(path)
            .header("host", "a.example")
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {bearer}"));
        let request = request
            .body(Full::new(Bytes::from(body.to_string())))
            .unwrap();
        let (parts, body) = self.gateway.handle(request, CLIENT).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (
            parts.status.as_u16(),
            String::from_utf8(body.into()).unwrap(),
        )
    }

    /// Mints a key whose secret is bound to this address, for every service.
    async fn key(&self, url: &str) -> String {
        let secrets = json!([{"serviceId": "", "authSecret": SECRET, "url": url}]);
        let body = json!({"requestAuthAndQuotas": {"serviceSecrets": secrets}});
        let (status, answer) = self.post("/api/v1/oauth/token", "none", &body).await;
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// Returns the status of a call, or of the error event of its stream.
    async fn call(&self, bearer: &str, service: &Value, is_stream: bool) -> u16 {
        let inputs = json!([{"text": {"role": "user", "content": "Hi"}}]);
        let body = json!({"service": service, "request": {"inputs": inputs, "stream": is_stream}});
        let (status, answer) = self.post("/api/v1/process", bearer, &body).await;
        assert!(!answer.contains(SECRET), "{answer}");
        let error = answer.split("event: error\ndata: ").nth(1);
        error.map_or(status, |error| {
            let error: Value = serde_json::from_str(error.trim()).unwrap();
            error["error"]["statusCode"]
                .as_u64()
                .unwrap()
                .try_into()
                .unwrap()
        })
    }
}

/// A provider with OpenAI's protocol that is also an aisbreaker server, with one request per
/// connection.
async fn provider(listener: TcpListener, seen: Arc<Mutex<Vec<String>>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let head = read_request(&mut stream).await;
        let chat = json!({"choices": [{"message": {"role": "assistant", "content": "ok"}}]});
        let ours = json!({
            "outputs": [],
            "usage": {"service": {"serviceId": "chat:dummy"}, "totalMilliseconds": 1},
        });
        let body = if head.contains("/api/v1/process ") {
            ours
        } else {
            chat
        }
        .to_string();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        seen.lock().unwrap().push(head);
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

/// Reads a request to its end, and returns its head.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "cut request");
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .split("content-length: ")
            .nth(1)
            .unwrap()
            .lines()
            .next()
            .unwrap();
        if body.len() == length.parse::<usize>().unwrap() {
            return head.to_owned();
        }
    }
}

/// The services that call out, directly and behind a filter.
fn services(url: &str) -> Vec<Value> {
    let chat = json!({"serviceId": "chat:openai.com", "url": url});
    let hop = json!({"serviceId": "aisbreaker:network", "url": url,
        "forward2ServiceProps": {"serviceId": "chat:dummy"}});
    let behind = json!({"serviceId": "aisbreaker:mirror", "forward2ServiceProps": chat});
    vec![chat, hop, behind]
}

/// A name, the answers of the resolver, and the statuses of as many calls.
type Row = (
    &'static str,
    &'static [&'static [&'static str]],
    &'static [u16],
);

#[tokio::test]
async fn rebinding_a_name_to_a_private_address_gains_nothing() {
    let scene = Scene::new(Policy::strict().allow("127.0.0.2/32").unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let listener = TcpListener::bind((PUBLIC, scene.port())).await.unwrap();
    let provider = tokio::spawn(provider(listener, Arc::clone(&seen)));
    let url = format!("http://rebind.example:{}", scene.port());
    let key = scene.key(&url).await;
    let rows: [Row; 8] = [
        (
            "public, then private",
            &[&[PUBLIC], &[PRIVATE]],
            &[200, 403],
        ),
        (
            "private, then public",
            &[&[PRIVATE], &[PUBLIC]],
            &[403, 200],
        ),
        (
            "to and fro",
            &[&[PUBLIC], &[PRIVATE], &[PUBLIC], &[PRIVATE]],
            &[200, 403, 200, 403],
        ),
        ("both, the public one first", &[&[PUBLIC, PRIVATE]], &[200]),
        ("both, the private one first", &[&[PRIVATE, PUBLIC]], &[200]),
        (
            "public among private ones",
            &[&[PRIVATE, "127.0.0.3", PUBLIC, "10.0.0.1", "::1"]],
            &[200],
        ),
        (
            "public, then mapped",
            &[&[PUBLIC], &["::ffff:127.0.0.1"]],
            &[200, 403],
        ),
        ("public, then nothing", &[&[PUBLIC], &[]], &[200, 503]),
    ];

    for (row, answers, statuses) in rows {
        for service in services(&url) {
            for (bearer, secret) in [(key.as_str(), SECRET), ("sk-own", "sk-own")] {
                for is_stream in [false, true] {
                    let row = format!("{row}: {service}, {secret}, stream: {is_stream}");
                    scene.names.set(answers);
                    for status in statuses {
                        assert_eq!(
                            scene.call(bearer, &service, is_stream).await,
                            *status,
                            "{row}"
                        );
                    }
                    assert_eq!(
                        scene.names.answers_left(),
                        0,
                        "{row}: one lookup per connection"
                    );
                    let arrived: Vec<String> = std::mem::take(&mut seen.lock().unwrap());
                    let expected = statuses.iter().filter(|status| **status == 200).count();
                    assert_eq!(arrived.len(), expected, "{row}");
                    let bearer = format!("authorization: Bearer {secret}");
                    assert!(
                        arrived.iter().all(|head| head.contains(&bearer)),
                        "{row}: {arrived:?}"
                    );
                    scene.assert_untouched(&row);
                }
            }
        }
    }
    provider.abort();
}

#[tokio::test]
async fn private_address_is_not_tried_when_the_public_one_fails() {
    // Nothing listens at 127.0.0.2 here.
    let scene = Scene::new(Policy::strict().allow("127.0.0.2/32").unwrap());
    let url = format!("http://rebind.example:{}", scene.port());
    let key = scene.key(&url).await;

    for answer in [
        &[PUBLIC, PRIVATE][..],
        &[PRIVATE, PUBLIC],
        &[PUBLIC, "::1", PRIVATE, PUBLIC],
    ] {
        for service in services(&url) {
            for bearer in [key.as_str(), "sk-own"] {
                scene.names.set(&[answer]);
                assert_eq!(
                    scene.call(bearer, &service, false).await,
                    503,
                    "{answer:?}: {service}"
                );
                scene.assert_untouched(&format!("{answer:?}: {service}"));
            }
        }
    }
}

#[tokio::test]
async fn rebinding_gains_nothing_over_https_without_exceptions() {
    let scene = Scene::new(Policy::strict());
    scene.client.load_certificates().await.unwrap();
    let url = format!("https://rebind.example:{}", scene.port());
    let key = scene.key(&url).await;
    let rows: [(&[&str], bool); 5] = [
        (&[NOWHERE], true),
        (&[PRIVATE], false),
        (&[NOWHERE, PRIVATE], true),
        (&[PRIVATE, NOWHERE], true),
        (
            &[
                PRIVATE,
                "::ffff:127.0.0.1",
                "169.254.169.254",
                "fd00:ec2::254",
                "64:ff9b::7f00:1",
            ],
            false,
        ),
    ];

    for bearer in [key.as_str(), "sk-own"] {
        for (answer, is_tried) in rows {
            scene.names.set(&[answer]);
            let status = scene.call(bearer, &services(&url)[0], false).await;
            // The public address is unreachable, or nothing answers there.
            let is_expected = if is_tried {
                matches!(status, 503 | 504)
            } else {
                status == 403
            };
            assert!(is_expected, "{answer:?}: {status}");
            scene.assert_untouched(&format!("{answer:?}"));
        }
    }
}
