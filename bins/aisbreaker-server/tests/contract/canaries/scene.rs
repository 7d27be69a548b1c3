//! Servers in which secrets are planted, and a provider that tells them.

use serde_json::{Value, json};

use crate::support::{
    Answer, Canaries, Provider, Request, Server, call, grant, quotas, roomy, service, sse,
};

pub(super) mod secrets {
    //! No 12 bytes of these are anything else. What may stand in a header has what JSON, URLs and
    //! `Debug` escape.
    pub(in super::super) const SEALING: &str = "Wp7kTz3xQm9vLc2nRb6yHj8dGf5s";
    pub(in super::super) const OPENING: &str = "Zt4mXq8wKv2bNc7rJp9yLh3gDs6f";
    pub(in super::super) const OPENING_RAW: &str = "QmV4Tz9rWk2LpXc7Nf5JhYb8DgSs3vUa6EoRtKi1Gqw";
    pub(in super::super) const SEALED: &str = r#"sk-Hq6"vNw\8x'KtZ/2m+Rb=y7%cJdPf<Ls>"#;
    pub(in super::super) const CALLERS: &str = r#"own-Bz5"kXq\9v'WmT/3r+Nc=h8%jLyGd<Ps>"#;
    pub(in super::super) const ELSEWHERE: &str = "Vr8tKz4wXm2qBn6yJc9hLp5dGs3fEa7oUi1RtQvWxZs";
    pub(in super::super) const COOKIE: &str = "Jx3nWq7zTv5kMb9cRh2yPd8gLf4s";
}

/// What is planted, and where it must not be.
pub(super) struct Scene {
    pub(super) server: Server,
    /// The server that this one calls through the network, with other keys.
    pub(super) other: Server,
    pub(super) canaries: Canaries,
    /// A key with the sealed secret, for the provider.
    pub(super) key: String,
    /// The same for the other server, sealed in a key for this one.
    pub(super) far_key: String,
    /// A key for another host, one that has expired, one that was altered, and one that may be used
    /// once a day.
    pub(super) foreign: String,
    pub(super) expired: String,
    pub(super) altered: String,
    pub(super) rare: String,
}

/// A key is public up to the end of its header, which is the same in all keys of a server.
fn secret_part(key: &str) -> &str {
    &key["aisbreaker_".len() + 112..]
}

impl Scene {
    pub(super) fn new(format: &str, filter: &str, provider: &Provider) -> Self {
        let opening = format!("{} {}", secrets::OPENING, secrets::OPENING_RAW);
        let environment = [
            ("AUTH_ENCRYPTION_KEYPHRASE", secrets::SEALING),
            ("AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES", &opening),
            ("AISBREAKER_LOG", filter),
            ("AISBREAKER_LOG_FORMAT", format),
            ("AISBREAKER_PROVIDER_TIMEOUT", "2s"),
            ("AISBREAKER_BODY_TIMEOUT", "1s"),
            ("AISBREAKER_MAX_BODY_BYTES", "100000"),
        ];
        let other = Server::with_egress(
            &[
                &environment[2..5],
                &[("AUTH_ENCRYPTION_KEYPHRASE", secrets::ELSEWHERE)],
            ]
            .concat(),
        );
        let sealed = json!([{"serviceId": "chat:openai.com", "authSecret": secrets::SEALED, "url": provider.url()}]);
        let far_key = other.mint_at("127.0.0.1", &grant(&roomy(), &sealed));
        // Keys are minted where nobody looks: who mints is answered with the key itself.
        let mint = Server::with_egress(&environment[..1]);
        let key = mint.mint_secrets(&sealed);
        let far =
            json!([{"serviceId": "aisbreaker:network", "authSecret": far_key, "url": other.url()}]);
        let far_key_sealed = mint.mint_secrets(&far);
        let default = mint.mint_secrets(&sealed);
        let mut short = grant(&roomy(), &sealed);
        short["expirationTimeSpan"] = json!("1s");
        let expired = mint.mint(&short);
        let foreign = mint.mint_at("elsewhere.example", &grant(&roomy(), &sealed));
        let rare = mint.mint(&grant(&quotas([1; 3], [1; 3]), &sealed));
        let altered = format!("{}AAAA{}", &key[..200], &key[204..]);

        let mut canaries = Canaries::default();
        let all = [
            ("the sealing phrase", secrets::SEALING),
            ("the opening phrase", secrets::OPENING),
            ("the opening key", secrets::OPENING_RAW),
            ("the other server's key", secrets::ELSEWHERE),
            ("the sealed secret", secrets::SEALED),
            ("the caller's secret", secrets::CALLERS),
            ("a cookie", secrets::COOKIE),
        ];
        all.iter()
            .for_each(|(name, secret)| canaries.plant(name, secret));
        for key in [
            &key,
            &far_key,
            &far_key_sealed,
            &default,
            &expired,
            &foreign,
            &rare,
            &altered,
        ] {
            canaries.plant("a key", secret_part(key));
        }
        let server = Server::with_egress(
            &[
                &environment[..],
                &[("DEFAULT_AISBREAKER_API_KEY", &default)],
            ]
            .concat(),
        );
        while mint
            .process(&expired, &call(service("chat:dummy"), "Hi"))
            .status
            == 200
        {}
        Self {
            server,
            other,
            canaries,
            key,
            far_key: far_key_sealed,
            foreign,
            expired,
            altered,
            rare,
        }
    }

