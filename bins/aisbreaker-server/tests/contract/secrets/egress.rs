//! Contract sections 3 and 4: a sealed secret goes where its key and the operator allow it, and no
//! call reaches a private address unless the operator allows it.
//!
//! Where a sealed secret must not go is in [`secret_exfiltration`](super::secret_exfiltration).

use serde_json::json;

use crate::support::{
    ConfigFile, Provider, ReceivedRequest, Server, assert_error, call, hop, service, service_at,
    sse, streamed,
};

const SECRET: &str = "sk-sealed-canary-0123456789";

/// A provider that always answers `ok`.
fn provider() -> Provider {
    Provider::start(|request, wire| {
        if request.json()["stream"] == true {
            wire.whole_stream(sse(
                &json!({"choices": [{"index": 0, "delta": {"content": "ok"}, "finish_reason": "stop"}]}),
            ));
        } else {
            wire.json(
                200,
                &json!({"choices": [{"message": {"role": "assistant", "content": "ok"}}]}),
            );
        }
    })
}

fn secrets_of(received: &[ReceivedRequest]) -> Vec<&str> {
    received
        .iter()
        .map(|received| received.header("authorization").unwrap_or_default())
        .collect()
}

#[test]
fn request_may_choose_any_bound_origin_and_path() {
    let (first, second) = (provider(), provider());
    let server = Server::with_loopback_egress(&[]);
    let urls = json!([format!("{}/base", first.url()), second.url()]);
    let key = server.mint_with_secrets(
        &json!([{"serviceId": "chat:openai.com", "authSecret": SECRET, "url": urls}]),
    );
    let path = "/v1/chat/completions";
    let rows = [
        (None, &first, format!("/base{path}")),
        (Some(first.url()), &first, path.to_owned()),
        (
            Some(format!("{}/other/", first.url())),
            &first,
            format!("/other{path}"),
        ),
        (Some(second.url()), &second, path.to_owned()),
        (
            Some(format!("{}/exact#no-default-path", second.url())),
            &second,
            "/exact".to_owned(),
        ),
        (Some(second.url().to_uppercase()), &second, path.to_owned()),
    ];

    for (url, provider, target) in rows {
        let props = url.as_ref().map_or_else(
            || service("chat:openai.com"),
            |url| service_at("chat:openai.com", url),
        );
        assert_eq!(
            server.process(&key, &call(props, "Hi")).content(),
            "ok",
            "{url:?}"
        );
        let sent = provider.requests().pop().unwrap();
        assert_eq!(sent.target, target, "{url:?}");
        assert_eq!(secrets_of(&[sent]), [format!("Bearer {SECRET}")], "{url:?}");
    }
}

#[test]
fn operator_may_add_origins_for_a_service() {
    let (added, trap) = (provider(), Provider::trap());
    let text = format!(
        "[services.\"chat:openai.com\"]\norigins = [\"{}\"]\n",
        added.url()
    );
    let file = ConfigFile::new(&text);
    let server = Server::with_loopback_egress(&[("AISBREAKER_CONFIG", file.path())]);
    let key =
        server.mint_with_secrets(&json!([{"serviceId": "chat:openai.com", "authSecret": SECRET}]));

    let allowed = server.process(
        &key,
        &call(service_at("chat:openai.com", &added.url()), "Hi"),
    );
    let refused = server.process(
        &key,
        &call(service_at("chat:openai.com", &trap.url()), "Hi"),
    );

    assert_eq!(allowed.content(), "ok");
    assert_error("an origin that was not added", &refused, 403, "");
    assert_eq!(trap.connections(), 0);
}

