//! The table of ways round a restriction: every operation, every way to name a model, fallbacks,
//! `process`, filters and other servers. What counts is what arrives at the providers.

use serde_json::{Value, json};

use super::{
    assert_restricted,
    every_operation::{OPERATIONS, requests},
    mint,
};
use crate::support::{
    Provider, ReceivedRequest, Request, Response, Server, ample_quotas, call, openai::completion,
    service,
};

const ALLOWED: &str = "allowed-model-canary";
const OTHER: &str = "other-model";

/// The providers of one key, each with services of its own.
struct Providers {
    openai: Provider,
    groq: Provider,
    anthropic: Provider,
    images: Provider,
    other_server: Provider,
    gemini: Provider,
}

impl Providers {
    fn start() -> Self {
        let answering = || Provider::start(|_, wire| wire.json(200, &completion("yes")));
        Self {
            openai: answering(),
            // The first service of the key, from which fallbacks are called.
            groq: Provider::start(|request, wire| {
                let is_failing = request.body.windows(7).any(|bytes| bytes == b"failing");
                let status = if is_failing { 503 } else { 200 };
                wire.json(status, &completion("yes"));
            }),
            anthropic: answering(),
            images: answering(),
            other_server: answering(),
            gemini: answering(),
        }
    }

    /// Mints a key for all of them with these restrictions.
    fn key(&self, server: &Server, restrict: &Value) -> String {
        let fallback = [
            format!("chat:openai.com/{ALLOWED}"),
            format!("chat:openai.com/{OTHER}"),
            "chat:anthropic.com".to_owned(),
            "text-to-image:openai.com".to_owned(),
            format!("chat:groq.com/{OTHER}"),
        ];
        let entry = |id: &str, provider: &Provider| json!({"serviceId": id, "authSecret": "sk", "url": provider.url()});
        let mut openai = entry("chat:openai.com", &self.openai);
        openai["fallback"] = json!(["chat:anthropic.com", "chat:groq.com"]);
        let mut groq = entry("chat:groq.com", &self.groq);
        groq["fallback"] = json!(fallback);
        let grant = json!({
            "serviceSecrets": [
                openai,
                groq,
                entry("chat:groq", &self.openai),
                entry("chat:anthropic.com", &self.anthropic),
                entry("text-to-image:openai.com", &self.images),
                entry("aisbreaker:network", &self.other_server),
                entry("chat:gemini.google.com", &self.gemini),
            ],
            "modelAliases": {
                "to-allowed": format!("chat:groq.com/{ALLOWED}"),
                "to-openai": format!("chat:openai.com/{ALLOWED}"),
                "to-other": format!("chat:groq.com/{OTHER}"),
                "to-images": format!("text-to-image:openai.com/{ALLOWED}"),
                ALLOWED: format!("chat:openai.com/{OTHER}"),
            },
        });
        mint(server, &ample_quotas(), grant, restrict)
    }

    /// Checks that nothing arrived but at the one provider that is allowed, and nothing there that
    /// `is_allowed` does not know.
    #[track_caller]
    fn assert_nothing_but_groq(&self, row: &str, is_allowed: impl Fn(&ReceivedRequest) -> bool) {
        let forbidden = [
            ("openai", &self.openai),
            ("anthropic", &self.anthropic),
            ("images", &self.images),
            ("other server", &self.other_server),
            ("gemini", &self.gemini),
        ];
        for (name, provider) in forbidden {
            let arrived = provider.requests();
            assert!(arrived.is_empty(), "{row}: at {name}: {arrived:?}");
        }
        for arrived in self.groq.requests() {
            assert!(is_allowed(&arrived), "{row}: {arrived:?}");
        }
    }
}

