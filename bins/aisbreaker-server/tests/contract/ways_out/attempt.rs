//! What the attempts have in common: the server, the provider that a secret is bound to, and the
//! trap.

use serde_json::{Value, json};

use crate::support::{Answer, Provider, Received, Request, Server, grant, roomy, sse};

/// Part of every sealed secret here, and of nothing else.
pub(super) const MARK: &str = "canary";

/// The entries of a key: for which services, the secret, and where it may be sent.
pub(super) type Seals = &'static [(&'static str, &'static str, &'static [&'static str])];

/// What `Authorization` holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Caller {
    /// The sealed key.
    Key,
    /// Nothing; the sealed key is the server's default one.
    Nobody,
    /// This value, such as `Bearer sk-own`; the sealed key is the server's default one.
    Says(&'static str),
}

/// What becomes of an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    /// It is answered with this status, and nobody is called.
    Stays(u16),
    /// The provider that the secret is bound to is called, with this secret.
    AtHome(&'static str),
    /// The trap is called, since the caller says so, without any bearer value.
    Bare,
    /// The trap is called with what the caller knows already: this bearer value.
    Own(&'static str),
    /// The trap is called with the key that the caller sent, which stays sealed.
    OwnKey,
}

/// A server that may call loopback, a provider that is called `GOOD` in the rows, and the trap,
/// `EVIL`.
pub(super) struct Scene {
    pub(super) server: Server,
    pub(super) good: Provider,
    pub(super) trap: Provider,
}

impl Scene {
    pub(super) fn new() -> Self {
        Self::with(&[], good(), Provider::trap())
    }

    /// A scene whose server has this environment besides.
    pub(super) fn with(environment: &[(&str, &str)], good: Provider, trap: Provider) -> Self {
        Self {
            server: Server::with_egress(environment),
            good,
            trap,
        }
    }

    /// A scene whose server has a default key with these entries.
    pub(super) fn with_default_key(seals: Seals) -> Self {
        let sealing = Self::new();
        let key = sealing.key(seals);
        let Self {
            server: _,
            good,
            trap,
        } = sealing;
        Self::with(&[("DEFAULT_AISBREAKER_API_KEY", &key)], good, trap)
    }

    /// The text with the addresses in it: `GOOD`, `EVIL`, `SELF`, and the ports alone, `GOODPORT`
    /// and `EVILPORT`.
    pub(super) fn fill(&self, text: &str) -> String {
        let mut filled = text.to_owned();
        let words = [
            ("GOODPORT", self.good.port().to_string()),
            ("EVILPORT", self.trap.port().to_string()),
            ("GOOD", self.good.address().to_string()),
            ("EVIL", self.trap.address().to_string()),
            ("SELF", self.server.address().to_string()),
        ];
        for (word, address) in words {
            filled = filled.replace(word, &address);
        }
        filled
    }

    pub(super) fn key(&self, seals: Seals) -> String {
        self.key_at("localhost", seals)
    }

    /// A key with roomy quotas that is bound to this host.
    pub(super) fn key_at(&self, host: &str, seals: Seals) -> String {
        let entry = |(pattern, secret, urls): &(&str, &str, &[&str])| {
            let urls: Vec<String> = urls.iter().map(|url| self.fill(url)).collect();
            let mut entry = json!({"serviceId": pattern, "authSecret": secret});
            if !urls.is_empty() {
                entry["url"] = json!(urls);
            }
            entry
        };
        self.server
            .mint_at(host, &grant(&roomy(), &seals.iter().map(entry).collect()))
    }

    /// Sends one attempt and checks what became of it.
    pub(super) fn attempt(
        &self,
        row: &str,
        request: &Request,
        key: &str,
        outcome: Outcome,
    ) -> Answer {
        let before = (
            self.good.requests().len(),
            self.trap.requests().len(),
            self.trap.connections(),
        );

        let answer = self.server.send(request);

        let told = format!("{answer:?}");
        assert!(
            !told.contains(MARK),
            "{row}: the answer holds a secret: {told}"
        );
        let at_home = self.good.requests().split_off(before.0);
        let trapped = self.trap.requests().split_off(before.1);
        self.assert_sealed(row);
        match outcome {
            Outcome::Stays(status) => {
                assert_eq!(status_of(&answer), status, "{row}: {told}");
                assert_eq!(
                    (at_home.len(), trapped.len()),
                    (0, 0),
                    "{row}: somebody was called: {told}"
                );
                assert_eq!(
                    self.trap.connections(),
                    before.2,
                    "{row}: the trap was connected to"
                );
            }
            Outcome::AtHome(secret) => {
                assert_eq!(status_of(&answer), 200, "{row}: {told}");
                assert_eq!(
                    bearers(&at_home),
                    [Some(format!("Bearer {secret}"))],
                    "{row}: {at_home:?}"
                );
                let host = at_home[0].header("host").map(str::to_owned);
                assert_eq!(host, Some(self.good.address().to_string()), "{row}");
                let marks = shown(&at_home[0]).matches(MARK).count();
                assert_eq!(marks, 1, "{row}: other secrets went along: {at_home:?}");
                assert_eq!(
                    self.trap.connections(),
                    before.2,
                    "{row}: the trap was connected to"
                );
            }
            Outcome::Bare => assert_trapped(row, &answer, &trapped, None),
            Outcome::Own(value) => assert_trapped(row, &answer, &trapped, Some(value)),
            Outcome::OwnKey => assert_trapped(row, &answer, &trapped, Some(key)),
        }
        answer
    }

    /// Checks that the trap has seen no sealed secret in whatever reached it.
    pub(super) fn assert_sealed(&self, row: &str) {
        for received in self.trap.requests() {
            assert!(
                !shown(&received).contains(MARK),
                "{row}: the trap has a secret: {received:?}"
            );
        }
    }

    /// Checks that nobody has connected to the trap, and that the log holds no secret either.
    pub(super) fn assert_untouched(&self) {
        assert_eq!(
            self.trap.connections(),
            0,
            "somebody called the trap: {:?}",
            self.trap.requests()
        );
        assert!(
            !self.server.log().contains(MARK),
            "the log holds a secret: {}",
            self.server.log()
        );
    }
}

/// Checks that the trap was called once, with this bearer value.
fn assert_trapped(row: &str, answer: &Answer, trapped: &[Received], value: Option<&str>) {
    // The trap's answer is nothing that a service understands.
    assert_eq!(status_of(answer), 502, "{row}: {answer:?}");
    assert_eq!(
        bearers(trapped),
        [value.map(|value| format!("Bearer {value}"))],
        "{row}: {trapped:?}"
    );
}

/// Everything of a request that holds text.
fn shown(received: &Received) -> String {
    format!(
        "{} {} {:?} {}",
        received.method,
        received.target,
        received.headers,
        String::from_utf8_lossy(&received.body)
    )
}

fn bearers(received: &[Received]) -> Vec<Option<String>> {
    received
        .iter()
        .map(|received| received.header("authorization").map(str::to_owned))
        .collect()
}

/// The status of an answer, or that of the error which ends its stream.
pub(super) fn status_of(answer: &Answer) -> u16 {
    if answer.status != 200 || answer.header("content-type") != Some("text/event-stream") {
        return answer.status;
    }
    let last = answer
        .events()
        .pop()
        .unwrap_or_else(|| panic!("no events: {answer:?}"));
    match last.name.as_str() {
        "final" => 200,
        "error" => last.data["error"]["statusCode"]
            .as_u64()
            .and_then(|status| status.try_into().ok())
            .unwrap(),
        other => panic!("the stream ends in {other:?}: {answer:?}"),
    }
}

/// A provider with OpenAI's protocol that is also a server of ours.
pub(super) fn good() -> Provider {
    Provider::start(|received, wire| {
        let is_ours = received.target.ends_with("/process");
        let is_stream =
            received.json()["stream"] == true || received.json()["request"]["stream"] == true;
        let chat = json!({"choices": [{"message": {"role": "assistant", "content": "ok"}}]});
        let delta =
            json!({"choices": [{"index": 0, "delta": {"content": "ok"}, "finish_reason": "stop"}]});
        let ours = json!({
            "outputs": [{"text": {"index": 0, "role": "assistant", "content": "ok"}}],
            "usage": {"service": {"serviceId": "chat:dummy"}, "totalMilliseconds": 1},
        });
        match (is_ours, is_stream) {
            (true, true) => wire.whole_stream(format!("event: final\ndata: {ours}\n\n")),
            (true, false) => wire.json(200, &ours),
            (false, true) => wire.whole_stream(sse(&delta)),
            (false, false) => wire.json(200, &chat),
        }
    })
}

/// The body of a call of the service with these properties, which are JSON, perhaps with a member
/// twice.
pub(super) fn body(properties: &str, is_stream: bool) -> String {
    let request =
        json!({"inputs": [{"text": {"role": "user", "content": "Hi"}}], "stream": is_stream});
    format!(r#"{{"service": {properties}, "request": {request}}}"#)
}

/// A call of `process` with this body, on one of its two routes.
pub(super) fn post(path: &str, body: &str) -> Request {
    Request::new("POST", path)
        .header("Content-Type", "application/json")
        .body(body)
}

/// All the ways in which a service is reached, each in a name and the properties: called by itself,
/// behind each of the services that pass on, and behind several of them, which name an address of
/// their own that must not matter.
pub(super) fn ways(properties: &str) -> Vec<(&'static str, String)> {
    let behind = |id: &str, inner: &str| {
        format!(
            r#"{{"serviceId": "aisbreaker:{id}", "url": "http://EVIL", "forward2ServiceProps": {inner}}}"#
        )
    };
    let deep = [
        "nop",
        "mirror",
        "logging",
        "nop",
        "mirror/service/x",
        "logging",
    ];
    vec![
        ("by itself", properties.to_owned()),
        ("behind nop", behind("nop", properties)),
        ("behind mirror", behind("mirror", properties)),
        ("behind logging", behind("logging", properties)),
        (
            "behind six",
            deep.iter()
                .fold(properties.to_owned(), |inner, id| behind(id, &inner)),
        ),
    ]
}

/// Properties of a service at an address, and of another one behind it for those that pass on.
pub(super) fn service_at(id: &str, url: Option<&str>) -> String {
    let mut properties: Value = json!({"serviceId": id});
    if let Some(url) = url {
        properties["url"] = json!(url);
    }
    if id.starts_with("aisbreaker:") {
        properties["forward2ServiceProps"] = json!({"serviceId": "chat:openai.com"});
    }
    properties.to_string()
}

/// The authorization of a request, as the row has it.
pub(super) fn authorized(request: Request, caller: Caller, key: &str) -> Request {
    match caller {
        Caller::Key => request.bearer(key),
        Caller::Nobody => request,
        Caller::Says(value) => request.header("Authorization", value),
    }
}
