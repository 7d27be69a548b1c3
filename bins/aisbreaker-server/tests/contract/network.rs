//! Contract section 4, `aisbreaker:network`: calls that pass several servers.

use std::sync::{Mutex, mpsc};

use serde_json::{Value, json};

use crate::support::{
    Provider, Request, Server, assert_error, call, grant, hop, quotas, roomy, service, service_at,
    state_of, streamed,
};

const QUESTION: &str = "What is JavaScript?";

fn mirror(inner: &Value) -> Value {
    json!({"serviceId": "aisbreaker:mirror", "forward2ServiceProps": inner})
}

fn prefix(url: &str, inner: &str) -> String {
    format!("AIsNetworkClientService(aisbreaker:network->{url}->{inner}): ")
}

fn reversed(text: &str) -> String {
    text.chars().rev().collect()
}

fn content(answer: &Value) -> &str {
    answer["outputs"][0]["text"]["content"].as_str().unwrap()
}

/// The key of the documentation; it works wherever it is sent by address, since all servers share a
/// key.
fn documented_key(server: &Server) -> String {
    let secrets = json!([
        {"serviceId": "aisbreaker:network", "authSecret": "{{secret}}"},
        {"serviceId": "chat:openai.com", "authSecret": "sk_..."},
        {"serviceId": "chat:dummy", "authSecret": ""},
        {"serviceId": "", "authSecret": "INVALID"},
    ]);
    server.mint_at("127.0.0.1", &grant(&roomy(), &secrets))
}

/// A streamed piece as a server sends it.
fn progress(text: &str) -> String {
    let text = json!({
        "index": 0, "role": "assistant", "content": text, "isDelta": true, "isProcessing": true,
    });
    format!(
        "event: progress\ndata: {}\n\n",
        json!({"outputs": [{"text": text}]})
    )
}

/// A call by the address that the key is bound to.
fn request(key: &str, body: &Value) -> Request {
    Request::process(body).set("Host", "127.0.0.1").bearer(key)
}

#[test]
fn a_call_passes_two_and_three_servers() {
    let servers = [(); 3].map(|()| Server::with_egress(&[]));
    let key = documented_key(&servers[0]);
    let [_, second, third] = servers.each_ref().map(Server::url);
    let dummy = service("chat:dummy");
    let plain = servers[0]
        .send(&request(&key, &call(dummy.clone(), QUESTION)))
        .content();
    let rows = [
        ("two servers", hop(&second, &dummy), plain.clone()),
        (
            "two servers and a mirror there",
            hop(&second, &mirror(&dummy)),
            reversed(&plain),
        ),
        (
            "two servers and a mirror here",
            mirror(&hop(&second, &dummy)),
            reversed(&plain),
        ),
        (
            "three servers",
            hop(&second, &hop(&third, &dummy)),
            plain.clone(),
        ),
        (
            "three servers and a mirror",
            hop(&second, &hop(&third, &mirror(&dummy))),
            reversed(&plain),
        ),
        (
            "three servers and mirrors",
            mirror(&hop(&second, &mirror(&hop(&third, &mirror(&dummy))))),
            reversed(&plain),
        ),
        (
            "there and back",
            hop(&second, &hop(&servers[0].url(), &dummy)),
            plain.clone(),
        ),
        (
            "with a slash",
            hop(&format!("{second}/"), &dummy),
            plain.clone(),
        ),
        (
            "by the whole address",
            hop(&format!("{second}/api/v1/process#no-default-path"), &dummy),
            plain.clone(),
        ),
        (
            "by the alias",
            json!({"serviceId": "aisbreaker:proxy", "url": second, "forward2ServiceProps": dummy}),
            plain,
        ),
    ];

    for (row, props, expected) in rows {
        let answer = servers[0].send(&request(&key, &call(props.clone(), QUESTION)));
        assert_eq!(answer.content(), expected, "{row}");
        let (progress, last) = servers[0]
            .send(&request(&key, &streamed(call(props, QUESTION))))
            .stream();
        assert_eq!(content(&last), expected, "{row}, streamed");
        assert_eq!(progress.len(), 22, "{row}, streamed");
    }
}

