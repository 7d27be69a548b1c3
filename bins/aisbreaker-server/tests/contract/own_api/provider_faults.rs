//! Contract sections 4 and 6: whatever a provider does, the caller gets the whole answer, or an
//! error with its documented status, which is the last event of a stream. A caller never gets
//! nothing, nor half an answer that looks whole.
//!
//! The faults are in the tables of [`cases`]; [`leak_checks`](crate::shutdown::leak_checks) shows
//! that they leave nothing behind.

pub(crate) mod cases;

use serde_json::Value;

use self::cases::{Case, CaseRequest, FIRST, Outcome, WHOLE, floods, provider, quick, stalls};
use crate::support::{
    Provider, Response, Server, UnreachableAddresses, assert_error, call, hop,
    openai::{SECRET, progress_texts},
    service, service_at, streamed,
};

/// The service properties that call the provider directly with a case.
pub(crate) fn directly(provider: &str, case: &Case) -> Value {
    service_at(&format!("chat:openai.com/{}", case.name), provider)
}

/// Checks the response to a case.
#[track_caller]
pub(crate) fn check(case: &Case, is_stream: bool, response: &Response) {
    let row = case.name;
    assert!(
        !response.text().contains("sk-canary"),
        "{row} reveals the secret: {response:?}"
    );
    assert!(
        !response.text().contains("hello"),
        "{row} repeats the invalid body: {response:?}"
    );
    if is_stream {
        check_stream(row, case.streamed, response)
    } else {
        check_plain(row, case.plain, response)
    }
}

#[track_caller]
fn check_plain(row: &str, expected: Outcome, response: &Response) {
    match expected {
        Outcome::Whole if response.status != 200 => panic!("{row}: {response:?}"),
        Outcome::Whole => assert_eq!(
            (response.content(), response.is_truncated),
            (WHOLE.to_owned(), false),
            "{row}"
        ),
        Outcome::Error(status) | Outcome::Broken(status) => assert_error(row, response, status, ""),
        Outcome::Refusal(status, message, wait) => {
            assert_error(row, response, status, message);
            assert_eq!(response.header("retry-after"), wait, "{row}: {response:?}");
        }
        Outcome::Overflow => panic!("{row}: only streams overflow"),
    }
}

#[track_caller]
fn check_stream(row: &str, expected: Outcome, response: &Response) {
    let last = response
        .events()
        .pop()
        .unwrap_or_else(|| panic!("{row}: no events: {response:?}"));
    let is_whole = matches!(expected, Outcome::Whole);
    assert_eq!(
        last.name,
        if is_whole { "final" } else { "error" },
        "{row}: {response:?}"
    );
    if is_whole {
        let (progress, final_body) = response.stream();
        assert_eq!(
            (
                progress_texts(&progress).concat().as_str(),
                progress_texts(&[final_body]).concat().as_str()
            ),
            (WHOLE, WHOLE),
            "{row}: {response:?}"
        );
        return;
    }
    let (progress, error) = response.stream_error();
    let text = progress_texts(&progress).concat();
    let (status, expected_message) = match expected {
        Outcome::Error(status) => (status, ""),
        Outcome::Refusal(status, message, _) => (status, message),
        Outcome::Broken(status) => {
            assert_eq!(text, FIRST, "{row}: {response:?}");
            (status, "")
        }
        Outcome::Overflow => (502, "longer than"),
        Outcome::Whole => unreachable!("checked above"),
    };
    let has_pieces = matches!(expected, Outcome::Broken(_) | Outcome::Overflow);
    assert!(has_pieces || text.is_empty(), "{row}: {response:?}");
    assert_eq!(error["statusCode"], status, "{row}: {error}");
    let reason = error["statusText"].as_str().unwrap_or_default();
    assert!(!reason.is_empty(), "{row}: {error}");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(
        !message.is_empty() && message.contains(expected_message),
        "{row}: {error}"
    );
}

/// Checks each case, streamed and not.
fn check_all(
    server: &Server,
    provider: &Provider,
    cases: impl Iterator<Item = Case>,
    props: impl Fn(&Case) -> Value,
) {
    for case in cases {
        let body = call(props(&case), "Hi");
        check(&case, false, &server.process(SECRET, &body));
        check(&case, true, &server.process(SECRET, &streamed(body)));
    }
    assert_eq!(provider.panics(), 0, "scripts of the provider panicked");
}

