//! Contract sections 3 and 4: which keys open where, and what else may stand in `Authorization`.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::{
    Answer, KEY, Provider, Request, Server, assert_error, call, grant, hop, roomy, run, service,
    service_at, streamed,
};

const VECTORS: &str =
    include_str!("../../../../crates/aisbreaker-token/tests/vectors/original-keys.json");
const SECOND_KEY: &str = "c2Vjb25kLWtleS1mb3ItdGhlLXRlc3RzLTMyLWJ5dGU";
const THIRD_KEY: &str = "dGhpcmQtLWtleS1mb3ItdGhlLXRlc3RzLTMyLWJ5dGU";

fn dummy() -> Value {
    call(service("chat:dummy"), "Hi")
}

/// The status of a call with this key at this host.
fn use_at(server: &Server, host: &str, key: &str) -> Answer {
    server.send(&Request::process(&dummy()).set("Host", host).bearer(key))
}

/// What every bad key gets.
fn assert_bad_key(row: &str, answer: &Answer) {
    assert_error(row, answer, 401, "Invalid aisbreaker access token");
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Bearer error=\"invalid_token\""),
        "{row}"
    );
}

#[test]
fn a_key_is_bound_to_the_host_that_minted_it() {
    let server = Server::start(&[]);
    let rows = [
        ("api.example.com", "api.example.com", true),
        ("api.example.com", "API.Example.COM", true),
        ("API.Example.COM", "api.example.com", true),
        ("api.example.com:3000", "api.example.com", true),
        ("api.example.com", "api.example.com:8443", true),
        ("api.example.com", "api.example.com.", true),
        ("api.example.com.:3000", "api.example.com", true),
        ("[::1]:3000", "[::1]", true),
        ("[::1]", "[0:0:0::1]:80", true),
        ("127.0.0.1:3000", "127.0.0.1", true),
        ("api.example.com", "api.example.org", false),
        ("api.example.com", "example.com", false),
        ("api.example.com", "www.api.example.com", false),
        ("api.example.com", "api.example.com.evil.example", false),
        ("localhost", "127.0.0.1", false),
        ("127.0.0.1", "[::ffff:127.0.0.1]", false),
        ("[::1]", "localhost", false),
    ];

    for (minted_at, used_at, opens) in rows {
        let row = format!("{minted_at} at {used_at}");
        let key = server.mint_at(minted_at, &json!({"requestAuthAndQuotas": {}}));
        let answer = use_at(&server, used_at, &key);
        if opens {
            assert_eq!(answer.status, 200, "{row}: {answer:?}");
        } else {
            assert_bad_key(&row, &answer);
        }
    }
}

#[test]
fn the_host_in_a_forwarded_header_counts_only_from_a_trusted_proxy() {
    let trusting = Server::start(&[("AISBREAKER_TRUSTED_PROXIES", "127.0.0.0/8")]);
    let wary = Server::start(&[]);
    let key = trusting.mint_at("api.example.com", &json!({"requestAuthAndQuotas": {}}));
    let call = |server: &Server, host: &str, forwarded: &str| {
        let request = Request::process(&dummy()).header("Host", host).bearer(&key);
        server
            .send(&request.header("X-Forwarded-Host", forwarded))
            .status
    };

    assert_eq!(call(&trusting, "inner.example", "api.example.com"), 200);
    assert_eq!(call(&trusting, "api.example.com", "inner.example"), 401);
    assert_eq!(call(&wary, "inner.example", "api.example.com"), 401);
    assert_eq!(call(&wary, "api.example.com", "inner.example"), 200);
}

#[test]
fn a_retired_key_opens_what_it_sealed_as_long_as_it_is_configured() {
    let body = json!({"requestAuthAndQuotas": {}});
    let environment = |sealing, opening| {
        [
            ("AUTH_ENCRYPTION_KEYPHRASE", sealing),
            ("AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES", opening),
        ]
    };
    let opening = format!("{SECOND_KEY}  {KEY}");
    let first = Server::start(&environment(KEY, ""));
    let rotated = Server::start(&environment(THIRD_KEY, &opening));
    let forgetful = Server::start(&environment(THIRD_KEY, SECOND_KEY));
    let old = first.mint(&body);
    let new = rotated.mint(&body);

    assert_eq!(
        use_at(&rotated, "localhost", &old).status,
        200,
        "the old key after the rotation"
    );
    assert_eq!(
        use_at(&rotated, "localhost", &new).status,
        200,
        "the new key after the rotation"
    );
    assert_eq!(
        use_at(&forgetful, "localhost", &new).status,
        200,
        "the new key on another server"
    );
    assert_bad_key(
        "the new key before the rotation",
        &use_at(&first, "localhost", &new),
    );
    assert_bad_key(
        "the old key when it is forgotten",
        &use_at(&forgetful, "localhost", &old),
    );
}

