//! Contract sections 3 and 4, and what the server promises about secrets: a sealed secret goes where its key
//! says and nowhere else, and no call goes to a private address unless the operator allows it.

use serde_json::{Value, json};

use crate::support::{
    ConfigFile, Provider, Received, Server, assert_error, call, hop, service, service_at, sse, streamed,
};

const SECRET: &str = "sk-sealed-canary-0123456789";

fn provider() -> Provider {
    Provider::start(|received, wire| {
        if received.json()["stream"] == true {
            wire.whole_stream(sse(
                &json!({"choices": [{"index": 0, "delta": {"content": "ok"}, "finish_reason": "stop"}]}),
            ));
        } else {
            wire.json(200, &json!({"choices": [{"message": {"role": "assistant", "content": "ok"}}]}));
        }
    })
}

fn secrets_of(received: &[Received]) -> Vec<&str> {
    received.iter().map(|received| received.header("authorization").unwrap_or_default()).collect()
}

/// A call in all the ways in which it can reach the service.
fn all_ways(props: &Value) -> Vec<(&'static str, Value)> {
    let behind = |id: &str| json!({"serviceId": id, "forward2ServiceProps": props});
    vec![
        ("directly", call(props.clone(), "Hi")),
        ("streamed", streamed(call(props.clone(), "Hi"))),
        ("behind nop", call(behind("aisbreaker:nop"), "Hi")),
        ("behind mirror, streamed", streamed(call(behind("aisbreaker:mirror"), "Hi"))),
        ("behind logging", call(behind("aisbreaker:logging"), "Hi")),
    ]
}

/// Addresses that lead, or might be read to lead, from the bound provider to the trap.
fn tricks(bound: &Provider, trap: &Provider) -> Vec<String> {
    let (good, evil) = (bound.address(), trap.address());
    let (good_port, evil_port) = (bound.port(), trap.port());
    let mut tricks: Vec<String> = [
        format!("http://{evil}"),
        format!("http://{evil}/"),
        format!("HTTP://{evil}"),
        format!("http://{evil}/#no-default-path"),
        format!("http://{evil}/v1/chat/completions#no-default-path"),
        format!("http://{evil}/http://{good}"),
        format!("http://{evil}/{good}/"),
        format!("http://{evil}?http://{good}#no-default-path"),
        format!("http://{evil}/?u=http://{good}/#no-default-path"),
        format!("http://{evil}#no-default-path#http://{good}"),
        format!("http://{evil}#@{good}"),
        format!("http://{good}@{evil}"),
        format!("http://{good}@{evil}/#no-default-path"),
        format!("http://{good}:pw@{evil}"),
        format!("http://{good}%40{evil}"),
        format!("http://{good}%2f@{evil}"),
        format!("http://{good}\\@{evil}"),
        format!("http://{evil}\\@{good}"),
        format!("http:\\\\{evil}"),
        format!("http:/{evil}"),
        format!("http:{evil}"),
        format!("http:////{evil}"),
        format!("//{evil}"),
        format!("\\\\{evil}"),
        evil.to_string(),
        format!(" http://{evil}"),
        format!("http://{evil} "),
        format!("\thttp://{evil}"),
        format!("ht\ntp://{evil}"),
        format!("http://{evil}\r\nHost: {good}"),
        format!("http://{evil}\0{good}"),
        format!("http://{good}, http://{evil}"),
        format!("http://{good} http://{evil}"),
        format!("http://localhost:{evil_port}"),
        format!("http://LOCALHOST:{evil_port}"),
        format!("http://localhost.:{evil_port}"),
        format!("http://127.1:{evil_port}"),
        format!("http://2130706433:{evil_port}"),
        format!("http://0x7f000001:{evil_port}"),
        format!("http://0177.0.0.1:{evil_port}"),
        format!("http://127.0.0.1.:{evil_port}"),
        format!("http://127.000.000.001:{evil_port}"),
        format!("http://１２７.0.0.1:{evil_port}"),
        format!("http://127。0。0。1:{evil_port}"),
        format!("http://0:{evil_port}"),
        format!("http://0.0.0.0:{evil_port}"),
        format!("http://[::1]:{evil_port}"),
        format!("http://[::ffff:127.0.0.1]:{evil_port}"),
        format!("http://[::ffff:7f00:1]:{evil_port}"),
        format!("https://{evil}"),
        format!("ws://{evil}"),
        format!("ftp://{evil}"),
        format!("gopher://{evil}"),
        format!("javascript:http://{evil}"),
        format!("http://127.0.0.1:{good_port}{evil_port}"),
        format!("http://127.0.0.1:0{evil_port}"),
        format!("http://127.0.0.1:{evil_port}:{good_port}"),
        format!("http://127.0.0.1:{good_port}:{evil_port}"),
        "http://127.0.0.1:${engine}".to_owned(),
        "http://${engine}".to_owned(),
        format!("http://127.0.0.2:{good_port}"),
        format!("http://localhost:{good_port}"),
        format!("https://{good}"),
        format!("http://{good}.evil.example"),
        "https://api.openai.com".to_owned(),
        "https://api.openai.com.evil.example".to_owned(),
    ]
    .into();
    tricks.extend(
        ["\u{200b}", "\u{ad}", "%00", "%2e"].map(|mark| format!("http://127.0.0.1{mark}:{evil_port}")),
    );
    tricks
}

