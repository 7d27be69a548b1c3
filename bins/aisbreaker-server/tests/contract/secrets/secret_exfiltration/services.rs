//! Attempts by the service id and the engine.

use serde_json::json;

use super::{
    CHAT, GPT4, HOP, USUAL_KEY,
    harness::{
        ExfiltrationHarness,
        Outcome::{self, NoCall, ToProvider},
        body, nestings, service_at,
    },
};
use crate::support::{Request, ample_quotas, grant};

/// Service ids, and the outcome with [`USUAL_KEY`] at the bound address. At the trap's address, a
/// sealed secret is refused.
const SERVICE_IDS: &[(&str, Outcome)] = &[
    ("chat:openai.com", ToProvider(CHAT)),
    ("chat:openai.com/", ToProvider(CHAT)),
    ("chat:openai.com///", ToProvider(CHAT)),
    ("chat:openai.com/gpt-4", ToProvider(GPT4)),
    ("chat:openai.com/gpt-4/", ToProvider(GPT4)),
    ("chat:openai.com/gpt-4/../gpt-5", ToProvider(GPT4)),
    ("chat:openai.com/gpt-4o", ToProvider(CHAT)),
    ("chat:openai.com/GPT-4", ToProvider(CHAT)),
    ("chat:openai.com//gpt-4", ToProvider(CHAT)),
    ("chat:openai.com/./gpt-4", ToProvider(CHAT)),
    ("chat:openai.com/../x", ToProvider(CHAT)),
    ("chat:openai.com/../../aisbreaker:network", ToProvider(CHAT)),
    ("chat:openai.com/..%2f..%2fx", ToProvider(CHAT)),
    ("chat:openai.com/gpt%2d4", ToProvider(CHAT)),
    ("chat:openai.com/gpt‐4", ToProvider(CHAT)),
    ("chat:openai.com/chat:dummy", ToProvider(CHAT)),
    ("CHAT:openai.com", NoCall(404)),
    ("chat:OpenAI.com", NoCall(404)),
    ("chat:OPENAI.COM/gpt-4", NoCall(404)),
    (" chat:openai.com", NoCall(404)),
    ("chat:openai.com ", NoCall(404)),
    ("chat: openai.com", NoCall(404)),
    ("chat:openai.com.", NoCall(404)),
    ("chat:openai.com:443", NoCall(404)),
    ("chat:openai.com@EVIL", NoCall(404)),
    ("chat:openai.com?x", NoCall(404)),
    ("chat:openai.com#x", NoCall(404)),
    ("chat:openai.com\\x", NoCall(404)),
    ("chat:openai.com%2fgpt-4", NoCall(404)),
    ("chat:openai.community", NoCall(404)),
    ("chat:openai", NoCall(404)),
    ("chat:openaі.com", NoCall(404)),
    ("chat:openai。com", NoCall(404)),
    ("chat：openai.com", NoCall(404)),
    ("chat:openai.com\u{200b}", NoCall(404)),
    ("chat:/openai.com", NoCall(404)),
    ("chat://openai.com", NoCall(404)),
    ("chat:../chat:openai.com", NoCall(404)),
    ("chat/openai.com", NoCall(404)),
    ("openai.com", NoCall(404)),
    ("chat:", NoCall(404)),
    ("chat", NoCall(404)),
    ("", NoCall(400)),
    ("chat:openai.com\n", NoCall(400)),
    ("chat:openai.com\0/x", NoCall(400)),
    ("chat:openai.com/\u{7f}", NoCall(400)),
    ("aisbreaker:network", ToProvider(HOP)),
    ("aisbreaker:proxy/", ToProvider(HOP)),
    ("aisbreaker:network/chat:openai.com", ToProvider(HOP)),
    ("aisbreaker:network/http://EVIL", ToProvider(HOP)),
    ("aisbreaker:networks", NoCall(404)),
    ("aisbreaker:Network", NoCall(404)),
    ("aisbreaker:", NoCall(404)),
    ("aisbreaker", NoCall(404)),
];