#[test]
fn callers_own_secret_reaches_no_private_address() {
    let trap = Provider::trap();
    let port = trap.port();
    let server = Server::start(&[]);
    let sealed = server.mint_with_secrets(&json!([
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
            let hop_props = hop(&url, &service("chat:dummy"));
            for bearer in ["", "sk-own"] {
                assert_error(
                    &format!("hop to {url}"),
                    &server.process(bearer, &call(hop_props.clone(), "Hi")),
                    403,
                    "",
                );
            }
        }
    }
    for url in [trap.url(), format!("https://127.0.0.1:{port}")] {
        let body = call(service_at("chat:openai.com", &url), "Hi");
        assert_error(
            &format!("sealed for {url}"),
            &server.process(&sealed, &body),
            403,
            "",
        );
    }
    assert_eq!(trap.connections(), 0, "{:?}", trap.requests());
}

#[test]
fn refusal_ends_a_stream_with_an_error() {
    let trap = Provider::trap();
    let server = Server::start(&[]);

    let response = server.process(
        "sk-own",
        &streamed(call(service_at("chat:openai.com", &trap.url()), "Hi")),
    );

    // The stream may or may not have begun; what matters is that nothing was sent.
    let error = if response.status == 200 {
        response.stream_error().1
    } else {
        response.json()["error"].clone()
    };
    assert_eq!(error["statusCode"], 403, "{response:?}");
    assert_eq!(trap.connections(), 0);
}

#[test]
fn plain_http_to_a_public_address_is_refused() {
    let server = Server::start(&[]);

    for url in [
        "http://8.8.8.8",
        "http://8.8.8.8:443",
        "http://[2001:4860:4860::8888]",
    ] {
        let response = server.process("sk-own", &call(service_at("chat:openai.com", url), "Hi"));
        assert_error(url, &response, 403, "https");
    }
}

#[test]
fn exception_allows_only_what_it_names() {
    let (named, other) = (provider(), Provider::trap());
    let rows = [
        ("its origin", named.url(), named.url(), true),
        (
            "its origin by another host name",
            format!("http://localhost:{}", named.port()),
            named.url(),
            false,
        ),
        (
            "its host name",
            format!("http://localhost:{}", named.port()),
            format!("http://localhost:{}", named.port()),
            true,
        ),
        ("another port", named.url(), other.url(), false),
        (
            "another scheme",
            format!("https://{}", named.address()),
            named.url(),
            false,
        ),
        ("its network", "127.0.0.0/8".to_owned(), named.url(), true),
        ("its address", "127.0.0.1".to_owned(), named.url(), true),
        (
            "another network",
            "10.0.0.0/8,127.0.0.2/32".to_owned(),
            named.url(),
            false,
        ),
        (
            "the second of two",
            format!("http://10.0.0.1:81,{}", named.url()),
            named.url(),
            true,
        ),
        (
            "with spaces",
            format!(" 10.0.0.0/8 , {} ", named.url()),
            named.url(),
            true,
        ),
    ];

    for (row, exception, url, is_allowed) in rows {
        let server = Server::start(&[
            ("AISBREAKER_EGRESS_ALLOW", &exception),
            ("AISBREAKER_EGRESS_ALLOW_CALLERS", "true"),
        ]);
        let response = server.process("sk-own", &call(service_at("chat:openai.com", &url), "Hi"));
        if is_allowed {
            assert_eq!(response.content(), "ok", "{row}");
        } else {
            assert_error(row, &response, 403, "");
        }
    }
    assert_eq!(other.connections(), 0);
}

#[test]
fn secret_literals_match_only_in_full() {
    let bound = provider();
    let server = Server::with_loopback_egress(&[]);

    for secret in [
        "x{{secret}}",
        "{{ secret }}",
        "{{Secret}}",
        "INVALID ",
        "invalid",
        "INVALIDx",
    ] {
        let key = server.mint_with_secrets(&json!([
            {"serviceId": "chat:openai.com", "authSecret": secret, "url": bound.url()},
        ]));
        assert_eq!(
            server
                .process(&key, &call(service("chat:openai.com"), "Hi"))
                .content(),
            "ok",
            "{secret:?}"
        );
        let sent = bound.requests().pop().unwrap();
        assert_eq!(
            sent.header("authorization"),
            Some(format!("Bearer {secret}").trim()),
            "{secret:?}"
        );
    }
}