/// Every way to name a model below `/v1`; the empty one names none.
fn models() -> Vec<String> {
    let mut models: Vec<String> = ["", OTHER, "to-openai", "to-other", "to-images", ALLOWED]
        .map(str::to_owned)
        .to_vec();
    for vendor in [
        "openai.com",
        "groq",
        "groq.com",
        "anthropic.com",
        "gemini",
        "GROQ.com",
    ] {
        for engine in [
            OTHER.to_owned(),
            ALLOWED.to_uppercase(),
            format!("{ALLOWED}x"),
            format!("/{ALLOWED}"),
            format!("{ALLOWED}/../{OTHER}"),
            format!("{ALLOWED}//{OTHER}"),
        ] {
            models.push(format!("{vendor}/{engine}"));
            models.push(format!("chat:{vendor}/{engine}"));
            models.push(format!("text-to-image:{vendor}/{engine}"));
        }
        models.push(vendor.to_owned());
        models.push(format!("chat:{vendor}"));
        models.push(format!("chat:{vendor}/"));
    }
    for vendor in ["openai.com", "anthropic.com"] {
        models.push(format!("{vendor}/{ALLOWED}"));
        models.push(format!("chat:{vendor}/{ALLOWED}"));
        models.push(format!("text-to-image:{vendor}/{ALLOWED}"));
    }
    models
}

/// How many of the requests for an operation are sent with the model at this place: all with some of
/// each kind, and with the others one of each format.
fn most_requests(index: usize) -> usize {
    if index.is_multiple_of(9) {
        usize::MAX
    } else {
        2
    }
}

/// Every service of the server's own API that could lead round a restriction.
fn services(providers: &Providers) -> Vec<Value> {
    let other_server = providers.other_server.url();
    let mut services = Vec::new();
    for id in [
        "chat:openai.com",
        "chat:groq",
        "chat:anthropic.com",
        "chat:gemini.google.com",
        "text-to-image:openai.com",
        "chat:dummy",
        "chat:echo",
        "text-to-image:dummy",
    ] {
        services.push(service(id));
        services.push(service(&format!("{id}/{ALLOWED}")));
    }
    for id in [
        "chat:groq.com",
        "chat:groq.com/",
        "chat:GROQ.com",
        "CHAT:groq.com",
    ] {
        services.push(service(&format!("{id}/{OTHER}")));
    }
    services.push(service(&format!("chat:groq.com/{ALLOWED}/../{OTHER}")));
    let plain = services.clone();
    for filter in ["aisbreaker:mirror", "aisbreaker:nop", "aisbreaker:logging"] {
        for inner in &plain {
            services.push(json!({"serviceId": filter, "forward2ServiceProps": inner}));
        }
    }
    for network in ["aisbreaker:network", "aisbreaker:proxy"] {
        for inner in &plain {
            let hop = json!({
                "serviceId": network, "url": other_server, "forward2ServiceProps": inner,
            });
            services.push(hop.clone());
            services.push(json!({"serviceId": "aisbreaker:nop", "forward2ServiceProps": hop}));
        }
    }
    services
}

/// The model in a body, a form or none at all.
fn names_only_the_allowed_model(request: &ReceivedRequest) -> bool {
    let body = String::from_utf8_lossy(&request.body);
    if body.starts_with('{') {
        request.json()["model"] == ALLOWED
    } else {
        body.contains(&format!("\r\n\r\n{ALLOWED}\r\n"))
    }
}

/// Checks what refused a request says: the restriction and what was asked for, never what is
/// allowed. Everything else failed before it could be refused.
#[track_caller]
fn assert_refused(row: &str, requested: &str, response: &Response) {
    match response.status {
        403 => assert_restricted(row, response, 403, "services"),
        400 | 401 | 404 => {}
        _ => panic!("{row}: {response:?}"),
    }
    let may_say = requested.contains(ALLOWED) || ["to-openai", "to-images"].contains(&requested);
    assert!(
        may_say || !response.text().contains(ALLOWED),
        "{row}: {response:?}"
    );
}

#[test]
fn a_model_restriction_lets_nothing_else_through_below_v1() {
    let providers = Providers::start();
    let server = Server::with_loopback_egress(&[]);
    let only = json!({"services": [format!("chat:groq.com/{ALLOWED}")]});
    let wide = json!({"services": ["chat:"]});
    for restrict in [json!(only), json!([wide, only]), json!([only, wide])] {
        let is_one = restrict.is_object();
        let key = providers.key(&server, &restrict);
        let mut connection = server.connect();
        for operation in OPERATIONS {
            for (index, model) in models().into_iter().enumerate() {
                let all = requests(operation, &key, &model);
                let most = if is_one { most_requests(index) } else { 1 };
                for request in all.iter().take(most) {
                    let row = format!("{restrict} {operation:?} {model:?}");
                    let response = connection.send(request);
                    assert_refused(&row, &model, &response);
                }
            }
        }
        for path in ["/v1/responses/resp_1", "/v1/models/other-model"] {
            let head = Request::new("HEAD", path).bearer(&key);
            assert_eq!(connection.send(&head).status, 403, "{path}");
        }
        providers.assert_nothing_but_groq("refused", |_| false);
    }
}

