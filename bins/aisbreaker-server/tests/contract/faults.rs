//! Contract sections 4 and 6: whatever a provider does, its caller gets the whole answer or an
//! error with its documented status, in a stream as its last event; never nothing, and never half
//! an answer as if it were whole.
//!
//! What is done to the callers is in the table in [`cases`]; `leftovers` shows that nothing of it
//! stays behind.

pub(crate) mod cases;

use serde_json::Value;

use super::openai::SECRET;
use crate::support::{
    Answer, Deaf, Provider, Server, assert_error, call, hop, service, service_at, streamed,
};
use cases::{Asked, Case, FIRST, Outcome, WHOLE, floods, provider, quick, stalls};

/// The service properties for a case, with the provider called directly.
pub(crate) fn directly(provider: &str, case: &Case) -> Value {
    service_at(&format!("chat:openai.com/{}", case.name), provider)
}

/// Checks what a caller got of a case.
#[track_caller]
pub(crate) fn check(case: &Case, is_stream: bool, answer: &Answer) {
    let row = case.name;
    assert!(
        !answer.text().contains("sk-canary"),
        "{row} tells the secret: {answer:?}"
    );
    assert!(
        !answer.text().contains("hello"),
        "{row} repeats what is no answer: {answer:?}"
    );
    if is_stream {
        check_stream(row, case.streamed, answer)
    } else {
        check_plain(row, case.plain, answer)
    }
}

#[track_caller]
fn check_plain(row: &str, expected: Outcome, answer: &Answer) {
    match expected {
        Outcome::Whole if answer.status != 200 => panic!("{row}: {answer:?}"),
        Outcome::Whole => assert_eq!(
            (answer.content(), answer.is_cut),
            (WHOLE.to_owned(), false),
            "{row}"
        ),
        Outcome::Error(status) | Outcome::Broken(status) => assert_error(row, answer, status, ""),
        Outcome::Refusal(status, message, wait) => {
            assert_error(row, answer, status, message);
            assert_eq!(answer.header("retry-after"), wait, "{row}: {answer:?}");
        }
        Outcome::Overflow => panic!("{row}: only streams overflow"),
    }
}

#[track_caller]
fn check_stream(row: &str, expected: Outcome, answer: &Answer) {
    let last = answer
        .events()
        .pop()
        .unwrap_or_else(|| panic!("{row}: no events: {answer:?}"));
    let is_whole = matches!(expected, Outcome::Whole);
    assert_eq!(
        last.name,
        if is_whole { "final" } else { "error" },
        "{row}: {answer:?}"
    );
    if is_whole {
        let (progress, last) = answer.stream();
        assert_eq!(
            (&*text_of(&progress), &*text_of(&[last])),
            (WHOLE, WHOLE),
            "{row}: {answer:?}"
        );
        return;
    }
    let (progress, error) = answer.stream_error();
    let told = text_of(&progress);
    let (status, message) = match expected {
        Outcome::Error(status) => (status, ""),
        Outcome::Refusal(status, message, _) => (status, message),
        Outcome::Broken(status) => {
            assert_eq!(told, FIRST, "{row}: {answer:?}");
            (status, "")
        }
        Outcome::Overflow => (502, "longer than"),
        Outcome::Whole => unreachable!("checked above"),
    };
    let has_pieces = matches!(expected, Outcome::Broken(_) | Outcome::Overflow);
    assert!(has_pieces || told.is_empty(), "{row}: {answer:?}");
    assert_eq!(error["statusCode"], status, "{row}: {error}");
    assert!(
        error["statusText"]
            .as_str()
            .is_some_and(|text| !text.is_empty()),
        "{row}: {error}"
    );
    let text = error["message"].as_str().unwrap_or_default();
    assert!(!text.is_empty() && text.contains(message), "{row}: {error}");
}

fn text_of(events: &[Value]) -> String {
    let outputs = events
        .iter()
        .flat_map(|event| event["outputs"].as_array().expect("outputs"));
    outputs
        .map(|output| output["text"]["content"].as_str().expect("a text"))
        .collect()
}

/// Does one case after the other, streamed and not.
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
    assert_eq!(
        provider.panics(),
        0,
        "a provider could not do what it was to do"
    );
}

