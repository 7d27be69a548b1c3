//! What the attempts have in common: the server, the provider to which a secret is bound, and the
//! trap.

use serde_json::{Value, json};

use crate::support::{
    Provider, ReceivedRequest, Request, Response, Server, ample_quotas, grant, sse,
};

/// Every sealed secret contains this, and nothing else does.
pub(super) const MARK: &str = "canary";

/// The entries of a key: service, secret, and the URLs to which it is bound.
pub(super) type KeyEntries = &'static [(&'static str, &'static str, &'static [&'static str])];

/// The credentials of an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) enum Caller {
    /// The key.
    Key,
    /// None. The key is the server's default key.
    NoCredentials,
    /// This value of `Authorization`. The key is the server's default key.
    Sends(&'static str),
}

/// The expected outcome of an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    /// The response has this status, and nothing is called.
    NoCall(u16),
    /// The provider to which the secret is bound is called with this secret.
    ToProvider(&'static str),
    /// The trap is called, as the caller asks, without a bearer value.
    ToTrapBare,
    /// The trap is called with this bearer value, which the caller knows already.
    ToTrapWith(&'static str),
    /// The trap is called with the key that the caller sent, still sealed.
    ToTrapWithKey,
}

/// A server that may call loopback addresses, the provider `GOOD`, and the trap `EVIL`.
pub(super) struct ExfiltrationHarness {
    pub(super) server: Server,
    pub(super) provider: Provider,
    pub(super) trap: Provider,
}

impl ExfiltrationHarness {
    /// Starts all three.
    pub(super) fn new() -> Self {
        Self::with(&[], bound_provider(), Provider::trap())
    }

    /// Starts a server with this environment.
    pub(super) fn with(environment: &[(&str, &str)], provider: Provider, trap: Provider) -> Self {
        Self {
            server: Server::with_loopback_egress(environment),
            provider,
            trap,
        }
    }

    /// Starts a server whose default key has these entries.
    pub(super) fn with_default_key(entries: KeyEntries) -> Self {
        let sealing = Self::new();
        let key = sealing.key(entries);
        let Self {
            server: _,
            provider,
            trap,
        } = sealing;
        Self::with(&[("DEFAULT_AISBREAKER_API_KEY", &key)], provider, trap)
    }

    /// Replaces the placeholders `GOOD`, `EVIL`, `SELF`, `GOODPORT` and `EVILPORT` by the addresses
    /// and ports.
    pub(super) fn fill(&self, text: &str) -> String {
        let mut filled = text.to_owned();
        let placeholders = [
            ("GOODPORT", self.provider.port().to_string()),
            ("EVILPORT", self.trap.port().to_string()),
            ("GOOD", self.provider.address().to_string()),
            ("EVIL", self.trap.address().to_string()),
            ("SELF", self.server.address().to_string()),
        ];
        for (placeholder, address) in placeholders {
            filled = filled.replace(placeholder, &address);
        }
        filled
    }

    /// Mints a key with ample quotas that is bound to `localhost`.
    pub(super) fn key(&self, entries: KeyEntries) -> String {
        self.key_at("localhost", entries)
    }

    /// Mints a key with ample quotas that is bound to this host.
    pub(super) fn key_at(&self, host: &str, entries: KeyEntries) -> String {
        self.key_of(&self.server, host, entries)
    }

    /// Mints a key of another server with ample quotas that is bound to this host.
    pub(super) fn key_of(&self, server: &Server, host: &str, entries: KeyEntries) -> String {
        let entry = |(pattern, secret, urls): &(&str, &str, &[&str])| {
            let urls: Vec<String> = urls.iter().map(|url| self.fill(url)).collect();
            let mut entry = json!({"serviceId": pattern, "authSecret": secret});
            if !urls.is_empty() {
                entry["url"] = json!(urls);
            }
            entry
        };
        server.mint_at(
            host,
            &grant(&ample_quotas(), &entries.iter().map(entry).collect()),
        )
    }

    /// Sends one attempt, and checks its outcome.
    pub(super) fn attempt(
        &self,
        row: &str,
        request: &Request,
        key: &str,
        outcome: Outcome,
    ) -> Response {
        let provider_requests_before = self.provider.requests().len();
        let trap_requests_before = self.trap.requests().len();
        let trap_connections_before = self.trap.connections();

        let response = self.server.send(request);

        let text = format!("{response:?}");
        assert!(
            !text.contains(MARK),
            "{row}: the response contains a secret: {text}"
        );
        let provider_requests = self.provider.requests().split_off(provider_requests_before);
        let trap_requests = self.trap.requests().split_off(trap_requests_before);
        self.assert_sealed(row);
        let assert_no_trap_connection = || {
            assert_eq!(
                self.trap.connections(),
                trap_connections_before,
                "{row}: the server connected to the trap"
            );
        };
        match outcome {
            Outcome::NoCall(status) => {
                assert_eq!(status_of(&response), status, "{row}: {text}");
                assert_eq!(
                    (provider_requests.len(), trap_requests.len()),
                    (0, 0),
                    "{row}: calls to the provider and the trap: {text}"
                );
                assert_no_trap_connection();
            }
            Outcome::ToProvider(secret) => {
                assert_eq!(status_of(&response), 200, "{row}: {text}");
                assert_eq!(
                    bearers(&provider_requests),
                    [Some(format!("Bearer {secret}"))],
                    "{row}: {provider_requests:?}"
                );
                let request = &provider_requests[0];
                let host = request.header("host").map(str::to_owned);
                assert_eq!(host, Some(self.provider.address().to_string()), "{row}");
                let marks = shown(request).matches(MARK).count();
                assert_eq!(marks, 1, "{row}: other secrets were sent too: {request:?}");
                assert_no_trap_connection();
            }
            Outcome::ToTrapBare => assert_trapped(row, &response, &trap_requests, None),
            Outcome::ToTrapWith(value) => {
                assert_trapped(row, &response, &trap_requests, Some(value))
            }
            Outcome::ToTrapWithKey => assert_trapped(row, &response, &trap_requests, Some(key)),
        }
        response
    }

    /// Asserts that no request to the trap contained a sealed secret.
    pub(super) fn assert_sealed(&self, row: &str) {
        for received in self.trap.requests() {
            assert!(
                !shown(&received).contains(MARK),
                "{row}: the trap received a secret: {received:?}"
            );
        }
    }

    /// Asserts that nothing connected to the trap, and that the log contains no secret.
    pub(super) fn assert_untouched(&self) {
        assert_eq!(
            self.trap.connections(),
            0,
            "requests to the trap: {:?}",
            self.trap.requests()
        );
        assert!(
            !self.server.log().contains(MARK),
            "the log contains a secret: {}",
            self.server.log()
        );
    }
}

/// Asserts that the trap was called once, with this bearer value.
fn assert_trapped(
    row: &str,
    response: &Response,
    trapped: &[ReceivedRequest],
    value: Option<&str>,
) {
    // No service accepts the trap's response.
    assert_eq!(status_of(response), 502, "{row}: {response:?}");
    assert_eq!(
        bearers(trapped),
        [value.map(|value| format!("Bearer {value}"))],
        "{row}: {trapped:?}"
    );
}

/// All text of a request.
fn shown(received: &ReceivedRequest) -> String {
    format!(
        "{} {} {:?} {}",
        received.method,
        received.target,
        received.headers,
        String::from_utf8_lossy(&received.body)
    )
}

fn bearers(received: &[ReceivedRequest]) -> Vec<Option<String>> {
    received
        .iter()
        .map(|received| received.header("authorization").map(str::to_owned))
        .collect()
}

/// The status of a response, or that of the error at the end of its stream.
pub(super) fn status_of(response: &Response) -> u16 {
    if response.status != 200 || response.header("content-type") != Some("text/event-stream") {
        return response.status;
    }
    let last = response
        .events()
        .pop()
        .unwrap_or_else(|| panic!("no events: {response:?}"));
    match last.name.as_str() {
        "final" => 200,
        "error" => last.data["error"]["statusCode"]
            .as_u64()
            .and_then(|status| status.try_into().ok())
            .unwrap(),
        other => panic!("the stream ends in {other:?}: {response:?}"),
    }
}

/// Starts a provider that speaks OpenAI's protocol and the protocol of hops.
pub(super) fn bound_provider() -> Provider {
    Provider::start(|request, wire| {
        let is_hop = request.target.ends_with("/process");
        let is_stream =
            request.json()["stream"] == true || request.json()["request"]["stream"] == true;
        let chat = json!({"choices": [{"message": {"role": "assistant", "content": "ok"}}]});
        let delta =
            json!({"choices": [{"index": 0, "delta": {"content": "ok"}, "finish_reason": "stop"}]});
        let hop = json!({
            "outputs": [{"text": {"index": 0, "role": "assistant", "content": "ok"}}],
            "usage": {"service": {"serviceId": "chat:dummy"}, "totalMilliseconds": 1},
        });
        match (is_hop, is_stream) {
            (true, true) => wire.whole_stream(format!("event: final\ndata: {hop}\n\n")),
            (true, false) => wire.json(200, &hop),
            (false, true) => wire.whole_stream(sse(&delta)),
            (false, false) => wire.json(200, &chat),
        }
    })
}

/// The body of a call. The service properties are text, since they may contain a member twice.
pub(super) fn body(properties: &str, is_stream: bool) -> String {
    let request =
        json!({"inputs": [{"text": {"role": "user", "content": "Hi"}}], "stream": is_stream});
    format!(r#"{{"service": {properties}, "request": {request}}}"#)
}

/// All nestings in which a service is called, with their names: by itself, behind each filter, and
/// behind several of them. The filters name the address of the trap, which must have no effect.
pub(super) fn nestings(properties: &str) -> Vec<(&'static str, String)> {
    let behind = |id: &str, inner: &str| {
        format!(
            r#"{{"serviceId": "aisbreaker:{id}", "url": "http://EVIL", "forward2ServiceProps": {inner}}}"#
        )
    };
    let filters = [
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
            filters
                .iter()
                .fold(properties.to_owned(), |inner, id| behind(id, &inner)),
        ),
    ]
}

/// Service properties with an optional address. A hop gets an inner service.
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

/// Adds the credentials of an attempt.
pub(super) fn authorized(request: Request, caller: Caller, key: &str) -> Request {
    match caller {
        Caller::Key => request.bearer(key),
        Caller::NoCredentials => request,
        Caller::Sends(value) => request.header("Authorization", value),
    }
}