#[test]
fn a_sealed_secret_goes_where_its_key_says_and_nowhere_else() {
    let (bound, trap) = (provider(), Provider::trap());
    let server = Server::with_egress(&[]);
    let key = server.mint_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": SECRET, "url": bound.url()},
    ]));

    for url in tricks(&bound, &trap) {
        for (way, body) in all_ways(&service_at("chat:openai.com", &url)) {
            let row = format!("{url:?} {way}");
            let answer = server.process(&key, &body);
            assert!(matches!(answer.status, 400 | 403), "{row}: {answer:?}");
            assert_error(&row, &answer, answer.status, "");
            assert!(!answer.text().contains(SECRET), "{row}: {answer:?}");
            assert!(
                !answer.text().contains(&bound.port().to_string()) || url.contains(&bound.port().to_string()),
                "{row} tells where the key is bound to: {answer:?}"
            );
        }
    }

    assert_eq!(trap.connections(), 0, "somebody called the trap: {:?}", trap.requests());
    assert_eq!(bound.connections(), 0, "somebody called the provider: {:?}", bound.requests());
}

#[test]
fn other_origins_are_forbidden_rather_than_misunderstood() {
    let (bound, trap) = (provider(), Provider::trap());
    let server = Server::with_egress(&[]);
    let key = server.mint_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": SECRET, "url": bound.url()},
    ]));
    let rows = [
        trap.url(),
        format!("{}/#no-default-path", trap.url()),
        format!("https://{}", bound.address()),
        format!("http://localhost:{}", bound.port()),
        "https://api.openai.com".to_owned(),
        "https://elsewhere.example/x".to_owned(),
    ];

    for url in rows {
        for (way, body) in all_ways(&service_at("chat:openai.com", &url)) {
            assert_error(&format!("{url} {way}"), &server.process(&key, &body), 403, "");
        }
    }
    assert_eq!((bound.connections(), trap.connections()), (0, 0));
}

#[test]
fn a_request_may_choose_among_the_bound_origins_and_their_paths() {
    let (first, second) = (provider(), provider());
    let server = Server::with_egress(&[]);
    let urls = json!([format!("{}/base", first.url()), second.url()]);
    let key =
        server.mint_secrets(&json!([{"serviceId": "chat:openai.com", "authSecret": SECRET, "url": urls}]));
    let path = "/v1/chat/completions";
    let rows = [
        (None, &first, format!("/base{path}")),
        (Some(first.url()), &first, path.to_owned()),
        (Some(format!("{}/other/", first.url())), &first, format!("/other{path}")),
        (Some(second.url()), &second, path.to_owned()),
        (Some(format!("{}/exact#no-default-path", second.url())), &second, "/exact".to_owned()),
        (Some(second.url().to_uppercase()), &second, path.to_owned()),
    ];

    for (url, provider, target) in rows {
        let props =
            url.as_ref().map_or_else(|| service("chat:openai.com"), |url| service_at("chat:openai.com", url));
        assert_eq!(server.process(&key, &call(props, "Hi")).content(), "ok", "{url:?}");
        let sent = provider.requests().pop().unwrap();
        assert_eq!(sent.target, target, "{url:?}");
        assert_eq!(secrets_of(&[sent]), [format!("Bearer {SECRET}")], "{url:?}");
    }
}

#[test]
fn a_secret_without_an_address_is_bound_to_the_services_own() {
    let trap = Provider::trap();
    let server = Server::with_egress(&[]);
    let key = server.mint_secrets(&json!([{"serviceId": "chat:openai.com", "authSecret": SECRET}]));

    for (way, body) in all_ways(&service_at("chat:openai.com", &trap.url())) {
        assert_error(way, &server.process(&key, &body), 403, "");
    }
    assert_eq!(trap.connections(), 0);
}

