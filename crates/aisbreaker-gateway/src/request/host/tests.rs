use http::HeaderValue;

use super::*;

fn headers(name: &HeaderName, lines: &[&str]) -> HeaderMap {
    lines
        .iter()
        .map(|line| (name.clone(), HeaderValue::from_str(line).unwrap()))
        .collect()
}

#[test]
fn the_host_is_canonical_and_one_of_ours() {
    let ours = [Host::parse("api.example.com").unwrap()];
    type Row<'a> = (&'a [&'a str], &'a [Host], Result<&'a str, HostError>);
    let rows: [Row<'_>; 8] = [
        (&["API.example.com.:3000"], &[], Ok("api.example.com")),
        (&["[::1]:3000"], &[], Ok("[::1]")),
        (&["api.example.com"], &ours, Ok("api.example.com")),
        (
            &["api.example.org"],
            &ours,
            Err(HostError::Misdirected(
                Host::parse("api.example.org").unwrap(),
            )),
        ),
        (&[], &[], Err(HostError::Invalid)),
        (&[""], &[], Err(HostError::Invalid)),
        (&["a.example", "b.example"], &[], Err(HostError::Invalid)),
        (&["a b"], &[], Err(HostError::Invalid)),
    ];
    for (lines, public_hosts, expected) in rows {
        let found = host(
            &Uri::from_static("/"),
            &headers(&HOST, lines),
            Sender::Untrusted,
            public_hosts,
        );
        assert_eq!(
            found.as_ref().map(Host::as_str).map_err(HostError::clone),
            expected,
            "{lines:?}"
        );
    }
}

#[test]
fn a_forwarded_host_counts_only_from_a_trusted_proxy() {
    let mut fields = headers(&HOST, &["inner.example"]);
    fields.insert(
        X_FORWARDED_HOST,
        HeaderValue::from_static("spoofed.example, outer.example"),
    );

    let found = |sender| {
        host(&Uri::from_static("/"), &fields, sender, &[])
            .unwrap()
            .to_string()
    };

    assert_eq!(found(Sender::TrustedProxy), "outer.example");
    assert_eq!(found(Sender::Untrusted), "inner.example");
}

#[test]
fn the_origin_has_the_port_of_the_request_where_there_is_no_proxy() {
    let rows = [
        (
            "a.example:8443",
            "https://a.example:8443",
            "https://a.example",
        ),
        ("a.example:443", "https://a.example", "https://a.example"),
        ("a.example:", "https://a.example", "https://a.example"),
        ("a.example", "https://a.example", "https://a.example"),
        ("[::1]:8443", "https://[::1]:8443", "https://[::1]"),
        ("[::1]", "https://[::1]", "https://[::1]"),
    ];
    let peer = "192.0.2.1".parse().unwrap();
    for (field, direct, behind_a_proxy) in rows {
        let fields = headers(&HOST, &[field]);
        let uri = Uri::from_static("/");
        for (has_tls_listener, expected) in [(true, direct), (false, behind_a_proxy)] {
            let policy = HostPolicy::new(Vec::new(), Vec::new(), has_tls_listener);
            let host = policy.host(peer, &uri, &fields).unwrap();
            assert_eq!(
                policy.https_origin(&host, peer, (&uri, &fields)),
                expected,
                "{field}"
            );
        }
    }
}
