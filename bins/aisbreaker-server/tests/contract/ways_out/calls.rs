//! Tries the rows about what a call says: its address, its service, the engine, and who makes it.

use serde_json::{Value, json};

use super::{
    ADDRESSES, CALLS, CHAT, ENGINE_ADDRESSES, ENGINES, HOPS_TO_SELF, HOUSE, KEYS, PROXY_VARIABLES,
    SEALED, SERVICE_IDS, SERVICES,
    attempt::{Caller, Outcome, Scene, authorized, body, good, post, service_at, status_of, ways},
};
use crate::support::{Provider, Request, assert_error, call, grant, hop, http2, roomy, service};

const PROCESS: &str = "/api/v1/process";
const PROCESS_ALPHA: &str = "/api/v1alpha1/process";

#[test]
fn a_sealed_secret_goes_to_no_other_address() {
    let scene = Scene::new();

    for (kind, seals) in KEYS {
        let key = scene.key(seals);
        for (url, status) in ADDRESSES {
            for id in SERVICES {
                let properties = service_at(id, Some(url));
                // All the ways are about the services in between, not about the key.
                let ways =
                    ways(&properties)
                        .into_iter()
                        .take(if *kind == KEYS[0].0 { 5 } else { 1 });
                for ((way, properties), is_stream) in
                    ways.flat_map(|way| [(way.clone(), false), (way, true)])
                {
                    let row = format!("{kind}: {id} at {url:?}, {way}, stream: {is_stream}");
                    let path = if is_stream { PROCESS_ALPHA } else { PROCESS };
                    let request =
                        post(path, &scene.fill(&body(&properties, is_stream))).bearer(&key);
                    let answer = scene.attempt(&row, &request, &key, Outcome::Stays(*status));
                    // A stream has not begun yet, so it is a plain error.
                    assert_error(&row, &answer, *status, "");
                    let home = scene.good.port().to_string();
                    assert!(
                        !answer.text().contains(&home) || scene.fill(url).contains(&home),
                        "{row} tells where the key is bound to: {answer:?}"
                    );
                }
            }
        }
    }

    scene.assert_untouched();
    assert_eq!(
        scene.good.connections(),
        0,
        "somebody called the provider: {:?}",
        scene.good.requests()
    );
}

#[test]
fn a_sealed_secret_goes_to_no_other_address_over_http_2() {
    let scene = Scene::new();
    let key = scene.key(SEALED);
    let rows: Vec<(&str, u16, &str)> = ADDRESSES
        .iter()
        .flat_map(|(url, status)| SERVICES.map(|id| (*url, *status, id)))
        .collect();
    let requests = rows.iter().enumerate().map(|(index, (url, _, id))| {
        let body = scene.fill(&body(&service_at(id, Some(url)), index % 2 == 0));
        let request = hyper::Request::post(format!("http://localhost{PROCESS}"));
        request
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {key}"))
            .header("x-forwarded-host", scene.trap.address().to_string())
            .body(body)
            .unwrap()
    });

    let answers = http2(&scene.server, requests.collect());

    for ((url, status, id), (head, body)) in rows.iter().zip(&answers) {
        assert_eq!(head.status.as_u16(), *status, "{id} at {url:?}: {body}");
        assert!(
            !body.contains(super::attempt::MARK),
            "{id} at {url:?}: {body}"
        );
    }
    assert_eq!(answers.len(), rows.len());
    scene.assert_untouched();
    assert_eq!(scene.good.connections(), 0);
}

#[test]
fn the_first_entry_that_matches_by_whole_segments_says_where_a_call_goes() {
    let scene = Scene::new();
    let key = scene.key(SEALED);

    for (id, outcome) in SERVICE_IDS {
        let elsewhere = if let Outcome::AtHome(_) = outcome {
            Outcome::Stays(403)
        } else {
            *outcome
        };
        for (url, outcome) in [(None, *outcome), (Some("http://EVIL"), elsewhere)] {
            for (way, properties) in ways(&service_at(id, url)) {
                for is_stream in [false, true] {
                    let row = format!("{id:?} at {url:?}, {way}, stream: {is_stream}");
                    let request =
                        post(PROCESS, &scene.fill(&body(&properties, is_stream))).bearer(&key);
                    scene.attempt(&row, &request, &key, outcome);
                }
            }
        }
    }

    scene.assert_untouched();
}

#[test]
fn no_engine_leads_away_from_the_address_it_is_put_in() {
    let scene = Scene::new();
    let bound_at = |url: &str| {
        let entry = json!([{"serviceId": "chat:", "authSecret": CHAT, "url": scene.fill(url)}]);
        grant(&roomy(), &entry)
    };
    let key = scene.key(SEALED);

    for (url, is_usable) in ENGINE_ADDRESSES {
        let template = is_usable.then(|| scene.server.mint(&bound_at(url)));
        for engine in ENGINES {
            let leaves_path = engine
                .split('/')
                .any(|segment| matches!(segment, "." | ".."));
            let is_usable = *is_usable && !leaves_path;
            let expected = || {
                if is_usable {
                    Outcome::AtHome(CHAT)
                } else {
                    Outcome::Stays(400)
                }
            };
            let id = format!("chat:openai.com/{engine}");
            let row = format!("{id:?} at {url}");
            let named = body(&service_at(&id, Some(url)), false);
            scene.attempt(
                &row,
                &post(PROCESS, &scene.fill(&named)).bearer(&key),
                &key,
                expected(),
            );
            // The same address in the key.
            if let Some(key) = &template {
                let request =
                    post(PROCESS, &scene.fill(&body(&service_at(&id, None), true))).bearer(key);
                scene.attempt(&format!("{row} by key"), &request, key, expected());
            }
        }
    }

    scene.assert_untouched();
}