#[test]
fn the_answer_behind_a_hop_is_the_answer_of_the_server_there() {
    let [here, there] = [(); 2].map(|()| Server::with_egress(&[]));
    let timeless = |mut answer: Value| {
        answer["usage"]
            .as_object_mut()
            .unwrap()
            .remove("totalMilliseconds");
        answer
    };
    let direct = there
        .process("sk-own", &call(service("chat:echo"), QUESTION))
        .json();

    let answer = here
        .process(
            "sk-own",
            &call(hop(&there.url(), &service("chat:echo")), QUESTION),
        )
        .json();

    assert_eq!(timeless(answer), timeless(direct));
}

#[test]
fn a_conversation_goes_on_over_a_hop() {
    let [here, there] = [(); 2].map(|()| Server::with_egress(&[]));
    let props = hop(&there.url(), &service("chat:echo"));
    let first = here.process("sk-own", &call(props.clone(), "one")).json();
    let mut second = call(props, "two");
    second["request"]["conversationState"] = first["conversationState"].clone();

    let second = here.process("sk-own", &second).json();

    assert_eq!(
        state_of(&second)["messages"].as_array().unwrap().len(),
        4,
        "{second}"
    );
}

#[test]
fn the_next_server_gets_the_inner_service_and_the_whole_request() {
    let answer = json!({
        "outputs": [{"text": {"index": 0, "role": "assistant", "content": "ok"}}],
        "conversationState": "c3RhdGU=",
        "usage": {
            "service": {"serviceId": "x:y", "engine": "e"}, "totalMilliseconds": 7,
            "warnings": ["w"], "extra": 1,
        },
        "internResponse": {"any": ["thing"]},
    });
    let next = Provider::with_answer(200, answer.clone());
    let server = Server::with_egress(&[]);
    let inner = json!({
        "serviceId": "no:such/service", "url": "https://far.example",
        "greeting": "Moin", "nested": {"a": [1]},
    });
    let mut body = call(hop(&next.url(), &inner), QUESTION);
    body["request"]["internOptions"] = json!({"temperature": 0.5});
    body["request"]["clientUser"] = json!({"id": "u1"});
    body["request"]["requested"] = json!({"text": true});
    body["request"]["conversationState"] = json!("c3RhdGU=");
    let request = Request::process(&body)
        .bearer("sk-own")
        .header("Cookie", "a=b")
        .header("X-Forwarded-For", "192.0.2.1");

    let told = server.send(&request).json();

    assert_eq!(
        told, answer,
        "the answer is passed on with all that is in it"
    );
    let sent = next.sole_request();
    assert_eq!((&*sent.method, &*sent.target), ("POST", "/api/v1/process"));
    assert_eq!(sent.header("authorization"), Some("Bearer sk-own"));
    assert_eq!(sent.header("content-type"), Some("application/json"));
    assert_eq!(
        (sent.header("cookie"), sent.header("x-forwarded-for")),
        (None, None)
    );
    let sent = sent.json();
    assert_eq!(sent["service"], inner);
    for member in [
        "inputs",
        "internOptions",
        "clientUser",
        "requested",
        "conversationState",
    ] {
        assert_eq!(sent["request"][member], body["request"][member], "{member}");
    }
    assert_ne!(sent["request"]["stream"], json!(true));
}

#[test]
fn without_a_secret_none_is_sent() {
    let next = Provider::with_answer(
        401,
        json!({"error": {"message": "no", "statusCode": 401, "statusText": "Unauthorized"}}),
    );
    let server = Server::with_egress(&[]);

    server.process("", &call(hop(&next.url(), &service("chat:dummy")), "Hi"));

    assert_eq!(next.sole_request().header("authorization"), None);
}

