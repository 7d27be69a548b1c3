//! Secrets are planted wherever secrets can be, the server is driven through all its paths, and no
//! fragment of a secret, in any encoding, appears in the log, on standard output, or in a response.

mod harness;
mod requests;

use serde_json::json;

use self::harness::{FAULTS, LeakHarness, leaking_provider, planted};
use crate::support::{
    Canaries, ConfigFile, Request, base64, call, dummy_call, hop, run, send_over_http2, service_at,
    streamed,
};

/// A log filter that includes everything that the libraries trace.
const TRACE_LIBRARIES: &str = "trace,hyper=trace,hyper_util=trace,h2=trace,mio=trace";

#[test]
fn secrets_in_provider_errors_are_not_repeated() {
    let provider = leaking_provider();
    for (format, filter) in [("json", "trace"), ("text", TRACE_LIBRARIES)] {
        let harness = LeakHarness::new(format, filter, &provider);
        for fault in FAULTS {
            let openai = service_at("chat:openai.com", &format!("{}/{fault}", provider.url()));
            let nested = ["aisbreaker:mirror", "aisbreaker:logging"].iter().fold(
                openai.clone(),
                |inner, id| json!({"serviceId": id, "forward2ServiceProps": inner}),
            );
            let rows = [
                ("with a key", &*harness.key, &openai),
                ("with the caller's own", planted::CALLERS, &openai),
                ("with the default key", "", &openai),
                ("behind other services", &harness.key, &nested),
                (
                    "through the network",
                    &harness.hop_key,
                    &hop(&harness.other.url(), &openai),
                ),
                (
                    "through the network, with the caller's own",
                    planted::CALLERS,
                    &hop(&harness.other.url(), &nested),
                ),
            ];
            // One call that times out is enough.
            let calls = if fault == "slow" { 1 } else { rows.len() };
            for (row, bearer, service) in rows.into_iter().take(calls) {
                for body in [
                    call(service.clone(), "Hi"),
                    streamed(call(service.clone(), "Hi")),
                ] {
                    let request = Request::process(&body).bearer(bearer);
                    let response = harness.send(&format!("{fault} {row}"), &request);
                    let is_success =
                        response.status == 200 && !response.text().contains("event: error");
                    assert_eq!(is_success, fault == "good", "{fault} {row}: {response:?}");
                }
            }
        }
        let sent = provider.requests();
        for secret in [planted::SEALED, planted::CALLERS] {
            let bearer = format!("Bearer {secret}");
            assert!(
                sent.iter()
                    .any(|request| request.header("authorization") == Some(&bearer)),
                "{secret} was not sent"
            );
        }
        harness.end(format);
    }
}

#[test]
fn no_route_or_error_reveals_a_secret() {
    let provider = leaking_provider();
    for (format, filter) in [("text", "trace"), ("json", TRACE_LIBRARIES)] {
        let harness = LeakHarness::new(format, filter, &provider);
        for (row, status, request) in requests::all(&harness, &provider) {
            harness.expect(row, status, &request);
            // The row holds for callers without credentials. Others may get another response, but
            // no secret either.
            for bearer in [planted::CALLERS, &harness.key, &harness.altered] {
                harness.send(row, &request.clone().bearer(bearer));
            }
        }
        harness.end(format);
    }
}

#[test]
fn no_way_of_sending_a_key_reveals_it() {
    let provider = leaking_provider();
    for format in ["json", "text"] {
        let harness = LeakHarness::new(format, "trace", &provider);
        for (row, status, request) in requests::with_keys(&harness) {
            harness.expect(row, status, &request);
        }
        let mut broken = harness.server.connect();
        broken.write(
            format!(
                "GET / HTTP/1.1\r\nAuthorization Bearer {}\r\n\r\n",
                harness.key
            )
            .as_bytes(),
        );
        harness
            .canaries
            .assert_not_in("the response to a broken head", broken.read_to_end());
        harness.end(format);
    }
}