#[test]
fn a_call_gets_the_secret_that_is_its_own_and_sends_it_where_it_may_go() {
    let (keyed, house) = (Scene::new(), Scene::with_default_key(HOUSE));

    for (name, seals, caller, properties, outcome) in CALLS {
        let scene = if let Caller::Key = caller {
            &keyed
        } else {
            &house
        };
        let key = scene.key(seals);
        for (way, properties) in ways(properties) {
            for (path, is_stream) in [(PROCESS, false), (PROCESS, true), (PROCESS_ALPHA, true)] {
                let row = format!("{name}, {way}, stream: {is_stream}");
                let request = post(path, &scene.fill(&body(&properties, is_stream)));
                scene.attempt(&row, &authorized(request, *caller, &key), &key, *outcome);
            }
        }
    }
}

#[test]
fn a_hop_to_this_very_server_leads_no_further_than_the_key() {
    let scene = Scene::new();

    for (name, seals, properties, outcome) in HOPS_TO_SELF {
        // The server is called by its address, so the key must be one for that.
        let key = scene.key_at("127.0.0.1", seals);
        for (way, properties) in ways(properties) {
            for is_stream in [false, true] {
                let request =
                    post(PROCESS, &scene.fill(&body(&properties, is_stream))).bearer(&key);
                let request = request.set("Host", scene.server.address().to_string());
                let row = format!("{name}, {way}, stream: {is_stream}");
                scene.attempt(&row, &request, &key, *outcome);
            }
        }
    }
}

#[test]
fn a_key_that_is_sealed_for_a_hop_goes_no_further_than_the_hop() {
    let scene = Scene::new();
    // The inner key would send itself anywhere, for those who know it. The holder of the outer one
    // does not.
    let inner = scene.key_at("127.0.0.1", super::SELF_KEY);
    let entry = json!([{"serviceId": "aisbreaker:network", "authSecret": inner, "url": scene.server.url()}]);
    let outer = scene.server.mint_at("127.0.0.1", &grant(&roomy(), &entry));
    let away = hop(&scene.trap.url(), &service("chat:dummy"));

    for (row, caller, properties) in [
        ("by one who knows it", &inner, away.clone()),
        (
            "by one who does not",
            &outer,
            hop(&scene.server.url(), &away),
        ),
    ] {
        let request = post(PROCESS, &body(&properties.to_string(), false)).bearer(caller);
        scene
            .server
            .send(&request.set("Host", scene.server.address().to_string()));
        let received = scene.trap.requests().pop().expect("a call of the trap");
        let expected = (*caller == inner).then(|| format!("Bearer {inner}"));
        assert_eq!(
            received.header("authorization"),
            expected.as_deref(),
            "{row}"
        );
        assert!(
            expected.is_some() || !format!("{received:?}").contains(&inner),
            "{row}"
        );
    }
    // The hop can do with it what its holder could do there.
    let at_home = hop(&scene.server.url(), &service("chat:openai.com"));
    let request = post(PROCESS, &body(&at_home.to_string(), true)).bearer(&outer);
    let request = request.set("Host", scene.server.address().to_string());
    scene.attempt(
        "what the inner key is for",
        &request,
        &outer,
        Outcome::AtHome(CHAT),
    );
}

#[test]
fn a_provider_that_is_a_server_of_ours_is_no_way_round_its_rules_for_hops() {
    let scene = Scene::new();
    let key = scene.key_at("127.0.0.1", &[("", CHAT, &["http://SELF"])]);
    let inner: Value = serde_json::from_str(&scene.fill(&body(super::AWAY, false))).unwrap();
    // What is asked of the provider is a call for the server there.
    let url = format!("{}{PROCESS}#no-default-path", scene.server.url());
    let mut call = call(json!({"serviceId": "chat:openai.com", "url": url}), "Hi");
    call["request"]["internOptions"] = inner;

    let request = Request::process(&call).bearer(&key);
    let request = request.set("Host", scene.server.address().to_string());
    scene.attempt("a call in the options", &request, &key, Outcome::Stays(403));

    scene.assert_untouched();
}

#[test]
fn proxies_in_the_environment_are_not_asked() {
    let trap = Provider::trap();
    let proxy = trap.url();
    let environment: Vec<(&str, &str)> = PROXY_VARIABLES
        .iter()
        .map(|name| (*name, proxy.as_str()))
        .chain([("NO_PROXY", "")])
        .collect();
    let scene = Scene::with(&environment, good(), trap);
    let key = scene.key(SEALED);

    for (id, secret) in [
        ("chat:openai.com", CHAT),
        ("aisbreaker:network", super::HOP),
    ] {
        for is_stream in [false, true] {
            let request = post(PROCESS, &body(&service_at(id, None), is_stream)).bearer(&key);
            scene.attempt(id, &request, &key, Outcome::AtHome(secret));
        }
        // A proxy would be asked for a tunnel to this one.
        let secure = service_at(id, Some("https://GOOD"));
        let answer = scene.server.process(
            "sk-own",
            &serde_json::from_str(&scene.fill(&body(&secure, false))).unwrap(),
        );
        assert_eq!(status_of(&answer), 503, "{id}: {answer:?}");
    }

    scene.assert_untouched();
}