#[test]
fn an_error_carries_its_status_and_a_prefix_for_every_hop() {
    let servers = [(); 3].map(|()| Server::with_egress(&[]));
    let key = documented_key(&servers[0]);
    let [_, second, third] = servers.each_ref().map(Server::url);
    let invalid = service("chat:invalid");
    let not_found = "No factory registered for serviceId 'chat:invalid'";
    let dead = "http://localhost-invalid:80";
    let echo = service("aisbreaker:echo");
    let rows = [
        (
            "unknown service, one hop",
            hop(&second, &invalid),
            404,
            vec![prefix(&second, "chat:invalid"), not_found.to_owned()],
        ),
        (
            "unknown service behind a mirror",
            hop(&second, &mirror(&invalid)),
            404,
            vec![prefix(&second, "aisbreaker:mirror"), not_found.to_owned()],
        ),
        (
            "unknown service, two hops",
            hop(&second, &hop(&third, &mirror(&invalid))),
            404,
            vec![
                prefix(&second, "aisbreaker:network"),
                prefix(&third, "aisbreaker:mirror"),
                not_found.to_owned(),
            ],
        ),
        (
            "no such name, here",
            hop(dead, &hop(&second, &echo)),
            503,
            vec![
                prefix(dead, "aisbreaker:network"),
                "Error".into(),
                "getaddrinfo".into(),
                "localhost-invalid".into(),
            ],
        ),
        (
            "no such name, there",
            hop(&second, &hop(dead, &echo)),
            503,
            vec![
                prefix(&second, "aisbreaker:network"),
                prefix(dead, "aisbreaker:echo"),
                "Error".into(),
                "getaddrinfo".into(),
            ],
        ),
        (
            "bad request there",
            hop(&second, &service("aisbreaker:nop")),
            400,
            vec![prefix(&second, "aisbreaker:nop")],
        ),
    ];

    for (row, props, status, told) in rows {
        let answer = servers[0].send(&request(&key, &call(props.clone(), QUESTION)));
        assert_error(row, &answer, status, "");
        let mut rest = &*answer.message();
        for (i, text) in told.iter().enumerate() {
            let at = rest
                .find(text.as_str())
                .unwrap_or_else(|| panic!("{row}: {text:?} is not in {rest:?}"));
            assert!(
                i > 0 || at == 0,
                "{row}: the prefix is not at the beginning of {rest:?}"
            );
            rest = &rest[at + text.len()..];
        }
        let answer = servers[0].send(&request(&key, &streamed(call(props, QUESTION))));
        let (progress, error) = answer.stream_error();
        assert!(progress.is_empty(), "{row}, streamed");
        assert_eq!(error["statusCode"], status, "{row}, streamed: {error}");
        let message = error["message"].as_str().unwrap();
        for text in &told {
            assert!(
                message.contains(text),
                "{row}, streamed: {text:?} is not in {message:?}"
            );
        }
    }
}

#[test]
fn a_bad_key_and_a_spent_quota_there_are_told_as_they_are() {
    let here = Server::with_egress(&[]);
    let spent = quotas([1, 100, 100], [100; 3]).to_string();
    let there = Server::start(&[("AISBREAKER_DEFAULT_QUOTAS", &spent)]);
    let props = hop(&there.url(), &service("chat:dummy"));
    let key = here
        .mint_secrets(&json!([{"serviceId": "aisbreaker:network", "authSecret": "{{secret}}"}]));

    // The key was minted at `localhost`, and the other server is called by its address.
    let answer = here.process(&key, &call(props.clone(), "Hi"));
    assert_error("bad key", &answer, 401, "Invalid aisbreaker access token");
    assert!(
        answer
            .message()
            .starts_with(&prefix(&there.url(), "chat:dummy")),
        "{}",
        answer.message()
    );

    assert_eq!(
        here.process("sk-own", &call(props.clone(), "Hi")).status,
        200
    );
    let answer = here.process("sk-own", &call(props, "Hi"));
    assert_error(
        "spent quota",
        &answer,
        429,
        "Request quota exceeded: client requests per minute limit exceeded",
    );
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=61).contains(&wait), "{wait}");
}

#[test]
fn whatever_the_caller_names_is_judged_at_its_own_server() {
    let here = Server::with_egress(&[]);

    let nowhere =
        json!({"serviceId": "aisbreaker:network", "forward2ServiceProps": service("chat:dummy")});
    assert_error(
        "no url",
        &here.process("", &call(nowhere, "Hi")),
        400,
        "url",
    );
    let nothing = service_at("aisbreaker:network", "http://127.0.0.1:1");
    assert_error(
        "no inner service",
        &here.process("", &call(nothing, "Hi")),
        400,
        "forward2ServiceProps",
    );
}

#[test]
fn a_server_that_does_not_answer_as_one_is_a_bad_gateway() {
    let rows: [(&str, u16, &str, u16); 8] = [
        ("HTML", 200, "<html>hello</html>", 502),
        ("nothing", 200, "", 502),
        ("another JSON", 200, "{\"hello\":1}", 502),
        ("a list", 200, "[]", 502),
        (
            "an error with status 200",
            200,
            r#"{"error":{"message":"told","statusCode":418}}"#,
            418,
        ),
        ("an error without message", 500, "{}", 500),
        ("an error that is no JSON", 503, "<html>hello</html>", 503),
        ("no such path", 404, "Cannot POST /api/v1/process", 404),
    ];

    for (row, status, body, expected) in rows {
        let next = Provider::start(move |_, wire| {
            wire.answer(status, &[("Content-Type", "application/json")], body)
        });
        let server = Server::with_egress(&[]);
        let props = hop(&next.url(), &service("chat:dummy"));
        let answer = server.process("sk-own", &call(props.clone(), "Hi"));
        assert_error(row, &answer, expected, &prefix(&next.url(), "chat:dummy"));
        assert!(
            !answer.text().contains("sk-own") && !answer.text().contains("<html>"),
            "{row}: {answer:?}"
        );
        let (_, error) = server
            .process("sk-own", &streamed(call(props, "Hi")))
            .stream_error();
        assert_eq!(error["statusCode"], expected, "{row}, streamed: {error}");
    }
}