#[test]
fn http2_responses_reveal_no_secret() {
    let provider = leaking_provider();
    let harness = LeakHarness::new(
        "json",
        "trace,hyper=trace,hyper_util=trace,h2=trace",
        &provider,
    );
    let dummy = dummy_call();
    let openai = |fault: &str| {
        call(
            service_at("chat:openai.com", &format!("{}/{fault}", provider.url())),
            "Hi",
        )
    };
    let mut requests = Vec::new();
    for bearer in [
        planted::CALLERS,
        &harness.key,
        &harness.altered,
        &harness.expired,
        &harness.foreign,
    ] {
        for body in [
            dummy.clone(),
            streamed(dummy.clone()),
            openai("401"),
            streamed(openai("halfway")),
            json!([bearer]),
        ] {
            for path in ["/api/v1/process", "/api/v1/oauth/token", "/nowhere"] {
                let request =
                    hyper::Request::post(format!("http://localhost{path}?key={}", planted::COOKIE))
                        .header("content-type", "application/json")
                        .header("authorization", format!("Bearer {bearer}"))
                        .header("cookie", planted::COOKIE);
                requests.push(request.body(body.to_string()).unwrap());
            }
        }
    }

    for (head, body) in send_over_http2(&harness.server, requests) {
        harness.canaries.assert_not_in(
            "a response",
            format!("{head:?}\n{:?}\n{body}", head.headers),
        );
    }
    harness.end("HTTP/2");
}

#[test]
fn no_log_level_reveals_a_secret() {
    let provider = leaking_provider();
    for filter in ["error", "warn", "info", "debug"] {
        let harness = LeakHarness::new(
            "text",
            &format!("{filter},aisbreaker_gateway=info,aisbreaker_server=info"),
            &provider,
        );
        for fault in ["401", "halfway", "malformed"] {
            let openai = service_at("chat:openai.com", &format!("{}/{fault}", provider.url()));
            for bearer in [planted::CALLERS, &harness.key, &harness.altered] {
                harness.send(
                    filter,
                    &Request::process(&streamed(call(openai.clone(), "Hi"))).bearer(bearer),
                );
            }
        }
        harness.end(filter);
    }
}

/// Variables that a phrase makes invalid, and one that is no setting.
const VARIABLES: [&str; 16] = [
    "AISBREAKER_LISTEN",
    "PORT",
    "DEFAULT_AISBREAKER_API_KEY",
    "AISBREAKER_PUBLIC_HOSTS",
    "AISBREAKER_TRUSTED_PROXIES",
    "AISBREAKER_EGRESS_ALLOW",
    "AISBREAKER_SERVER_QUOTAS",
    "AISBREAKER_DEFAULT_QUOTAS",
    "AISBREAKER_MINT_QUOTAS",
    "AISBREAKER_MAX_EXPIRATION",
    "AISBREAKER_MAX_BODY_BYTES",
    "AISBREAKER_HEADER_TIMEOUT",
    "AISBREAKER_MAX_CONNECTIONS",
    "AISBREAKER_LOG_FORMAT",
    "AISBREAKER_CONFIG",
    "AISBREAKER_NO_SETTING",
];