#[test]
fn keygen_makes_a_key_that_outlives_the_process() {
    let made = run(&["keygen"], &[]);
    let text = String::from_utf8(made.stdout).unwrap();
    let key = text.strip_suffix('\n').unwrap();
    assert!(made.status.success());
    assert_eq!(key.len(), 43, "32 bytes in base64url: {key}");
    assert_ne!(
        run(&["keygen"], &[]).stdout,
        text.as_bytes(),
        "always another one"
    );

    let environment = [("AUTH_ENCRYPTION_KEYPHRASE", key)];
    let minted = Server::start(&environment).mint(&json!({"requestAuthAndQuotas": {}}));

    assert_eq!(
        use_at(&Server::start(&environment), "localhost", &minted).status,
        200
    );
}

#[test]
fn a_random_key_ends_with_its_process_and_says_so() {
    let start = || Server::start_with(&["--listen", "127.0.0.1:0"], &[]);
    let server = start();

    let key = server.mint(&json!({"requestAuthAndQuotas": {}}));

    server.wait_for_log("a loud warning", |line| {
        line["level"] == "WARN"
            && line["message"]
                .as_str()
                .unwrap()
                .contains("AUTH_ENCRYPTION_KEYPHRASE")
    });
    assert_eq!(use_at(&server, "localhost", &key).status, 200);
    assert_bad_key("another process", &use_at(&start(), "localhost", &key));
}

#[test]
fn keys_of_the_original_server_open_as_they_did_there() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the real keys in the vectors expire in real time"
    )]
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let environment = vectors["server_env"].as_object().unwrap();
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect();
    let server = Server::start(&environment);
    let without_previous = Server::start(&environment[1..]);
    assert_eq!(
        environment[1].0, "AUTH_ENCRYPTION_KEYPHRASE",
        "the members stand in alphabetical order"
    );
    let all = ["tokens", "extra_tokens"]
        .map(|list| vectors[list].as_array().unwrap().clone())
        .concat();

    let mut good = 0;
    for vector in all {
        let name = vector["name"].as_str().unwrap();
        let host = vector["use_with_host_header"].as_str().unwrap();
        let key = vector["token"].as_str().unwrap();
        let is_over = vector["claims"]["exp"]
            .as_u64()
            .is_some_and(|expiry| expiry <= now);
        let expected = match vector["upstream_status_when_used"].as_u64().unwrap() {
            _ if is_over => 401,
            // A key without quotas was of no use there; here the default quotas apply.
            429 if name == "extra-no-quotas" => 200,
            status => status,
        };
        let answer = use_at(&server, host, key);
        assert_eq!(u64::from(answer.status), expected, "{name}: {answer:?}");
        if expected == 401 {
            assert_bad_key(name, &answer);
            continue;
        }
        good += 1;
        assert_bad_key(
            &format!("{name} elsewhere"),
            &use_at(&server, "elsewhere.example", key),
        );
        let is_previous = vector["minted_with_keyphrase"] != environment[1].1;
        let without = use_at(&without_previous, host, key).status;
        assert_eq!(
            without,
            if is_previous { 401 } else { 200 },
            "{name} without the additional phrase"
        );
    }
    assert!(
        good >= 1,
        "at least the key that lasts a hundred years opens"
    );
}

