//! Servers in which secrets are planted, and a provider that leaks them.

use serde_json::{Value, json};

use crate::support::{
    Canaries, Provider, Request, Response, Server, ample_quotas, dummy_call, grant, quotas, sse,
};

pub(super) mod planted {
    //! No 12 bytes of these occur anywhere else. Values for header fields contain characters that
    //! JSON, URLs and `Debug` escape.
    pub(crate) const SEALING: &str = "Wp7kTz3xQm9vLc2nRb6yHj8dGf5s";
    pub(crate) const OPENING: &str = "Zt4mXq8wKv2bNc7rJp9yLh3gDs6f";
    pub(crate) const OPENING_RAW: &str = "QmV4Tz9rWk2LpXc7Nf5JhYb8DgSs3vUa6EoRtKi1Gqw";
    pub(crate) const SEALED: &str = r#"sk-Hq6"vNw\8x'KtZ/2m+Rb=y7%cJdPf<Ls>"#;
    pub(crate) const CALLERS: &str = r#"own-Bz5"kXq\9v'WmT/3r+Nc=h8%jLyGd<Ps>"#;
    pub(crate) const ELSEWHERE: &str = "Vr8tKz4wXm2qBn6yJc9hLp5dGs3fEa7oUi1RtQvWxZs";
    pub(crate) const COOKIE: &str = "Jx3nWq7zTv5kMb9cRh2yPd8gLf4s";
}

/// Two servers in which secrets are planted, and the canaries that must not leave them.
pub(super) struct LeakHarness {
    pub(super) server: Server,
    /// The server that `server` calls by a hop. It has another server key.
    pub(super) other: Server,
    pub(super) canaries: Canaries,
    /// A key that seals the secret for the provider.
    pub(super) key: String,
    /// A key for `server` that seals such a key of `other` for hops.
    pub(super) hop_key: String,
    /// A key for another host.
    pub(super) foreign: String,
    /// A key that has expired.
    pub(super) expired: String,
    /// A key with altered characters.
    pub(super) altered: String,
    /// A key that may be used once a day.
    pub(super) rare: String,
}

/// The part of a key after its header, which is public and the same in all keys of a server.
fn secret_part(key: &str) -> &str {
    &key["aisbreaker_".len() + 112..]
}

impl LeakHarness {
    pub(super) fn new(format: &str, filter: &str, provider: &Provider) -> Self {
        let opening = format!("{} {}", planted::OPENING, planted::OPENING_RAW);
        let environment = [
            ("AUTH_ENCRYPTION_KEYPHRASE", planted::SEALING),
            ("AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES", &opening),
            ("AISBREAKER_LOG", filter),
            ("AISBREAKER_LOG_FORMAT", format),
            ("AISBREAKER_PROVIDER_TIMEOUT", "2s"),
            ("AISBREAKER_BODY_TIMEOUT", "1s"),
            ("AISBREAKER_MAX_BODY_BYTES", "100000"),
        ];
        let other = Server::with_loopback_egress(
            &[
                &environment[2..5],
                &[("AUTH_ENCRYPTION_KEYPHRASE", planted::ELSEWHERE)],
            ]
            .concat(),
        );
        let sealed = json!([{"serviceId": "chat:openai.com", "authSecret": planted::SEALED, "url": provider.url()}]);
        let far_key = other.mint_at("127.0.0.1", &grant(&ample_quotas(), &sealed));
        // Keys are minted on a server that is not examined, since a minting response contains the
        // key.
        let minting_server = Server::with_loopback_egress(&environment[..1]);
        let key = minting_server.mint_with_secrets(&sealed);
        let hop_secret =
            json!([{"serviceId": "aisbreaker:network", "authSecret": far_key, "url": other.url()}]);
        let hop_key = minting_server.mint_with_secrets(&hop_secret);
        let default = minting_server.mint_with_secrets(&sealed);
        let mut short = grant(&ample_quotas(), &sealed);
        short["expirationTimeSpan"] = json!("1s");
        let expired = minting_server.mint(&short);
        let foreign = minting_server.mint_at("elsewhere.example", &grant(&ample_quotas(), &sealed));
        let rare = minting_server.mint(&grant(&quotas([1; 3], [1; 3]), &sealed));
        let altered = format!("{}AAAA{}", &key[..200], &key[204..]);

        let mut canaries = Canaries::default();
        let named_secrets = [
            ("the sealing phrase", planted::SEALING),
            ("the opening phrase", planted::OPENING),
            ("the opening key", planted::OPENING_RAW),
            ("the other server's key", planted::ELSEWHERE),
            ("the sealed secret", planted::SEALED),
            ("the caller's secret", planted::CALLERS),
            ("a cookie", planted::COOKIE),
        ];
        named_secrets
            .iter()
            .for_each(|(name, secret)| canaries.plant(name, secret));
        for key in [
            &key, &far_key, &hop_key, &default, &expired, &foreign, &rare, &altered,
        ] {
            canaries.plant("a key", secret_part(key));
        }
        let server = Server::with_loopback_egress(
            &[
                &environment[..],
                &[("DEFAULT_AISBREAKER_API_KEY", &default)],
            ]
            .concat(),
        );
        while minting_server.process(&expired, &dummy_call()).status == 200 {}
        Self {
            server,
            other,
            canaries,
            key,
            hop_key,
            foreign,
            expired,
            altered,
            rare,
        }
    }

