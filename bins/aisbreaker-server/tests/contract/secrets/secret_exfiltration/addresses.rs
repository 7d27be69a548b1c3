//! Attempts by `service.url`.

use super::{
    CHAT, HOP, USUAL_KEY,
    harness::{ExfiltrationHarness, KeyEntries, MARK, Outcome, body, nestings, service_at},
};
use crate::support::{Request, assert_error, send_over_http2};

const PROCESS: &str = "/api/v1/process";
const PROCESS_ALPHA: &str = "/api/v1alpha1/process";

/// Keys whose secrets must not be sent to any of the [`ADDRESSES`].
const KEYS: &[(&str, KeyEntries)] = &[
    ("bound to an address", USUAL_KEY),
    (
        "bound to two addresses",
        &[(
            "",
            CHAT,
            &["https://elsewhere.example/x", "http://GOOD/base/"],
        )],
    ),
    (
        "bound to an address with an engine in it",
        &[(
            "",
            CHAT,
            &["http://GOOD/${engine}#no-default-path", "http://GOOD"],
        )],
    ),
    (
        "bound to the service's own address",
        &[("chat:", CHAT, &[]), ("aisbreaker:", HOP, &[])],
    ),
    ("for everything, without an address", &[("", CHAT, &[])]),
];

/// The services that call other addresses.
const SERVICES: [&str; 5] = [
    "chat:openai.com",
    "chat:openai.com/gpt-4",
    "chat:openai.com/org/model",
    "aisbreaker:network",
    "aisbreaker:proxy",
];

