//! No secret in sight: secrets are planted wherever secrets can be, everything is driven, and no
//! piece of them, in no encoding, is in the log, on standard output, or in an answer.

mod requests;
mod scene;

use serde_json::json;

use self::scene::{FAULTS, Scene, secrets, telltale};
use crate::support::{
    Canaries, ConfigFile, Request, base64, call, hop, http2, run, service, service_at, streamed,
};

#[test]
fn a_provider_that_fails_and_tells_the_secret_is_not_repeated() {
    let provider = telltale();
    for (format, filter) in [
        ("json", "trace"),
        (
            "text",
            "trace,hyper=trace,hyper_util=trace,h2=trace,mio=trace",
        ),
    ] {
        let scene = Scene::new(format, filter, &provider);
        for fault in FAULTS {
            let openai = service_at("chat:openai.com", &format!("{}/{fault}", provider.url()));
            let nested = ["aisbreaker:mirror", "aisbreaker:logging"].iter().fold(
                openai.clone(),
                |inner, id| json!({"serviceId": id, "forward2ServiceProps": inner}),
            );
            let rows = [
                ("with a key", &*scene.key, &openai),
                ("with the caller's own", secrets::CALLERS, &openai),
                ("with the default key", "", &openai),
                ("behind other services", &scene.key, &nested),
                (
                    "through the network",
                    &scene.far_key,
                    &hop(&scene.other.url(), &openai),
                ),
                (
                    "through the network, with the caller's own",
                    secrets::CALLERS,
                    &hop(&scene.other.url(), &nested),
                ),
            ];
            // Waiting once is enough.
            let count = if fault == "slow" { 1 } else { rows.len() };
            for (row, bearer, service) in rows.into_iter().take(count) {
                for body in [
                    call(service.clone(), "Hi"),
                    streamed(call(service.clone(), "Hi")),
                ] {
                    let request = Request::process(&body);
                    let request = if bearer.is_empty() {
                        request
                    } else {
                        request.bearer(bearer)
                    };
                    let answer = scene.send(&format!("{fault} {row}"), &request);
                    let is_good = answer.status == 200 && !answer.text().contains("event: error");
                    assert_eq!(is_good, fault == "good", "{fault} {row}: {answer:?}");
                }
            }
        }
        let sent = provider.requests();
        for secret in [secrets::SEALED, secrets::CALLERS] {
            let bearer = format!("Bearer {secret}");
            assert!(
                sent.iter()
                    .any(|one| one.header("authorization") == Some(&bearer)),
                "{secret} was not sent"
            );
        }
        scene.end(format);
    }
}

#[test]
fn no_route_and_no_error_tells_a_secret() {
    let provider = telltale();
    for (format, filter) in [
        ("text", "trace"),
        (
            "json",
            "trace,hyper=trace,hyper_util=trace,h2=trace,mio=trace",
        ),
    ] {
        let scene = Scene::new(format, filter, &provider);
        for (row, status, request) in requests::all(&scene, &provider) {
            scene.expect(row, status, &request);
            // Who calls makes no difference to the answer, except where that comes first.
            for bearer in [secrets::CALLERS, &scene.key, &scene.altered] {
                scene.send(row, &request.clone().bearer(bearer));
            }
        }
        scene.end(format);
    }
}