#[test]
fn the_secrets_and_quotas_of_an_original_key_apply() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let is_lasting = |vector: &&Value| vector["name"] == "extra-100y";
    let vector = vectors["extra_tokens"]
        .as_array()
        .unwrap()
        .iter()
        .find(is_lasting)
        .unwrap();
    let key = vector["token"].as_str().unwrap();
    let phrase = vectors["server_env"]["AUTH_ENCRYPTION_KEYPHRASE"]
        .as_str()
        .unwrap();
    let server = Server::with_egress(&[("AUTH_ENCRYPTION_KEYPHRASE", phrase)]);
    let call = |service: Value| {
        server.send(
            &Request::process(&call(service, "Hi"))
                .set("Host", "api.example.com")
                .bearer(key),
        )
    };

    let answer = call(service("chat:dummy"));
    let policy = answer.header("ratelimit-policy").unwrap();
    for part in [
        "q=60;w=60",
        "q=600;w=3600",
        "q=600;w=86400",
        "q=120;w=60",
        "q=1200;w=3600",
        "q=1200;w=86400",
    ] {
        assert!(policy.contains(part), "{part} is not in {policy}");
    }
    // The secret of a key that names no address is bound to the service's own.
    let trap = Provider::trap();
    assert_error(
        "elsewhere",
        &call(service_at("chat:openai.com", &trap.url())),
        403,
        "",
    );
    assert_eq!(trap.connections(), 0);
}

/// Every kind of bad key, made of a good one.
fn bad_keys(server: &Server) -> Vec<(String, String)> {
    let body = json!({"requestAuthAndQuotas": {}});
    let good = server.mint(&body);
    let sealed = good.strip_prefix("aisbreaker_").unwrap();
    let parts: Vec<&str> = sealed.split('.').collect();
    let other = server.mint(&grant(&roomy(), &json!([])));
    let other: Vec<&str> = other
        .strip_prefix("aisbreaker_")
        .unwrap()
        .split('.')
        .collect();
    let foreign = Server::start(&[("AUTH_ENCRYPTION_KEYPHRASE", SECOND_KEY)]).mint(&body);
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let original = vectors["tokens"][0]["token"].as_str().unwrap();
    let mut rows: Vec<(String, String)> = [
        ("prefix alone", "aisbreaker_".to_owned()),
        (
            "the original's test",
            "aisbreaker_test_with_invalid_api_key".to_owned(),
        ),
        ("not a key", "aisbreaker_hello".to_owned()),
        ("four dots", "aisbreaker_....".to_owned()),
        ("not ASCII", "aisbreaker_schlüssel".to_owned()),
        ("another server", foreign),
        ("another host", server.mint_at("elsewhere.example", &body)),
        ("an original key of another server", original.to_owned()),
        (
            "without tag",
            format!("aisbreaker_{}", parts[..4].join(".")),
        ),
        ("empty tag", format!("aisbreaker_{}.", parts[..4].join("."))),
        ("without its end", good[..good.len() - 1].to_owned()),
        ("more at its end", format!("{good}A")),
        ("padded", format!("{good}==")),
        ("a sixth part", format!("{good}.AAAA")),
        (
            "an encrypted key",
            format!("aisbreaker_{}.AAAA.{}", parts[0], parts[2..].join(".")),
        ),
        (
            "tag of another",
            format!("aisbreaker_{}.{}", parts[..4].join("."), other[4]),
        ),
        (
            "nonce of another",
            format!(
                "aisbreaker_{}..{}.{}.{}",
                parts[0], other[2], parts[3], parts[4]
            ),
        ),
        ("prefix twice", format!("aisbreaker_{good}")),
        (
            "longer than any key",
            format!("{good}{}", "A".repeat(20_000)),
        ),
        ("two keys", format!("{good} {good}")),
    ]
    .map(|(name, key)| (name.to_owned(), key))
    .to_vec();
    for at in "aisbreaker_".len()..good.len() {
        let mut altered = good.clone().into_bytes();
        // A neighbour in base64url is what lenient readers take for the same as a last character.
        altered[at] = match altered[at] {
            b'A' => b'B',
            b'.' => b'A',
            b'a'..=b'z' | b'B'..=b'Z' | b'1'..=b'9' => altered[at] - 1,
            _ => b'A',
        };
        if altered != good.as_bytes() {
            rows.push((
                format!("altered at {at}"),
                String::from_utf8(altered).unwrap(),
            ));
        }
    }
    rows
}

#[test]
fn every_kind_of_bad_key_gets_the_same_answer() {
    let server = Server::start(&[]);
    let rows = bad_keys(&server);
    let first = use_at(&server, "localhost", &rows[0].1);

    for (row, key) in &rows {
        let answer = use_at(&server, "localhost", key);
        assert_bad_key(row, &answer);
        assert_eq!(answer.body, first.body, "{row}");
        let names = |answer: &Answer| {
            answer
                .headers
                .iter()
                .map(|(name, _)| name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&answer), names(&first), "{row}");
    }
    for (row, key) in rows.iter().take(20) {
        let answer = server.process(key, &streamed(dummy()));
        assert_bad_key(&format!("{row}, streamed"), &answer);
        assert_eq!(answer.body, first.body, "{row}, streamed");
    }
}

