//! Limits on requests in the providers' own fields: of the key's and the provider's, the one with
//! less remaining.

use serde_json::json;

use crate::support::{
    Provider, Request, Response, Server, grant,
    provider_api::{CHAT, MESSAGES, post_with_key},
    quotas,
};

const OPENAI: [&str; 3] = [
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
];
const ANTHROPIC: [&str; 3] = [
    "anthropic-ratelimit-requests-limit",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-requests-reset",
];

/// Starts a provider that reports the limits of the body that it is sent.
fn limited_provider() -> Provider {
    Provider::start(|request, wire| {
        let body = request.json();
        let fields = body["fields"].as_object().expect("fields");
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (&**name, value.as_str().expect("text")))
            .collect();
        wire.respond(200, &fields, "{}");
    })
}

/// Makes the first call of a new key with 50 requests a minute.
fn first_call(
    server: &Server,
    provider: &Provider,
    path: &str,
    fields: &[(&str, &str)],
) -> Response {
    let secret = |id: &str| json!({"serviceId": id, "authSecret": "s", "url": provider.url()});
    let secrets = json!([secret("chat:openai.com"), secret("chat:anthropic.com")]);
    let limits = quotas([50, 1_000, 1_000], [1_000; 3]);
    let key = server.mint(&grant(&limits, &secrets));
    let fields: serde_json::Map<_, _> = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    let body = json!({"model": "m", "fields": fields}).to_string();
    let response = server.send(&post_with_key(path, &key, body));
    assert_eq!(response.status, 200, "{}", response.text());
    response
}

fn limits<'a>(response: &'a Response, names: [&str; 3]) -> [Option<&'a str>; 3] {
    names.map(|name| response.header(name))
}

#[test]
fn tighter_limit_is_reported_whole() {
    let provider = limited_provider();
    let server = Server::with_loopback_egress(&[]);
    let rows: [(&str, [&str; 3], bool); 9] = [
        ("tighter", ["60", "7", "6m0s"], true),
        ("spent", ["60", "0", "20ms"], true),
        ("equal", ["60", "49", "1s"], true),
        ("wider", ["10000", "9999", "6ms"], false),
        ("negative", ["60", "-1", "1s"], false),
        ("no number", ["60", "few", "1s"], false),
        ("no limit", ["lots", "7", "1s"], false),
        ("no reset", ["60", "7", "soon"], false),
        ("too large", ["60", "99999999999999999999999", "1s"], false),
    ];
    for (row, values, is_providers) in rows {
        for path in [CHAT, MESSAGES] {
            let fields: Vec<_> = OPENAI.into_iter().zip(values).collect();
            let response = first_call(&server, &provider, path, &fields);
            let reported = limits(&response, OPENAI);
            if is_providers {
                assert_eq!(reported, values.map(Some), "{row} {path}");
            } else {
                assert_eq!(reported[..2], [Some("50"), Some("49")], "{row} {path}");
                assert_ne!(reported[2], Some(values[2]), "{row} {path}");
            }
            assert!(response.header("ratelimit").is_some(), "{row} {path}");
        }
    }
}

#[test]
fn tighter_limit_replaces_one_of_anthropic() {
    let provider = limited_provider();
    let server = Server::with_loopback_egress(&[]);
    let reset = "2099-01-02T03:04:05Z";
    let rows: [(&str, [&str; 3], bool); 3] = [
        ("tighter", ["60", "7", reset], true),
        ("wider", ["4000", "3999", reset], false),
        ("malformed", ["60", "", reset], false),
    ];
    for (row, values, is_providers) in rows {
        let mut fields: Vec<_> = ANTHROPIC.into_iter().zip(values).collect();
        fields.push(("anthropic-ratelimit-tokens-remaining", "1"));
        let response = first_call(&server, &provider, MESSAGES, &fields);
        let reported = limits(&response, ANTHROPIC);
        if is_providers {
            assert_eq!(reported, values.map(Some), "{row}");
        } else {
            assert_eq!(reported[..2], [Some("50"), Some("49")], "{row}");
            let own_reset = reported[2].expect("a time");
            assert!(
                own_reset < reset && own_reset.len() == reset.len(),
                "{own_reset}"
            );
            assert!(
                own_reset.contains('T') && own_reset.ends_with('Z'),
                "{own_reset}"
            );
        }
        assert_eq!(limits(&response, OPENAI)[..2], [Some("50"), Some("49")]);
        let tokens = response.header("anthropic-ratelimit-tokens-remaining");
        assert_eq!(tokens, Some("1"), "{row}");
    }
    let without = first_call(&server, &provider, MESSAGES, &[]);
    assert_eq!(limits(&without, ANTHROPIC), [None; 3]);
}

#[test]
fn model_list_reports_the_limit_of_the_key() {
    let provider = Provider::start(|_, wire| {
        wire.respond(200, &[(OPENAI[1], "3")], r#"{"data":[]}"#);
    });
    let server = Server::with_loopback_egress(&[]);
    let secret = json!({"serviceId": "chat:openai.com", "authSecret": "s", "url": provider.url()});
    let key = server.mint(&grant(&quotas([50; 3], [1_000; 3]), &json!([secret])));

    let response = server.send(&Request::get("/v1/models").bearer(&key));

    assert_eq!(limits(&response, OPENAI)[..2], [Some("50"), Some("49")]);
}