#[test]
fn a_service_restriction_lets_no_other_service_through_below_v1() {
    let providers = Providers::start();
    let server = Server::with_loopback_egress(&[]);
    let key = providers.key(&server, &json!({"services": ["chat:groq.com"]}));
    let mut connection = server.connect();
    let mut answered = 0;
    for operation in OPERATIONS {
        for (index, model) in models().into_iter().enumerate() {
            let all = requests(operation, &key, &model);
            for request in all.iter().take(most_requests(index)) {
                let response = connection.send(request);
                if response.status == 200 {
                    answered += 1;
                } else {
                    assert_refused(&format!("{operation:?} {model:?}"), &model, &response);
                }
            }
        }
    }
    providers.assert_nothing_but_groq("service", |_| true);
    assert_eq!(providers.groq.requests().len(), answered);
}

#[test]
fn what_a_model_restriction_allows_goes_through() {
    let providers = Providers::start();
    let server = Server::with_loopback_egress(&[]);
    let key = providers.key(
        &server,
        &json!({"services": [format!("chat:groq.com/{ALLOWED}")]}),
    );
    let mut connection = server.connect();
    let mut sent = 0;
    for operation in OPERATIONS {
        let (name, method, _) = operation;
        if method != "POST" || name.starts_with("messages") || name.contains("{id}") {
            continue;
        }
        for model in [
            format!("groq.com/{ALLOWED}"),
            format!("chat:groq.com/{ALLOWED}"),
            format!("chat:groq.com/{ALLOWED}/"),
            // The key has an entry of its own for this name, which is not allowed.
            format!("groq/{ALLOWED}"),
            "to-allowed".to_owned(),
        ] {
            for request in requests(operation, &key, &model) {
                let response = connection.send(&request);
                assert_eq!(response.status, 200, "{name} {model}: {response:?}");
                sent += 1;
            }
        }
    }
    providers.assert_nothing_but_groq("allowed", names_only_the_allowed_model);
    assert_eq!(providers.groq.requests().len(), sent);
}

#[test]
fn a_model_restriction_lets_nothing_else_through_process() {
    let providers = Providers::start();
    let server = Server::with_loopback_egress(&[]);
    let key = providers.key(
        &server,
        &json!([{"services": ["chat:", "text-to-image:"]}, {"services": [format!("chat:groq.com/{ALLOWED}")]}]),
    );
    for service in services(&providers) {
        for options in [
            json!({}),
            json!({"model": OTHER}),
            json!({"model": ALLOWED}),
        ] {
            for stream in [false, true] {
                let mut body = call(service.clone(), "hello");
                body["request"]["internOptions"] = options.clone();
                body["request"]["stream"] = json!(stream);
                let response = server.process(&key, &body);
                assert_refused(&body.to_string(), &body.to_string(), &response);
            }
        }
    }
    providers.assert_nothing_but_groq("refused", |_| false);

    let url = providers.groq.url();
    let allowed = format!("chat:groq.com/{ALLOWED}");
    let refused = [
        (service("chat:groq.com"), json!({"model": OTHER})),
        (service("chat:groq.com"), json!({})),
        (
            json!({"serviceId": allowed, "url": format!("{url}/x#no-default-path")}),
            json!({}),
        ),
        (service(&allowed), json!({"models": [OTHER]})),
        (service(&allowed), json!({"MODELS": [OTHER]})),
        (service(&allowed), json!({"fallbacks": [OTHER]})),
    ];
    for (service, options) in refused {
        let mut body = call(service, "hello");
        body["request"]["internOptions"] = options;
        let response = server.process(&key, &body);
        assert_refused(&body.to_string(), &body.to_string(), &response);
    }
    providers.assert_nothing_but_groq("refused", |_| false);

    for (service, options) in [
        (service(&allowed), json!({})),
        (service(&allowed), json!({"model": OTHER})),
        (service("chat:groq.com"), json!({"model": ALLOWED})),
        (json!({"serviceId": allowed, "url": url}), json!({})),
        (
            json!({"serviceId": "aisbreaker:nop", "forward2ServiceProps": {"serviceId": allowed}}),
            json!({}),
        ),
    ] {
        let mut body = call(service, "hello");
        body["request"]["internOptions"] = options;
        assert_eq!(server.process(&key, &body).content(), "yes", "{body}");
    }
    providers.assert_nothing_but_groq("allowed", names_only_the_allowed_model);
    assert_eq!(providers.groq.requests().len(), 5);
}