#[test]
fn no_way_to_send_a_key_makes_the_server_tell_it() {
    let provider = telltale();
    for format in ["json", "text"] {
        let scene = Scene::new(format, "trace", &provider);
        let dummy = Request::process(&call(service("chat:dummy"), "Hi"));
        let openai = Request::process(&call(service("chat:openai.com"), "Hi"));
        let elsewhere = service_at("chat:openai.com", "https://elsewhere.example");
        let key = &scene.key;
        let rows = [
            ("a good key", 200, dummy.clone().bearer(key)),
            ("a good key for a provider", 200, openai.clone().bearer(key)),
            (
                "a key for another address",
                403,
                Request::process(&call(elsewhere, "Hi")).bearer(key),
            ),
            ("an altered key", 401, dummy.clone().bearer(&scene.altered)),
            ("an expired key", 401, dummy.clone().bearer(&scene.expired)),
            (
                "a key of another host",
                401,
                dummy.clone().bearer(&scene.foreign),
            ),
            (
                "the default key at another host",
                401,
                dummy.clone().set("Host", "elsewhere.example"),
            ),
            (
                "a key that is cut",
                401,
                dummy.clone().bearer(&key[..key.len() - 30]),
            ),
            (
                "a key that is too long",
                401,
                dummy.clone().bearer(&format!("{key}{}", key.repeat(20))),
            ),
            (
                "a key in quotes",
                401,
                dummy.clone().bearer(&format!("\"{key}\"")),
            ),
            (
                "a key after another word",
                401,
                dummy.clone().bearer(&format!("Bearer {key}")),
            ),
            (
                "a key in two lines",
                400,
                dummy
                    .clone()
                    .bearer(key)
                    .header("Authorization", format!("Bearer {key}")),
            ),
            (
                "another scheme",
                401,
                dummy.clone().set("Authorization", format!("Basic {key}")),
            ),
            ("no scheme", 401, dummy.clone().set("Authorization", key)),
            (
                "a key within its quota",
                200,
                dummy.clone().bearer(&scene.rare),
            ),
            (
                "a key beyond its quota",
                429,
                dummy.clone().bearer(&scene.rare),
            ),
            (
                "a key as a cookie",
                200,
                dummy.clone().header("Cookie", key),
            ),
            (
                "a key as a request id",
                200,
                dummy.clone().header("X-Request-Id", key),
            ),
            (
                "a key as a referrer",
                200,
                dummy
                    .clone()
                    .header("Referer", key)
                    .header("User-Agent", key),
            ),
            (
                "a key as an address",
                200,
                dummy.clone().header("X-Forwarded-For", key),
            ),
            ("a key as a host", 400, dummy.clone().set("Host", key)),
            (
                "a key in the query",
                200,
                dummy
                    .clone()
                    .path(&format!("/api/v1/process?access_token={key}")),
            ),
            ("a key as a text", 400, Request::process(&json!(key))),
            (
                "a key for a key",
                200,
                Request::mint(&json!({"requestAuthAndQuotas": {}})).bearer(key),
            ),
        ];
        for (row, status, request) in rows {
            scene.expect(row, status, &request);
        }
        let mut broken = scene.server.connect();
        broken.write(format!("GET / HTTP/1.1\r\nAuthorization Bearer {key}\r\n\r\n").as_bytes());
        scene
            .canaries
            .assert_not_in("the answer to a broken head", broken.rest());
        scene.end(format);
    }
}

#[test]
fn http2_tells_no_secret_either() {
    let provider = telltale();
    let scene = Scene::new(
        "json",
        "trace,hyper=trace,hyper_util=trace,h2=trace",
        &provider,
    );
    let dummy = call(service("chat:dummy"), "Hi");
    let openai = |fault: &str| {
        call(
            service_at("chat:openai.com", &format!("{}/{fault}", provider.url())),
            "Hi",
        )
    };
    let mut requests = Vec::new();
    for bearer in [
        secrets::CALLERS,
        &scene.key,
        &scene.altered,
        &scene.expired,
        &scene.foreign,
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
                    hyper::Request::post(format!("http://localhost{path}?key={}", secrets::COOKIE))
                        .header("content-type", "application/json")
                        .header("authorization", format!("Bearer {bearer}"))
                        .header("cookie", secrets::COOKIE);
                requests.push(request.body(body.to_string()).unwrap());
            }
        }
    }

    for (head, body) in http2(&scene.server, requests) {
        scene
            .canaries
            .assert_not_in("an answer", format!("{head:?}\n{:?}\n{body}", head.headers));
    }
    scene.end("HTTP/2");
}

#[test]
fn other_log_levels_tell_no_secret_either() {
    let provider = telltale();
    for filter in ["error", "warn", "info", "debug"] {
        let scene = Scene::new(
            "text",
            &format!("{filter},aisbreaker_gateway=info,aisbreaker_server=info"),
            &provider,
        );
        for fault in ["401", "halfway", "malformed"] {
            let openai = service_at("chat:openai.com", &format!("{}/{fault}", provider.url()));
            for bearer in [secrets::CALLERS, &scene.key, &scene.altered] {
                scene.send(
                    filter,
                    &Request::process(&streamed(call(openai.clone(), "Hi"))).bearer(bearer),
                );
            }
        }
        scene.end(filter);
    }
}

