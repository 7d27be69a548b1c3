//! Reloads while the server is busy.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use serde_json::json;

use crate::support::{
    KEY, Provider, ReloadableServer, Request, Server, ample_quotas, call, dummy_call, grant,
    openai, quotas, service,
};

const RELOADS: usize = 30;
const REQUESTS: usize = 5_000;

/// Sends these requests in turn on one connection until it is over. Every one must succeed.
fn keep_busy(
    server: &Server,
    requests: &[Request],
    (is_over, answered): (&AtomicBool, &AtomicUsize),
) {
    let mut connection = server.connect();
    while !is_over.load(Ordering::Relaxed) {
        for request in requests {
            let answer = connection.send(request);
            assert_eq!(answer.status, 200, "{answer:?}");
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Sets the flag when a thread of the test ends, however that is.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Each reload changes policies, quotas, providers and, every other time, where the server may
/// connect. No request fails.
#[test]
#[expect(clippy::disallowed_methods, reason = "the test prints a rate")]
fn no_request_fails_while_settings_are_reloaded() {
    let provider = Provider::without_recording(|_, wire| {
        wire.json(200, &openai::completion("Hello"));
    });
    let text = |round: usize| {
        let network = if round % 4 < 2 {
            "127.0.0.0/8"
        } else {
            "127.0.0.1"
        };
        format!(
            "max_expiration = \"{}d\"\npublic_hosts = [\"localhost\", \"host-{round}.example.com\"]\n\
             egress.allow = [\"{network}\"]\nadmin_secret = \"secret-of-round-{round}\"\n\
             [[provider]]\nid = \"local\"\nurl = \"{}\"\nopenai = \"/v1\"\n",
            100 + round,
            provider.url()
        )
    };
    let ample = quotas([1_000_000; 3], [1_000_000; 3]).to_string();
    let environment = [
        ("AUTH_ENCRYPTION_KEYPHRASE", KEY),
        ("AISBREAKER_SERVER_QUOTAS", &*ample),
        ("AISBREAKER_DEFAULT_QUOTAS", &*ample),
        ("AISBREAKER_MINT_QUOTAS", &*ample),
    ];
    let server = ReloadableServer::start_with(&environment, &text(0));
    let key = server.mint(&grant(
        &quotas([1_000_000; 3], [1_000_000; 3]),
        &json!([{"serviceId": "chat:local", "authSecret": "sk-any"}]),
    ));
    let cheap = [
        Request::process(&dummy_call()).bearer(&key),
        Request::get("/readyz"),
    ];
    let whole = [
        Request::process(&call(service("chat:local/m"), "Hi")).bearer(&key),
        Request::mint(&grant(&ample_quotas(), &json!([]))),
    ];
    let (is_over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let shared = (&is_over, &answered);
    let start = Instant::now();
    thread::scope(|scope| {
        let busy: &Server = &server;
        for requests in [&cheap, &cheap, &cheap, &whole, &whole] {
            scope.spawn(move || {
                let _over = Over(shared.0);
                keep_busy(busy, requests, shared);
            });
        }
        scope.spawn(move || {
            let _over = Over(shared.0);
            while !shared.0.load(Ordering::Relaxed) {
                let answer = busy.get("/readyz");
                assert_eq!(answer.status, 200, "on a new connection: {answer:?}");
                shared.1.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _over = Over(&is_over);
        let mut round = 0;
        while !is_over.load(Ordering::Relaxed)
            && (round < RELOADS || answered.load(Ordering::Relaxed) < REQUESTS)
        {
            round += 1;
            server.reload(&text(round));
        }
        println!("{round} reloads");
    });
    let answered = answered.load(Ordering::Relaxed);
    let seconds = start.elapsed().as_secs_f64();
    println!("{answered} requests in {seconds:.1} s");
    assert!(answered >= REQUESTS, "{answered}");
}
