//! No `Debug` output of a request on its way, secrets included, shows a piece of a secret.

use std::{sync::Arc, time::SystemTime};

use aisbreaker_egress::UrlSource;
use aisbreaker_services::Registry;
use aisbreaker_token::{Host, KeyRing, PREFIX, ServerKey};
use http::HeaderMap;
use serde_json::json;

use crate::{
    api::token::{
        MintPolicy, Minter, grant_rules::GrantRules, mint_request::MintRequest,
        token_response::TokenResponse,
    },
    authenticate::{Authenticator, offline::tests::Client},
    config::Config,
    request::credentials::Authorization,
};

const BEARER: &str = "Fk7wZq3nXv9tRm2bLc8yJd6hPs4g";
const SEALED: &str = "Nz5xGt8kWp2vQb7mHc4jYr9dLf3s";
const DEFAULT: &str = "aisbreaker_Tb6mWx9qVn3zKc8rJh5yGd2fPl7s";

fn server_keys() -> KeyRing {
    KeyRing::new(ServerKey::from_bytes([7; 32]))
}

#[test]
fn debug_output_shows_no_piece_of_a_secret() {
    let mut config = Config::new(server_keys());
    config.default_key = Some(DEFAULT.into());
    let max_lifetime = config.max_expiration;
    let shown_config = format!("{config:#?}");
    let keys = server_keys();
    let host = Host::parse("a.example").unwrap();
    let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000);

    let secrets = json!([
        {"serviceId": "chat:dummy", "authSecret": SEALED},
        {"serviceId": "", "authSecret": SEALED, "unknown": SEALED}
    ]);
    let auth = json!({"serviceSecrets": secrets, "clientSecret": SEALED});
    let body = json!({"requestAuthAndQuotas": auth, "clientSecret": SEALED, "clientId": SEALED})
        .to_string();
    let mint = MintRequest::parse(body.as_bytes(), max_lifetime).unwrap();
    let malformed = body.replace("s3g", "\\n").replace("Lf3s", "\\n");
    let refused = MintRequest::parse(malformed.as_bytes(), max_lifetime);
    let rules = Arc::new(GrantRules {
        keys: Arc::new(server_keys()),
        policy: MintPolicy::default(),
        max_lifetime,
        relay: None,
    });
    let minter = Minter {
        keys: Arc::new(server_keys()),
        registry: Registry::builder().build(),
        rules: Arc::clone(&rules),
    };
    let minted = minter
        .mint((&mint, true), &HeaderMap::new(), &host, now)
        .unwrap();
    let payload = json!({"serviceSecrets": [{"serviceId": "", "authSecret": SEALED}]});
    let key = keys.seal(&payload, &host, now, max_lifetime).unwrap();

    let authenticator = Authenticator {
        keys: Arc::new(server_keys()),
        default_key: Some(DEFAULT.into()),
        rules,
        requires_key: false,
        sealed_urls: UrlSource::Trusted,
    };
    let client = Client::new();
    fn bearer(value: &str) -> Authorization<'_> {
        Authorization::Bearer(value.into())
    }
    let authenticate =
        |value: &str| authenticator.authenticate(bearer(value), &host, now, client.failures());
    let entrusted = Authorization::Entrusted(key.expose().into());
    let rows = [
        ("Config", shown_config),
        ("Authenticator", format!("{authenticator:#?}")),
        ("Minter", format!("{minter:#?}")),
        ("MintRequest", format!("{mint:#?}")),
        ("a refused MintRequest", format!("{refused:#?}")),
        (
            "a token response",
            format!("{:#?}", TokenResponse::minted(&minted, None, &[]).send()),
        ),
        (
            "Authorization",
            format!("{:#?} {entrusted:#?}", bearer(BEARER)),
        ),
        ("Caller", format!("{:#?}", authenticate(BEARER).unwrap())),
        (
            "Caller with a key",
            format!("{:#?}", authenticate(key.expose()).unwrap()),
        ),
        (
            "AuthenticationError",
            format!("{:#?}", authenticate(DEFAULT)),
        ),
    ];

    let key = &key.expose()[PREFIX.len() + 112..];
    for (row, shown) in rows {
        for secret in [BEARER, SEALED, &DEFAULT[PREFIX.len()..], key] {
            for piece in secret.as_bytes().windows(12) {
                let piece = str::from_utf8(piece).unwrap();
                assert!(!shown.contains(piece), "{row}: {piece} in {shown}");
            }
        }
        assert!(!shown.is_empty(), "{row}");
    }
}
