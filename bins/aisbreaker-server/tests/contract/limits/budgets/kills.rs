//! Budgets in all, and servers that are killed.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
};

use serde_json::json;

use super::{chat, key, remaining, send};
use crate::support::{
    Provider, Server,
    openai::completion,
    provider_api::{CHAT, post_with_key},
};

const TOTAL: [&str; 3] = ["usd", "global", "lifetime"];

/// What each answer of the provider costs, in nano-dollars: 9 tokens at 2.50 and 12 at 10 dollars a
/// million.
const COST: u64 = 9 * 2_500 + 12 * 10_000;

/// A state file of a test, which is removed on drop with all beside it.
struct State(PathBuf);

impl State {
    fn new(name: &str) -> Self {
        let name = format!("{name}-{}", std::process::id());
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    fn ceilings(&self) -> PathBuf {
        PathBuf::from(format!("{}.ceilings", self.0.display()))
    }

    fn start(&self, environment: &[(&str, &str)]) -> Server {
        let state = [
            ("AISBREAKER_STATE_FILE", self.0.to_str().unwrap()),
            ("AISBREAKER_STATE_INTERVAL", "1h"),
        ];
        Server::with_loopback_egress(&[&state, environment].concat())
    }
}

impl Drop for State {
    fn drop(&mut self) {
        for suffix in ["", ".lock", ".tmp", ".ceilings", ".ceilings.tmp"] {
            let _removed = fs::remove_file(format!("{}{suffix}", self.0.display()));
        }
    }
}

/// What happens while a server is under load.
enum Event {
    Answered,
    /// A client stops, since the server refuses it or is gone.
    Stopped,
}

/// A provider that counts what its answers cost.
fn counting_provider() -> (Provider, Arc<AtomicU64>, Sender<Event>, Receiver<Event>) {
    let spent = Arc::new(AtomicU64::new(0));
    let (sender, events) = channel();
    let (total, to) = (Arc::clone(&spent), sender.clone());
    let provider = Provider::without_recording(move |_, wire| {
        total.fetch_add(COST, Ordering::SeqCst);
        let _nobody_waits = to.send(Event::Answered);
        wire.json(200, &completion("Hello"));
    });
    (provider, spent, sender, events)
}

/// Sends a request, and returns its status if there is one.
fn status(server: std::net::SocketAddr, request: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect(server).ok()?;
    stream.write_all(request).ok()?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).ok()?;
    let response = String::from_utf8(response).ok()?;
    Some(response.split(' ').nth(1)?.to_owned())
}

/// Puts a server under load until so many calls are answered or all are refused.
fn load(
    server: &Server,
    key: &str,
    (sender, events): (&Sender<Event>, &Receiver<Event>),
    until: u64,
) {
    let body = chat("gpt-4o", &json!({"max_tokens": 12})).to_string();
    let request = post_with_key(CHAT, key, body).header("connection", "close");
    let (request, address) = (request.to_bytes(), server.address());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (request, sender) = (request.clone(), sender.clone());
            scope.spawn(move || {
                while status(address, &request).is_some_and(|status| status == "200") {}
                sender.send(Event::Stopped).unwrap();
            });
        }
        let (mut answered, mut stopped) = (0, 0);
        while answered < until && stopped < 4 {
            match events.recv().unwrap() {
                Event::Answered => answered += 1,
                Event::Stopped => stopped += 1,
            }
        }
        server.signal("KILL");
        while stopped < 4 {
            stopped += u64::from(matches!(events.recv().unwrap(), Event::Stopped));
        }
    });
    while events.try_recv().is_ok() {}
}

#[test]
fn kills_under_load_never_exceed_a_total() {
    let (provider, spent, sender, events) = counting_provider();
    let state = State::new("kills");
    let mut minted = None;
    for life in 0..40 {
        // Some write their state file all the time.
        let interval = if life % 2 == 0 { "1h" } else { "5ms" };
        let mut server = state.start(&[("AISBREAKER_STATE_INTERVAL", interval)]);
        let key = minted.get_or_insert_with(|| {
            key(&server, &provider, &json!({"global": {"usdTotal": "0.1"}}))
        });
        load(&server, key, (&sender, &events), 1 + life % 7);
        server.wait_for_exit();
    }
    // One more, which spends what is left.
    let server = state.start(&[]);
    load(&server, &minted.unwrap(), (&sender, &events), u64::MAX);
    let spent = spent.load(Ordering::SeqCst);
    assert!(spent <= 100_000_000, "{spent}");
    assert!(spent > 30_000_000, "a kill costs about a percent: {spent}");
}

#[test]
fn without_ceilings_kills_exceed_a_total() {
    let (provider, spent, sender, events) = counting_provider();
    let state = State::new("kills-off");
    let mut minted = None;
    for _ in 0..3 {
        let mut server = state.start(&[("AISBREAKER_BUDGETS_CEILINGS", "false")]);
        let key = minted.get_or_insert_with(|| {
            key(
                &server,
                &provider,
                &json!({"global": {"usdTotal": "0.001"}}),
            )
        });
        load(&server, key, (&sender, &events), u64::MAX);
        server.wait_for_exit();
        assert!(!state.ceilings().exists());
    }
    let spent = spent.load(Ordering::SeqCst);
    assert!(spent > 1_000_000, "{spent}");
}

#[test]
fn only_a_kill_costs_what_was_recorded_in_advance() {
    let provider = Provider::with_response(200, completion("Hello"));
    let state = State::new("kills-exact");
    let mut server = state.start(&[]);
    let key = key(&server, &provider, &json!({"global": {"usdTotal": "1"}}));
    let body = chat("gpt-4o", &json!({"max_tokens": 12}));
    assert_eq!(send(&server, &key, &body).status, 200);
    assert!(state.ceilings().exists());
    server.signal("TERM");
    server.wait_for_exit();
    assert!(!state.ceilings().exists(), "the state file has it");

    let mut server = state.start(&[]);
    assert_eq!(remaining(&server, &key, TOTAL), "0.9998575");
    // The restored total is above the ceiling, which is none.
    assert_eq!(send(&server, &key, &body).status, 200);
    server.signal("KILL");
    server.wait_for_exit();

    // A percent was recorded.
    let mut server = state.start(&[]);
    assert_eq!(remaining(&server, &key, TOTAL), "0.99");
    server.signal("TERM");
    server.wait_for_exit();
    let server = state.start(&[]);
    assert_eq!(
        remaining(&server, &key, TOTAL),
        "0.99",
        "though nobody called"
    );
}

#[test]
fn what_cannot_be_recorded_is_refused_with_one_warning() {
    let provider = Provider::with_response(200, completion("Hello"));
    let state = State::new("kills-disk");
    let server = state.start(&[]);
    let key = key(&server, &provider, &json!({"global": {"usdTotal": "1"}}));
    let body = chat("gpt-4o", &json!({"max_tokens": 12}));
    fs::create_dir(state.ceilings()).unwrap();
    for _ in 0..3 {
        let response = send(&server, &key, &body);
        assert_eq!(response.status, 503, "{response:?}");
        // The lines before it have been read by then.
        server.wait_for_request(response.header("x-request-id").expect("an id"));
    }
    assert_eq!(provider.requests().len(), 0);
    let of_warning = "what budgets may spend in all cannot be recorded";
    assert_eq!(server.log().matches(of_warning).count(), 1);
    assert_eq!(remaining(&server, &key, TOTAL), "1");
    fs::remove_dir(state.ceilings()).unwrap();
    assert_eq!(send(&server, &key, &body).status, 200);
}