#[test]
fn a_server_that_repeats_the_key_does_not_get_it_told() {
    let next = Provider::start(|received, wire| {
        let told = format!("no: {}", received.header("authorization").unwrap());
        wire.json(
            418,
            &json!({"error": {"message": told, "statusCode": 418, "statusText": told}}),
        );
    });
    let server = Server::with_egress(&[]);
    let key = server
        .mint_secrets(&json!([{"serviceId": "aisbreaker:network", "authSecret": "{{secret}}"}]));

    for bearer in [&*key, "sk-own-canary"] {
        let answer = server.process(
            bearer,
            &call(hop(&next.url(), &service("chat:dummy")), "Hi"),
        );
        assert_error("repeated", &answer, 418, "no: Bearer ***");
        assert!(!answer.text().contains(bearer), "{answer:?}");
    }
}

#[test]
fn a_server_that_cannot_be_reached_is_unavailable() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{closed}");
    let server = Server::with_egress(&[]);

    let answer = server.process("sk-own", &call(hop(&url, &service("chat:dummy")), "Hi"));

    assert_error("refused", &answer, 503, "Error");
    assert!(
        answer.message().starts_with(&prefix(&url, "chat:dummy")),
        "{}",
        answer.message()
    );
}

#[test]
fn eight_hops_are_the_most() {
    let server = Server::with_egress(&[]);
    let nested =
        |hops: usize| (0..hops).fold(service("chat:dummy"), |inner, _| hop(&server.url(), &inner));

    for hops in [1, 2, 8] {
        assert_eq!(
            server.process("sk-own", &call(nested(hops), "Hi")).status,
            200,
            "{hops} hops"
        );
    }
    for hops in [9, 10, 12] {
        let answer = server.process("sk-own", &call(nested(hops), "Hi"));
        assert!(
            (400..500).contains(&answer.status) || answer.status == 508,
            "{hops} hops: {answer:?}"
        );
        assert_error(&format!("{hops} hops"), &answer, answer.status, "8");
    }
}

#[test]
fn the_hop_header_counts_and_cannot_be_talked_down() {
    let next = Provider::with_answer(
        200,
        json!({"outputs": [], "usage": {"service": {"serviceId": "chat:dummy"}, "totalMilliseconds": 1}}),
    );
    let server = Server::with_egress(&[]);
    let body = call(hop(&next.url(), &service("chat:dummy")), "Hi");

    assert_eq!(server.process("sk-own", &body).status, 200);
    let sent = next.sole_request();
    let is_count = |(name, value): &&(String, String)| name.contains("hop") && value == "1";
    let (name, _) = sent
        .headers
        .iter()
        .find(is_count)
        .expect("a hop header")
        .clone();
    let rows = [
        ("3", Some("4")),
        ("7", Some("8")),
        ("8", None),
        ("255", None),
        ("256", None),
        ("-1", None),
        ("x", None),
    ];

    for (count, passed_on) in rows {
        let before = next.requests().len();
        let answer = server.send(
            &Request::process(&body)
                .bearer("sk-own")
                .header(&name, count),
        );
        match passed_on {
            Some(expected) => {
                assert_eq!(answer.status, 200, "{count}: {answer:?}");
                assert_eq!(
                    next.requests().pop().unwrap().header(&name),
                    Some(expected),
                    "{count}"
                );
            }
            None => {
                assert!(
                    (400..500).contains(&answer.status) || answer.status == 508,
                    "{count}: {answer:?}"
                );
                assert_eq!(next.requests().len(), before, "{count}: passed on");
            }
        }
    }
}