    /// Sends a request and looks at all of its answer.
    #[track_caller]
    pub(super) fn send(&self, row: &str, request: &Request) -> Answer {
        let request = request
            .clone()
            .header("Cookie", secrets::COOKIE)
            .header("X-Api-Key", secrets::COOKIE);
        let answer = self.server.send(&request);
        self.canaries
            .assert_not_in(&format!("the answer to {row}"), format!("{answer:?}"));
        answer
    }

    /// A key for these secrets.
    pub(super) fn mint(&self, secrets: &Value) -> String {
        self.server.mint_secrets(secrets)
    }

    /// Sends a request whose answer is the provider's own.
    pub(super) fn send_unread(&self, request: &Request) {
        let _answer = self.server.send(request);
    }

    #[track_caller]
    pub(super) fn expect(&self, row: &str, status: u16, request: &Request) {
        let answer = self.send(row, request);
        assert_eq!(answer.status, status, "{row}: {answer:?}");
    }

    /// Ends the servers and looks at all that they printed.
    pub(super) fn end(mut self, format: &str) {
        for server in [&mut self.server, &mut self.other] {
            server.signal("TERM");
            let (status, log) = server.wait();
            assert!(status.success(), "{status}");
            self.canaries
                .assert_not_in(&format!("the {format} log"), &log);
            assert!(
                log.contains("draining") && log.contains("stopped"),
                "it is the whole log: {log}"
            );
        }
    }
}

/// A provider that repeats the secret that it was sent wherever it can.
pub(super) fn telltale() -> Provider {
    Provider::start(|received, wire| {
        let secret = received
            .header("authorization")
            .and_then(|value| value.strip_prefix("Bearer "));
        let secret = secret.unwrap_or_default().to_owned();
        let told = format!("the key {secret} is wrong, so {secret} is refused");
        let error = json!({"error": {"message": told, "type": secret, "code": secret, "param": {secret.clone(): secret}}});
        let headers = [
            ("X-Key", &*secret),
            ("Content-Type", "application/json"),
            ("Location", &*secret),
        ];
        match received.target.split('/').nth(1).unwrap_or_default() {
            "401" => wire.answer(401, &headers, error.to_string()),
            "500" => wire.answer(500, &headers, error.to_string()),
            "429" => wire.answer(
                429,
                &[&headers[..], &[("Retry-After", "7")]].concat(),
                error.to_string(),
            ),
            "unnamed" => wire.write(format!(
                "HTTP/1.1 499 {secret}\r\nContent-Length: 0\r\n\r\n"
            )),
            "text" => wire.answer(403, &[("X-Key", &*secret)], &told),
            "detail" => wire.json(400, &json!({"detail": told})),
            "page" => wire.answer(
                200,
                &[("Content-Type", "text/html")],
                format!("<p>{told}</p>"),
            ),
            "error" => wire.json(200, &error),
            "redirect" => wire.answer(307, &headers, ""),
            "nothing" => wire.json(200, &json!({"choices": [], "key": secret})),
            "cut" => {
                wire.write(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n{told}"
                ));
                wire.cut();
            }
            "malformed" => {
                wire.write(format!("HTTP/1.1 {secret}\r\n{secret}\r\n\r\n"));
                wire.cut();
            }
            "slow" => drop(wire.wait_until_closed()),
            "stream" => wire.whole_stream(format!("event: error\n{}", sse(&error))),
            "garbage" => wire.whole_stream(format!("data: {told}\n\n")),
            "halfway" => {
                wire.stream();
                wire.chunk(sse(
                    &json!({"choices": [{"index": 0, "delta": {"content": "Hi"}}]}),
                ));
                wire.chunk(format!("data: {told}"));
                wire.cut();
            }
            _ => wire.json(
                200,
                &json!({"model": "m", "choices": [{"message": {"content": "Hi"}}]}),
            ),
        }
    })
}

/// What it does wrong, by the beginning of the path.
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