#[test]
fn an_expired_key_is_a_bad_key() {
    let server = Server::start(&[]);
    let body = json!({"requestAuthAndQuotas": {}, "expirationTimeSpan": "1s"});
    let bad = use_at(&server, "localhost", "aisbreaker_nonsense");
    // A stream with pauses of one second is the server's own clock.
    let slow = json!({"serviceId": "chat:dummy", "delayMillis": 1000});
    let mut clock = server.connect();
    clock.write(&Request::process(&streamed(call(slow, "Hi"))).to_bytes());
    assert_eq!(clock.head().status, 200);

    let key = server.mint(&body);
    for _ in 0..3 {
        clock.event().expect("a piece each second");
    }

    let answer = use_at(&server, "localhost", &key);
    assert_bad_key("expired", &answer);
    assert_eq!(answer.body, bad.body);
}

#[test]
fn the_log_says_why_a_key_was_refused_without_showing_it() {
    let server = Server::start(&[("AUTH_ENCRYPTION_KEYPHRASE", KEY)]);
    let key = server.mint_at("elsewhere.example", &json!({"requestAuthAndQuotas": {}}));

    server.send(
        &Request::process(&dummy())
            .bearer(&key)
            .header("X-Request-Id", "refused"),
    );

    let line = server.wait_for_request("refused");
    assert_eq!(line["status"], 401);
    assert!(
        line["cause"]
            .as_str()
            .is_some_and(|cause| !cause.is_empty()),
        "{line}"
    );
    assert!(!server.log().contains(&key[..40]), "the log shows the key");
}

#[test]
fn the_scheme_is_bearer_in_any_case_and_nothing_else() {
    let server = Server::start(&[]);
    let key = server.mint(&json!({"requestAuthAndQuotas": {}}));
    let rows = [
        (format!("Bearer {key}"), 200),
        (format!("bearer {key}"), 200),
        (format!("BEARER {key}"), 200),
        (format!("bEaReR {key}"), 200),
        ("Bearer sk-own".to_owned(), 200),
        ("Basic bWU6cHc=".to_owned(), 401),
        (format!("Basic {key}"), 401),
        (format!("Token {key}"), 401),
        (format!("Digest username=\"{key}\""), 401),
        (key.clone(), 401),
        ("sk-own".to_owned(), 401),
        (format!("Bearer{key}"), 401),
        (format!("Bearer:{key}"), 401),
        ("Bearer".to_owned(), 401),
        ("Bearer ".to_owned(), 401),
        ("Bearer    ".to_owned(), 401),
        (String::new(), 401),
    ];

    for (authorization, status) in rows {
        for streams in [false, true] {
            let body = if streams { streamed(dummy()) } else { dummy() };
            let answer = server.send(&Request::process(&body).set("Authorization", &authorization));
            assert_eq!(answer.status, status, "{authorization:?}: {answer:?}");
            if status == 401 {
                assert_error(&authorization, &answer, 401, "");
                assert!(
                    answer.header("www-authenticate").is_some(),
                    "{authorization:?}: {answer:?}"
                );
            }
        }
    }
}

#[test]
fn credentials_of_another_scheme_are_never_passed_on() {
    let trap = Provider::trap();
    let server = Server::with_egress(&[]);
    let body = call(service_at("chat:openai.com", &trap.url()), "Hi");

    for authorization in ["Basic bWU6cHc=", "Digest x", "Bearer"] {
        let answer = server.send(&Request::process(&body).set("Authorization", authorization));
        assert_error(authorization, &answer, 401, "");
    }
    assert_eq!(trap.connections(), 0);
}