#[test]
fn a_sealed_secret_for_other_servers_needs_an_address_in_its_key() {
    let trap = Provider::trap();
    let server = Server::with_egress(&[]);
    let hop = hop(&trap.url(), &service("chat:dummy"));
    let mut alias = hop.clone();
    alias["serviceId"] = json!("aisbreaker:proxy");
    for pattern in ["aisbreaker:network", "aisbreaker:", "", "aisbreaker:proxy"] {
        let key = server.mint_secrets(&json!([{"serviceId": pattern, "authSecret": SECRET}]));
        for props in [&hop, &alias] {
            let answer = server.process(&key, &call(props.clone(), "Hi"));
            assert!(!answer.text().contains(SECRET), "{answer:?}");
        }
    }
    for sent in trap.requests() {
        assert_eq!(
            sent.header("authorization"),
            None,
            "a sealed secret was sent to a server that its key does not name"
        );
    }

    let key = server.mint_secrets(&json!([{"serviceId": "aisbreaker:network", "authSecret": SECRET}]));
    let before = trap.connections();
    assert_error("unbound", &server.process(&key, &call(hop, "Hi")), 403, "");
    assert_eq!(trap.connections(), before);
}

#[test]
fn the_operator_may_add_origins_for_a_service() {
    let (added, trap) = (provider(), Provider::trap());
    let text = format!("[services.\"chat:openai.com\"]\norigins = [\"{}\"]\n", added.url());
    let file = ConfigFile::new(&text);
    let server = Server::with_egress(&[("AISBREAKER_CONFIG", file.path())]);
    let key = server.mint_secrets(&json!([{"serviceId": "chat:openai.com", "authSecret": SECRET}]));

    let allowed = server.process(&key, &call(service_at("chat:openai.com", &added.url()), "Hi"));
    let refused = server.process(&key, &call(service_at("chat:openai.com", &trap.url()), "Hi"));

    assert_eq!(allowed.content(), "ok");
    assert_error("not added", &refused, 403, "");
    assert_eq!(trap.connections(), 0);
}

#[test]
fn the_callers_own_secret_goes_to_no_private_address() {
    let trap = Provider::trap();
    let port = trap.port();
    let server = Server::start(&[]);
    let sealed = server.mint_secrets(&json!([
        {
            "serviceId": "chat:openai.com", "authSecret": SECRET,
            "url": [trap.url(), format!("https://127.0.0.1:{port}")],
        },
    ]));
    let hosts = [
        "127.0.0.1",
        "127.0.0.2",
        "127.1",
        "localhost",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "[fe80::1]",
        "[fd00::1]",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[ff02::1]",
        "[2001:db8::1]",
    ];

    for host in hosts {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}");
            let body = call(service_at("chat:openai.com", &url), "Hi");
            assert_error(&url, &server.process("sk-own", &body), 403, "");
            let hop = hop(&url, &service("chat:dummy"));
            for bearer in ["", "sk-own"] {
                assert_error(
                    &format!("hop to {url}"),
                    &server.process(bearer, &call(hop.clone(), "Hi")),
                    403,
                    "",
                );
            }
        }
    }
    for url in [trap.url(), format!("https://127.0.0.1:{port}")] {
        let body = call(service_at("chat:openai.com", &url), "Hi");
        assert_error(&format!("sealed for {url}"), &server.process(&sealed, &body), 403, "");
    }
    assert_eq!(trap.connections(), 0, "{:?}", trap.requests());
}

#[test]
fn a_refusal_by_the_egress_guard_ends_a_stream_in_an_error() {
    let trap = Provider::trap();
    let server = Server::start(&[]);

    let answer = server.process("sk-own", &streamed(call(service_at("chat:openai.com", &trap.url()), "Hi")));

    // Whether the stream had begun is not the caller's concern; that nothing was sent is.
    let error = if answer.status == 200 { answer.stream_error().1 } else { answer.json()["error"].clone() };
    assert_eq!(error["statusCode"], 403, "{answer:?}");
    assert_eq!(trap.connections(), 0);
}

#[test]
fn plain_http_to_a_public_address_is_refused() {
    let server = Server::start(&[]);

    for url in ["http://8.8.8.8", "http://8.8.8.8:443", "http://[2001:4860:4860::8888]"] {
        let answer = server.process("sk-own", &call(service_at("chat:openai.com", url), "Hi"));
        assert_error(url, &answer, 403, "https");
    }
}