#[test]
fn every_fault_is_an_answer_with_its_status_or_a_last_event_that_tells_it() {
    let (provider, server) = (provider(), Server::with_egress(&[]));
    let url = provider.url();

    check_all(&server, &provider, quick().chain(floods()), |case| {
        directly(&url, case)
    });
}

#[test]
fn every_fault_is_told_through_a_hop_as_it_is_told_directly() {
    let provider = provider();
    let [here, there] = [(); 2].map(|()| Server::with_egress(&[]));
    let (url, next) = (provider.url(), there.url());

    check_all(&here, &provider, quick(), |case| {
        hop(&next, &directly(&url, case))
    });
}

#[test]
fn every_fault_of_another_server_is_told_as_that_of_a_provider() {
    // An aisbreaker server ends its streams with an event, and streams when it is asked to.
    let exceptions = ["without its last event", "the other kind of answer"];
    let (provider, server) = (provider(), Server::with_egress(&[]));
    let url = provider.url();
    let cases = quick().filter(|case| !exceptions.contains(&case.name));

    check_all(&server, &provider, cases, |case| {
        hop(&url, &service(&format!("chat:openai.com/{}", case.name)))
    });
}

#[test]
fn a_stall_is_ended_by_the_timeout_that_it_exceeds() {
    const SETTINGS: [(&str, &str); 2] = [
        ("AISBREAKER_PROVIDER_TIMEOUT", "1s"),
        ("AISBREAKER_STREAM_IDLE_TIMEOUT", "1s"),
    ];
    let provider = provider();
    let (patient, hasty) = (Server::with_egress(&[]), Server::with_egress(&SETTINGS));
    let (url, next) = (&provider.url(), &hasty.url());

    std::thread::scope(|scope| {
        for case in stalls() {
            let inner = service(&format!("chat:openai.com/{}", case.name));
            let ways = [
                (&hasty, directly(url, &case)),
                (&patient, hop(next, &directly(url, &case))),
                (&hasty, hop(url, &inner)),
            ];
            for (server, props) in ways {
                let body = call(props, "Hi");
                let again = body.clone();
                scope.spawn(move || check(&case, false, &server.process(SECRET, &body)));
                scope.spawn(move || check(&case, true, &server.process(SECRET, &streamed(again))));
            }
        }
    });
    assert_eq!(
        provider.panics(),
        0,
        "a provider could not do what it was to do"
    );
}

#[test]
fn an_answer_may_be_split_anywhere() {
    let provider = Provider::forgetful(|received, wire| {
        let asked = Asked::of(received);
        let body = asked.body();
        let (before, after) = body
            .as_bytes()
            .split_at(asked.case.parse::<usize>().unwrap().min(body.len()));
        asked.head_of_chunks(wire);
        [before, after]
            .into_iter()
            .filter(|part| !part.is_empty())
            .for_each(|part| wire.chunk(part));
        wire.end();
    });
    let server = Server::with_egress(&[]);
    let longest = 700;

    for position in 0..longest {
        let name = &*format!("chat:openai.com/{position}");
        let ways = [
            service_at(name, &provider.url()),
            hop(&provider.url(), &service(name)),
        ];
        for props in ways {
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
fn a_provider_that_cannot_be_reached_is_told_as_such() {
    let deaf = Deaf::new();
    let here = Server::with_egress(&[("AISBREAKER_CONNECT_TIMEOUT", "300ms")]);
    let there = Server::with_egress(&[("AISBREAKER_CONNECT_TIMEOUT", "300ms")]);
    let rows = [
        (
            "refuses connections",
            deaf.refusing_url(),
            503,
            "Error: connect ECONNREFUSED",
        ),
        (
            "does not take connections",
            deaf.full_url(),
            504,
            "took too long",
        ),
    ];

    for (row, url, status, told) in rows {
        let provider = service_at("chat:openai.com", &url);
        let ways = [
            provider.clone(),
            hop(&there.url(), &provider),
            hop(&url, &service("chat:dummy")),
        ];
        for props in ways {
            let body = call(props, "Hi");
            let outcome = Outcome::Refusal(status, told, None);
            check_plain(row, outcome, &here.process(SECRET, &body));
            check_stream(row, outcome, &here.process(SECRET, &streamed(body)));
        }
    }
}