/// Values of `service.url` that lead, or that a parser may read to lead, to the trap, with the
/// expected status.
const ADDRESSES: &[(&str, u16)] = &[
    // Another host, port or scheme.
    ("http://EVIL", 403),
    ("http://EVIL/", 403),
    ("HTTP://EVIL", 403),
    ("https://EVIL", 403),
    ("https://GOOD", 403),
    ("http://127.0.0.2:GOODPORT", 403),
    ("http://localhost:GOODPORT", 403),
    ("https://elsewhere.example:444/x", 403),
    ("http://elsewhere.example/x", 403),
    ("https://elsewhere.example./x", 403),
    ("ws://EVIL", 400),
    ("ftp://EVIL", 400),
    ("gopher://EVIL", 400),
    ("file:///etc/passwd", 400),
    ("unix://EVIL", 400),
    ("javascript:http://EVIL", 400),
    ("data:text/plain,http://EVIL", 400),
    // A path, query or fragment that looks like the bound address, and the marker in the wrong
    // place.
    ("http://EVIL/#no-default-path", 403),
    ("http://EVIL/v1/chat/completions#no-default-path", 403),
    ("http://EVIL/http://GOOD", 403),
    ("http://EVIL/GOOD/", 403),
    ("http://EVIL?http://GOOD#no-default-path", 403),
    ("http://EVIL/?u=http://GOOD/#no-default-path", 403),
    ("http://EVIL#no-default-path/http://GOOD", 403),
    ("http://EVIL#no-default-path#http://GOOD", 400),
    ("http://EVIL#@GOOD", 400),
    ("http://EVIL?@GOOD", 400),
    ("http://GOOD#no-default-path@EVIL", 400),
    ("http://GOOD#no-default-path.evil.example", 400),
    ("http://127.0.0.1#no-default-path:EVILPORT", 403),
    ("http://127.0.0.1:#no-default-pathEVILPORT", 403),
    ("#no-default-pathhttp://EVIL", 400),
    ("ht#no-default-pathtp://EVIL", 400),
    ("http:/#no-default-path/EVIL", 400),
    // User names.
    ("http://GOOD@EVIL", 400),
    ("http://GOOD@EVIL/#no-default-path", 400),
    ("https://api.openai.com@EVIL", 400),
    ("https://api.openai.com:443@EVIL", 400),
    ("http://GOOD:pw@EVIL", 400),
    ("http://@EVIL", 400),
    ("http://GOOD%40EVIL", 400),
    ("http://GOOD%2f@EVIL", 400),
    ("http://GOOD\\@EVIL", 400),
    ("http://EVIL\\@GOOD", 400),
    // Slashes, spaces, line ends, and several addresses in one value.
    ("http:\\\\EVIL", 400),
    ("http:/EVIL", 400),
    ("http:EVIL", 400),
    ("http:////EVIL", 400),
    ("http://\\EVIL", 400),
    ("//EVIL", 400),
    ("\\\\EVIL", 400),
    ("/EVIL", 400),
    ("EVIL", 400),
    ("", 400),
    (" http://EVIL", 400),
    ("http://EVIL ", 400),
    ("\thttp://EVIL", 400),
    ("ht\ntp://EVIL", 400),
    ("http://EVIL\r\nHost: GOOD", 400),
    ("http://GOOD\r\nHost: EVIL", 400),
    ("http://GOOD/\r\nHost:EVIL\r\n\r\n", 400),
    ("http://EVIL\0GOOD", 400),
    ("http://EVIL\u{85}", 400),
    ("http://EVIL\u{2028}", 400),
    ("http://GOOD, http://EVIL", 400),
    ("http://GOOD http://EVIL", 400),
    ("http://GOOD,http://EVIL", 400),
    // Other spellings of the trap's address.
    ("http://localhost:EVILPORT", 403),
    ("http://LOCALHOST:EVILPORT", 403),
    ("http://localhost.:EVILPORT", 403),
    ("http://loc%61lhost:EVILPORT", 403),
    ("http://127.0.0.1.:EVILPORT", 403),
    ("http://127.1:EVILPORT", 403),
    ("http://127.0.1:EVILPORT", 403),
    ("http://2130706433:EVILPORT", 403),
    ("http://0x7f000001:EVILPORT", 403),
    ("http://0x7f.1:EVILPORT", 403),
    ("http://0177.0.0.1:EVILPORT", 403),
    ("http://017700000001:EVILPORT", 403),
    ("http://127.000.000.001:EVILPORT", 403),
    ("http://127.0.0.1%20:EVILPORT", 400),
    ("http://１２７.0.0.1:EVILPORT", 403),
    ("http://①②⑦.0.0.1:EVILPORT", 403),
    ("http://127。0。0。1:EVILPORT", 403),
    ("http://127．0．0．1:EVILPORT", 403),
    ("http://127%2e0%2e0%2e1:EVILPORT", 403),
    ("http://%31%32%37.0.0.1:EVILPORT", 403),
    ("http://127.0.0.1%2e:EVILPORT", 403),
    ("http://127.0.0.1\u{200b}:EVILPORT", 403),
    ("http://127.0.0.1\u{ad}:EVILPORT", 403),
    ("http://127.0.0.1%00:EVILPORT", 400),
    ("http://0:EVILPORT", 403),
    ("http://0.0.0.0:EVILPORT", 403),
    ("http://[::1]:EVILPORT", 403),
    ("http://[::]:EVILPORT", 403),
    ("http://[::ffff:127.0.0.1]:EVILPORT", 403),
    ("http://[::ffff:7f00:1]:EVILPORT", 403),
    ("http://[::127.0.0.1]:EVILPORT", 403),
    ("http://[64:ff9b::127.0.0.1]:EVILPORT", 403),
    ("http://[::1%25lo]:EVILPORT", 400),
    ("http://[fe80::1%lo]:EVILPORT", 400),
    ("http://127.0.0.1:GOODPORTEVILPORT", 400),
    ("http://127.0.0.1:0EVILPORT", 403),
    ("http://127.0.0.1:EVILPORT:GOODPORT", 400),
    ("http://127.0.0.1:GOODPORT:EVILPORT", 400),
    ("http://127.0.0.1:-EVILPORT", 400),
    ("http://127.0.0.1:+EVILPORT", 400),
    ("http://127.0.0.1:0", 400),
    // Names that look like the bound ones.
    ("http://GOOD.evil.example", 400),
    ("http://127.0.0.1.evil.example:GOODPORT", 403),
    ("https://api.openai.com.", 403),
    ("https://api.openai.com:444", 403),
    ("http://api.openai.com", 403),
    ("http://api.openai.com:443", 403),
    ("https://api.openai.com.evil.example", 403),
    ("https://api.openai.com%2eevil.example", 403),
    ("https://api.openai.com%2fevil.example", 400),
    ("https://evil.example/api.openai.com", 403),
    ("https://xn--pi-6kc.openai.com", 403),
    ("https://аpi.openai.com", 403),
    ("https://api.openaı.com", 403),
    ("https://api-openai.com", 403),
    ("https://openai.com", 403),
    ("https://*.openai.com", 400),
    // The engine before the path.
    ("http://${engine}", 400),
    ("http://${engine}@EVIL", 400),
    ("http://127.0.0.1:${engine}", 400),
    ("http://127.0.0.1:EVILPORT${engine}", 400),
    ("http://127.0.0.1:EVILPORT${eng#no-default-pathine}", 400),
    ("http://GOOD${engine}#no-default-path", 400),
    ("${engine}://EVIL", 400),
];