#[test]
fn a_stream_is_passed_on_as_it_comes() {
    let (go, may_go_on) = mpsc::channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let next = Provider::start(move |_, wire| {
        wire.stream();
        for text in ["one", "two"] {
            wire.chunk(progress(text));
            may_go_on.lock().unwrap().recv().unwrap();
        }
        let data = json!({
            "outputs": [{"text": {"index": 0, "role": "assistant", "content": "onetwo"}}],
            "usage": {"service": {"serviceId": "x:y"}, "totalMilliseconds": 1},
        });
        wire.chunk(format!("event: final\ndata: {data}\n\n"));
        wire.end();
    });
    let servers = [(); 2].map(|()| Server::with_egress(&[]));
    let props = hop(&servers[1].url(), &hop(&next.url(), &service("chat:dummy")));
    let mut connection = servers[0].connect();

    connection.write(
        &Request::process(&streamed(call(props, "Hi")))
            .bearer("sk-own")
            .to_bytes(),
    );

    assert_eq!(connection.head().status, 200);
    for text in ["one", "two"] {
        assert_eq!(content(&connection.event().unwrap().data), text);
        go.send(()).unwrap();
    }
    let last = connection.event().unwrap();
    assert_eq!((&*last.name, content(&last.data)), ("final", "onetwo"));
    assert_eq!(connection.event(), None);
}

#[test]
fn a_stream_that_breaks_behind_a_hop_ends_in_one_error() {
    let told = json!({"error": {"message": "told there", "statusCode": 429, "statusText": "Too Many Requests"}});
    let piece = progress("Hel");
    let rows = [
        ("cut", String::new(), true, 502, ""),
        ("ended without final", String::new(), false, 502, ""),
        (
            "an error event",
            format!("event: error\ndata: {told}\n\n"),
            false,
            429,
            "told there",
        ),
        (
            "an error event that is none",
            "event: error\ndata: x\n\n".to_owned(),
            false,
            502,
            "",
        ),
        (
            "a final event that is none",
            "event: final\ndata: {\"hello\":1}\n\n".to_owned(),
            false,
            502,
            "",
        ),
    ];

    for (row, rest, is_cut, status, told) in rows {
        let text = format!("{piece}{rest}");
        let next = Provider::start(move |_, wire| {
            wire.stream();
            wire.chunk(&text);
            if is_cut { wire.cut() } else { wire.end() }
        });
        let servers = [(); 2].map(|()| Server::with_egress(&[]));
        let props = hop(&servers[1].url(), &hop(&next.url(), &service("chat:dummy")));
        let (progress, error) = servers[0]
            .process("sk-own", &streamed(call(props, "Hi")))
            .stream_error();
        assert_eq!(progress.len(), 1, "{row}");
        assert_eq!(error["statusCode"], status, "{row}: {error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(told), "{row}: {message}");
        assert!(
            message.starts_with(&prefix(&servers[1].url(), "aisbreaker:network")),
            "{row}: {message}"
        );
        assert!(
            message.contains(&prefix(&next.url(), "chat:dummy")),
            "{row}: {message}"
        );
    }
}

#[test]
fn servers_that_write_events_differently_are_understood() {
    let last = json!({
        "outputs": [{"text": {"index": 0, "role": "assistant", "content": "ok"}}],
        "usage": {"service": {"serviceId": "x:y"}, "totalMilliseconds": 1},
    });
    let rows = [
        ("CRLF", format!("event: final\r\ndata: {last}\r\n\r\n")),
        ("CR", format!("event: final\rdata: {last}\r\r")),
        ("no spaces", format!("event:final\ndata:{last}\n\n")),
        (
            "comments and pings",
            format!(": hello\n\nevent: ping\ndata: {{}}\n\nevent: final\ndata: {last}\n\n"),
        ),
        (
            "several data lines",
            format!(
                "event: final\ndata: {}\n\n",
                last.to_string().replace(",\"usage\"", ",\ndata: \"usage\"")
            ),
        ),
        (
            "more after the end",
            format!("event: final\ndata: {last}\n\nevent: final\ndata: {last}\n\n"),
        ),
    ];

    for (row, text) in rows {
        let next = Provider::start(move |_, wire| wire.whole_stream(&text));
        let server = Server::with_egress(&[]);
        let answer = server.process(
            "sk-own",
            &streamed(call(hop(&next.url(), &service("chat:dummy")), "Hi")),
        );
        let (progress, last) = answer.stream();
        assert!(progress.is_empty(), "{row}: {progress:?}");
        assert_eq!(content(&last), "ok", "{row}");
    }
}