#[test]
fn an_exception_allows_what_it_names_and_no_more() {
    let (named, other) = (provider(), Provider::trap());
    let rows = [
        ("its origin", named.url(), named.url(), true),
        ("its origin by another name", format!("http://localhost:{}", named.port()), named.url(), false),
        (
            "its name",
            format!("http://localhost:{}", named.port()),
            format!("http://localhost:{}", named.port()),
            true,
        ),
        ("another port", named.url(), other.url(), false),
        ("another scheme", format!("https://{}", named.address()), named.url(), false),
        ("its network", "127.0.0.0/8".to_owned(), named.url(), true),
        ("its address", "127.0.0.1".to_owned(), named.url(), true),
        ("another network", "10.0.0.0/8,127.0.0.2/32".to_owned(), named.url(), false),
        ("the second of two", format!("http://10.0.0.1:81,{}", named.url()), named.url(), true),
        ("with spaces", format!(" 10.0.0.0/8 , {} ", named.url()), named.url(), true),
    ];

    for (row, exception, url, is_allowed) in rows {
        let server = Server::start(&[("AISBREAKER_EGRESS_ALLOW", &exception)]);
        let answer = server.process("sk-own", &call(service_at("chat:openai.com", &url), "Hi"));
        if is_allowed {
            assert_eq!(answer.content(), "ok", "{row}");
        } else {
            assert_error(row, &answer, 403, "");
        }
    }
    assert_eq!(other.connections(), 0);
}

#[test]
fn redirects_are_not_followed() {
    let trap = Provider::trap();
    let location = format!("{}/stolen", trap.url());
    let server = Server::with_egress(&[]);

    for status in [301, 302, 303, 307, 308] {
        let location = location.clone();
        let redirecting = Provider::start(move |_, wire| {
            wire.answer(status, &[("Location", &location), ("Content-Type", "text/event-stream")], "");
        });
        let key = server.mint_secrets(&json!([
            {"serviceId": "chat:openai.com", "authSecret": SECRET, "url": redirecting.url()},
        ]));
        let hop = hop(&redirecting.url(), &service("chat:dummy"));
        for (bearer, props) in [(&*key, service("chat:openai.com")), ("sk-own", hop)] {
            let answer = server.process(bearer, &call(props.clone(), "Hi"));
            assert_error(&status.to_string(), &answer, 502, "");
            assert!(!answer.text().contains("stolen"), "{answer:?}");
            let (_, error) = server.process(bearer, &streamed(call(props, "Hi"))).stream_error();
            assert_eq!(error["statusCode"], 502, "{status}, streamed");
        }
        assert_eq!(redirecting.requests().len(), 4, "{status}: each call is made once");
    }
    assert_eq!(trap.connections(), 0);
}

#[test]
fn proxies_in_the_environment_are_not_asked() {
    let (bound, trap) = (provider(), Provider::trap());
    let proxy = trap.url();
    let server = Server::with_egress(&[
        ("HTTP_PROXY", &proxy),
        ("http_proxy", &proxy),
        ("HTTPS_PROXY", &proxy),
        ("ALL_PROXY", &proxy),
    ]);
    let key = server.mint_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": SECRET, "url": bound.url()},
    ]));

    assert_eq!(server.process(&key, &call(service("chat:openai.com"), "Hi")).content(), "ok");

    assert_eq!((bound.requests().len(), trap.connections()), (1, 0));
}

#[test]
fn a_key_that_stands_for_the_callers_own_secret_sends_itself_where_the_caller_says() {
    // The caller knows its key, so this gives nothing away; the other secrets in it stay sealed.
    let next = Provider::with_answer(
        200,
        json!({"outputs": [], "usage": {"service": {"serviceId": "chat:dummy"}, "totalMilliseconds": 1}}),
    );
    let server = Server::with_egress(&[]);
    let key = server.mint_secrets(&json!([
        {"serviceId": "aisbreaker:network", "authSecret": "{{secret}}"},
        {"serviceId": "chat:openai.com", "authSecret": SECRET},
    ]));
    let hop = hop(&next.url(), &service("chat:openai.com"));

    assert_eq!(server.process(&key, &call(hop, "Hi")).status, 200);

    let sent = next.sole_request();
    assert_eq!(sent.header("authorization"), Some(&*format!("Bearer {key}")));
    assert!(!format!("{sent:?}").contains(SECRET) && !String::from_utf8_lossy(&sent.body).contains(SECRET));
}

#[test]
fn the_literal_is_a_literal_only_as_a_whole() {
    let bound = provider();
    let server = Server::with_egress(&[]);

    for secret in ["x{{secret}}", "{{ secret }}", "{{Secret}}", "INVALID ", "invalid", "INVALIDx"] {
        let key = server.mint_secrets(&json!([
            {"serviceId": "chat:openai.com", "authSecret": secret, "url": bound.url()},
        ]));
        assert_eq!(
            server.process(&key, &call(service("chat:openai.com"), "Hi")).content(),
            "ok",
            "{secret:?}"
        );
        let sent = bound.requests().pop().unwrap();
        assert_eq!(sent.header("authorization"), Some(format!("Bearer {secret}").trim()), "{secret:?}");
    }
}