#[test]
fn a_mangled_key_reaches_no_provider() {
    let trap = Provider::trap();
    let server = Server::with_egress(&[]);
    let key = server.mint_secrets(&json!([]));
    let values = [
        format!("\"{key}\""),
        format!("'{key}'"),
        format!("`{key}`"),
        format!("<{key}>"),
        format!("\"{key}"),
        format!("'\"{key}\"'"),
        format!("\" {key}\""),
        format!("Bearer {key}"),
        format!("bearer {key}"),
        format!("BEARER   {key}"),
        format!("Bearer: {key}"),
        format!("Bearer:{key}"),
        format!("Bearer \"{key}\""),
        format!("Bearer '{key}'"),
        format!("\"Bearer {key}\""),
        format!("'bearer: {key}'"),
        format!("Bearer Bearer {key}"),
        format!("({key})"),
        format!("[{key}]"),
        format!("\"={key}\""),
        format!("${key}"),
        format!("token {key}"),
        // Behind a byte order mark.
        format!("\u{feff}{key}"),
    ];
    let ways = [
        service_at("chat:openai.com", &trap.url()),
        hop(&trap.url(), &service("chat:dummy")),
    ];

    for value in values {
        for props in &ways {
            for body in [
                call(props.clone(), "Hi"),
                streamed(call(props.clone(), "Hi")),
            ] {
                let row = value.replace(&key, "KEY");
                assert_bad_key(&row, &server.process(&value, &body));
            }
        }
    }
    assert_eq!(trap.connections(), 0, "{:?}", trap.requests());
}

#[test]
fn the_default_key_serves_those_who_bring_none() {
    let provider = Provider::with_answer(
        200,
        json!({"choices": [{"message": {"content": "ok"}}], "model": "m"}),
    );
    let secrets = json!([
        {"serviceId": "chat:openai.com/own", "authSecret": "{{secret}}"},
        {"serviceId": "chat:openai.com", "authSecret": "sk-house", "url": provider.url()},
        {"serviceId": "", "authSecret": "INVALID"},
    ]);
    let limits = crate::support::quotas([77; 3], [78; 3]);
    let key = Server::start(&[]).mint(&grant(&limits, &secrets));
    let server = Server::with_egress(&[("DEFAULT_AISBREAKER_API_KEY", &key)]);

    let answer = server.process("", &call(service("chat:openai.com"), "Hi"));
    assert_eq!(answer.content(), "ok");
    assert!(
        answer.header("ratelimit-policy").unwrap().contains("q=77"),
        "its quotas apply: {answer:?}"
    );
    assert_eq!(
        provider.sole_request().header("authorization"),
        Some("Bearer sk-house")
    );

    // With the default key, `{{secret}}` stands for nothing: it is not the caller's to send around.
    let own = json!({"serviceId": "chat:openai.com/own", "url": provider.url()});
    let answer = server.process("", &call(own.clone(), "Hi"));
    assert_error("{{secret}} of nobody", &answer, 401, "missing auth.secret");
    assert_eq!(provider.requests().len(), 1);

    // Whoever brings a secret does not get the server's.
    let answer = server.process("sk-own", &call(own, "Hi"));
    assert_eq!(answer.content(), "ok");
    assert_eq!(
        provider.requests()[1].header("authorization"),
        Some("Bearer sk-own")
    );
    assert!(!answer.header("ratelimit-policy").unwrap().contains("q=77"));
}

#[test]
fn the_default_key_does_not_go_to_other_servers() {
    let next = Provider::with_answer(
        200,
        json!({"outputs": [], "usage": {"service": {"serviceId": "x"}, "totalMilliseconds": 1}}),
    );
    let secrets = json!([{"serviceId": "aisbreaker:network", "authSecret": "{{secret}}"}]);
    let key = Server::start(&[]).mint_secrets(&secrets);
    let server = Server::with_egress(&[("DEFAULT_AISBREAKER_API_KEY", &key)]);
    let hop = hop(&next.url(), &service("chat:dummy"));

    server.process("", &call(hop, "Hi"));

    assert_eq!(next.sole_request().header("authorization"), None);
}

#[test]
fn a_default_key_that_does_not_open_says_nothing_about_the_caller() {
    let foreign = Server::start(&[("AUTH_ENCRYPTION_KEYPHRASE", SECOND_KEY)]);
    let key = foreign.mint(&json!({"requestAuthAndQuotas": {}}));
    let server = Server::start(&[("DEFAULT_AISBREAKER_API_KEY", &key)]);

    let answer = server.process("", &dummy());

    assert_error("a bad default key", &answer, 401, "");
    assert!(!answer.text().contains(&key[..40]), "{answer:?}");
}