#[test]
fn fallbacks_that_are_not_allowed_are_never_called() {
    let providers = Providers::start();
    let server = Server::with_loopback_egress(&[]);
    let key = providers.key(&server, &json!({"services": ["chat:groq.com/failing"]}));
    let failing = json!({"model": "groq.com/failing", "messages": []});

    let chat = Request::post("/v1/chat/completions", failing.to_string()).bearer(&key);
    let forwarded = server.send(&chat);
    let called = server.process(&key, &call(service("chat:groq.com/failing"), "hello"));
    let filtered = json!({
        "serviceId": "aisbreaker:logging", "forward2ServiceProps": {"serviceId": "chat:groq.com/failing"},
    });
    let logged = server.process(&key, &call(filtered, "hello"));

    for response in [forwarded, called, logged] {
        assert_eq!(response.status, 503, "{response:?}");
        let attempts = response.header("x-aisbreaker-attempts").unwrap_or_default();
        assert!(!attempts.contains("openai"), "{attempts}");
    }
    providers.assert_nothing_but_groq("fallback", |_| true);
    assert_eq!(providers.groq.requests().len(), 3);
}

#[test]
fn members_that_name_other_models_are_refused_where_one_model_is_allowed() {
    let providers = Providers::start();
    let server = Server::with_loopback_egress(&[]);
    let one = providers.key(
        &server,
        &json!({"services": [format!("chat:groq.com/{ALLOWED}")]}),
    );
    let any = providers.key(&server, &json!({"services": ["chat:groq.com"]}));
    let bodies = [
        json!({"model": format!("groq.com/{ALLOWED}"), "models": [OTHER]}),
        json!({"models": [OTHER], "model": format!("groq.com/{ALLOWED}")}),
        json!({"model": format!("groq.com/{ALLOWED}"), "Models": [OTHER]}),
        json!({"model": format!("groq.com/{ALLOWED}"), "fallbacks": [OTHER]}),
    ];
    for body in &bodies {
        let send =
            |key| server.send(&Request::post("/v1/chat/completions", body.to_string()).bearer(key));
        assert_restricted("one model", &send(&one), 403, "services");
        assert_eq!(send(&any).status, 200, "{body}");
    }
    assert_eq!(providers.groq.requests().len(), bodies.len());
}

#[test]
fn an_operation_restriction_lets_no_other_operation_through() {
    let providers = Providers::start();
    let server = Server::with_loopback_egress(&[]);
    let model = format!("groq.com/{ALLOWED}");
    let process = call(service("chat:groq.com/m"), "hello");
    for (allowed, ..) in OPERATIONS {
        let key = providers.key(
            &server,
            &json!([{"operations": [allowed, "process"]}, {"operations": [allowed]}]),
        );
        let mut connection = server.connect();
        for operation in OPERATIONS {
            let (name, ..) = operation;
            if name == allowed {
                continue;
            }
            for request in requests(operation, &key, &model) {
                let response = connection.send(&request);
                assert_restricted(&format!("{allowed} {name}"), &response, 403, "operations");
                assert!(response.message().ends_with(name), "{response:?}");
            }
        }
        assert_restricted(allowed, &server.process(&key, &process), 403, "operations");
    }
    let key = providers.key(&server, &json!({"operations": ["process"]}));
    for operation in OPERATIONS {
        for request in requests(operation, &key, &model) {
            assert_restricted("process", &server.send(&request), 403, "operations");
        }
    }
    providers.assert_nothing_but_groq("operation", |_| false);

    assert_eq!(server.process(&key, &process).content(), "yes");
    for (row, path) in [("quota", "/api/v1/quota"), ("models", "/v1/models")] {
        let response = server.send(&Request::get(path).bearer(&key));
        assert_eq!(response.status, 200, "{row}: {response:?}");
    }
}