    /// Sends a request, and searches the whole response.
    #[track_caller]
    pub(super) fn send(&self, row: &str, request: &Request) -> Response {
        let with_cookie = request
            .clone()
            .header("Cookie", planted::COOKIE)
            .header("X-Api-Key", planted::COOKIE);
        let response = self.server.send(&with_cookie);
        self.canaries
            .assert_not_in(&format!("the response to {row}"), format!("{response:?}"));
        response
    }

    /// Mints a key for these secrets.
    pub(super) fn mint(&self, secrets: &Value) -> String {
        self.server.mint_with_secrets(secrets)
    }

    /// Sends a request whose response is the provider's, and may contain the secret.
    pub(super) fn send_unchecked(&self, request: &Request) {
        let _answer = self.server.send(request);
    }

    /// Sends a request that must get this status, and searches the whole response.
    #[track_caller]
    pub(super) fn expect(&self, row: &str, status: u16, request: &Request) {
        let response = self.send(row, request);
        assert_eq!(response.status, status, "{row}: {response:?}");
    }

    /// Stops the servers, and searches everything that they printed.
    pub(super) fn end(mut self, format: &str) {
        for server in [&mut self.server, &mut self.other] {
            server.signal("TERM");
            let (status, log) = server.wait_for_exit();
            assert!(status.success(), "{status}");
            self.canaries
                .assert_not_in(&format!("the {format} log"), &log);
            assert!(
                log.contains("draining") && log.contains("stopped"),
                "the log is incomplete: {log}"
            );
        }
    }
}

/// Starts a provider that repeats the secret that it was sent wherever it can. The first segment of
/// the path selects one of the [`FAULTS`].
pub(super) fn leaking_provider() -> Provider {
    Provider::start(|request, wire| {
        let authorization = request.header("authorization").unwrap_or_default();
        let secret = authorization.strip_prefix("Bearer ").unwrap_or_default();
        let message = format!("the key {secret} is wrong, so {secret} is refused");
        let error = json!({"error": {"message": message, "type": secret, "code": secret, "param": {secret: secret}}});
        let headers = [
            ("X-Key", secret),
            ("Content-Type", "application/json"),
            ("Location", secret),
        ];
        match request.target.split('/').nth(1).unwrap_or_default() {
            "401" => wire.respond(401, &headers, error.to_string()),
            "500" => wire.respond(500, &headers, error.to_string()),
            "429" => wire.respond(
                429,
                &[&headers[..], &[("Retry-After", "7")]].concat(),
                error.to_string(),
            ),
            "unnamed" => wire.write(format!(
                "HTTP/1.1 499 {secret}\r\nContent-Length: 0\r\n\r\n"
            )),
            "text" => wire.respond(403, &[("X-Key", secret)], &message),
            "detail" => wire.json(400, &json!({"detail": message})),
            "page" => wire.respond(
                200,
                &[("Content-Type", "text/html")],
                format!("<p>{message}</p>"),
            ),
            "error" => wire.json(200, &error),
            "redirect" => wire.respond(307, &headers, ""),
            "nothing" => wire.json(200, &json!({"choices": [], "key": secret})),
            "cut" => {
                wire.write(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n{message}"
                ));
                wire.close();
            }
            "malformed" => {
                wire.write(format!("HTTP/1.1 {secret}\r\n{secret}\r\n\r\n"));
                wire.close();
            }
            "slow" => drop(wire.wait_until_closed()),
            "stream" => wire.whole_stream(format!("event: error\n{}", sse(&error))),
            "garbage" => wire.whole_stream(format!("data: {message}\n\n")),
            "halfway" => {
                wire.stream();
                wire.chunk(sse(
                    &json!({"choices": [{"index": 0, "delta": {"content": "Hi"}}]}),
                ));
                wire.chunk(format!("data: {message}"));
                wire.close();
            }
            _ => wire.json(
                200,
                &json!({"model": "m", "choices": [{"message": {"content": "Hi"}}]}),
            ),
        }
    })
}

/// The faults of the [`leaking_provider`]; `good` is none.
pub(super) const FAULTS: [&str; 17] = [
    "401",
    "500",
    "429",
    "unnamed",
    "text",
    "detail",
    "page",
    "error",
    "redirect",
    "nothing",
    "cut",
    "malformed",
    "slow",
    "stream",
    "garbage",
    "halfway",
    "good",
];
