//! Tries the rows about what a request says besides its body: fields, target and route.

use super::{
    CHAT, FIELDS, MINTINGS, REQUESTS, SEALED,
    attempt::{Outcome, Scene, body, good, post, service_at},
};
use crate::support::{Provider, Request, http2};

/// The fields of every call to a provider.
const SENT: [&str; 8] = [
    "accept",
    "accept-encoding",
    "authorization",
    "content-length",
    "content-type",
    "host",
    "user-agent",
    "x-aisbreaker-sealed",
];

/// A call that goes home, if nothing leads it astray.
fn call_home(is_stream: bool) -> String {
    body(&service_at("chat:openai.com", None), is_stream)
}

#[test]
fn no_field_of_a_request_leads_a_secret_away() {
    let scene = Scene::new();
    let key = scene.key(SEALED);

    for path in ["/api/v1/process", "/api/v1alpha1/process"] {
        for (name, value, outcome) in FIELDS {
            for is_stream in [false, true] {
                let row = format!("{name}: {value}, stream: {is_stream}");
                let request = post(path, &call_home(is_stream)).bearer(&key);
                scene.attempt(
                    &row,
                    &request.header(name, scene.fill(value)),
                    &key,
                    *outcome,
                );
            }
        }
    }

    for received in scene.good.requests() {
        let mut names: Vec<_> = received
            .headers
            .iter()
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect();
        names.sort_unstable();
        assert_eq!(names, SENT, "{received:?}");
    }
    scene.assert_untouched();
}

#[test]
fn the_fields_of_http_2_lead_no_secret_away() {
    let scene = Scene::new();
    let key = scene.key(SEALED);
    let rows = [
        ("http://localhost/api/v1/process", None, 200),
        ("http://EVIL/api/v1/process", None, 401),
        ("https://EVIL/api/v1/process", Some("localhost"), 401),
        ("http://localhost@EVIL/api/v1/process", None, 400),
        ("http://EVIL/api/v1/ping", Some("EVIL"), 405),
    ];
    let requests = rows.iter().map(|(uri, host, _)| {
        let mut request = hyper::Request::post(scene.fill(uri))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {key}"))
            .header("x-forwarded-host", scene.fill("EVIL"))
            .header("forwarded", scene.fill("host=EVIL"));
        if let Some(host) = host {
            request = request.header("host", scene.fill(host));
        }
        request.body(call_home(false)).unwrap()
    });

    let answers = http2(&scene.server, requests.collect());

    for ((uri, host, status), (head, body)) in rows.iter().zip(answers) {
        assert_eq!(head.status.as_u16(), *status, "{uri} {host:?}: {body}");
    }
    assert_eq!(scene.good.requests().len(), 1);
    scene.assert_untouched();
}

#[test]
fn a_trusted_proxy_names_the_host_that_a_key_must_be_for_and_nothing_else() {
    let trusted = [("AISBREAKER_TRUSTED_PROXIES", "127.0.0.1")];
    let scene = Scene::with(&trusted, good(), Provider::trap());
    let key = scene.key(SEALED);
    let rows = [
        ("X-Forwarded-Host", "localhost", Outcome::AtHome(CHAT)),
        ("X-Forwarded-Host", "EVIL, localhost", Outcome::AtHome(CHAT)),
        ("X-Forwarded-Host", "EVIL", Outcome::Stays(401)),
        ("X-Forwarded-Host", "localhost, EVIL", Outcome::Stays(401)),
        ("X-Forwarded-Host", "localhost@EVIL", Outcome::Stays(400)),
        ("X-Forwarded-For", "EVIL", Outcome::AtHome(CHAT)),
        ("X-Forwarded-Proto", "https", Outcome::AtHome(CHAT)),
        ("Forwarded", "host=EVIL", Outcome::AtHome(CHAT)),
    ];

    for (name, value, outcome) in rows {
        let request = post("/api/v1/process", &call_home(false)).bearer(&key);
        let row = format!("{name}: {value}");
        scene.attempt(
            &row,
            &request.header(name, scene.fill(value)),
            &key,
            outcome,
        );
    }

    scene.assert_untouched();
}

#[test]
fn no_route_sends_a_secret_away() {
    let scene = Scene::new();
    let key = scene.key(SEALED);

    for (method, target, outcome) in REQUESTS {
        let mut request = Request::new(method, &scene.fill(target)).bearer(&key);
        if *method == "POST" {
            request = request
                .header("Content-Type", "application/json")
                .body(call_home(false));
        }
        scene.attempt(&format!("{method} {target}"), &request, &key, *outcome);
    }

    scene.assert_untouched();
}

#[test]
fn minting_gives_nothing_of_a_key_away() {
    let scene = Scene::new();
    let key = scene.key(SEALED);

    for path in ["/api/v1/oauth/token", "/api/v1alpha1/oauth/token"] {
        for (text, status) in MINTINGS {
            let request = post(path, &scene.fill(text).replace("KEY", &key)).bearer(&key);
            let answer = scene.attempt(text, &request, &key, Outcome::Stays(*status));
            assert!(!answer.text().contains(&key), "{text}: {answer:?}");
        }
    }

    scene.assert_untouched();
}