#[test]
fn failed_start_reveals_no_secret() {
    let mut canaries = Canaries::default();
    let (short, sealing) = ("Zk7#qW2", planted::SEALING);
    canaries.plant("the sealing phrase", sealing);
    canaries.plant("the opening phrase", planted::OPENING);
    let file = ConfigFile::new(&format!(
        "listen = \"{sealing}\"\ndefault_api_key = \"{sealing}\"\n[keys]\nsealing = [\"{sealing}\"]\nopening = \"{sealing}\"\n\
         [egress]\nallow = \"{sealing}\"\n[quotas]\nserver = \"{sealing}\"\ndefault = {{x = \"{sealing}\"}}\n\
         [services.\"chat:openai.com\"]\norigins = [\"{sealing}\"]\nengine = [\"{sealing}\"]\nx = \"{sealing}\"\n"
    ));
    let broken = ConfigFile::new(&format!(
        "[keys]\nsealing = \"{sealing}\nopening = {}\n",
        planted::OPENING
    ));
    let duplicate = ConfigFile::new(&format!(
        "[keys]\nsealing = \"{sealing}\"\nsealing = \"{}\"\n",
        planted::OPENING
    ));
    let all_variables: Vec<(&str, &str)> = VARIABLES.iter().map(|name| (*name, sealing)).collect();
    let opening_phrases = format!("{} {}", planted::OPENING, short);
    let keys = [
        ("AUTH_ENCRYPTION_KEYPHRASE", sealing),
        ("AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES", &*opening_phrases),
    ];
    let listen = [("AISBREAKER_LISTEN", sealing)];
    type Row<'a> = (&'a str, Vec<&'a str>, Vec<(&'a str, &'a str)>);
    let rows: [Row<'_>; 9] = [
        (
            "wrong variables",
            vec![],
            [&keys[..], &all_variables].concat(),
        ),
        (
            "a short phrase",
            vec![],
            vec![("AUTH_ENCRYPTION_KEYPHRASE", short), keys[1], listen[0]],
        ),
        ("a wrong file", vec!["--config", file.path()], keys.to_vec()),
        (
            "a broken file",
            vec!["--config", broken.path()],
            keys.to_vec(),
        ),
        (
            "a file that repeats itself",
            vec!["--config", duplicate.path()],
            keys.to_vec(),
        ),
        (
            "no such file",
            vec!["--config", "/nowhere/at/all.toml"],
            keys.to_vec(),
        ),
        ("a wrong flag", vec!["--listen", sealing], keys.to_vec()),
        ("help", vec!["--help"], keys.to_vec()),
        ("version", vec!["--version"], keys.to_vec()),
    ];

    for (row, arguments, environment) in rows {
        let output = run(&arguments, &environment);
        let output_bytes = [output.stdout, output.stderr].concat();
        assert!(
            !output_bytes.is_empty()
                && output.status.success() == matches!(row, "help" | "version"),
            "{row}"
        );
        assert!(
            !String::from_utf8_lossy(&output_bytes).contains(short),
            "{row}: the short phrase is shown"
        );
        canaries.assert_not_in(row, &output_bytes);
    }
}

#[test]
fn search_finds_a_secret_in_any_encoding() {
    let mut canaries = Canaries::default();
    canaries.plant("a secret", planted::SEALED);
    let bytes = planted::SEALED.as_bytes();
    let encodings = [
        planted::SEALED.to_owned(),
        planted::SEALED[7..19].to_owned(),
        planted::SEALED.to_lowercase(),
        json!(planted::SEALED).to_string(),
        format!("{:?}", planted::SEALED),
        format!("{bytes:?}"),
        bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        base64::encode(bytes),
        base64::encode(&[b"x", bytes].concat()),
        base64::encode(&[b"user:", bytes].concat()),
    ];
    for encoding in encodings {
        for offset in 0..5 {
            let text = format!("{}{encoding} and more", ".".repeat(offset));
            assert!(
                !canaries.found_in(text.as_bytes()).is_empty(),
                "{encoding} is not found"
            );
        }
    }
    assert_eq!(
        canaries.found_in(&bytes[7..18]),
        Vec::<String>::new(),
        "11 bytes are no fragment"
    );
}

#[test]
fn forwarded_responses_leave_no_secret_in_the_log() {
    let provider = leaking_provider();
    for (format, filter) in [("json", "trace"), ("text", TRACE_LIBRARIES)] {
        let harness = LeakHarness::new(format, filter, &provider);
        for fault in FAULTS {
            let services = json!([
                {"serviceId": "chat:openai.com", "authSecret": planted::SEALED,
                 "url": format!("{}/{fault}", provider.url()), "fallback": "chat:groq.com/m"},
                {"serviceId": "chat:groq.com", "authSecret": planted::CALLERS,
                 "url": format!("{}/{fault}", provider.url())},
            ]);
            // The bodies of these responses are the provider's, which may repeat the secret that it
            // was sent.
            let key = harness.mint(&services);
            let calls = if fault == "slow" { 1 } else { 3 };
            let rows = [
                Request::new("POST", "/v1/chat/completions").json(&json!({"model": "m"})),
                Request::get("/v1/models"),
                Request::new("POST", "/v1/responses")
                    .json(&json!({"model": "m", "input": planted::COOKIE, "stream": true})),
            ];
            for request in rows.into_iter().take(calls) {
                harness.send_unchecked(&request.bearer(&key).header("X-Api-Key", planted::COOKIE));
            }
        }
        harness.end(format);
    }
}
