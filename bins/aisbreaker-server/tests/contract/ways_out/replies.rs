//! Tries the rows about what a provider answers.

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::{
    CHAT, HOP, LOCATIONS, REDIRECTS, REPLIES, SEALED,
    attempt::{MARK, Scene, body, post, service_at, status_of},
};
use crate::support::Provider;

/// A provider that answers with the reply in this place, in which it puts the bearer value for
/// `SECRET`.
fn repeating(reply: Arc<Mutex<(String, String)>>) -> Provider {
    Provider::start(move |received, wire| {
        let (head, body) = reply.lock().unwrap().clone();
        let secret = received
            .header("authorization")
            .and_then(|value| value.strip_prefix("Bearer "));
        let chat = json!({"choices": [{"message": {"role": "assistant", "content": "ok"}}]});
        let ours = json!({
            "outputs": [], "usage": {"service": {"serviceId": "chat:dummy"}, "totalMilliseconds": 1},
        });
        let good = if received.target.ends_with("/process") {
            ours
        } else {
            chat
        }
        .to_string();
        let body = if body == "OK" {
            good
        } else {
            body.replace("SECRET", secret.unwrap_or_default())
        };
        let length = format!(
            "\r\nContent-Type: application/json\r\nContent-Length: {}",
            body.len()
        );
        let length = if head.contains(" 101 ") { "" } else { &length };
        wire.write(
            format!("{head}{length}\r\n\r\n{body}").replace("SECRET", secret.unwrap_or_default()),
        );
    })
}

/// Calls a provider with this reply in all ways, twice each, so that what it said the first time
/// could matter.
fn try_reply(scene: &Scene, key: &str, row: &str, status: u16) {
    for (id, secret) in [("chat:openai.com", CHAT), ("aisbreaker:network", HOP)] {
        for is_stream in [false, true, false, true] {
            let before = scene.good.requests().len();
            let body = body(&service_at(id, None), is_stream);
            let answer = scene
                .server
                .send(&post("/api/v1/process", &body).bearer(key));
            let row = format!("{row}, {id}, stream: {is_stream}");
            assert_eq!(status_of(&answer), status, "{row}: {answer:?}");
            let told = format!("{answer:?}");
            assert!(
                !told.contains(MARK) && !told.contains("stolen"),
                "{row}: {told}"
            );
            let sent = scene.good.requests().split_off(before);
            assert_eq!(sent.len(), 1, "{row}: a call is made once: {sent:?}");
            assert_eq!(
                sent[0].header("authorization"),
                Some(&*format!("Bearer {secret}")),
                "{row}"
            );
            assert_eq!(sent[0].header("cookie"), None, "{row}");
            assert_eq!(
                scene.trap.connections(),
                0,
                "{row}: the trap was connected to"
            );
        }
    }
}

#[test]
fn no_redirect_is_followed() {
    let reply = Arc::new(Mutex::new(Default::default()));
    let scene = Scene::with(&[], repeating(Arc::clone(&reply)), Provider::trap());
    let key = scene.key(SEALED);

    for status in REDIRECTS {
        for location in LOCATIONS {
            let head = format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {location}");
            *reply.lock().unwrap() = (scene.fill(&head), String::new());
            try_reply(&scene, &key, &head, 502);
        }
    }

    scene.assert_untouched();
}

#[test]
fn no_reply_of_a_provider_leads_a_secret_elsewhere() {
    let reply = Arc::new(Mutex::new(Default::default()));
    let scene = Scene::with(&[], repeating(Arc::clone(&reply)), Provider::trap());
    let key = scene.key(SEALED);

    for (head, body, status) in REPLIES {
        *reply.lock().unwrap() = (scene.fill(head), scene.fill(body));
        try_reply(&scene, &key, &format!("{head} {body}"), *status);
    }

    scene.assert_untouched();
}