#[test]
fn sealed_secret_goes_to_no_unbound_address() {
    let harness = ExfiltrationHarness::new();

    for (kind, entries) in KEYS {
        let key = harness.key(entries);
        for (url, status) in ADDRESSES {
            for id in SERVICES {
                let properties = service_at(id, Some(url));
                // Nestings concern the filters and not the key, so one key is enough.
                let nestings = nestings(&properties)
                    .into_iter()
                    .take(if *kind == KEYS[0].0 { 5 } else { 1 });
                for ((nesting, properties), is_stream) in
                    nestings.flat_map(|nesting| [(nesting.clone(), false), (nesting, true)])
                {
                    let row = format!("{kind}: {id} at {url:?}, {nesting}, stream: {is_stream}");
                    let path = if is_stream { PROCESS_ALPHA } else { PROCESS };
                    let request = Request::post(path, harness.fill(&body(&properties, is_stream)))
                        .bearer(&key);
                    let response = harness.attempt(&row, &request, &key, Outcome::NoCall(*status));
                    // A refused stream has not begun, so the response is a plain error.
                    assert_error(&row, &response, *status, "");
                    let bound_port = harness.provider.port().to_string();
                    assert!(
                        !response.text_without_id().contains(&bound_port)
                            || harness.fill(url).contains(&bound_port),
                        "{row} reveals the bound address: {response:?}"
                    );
                }
            }
        }
    }

    harness.assert_untouched();
    assert_eq!(
        harness.provider.connections(),
        0,
        "requests to the provider: {:?}",
        harness.provider.requests()
    );
}

#[test]
fn sealed_secret_goes_to_no_unbound_address_over_http2() {
    let harness = ExfiltrationHarness::new();
    let key = harness.key(USUAL_KEY);
    let rows: Vec<(&str, u16, &str)> = ADDRESSES
        .iter()
        .flat_map(|(url, status)| SERVICES.map(|id| (*url, *status, id)))
        .collect();
    let requests = rows.iter().enumerate().map(|(index, (url, _, id))| {
        let body = harness.fill(&body(&service_at(id, Some(url)), index % 2 == 0));
        let request = hyper::Request::post(format!("http://localhost{PROCESS}"));
        request
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {key}"))
            .header("x-forwarded-host", harness.trap.address().to_string())
            .body(body)
            .unwrap()
    });

    let responses = send_over_http2(&harness.server, requests.collect());

    for ((url, status, id), (head, body)) in rows.iter().zip(&responses) {
        assert_eq!(head.status.as_u16(), *status, "{id} at {url:?}: {body}");
        assert!(!body.contains(MARK), "{id} at {url:?}: {body}");
    }
    assert_eq!(responses.len(), rows.len());
    harness.assert_untouched();
    assert_eq!(harness.provider.connections(), 0);
}