#[test]
fn a_start_that_fails_tells_no_secret() {
    let mut canaries = Canaries::default();
    let (short, sealing) = ("Zk7#qW2", secrets::SEALING);
    canaries.plant("the sealing phrase", sealing);
    canaries.plant("the opening phrase", secrets::OPENING);
    let file = ConfigFile::new(&format!(
        "listen = \"{sealing}\"\ndefault_api_key = \"{sealing}\"\n[keys]\nsealing = [\"{sealing}\"]\nopening = \"{sealing}\"\n\
         [egress]\nallow = \"{sealing}\"\n[quotas]\nserver = \"{sealing}\"\ndefault = {{x = \"{sealing}\"}}\n\
         [services.\"chat:openai.com\"]\norigins = [\"{sealing}\"]\nengine = [\"{sealing}\"]\nx = \"{sealing}\"\n"
    ));
    let broken = ConfigFile::new(&format!(
        "[keys]\nsealing = \"{sealing}\nopening = {}\n",
        secrets::OPENING
    ));
    let twice = ConfigFile::new(&format!(
        "[keys]\nsealing = \"{sealing}\"\nsealing = \"{}\"\n",
        secrets::OPENING
    ));
    let variables = [
        "AISBREAKER_LISTEN",
        "PORT",
        "DEFAULT_AISBREAKER_API_KEY",
        "AISBREAKER_PUBLIC_HOSTS",
        "AISBREAKER_TRUSTED_PROXIES",
        "AISBREAKER_EGRESS_ALLOW",
        "AISBREAKER_SERVER_QUOTAS",
        "AISBREAKER_DEFAULT_QUOTAS",
        "AISBREAKER_MAX_EXPIRATION",
        "AISBREAKER_MAX_BODY_BYTES",
        "AISBREAKER_HEADER_TIMEOUT",
        "AISBREAKER_MAX_CONNECTIONS",
        "AISBREAKER_LOG_FORMAT",
        "AISBREAKER_CONFIG",
        "AISBREAKER_NO_SETTING",
    ];
    let all: Vec<(&str, &str)> = variables.iter().map(|name| (*name, sealing)).collect();
    let both = format!("{} {}", secrets::OPENING, short);
    let keys = [
        ("AUTH_ENCRYPTION_KEYPHRASE", sealing),
        ("AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES", &*both),
    ];
    let listen = [("AISBREAKER_LISTEN", sealing)];
    type Row<'a> = (&'a str, Vec<&'a str>, Vec<(&'a str, &'a str)>);
    let rows: [Row<'_>; 9] = [
        ("wrong variables", vec![], [&keys[..], &all].concat()),
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
            vec!["--config", twice.path()],
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
        let told = [output.stdout, output.stderr].concat();
        assert!(
            !told.is_empty() && output.status.success() == matches!(row, "help" | "version"),
            "{row}"
        );
        assert!(
            !String::from_utf8_lossy(&told).contains(short),
            "{row}: the short phrase is told"
        );
        canaries.assert_not_in(row, &told);
    }
}

#[test]
fn the_search_finds_a_secret_in_any_form() {
    let mut canaries = Canaries::default();
    canaries.plant("it", secrets::SEALED);
    let bytes = secrets::SEALED.as_bytes();
    let forms = [
        secrets::SEALED.to_owned(),
        secrets::SEALED[7..19].to_owned(),
        secrets::SEALED.to_lowercase(),
        json!(secrets::SEALED).to_string(),
        format!("{:?}", secrets::SEALED),
        format!("{bytes:?}"),
        bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        base64::encode(bytes),
        base64::encode(&[b"x", bytes].concat()),
        base64::encode(&[b"user:", bytes].concat()),
    ];
    for form in forms {
        for before in 0..5 {
            let text = format!("{}{form} and more", ".".repeat(before));
            assert!(
                !canaries.found_in(text.as_bytes()).is_empty(),
                "{form} is not found"
            );
        }
    }
    assert_eq!(
        canaries.found_in(&bytes[7..18]),
        Vec::<String>::new(),
        "11 bytes are no piece"
    );
}

#[test]
fn a_provider_whose_answer_is_passed_on_tells_the_log_nothing() {
    let provider = telltale();
    for (format, filter) in [
        ("json", "trace"),
        (
            "text",
            "trace,hyper=trace,hyper_util=trace,h2=trace,mio=trace",
        ),
    ] {
        let scene = Scene::new(format, filter, &provider);
        for fault in FAULTS {
            let secrets = json!([
                {"serviceId": "chat:openai.com", "authSecret": secrets::SEALED,
                 "url": format!("{}/{fault}", provider.url()), "fallback": "chat:groq.com/m"},
                {"serviceId": "chat:groq.com", "authSecret": secrets::CALLERS,
                 "url": format!("{}/{fault}", provider.url())},
            ]);
            // The bodies of these answers are the provider's own, which may repeat what it was
            // trusted with.
            let key = scene.mint(&secrets);
            let count = if fault == "slow" { 1 } else { 3 };
            let rows = [
                Request::new("POST", "/v1/chat/completions").json(&json!({"model": "m"})),
                Request::get("/v1/models"),
                Request::new("POST", "/v1/responses")
                    .json(&json!({"model": "m", "input": secrets::COOKIE, "stream": true})),
            ];
            for request in rows.into_iter().take(count) {
                scene.send_unread(&request.bearer(&key).header("X-Api-Key", secrets::COOKIE));
            }
        }
        scene.end(format);
    }
}