/// Engines that may change the origin of an address that contains `${engine}`.
const ENGINES: &[&str] = &[
    "@EVIL",
    "/@EVIL",
    "//EVIL",
    "///EVIL/",
    ".EVIL",
    ":80@EVIL",
    "%40EVIL",
    "?@EVIL",
    "?x=http://EVIL",
    "#@EVIL",
    "#no-default-path@EVIL",
    "\\\\EVIL",
    "\\@EVIL",
    "http://EVIL",
    "../../@EVIL",
    "../../..//EVIL",
    "..%2f..%2f@EVIL",
    "%2f%2fEVIL",
    "%5c%5cEVIL",
    "\u{ff0f}\u{ff0f}EVIL",
    "\u{2044}\u{2044}EVIL",
    "${engine}@EVIL",
    " @EVIL",
];

/// Addresses that contain the engine, for keys and for calls, and whether they are valid.
const ENGINE_ADDRESSES: &[(&str, bool)] = &[
    ("http://GOOD/${engine}", true),
    ("http://GOOD/${engine}#no-default-path", true),
    ("http://GOOD/x/../${engine}/${engine}#no-default-path", true),
    ("http://GOOD?${engine}#no-default-path", true),
    ("http://GOOD/#no-default-path/${engine}", true),
    ("http://GOOD${engine}", false),
    ("http://GOOD${engine}#no-default-path", false),
    ("http://${engine}GOOD", false),
    ("http://GOOD\\${engine}", false),
    ("http://GOOD#${engine}", false),
];

#[test]
fn first_matching_entry_decides_the_destination() {
    let harness = ExfiltrationHarness::new();
    let key = harness.key(USUAL_KEY);

    for (id, outcome) in SERVICE_IDS {
        let elsewhere = if let ToProvider(_) = outcome {
            NoCall(403)
        } else {
            *outcome
        };
        for (url, outcome) in [(None, *outcome), (Some("http://EVIL"), elsewhere)] {
            for (nesting, properties) in nestings(&service_at(id, url)) {
                for is_stream in [false, true] {
                    let row = format!("{id:?} at {url:?}, {nesting}, stream: {is_stream}");
                    let request =
                        Request::post_process(harness.fill(&body(&properties, is_stream)))
                            .bearer(&key);
                    harness.attempt(&row, &request, &key, outcome);
                }
            }
        }
    }

    harness.assert_untouched();
}

#[test]
fn engine_cannot_change_the_origin_of_its_address() {
    let harness = ExfiltrationHarness::new();
    let bound_at = |url: &str| {
        let entry = json!([{"serviceId": "chat:", "authSecret": CHAT, "url": harness.fill(url)}]);
        grant(&ample_quotas(), &entry)
    };
    let key = harness.key(USUAL_KEY);

    for (url, is_usable) in ENGINE_ADDRESSES {
        let template = is_usable.then(|| harness.server.mint(&bound_at(url)));
        for engine in ENGINES {
            let leaves_path = engine
                .split('/')
                .any(|segment| matches!(segment, "." | ".."));
            let is_usable = *is_usable && !leaves_path;
            let expected = || {
                if is_usable {
                    ToProvider(CHAT)
                } else {
                    NoCall(400)
                }
            };
            let id = format!("chat:openai.com/{engine}");
            let row = format!("{id:?} at {url}");
            let request_body = body(&service_at(&id, Some(url)), false);
            harness.attempt(
                &row,
                &Request::post_process(harness.fill(&request_body)).bearer(&key),
                &key,
                expected(),
            );
            // The same address in the key instead of the call.
            if let Some(key) = &template {
                let request =
                    Request::post_process(harness.fill(&body(&service_at(&id, None), true)))
                        .bearer(key);
                harness.attempt(&format!("{row} by key"), &request, key, expected());
            }
        }
    }

    harness.assert_untouched();
}