#[test]
fn every_fault_becomes_a_status_or_an_error_event() {
    let (provider, server) = (provider(), Server::with_loopback_egress(&[]));
    let url = provider.url();

    check_all(&server, &provider, quick().chain(floods()), |case| {
        directly(&url, case)
    });
}

#[test]
fn every_fault_is_reported_alike_through_a_hop() {
    let provider = provider();
    let [here, there] = [(); 2].map(|()| Server::with_loopback_egress(&[]));
    let (url, next) = (provider.url(), there.url());

    check_all(&here, &provider, quick(), |case| {
        hop(&next, &directly(&url, case))
    });
}

#[test]
fn every_fault_of_the_next_server_is_reported_alike() {
    // A server always ends its streams with an event, and always streams on request.
    let exceptions = ["without its last event", "the other kind of answer"];
    let (provider, server) = (provider(), Server::with_loopback_egress(&[]));
    let url = provider.url();
    let cases = quick().filter(|case| !exceptions.contains(&case.name));

    check_all(&server, &provider, cases, |case| {
        hop(&url, &service(&format!("chat:openai.com/{}", case.name)))
    });
}

#[test]
fn stall_ends_with_the_timeout_it_exceeds() {
    const SETTINGS: [(&str, &str); 2] = [
        ("AISBREAKER_PROVIDER_TIMEOUT", "1s"),
        ("AISBREAKER_STREAM_IDLE_TIMEOUT", "1s"),
    ];
    let provider = provider();
    let (patient, hasty) = (
        Server::with_loopback_egress(&[]),
        Server::with_loopback_egress(&SETTINGS),
    );
    let (url, next) = (&provider.url(), &hasty.url());

    std::thread::scope(|scope| {
        for case in stalls() {
            let inner = service(&format!("chat:openai.com/{}", case.name));
            let routes = [
                (&hasty, directly(url, &case)),
                (&patient, hop(next, &directly(url, &case))),
                (&hasty, hop(url, &inner)),
            ];
            for (server, props) in routes {
                let body = call(props, "Hi");
                let stream_body = streamed(body.clone());
                scope.spawn(move || check(&case, false, &server.process(SECRET, &body)));
                scope.spawn(move || check(&case, true, &server.process(SECRET, &stream_body)));
            }
        }
    });
    assert_eq!(provider.panics(), 0, "scripts of the provider panicked");
}

#[test]
fn answer_may_be_split_at_any_byte() {
    let provider = Provider::without_recording(|received, wire| {
        let request = CaseRequest::of(received);
        let body = request.body();
        let position: usize = request.case.parse().unwrap();
        let (before, after) = body.as_bytes().split_at(position.min(body.len()));
        request.chunked_head(wire);
        for part in [before, after] {
            if !part.is_empty() {
                wire.chunk(part);
            }
        }
        wire.end();
    });
    let server = Server::with_loopback_egress(&[]);
    const LONGEST: usize = 700;

    for position in 0..LONGEST {
        let name = &*format!("chat:openai.com/{position}");
        let routes = [
            service_at(name, &provider.url()),
            hop(&provider.url(), &service(name)),
        ];
        for props in routes {
            let body = call(props, "Hi");
            check_plain(name, Outcome::Whole, &server.process(SECRET, &body));
            check_stream(
                name,
                Outcome::Whole,
                &server.process(SECRET, &streamed(body)),
            );
        }
    }
}

#[test]
fn unreachable_provider_returns_503_or_504() {
    let unreachable = UnreachableAddresses::new();
    let here = Server::with_loopback_egress(&[("AISBREAKER_CONNECT_TIMEOUT", "300ms")]);
    let there = Server::with_loopback_egress(&[("AISBREAKER_CONNECT_TIMEOUT", "300ms")]);
    let rows = [
        (
            "refuses connections",
            unreachable.refusing_url(),
            503,
            "Error: connect ECONNREFUSED",
        ),
        (
            "accepts no connections",
            unreachable.full_backlog_url(),
            504,
            "took too long",
        ),
    ];

    for (row, url, status, message) in rows {
        let provider = service_at("chat:openai.com", &url);
        let routes = [
            provider.clone(),
            hop(&there.url(), &provider),
            hop(&url, &service("chat:dummy")),
        ];
        for props in routes {
            let body = call(props, "Hi");
            let outcome = Outcome::Refusal(status, message, None);
            check_plain(row, outcome, &here.process(SECRET, &body));
            check_stream(row, outcome, &here.process(SECRET, &streamed(body)));
        }
    }
}
