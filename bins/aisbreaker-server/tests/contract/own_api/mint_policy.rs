//! Who may mint, and for which services, where the operator restricts it.

use serde_json::{Value, json};

use crate::support::{
    ConfigFile, Request, Server, ample_quotas, assert_error, base64, grant, quotas, refused_start,
};

const SECRET: &str = "open+sesame: 100%";

fn request() -> Value {
    grant(
        &ample_quotas(),
        &json!([{"serviceId": "chat:openai.com", "authSecret": "sk-any"}]),
    )
}

fn with_secret(secret: &Value) -> Request {
    let mut body = request();
    body["clientSecret"] = secret.clone();
    Request::mint(&body)
}

fn basic(credentials: &str) -> String {
    format!("Basic {}", base64::encode(credentials.as_bytes()))
}

#[test]
fn minting_requires_the_client_secret() {
    let server = Server::start(&[("AISBREAKER_MINT_SECRET", SECRET)]);
    let rows = [
        ("clientSecret", with_secret(&json!(SECRET)), true),
        (
            "basic",
            Request::mint(&request()).header("Authorization", basic(&format!("id:{SECRET}"))),
            true,
        ),
        (
            "form-encoded basic",
            Request::mint(&request()).header("Authorization", basic("id:open%2Bsesame%3A+100%25")),
            true,
        ),
        ("no secret", Request::mint(&request()), false),
        ("null", with_secret(&Value::Null), false),
        ("a number", with_secret(&json!(100)), false),
        ("an empty one", with_secret(&json!("")), false),
        (
            "another secret",
            with_secret(&json!("open+sesame: 101%")),
            false,
        ),
        ("a prefix", with_secret(&json!("open+sesame: 100")), false),
        (
            "in another letter case",
            with_secret(&json!("Open+sesame: 100%")),
            false,
        ),
        ("bearer", Request::mint(&request()).bearer(SECRET), false),
        (
            "basic with another",
            Request::mint(&request()).header("Authorization", basic("id:x")),
            false,
        ),
        (
            "basic without a colon",
            Request::mint(&request()).header("Authorization", basic(SECRET)),
            false,
        ),
        (
            "basic that is no base64",
            Request::mint(&request()).header("Authorization", "Basic %%%"),
            false,
        ),
    ];

    for (row, request, is_minted) in rows {
        let response = server.send(&request);
        if is_minted {
            assert_eq!(response.status, 200, "{row}: {response:?}");
            continue;
        }
        assert_error(row, &response, 401, "clientSecret");
        assert_eq!(response.json()["error"]["type"], "invalid_client", "{row}");
        let challenge = response.header("www-authenticate").unwrap_or_default();
        assert!(challenge.starts_with("Basic realm="), "{row}: {response:?}");
        assert!(!response.text().contains("sesame"), "{row}: {response:?}");
    }
    assert!(!server.log().contains("sesame"), "the secret is in the log");
}

#[test]
fn wrong_client_secrets_are_charged() {
    let server = Server::start(&[
        ("AISBREAKER_MINT_SECRET", SECRET),
        (
            "AISBREAKER_MINT_QUOTAS",
            &quotas([3; 3], [100; 3]).to_string(),
        ),
    ]);

    for _ in 0..3 {
        assert_eq!(
            server.send(&with_secret(&json!("a wrong guess"))).status,
            401
        );
    }

    assert_error(
        "the fourth",
        &server.send(&with_secret(&json!(SECRET))),
        429,
        "quota exceeded",
    );
}

#[test]
fn secrets_are_sealed_only_for_listed_services() {
    let file = ConfigFile::new("[mint]\nservices = [\"chat:openai.com\", \"aisbreaker:\"]\n");
    let servers = [
        Server::start(&[("AISBREAKER_MINT_SERVICES", "chat:openai.com, aisbreaker:")]),
        Server::start(&[("AISBREAKER_CONFIG", file.path())]),
    ];
    let rows = [
        (
            json!([{"serviceId": "chat:openai.com", "authSecret": "sk"}]),
            None,
        ),
        (
            json!([{"serviceId": "chat:openai.com/gpt-4.1", "authSecret": "sk"}]),
            None,
        ),
        (
            json!([{"serviceId": "aisbreaker:network", "authSecret": "{{secret}}"}]),
            None,
        ),
        (
            json!([{"serviceId": "", "authSecret": "INVALID"}, {"serviceId": "chat:x", "authSecret": ""}]),
            None,
        ),
        (json!([]), None),
        (json!([{"serviceId": "chat:", "authSecret": "sk"}]), Some(0)),
        (json!([{"serviceId": "", "authSecret": "sk"}]), Some(0)),
        (
            json!([{"serviceId": "chat:openai.com.evil", "authSecret": "sk"}]),
            Some(0),
        ),
        (
            json!([
                {"serviceId": "chat:openai.com", "authSecret": "sk"},
                {"serviceId": "chat:mistral.ai", "authSecret": "sk"},
            ]),
            Some(1),
        ),
    ];

    for server in servers {
        for (secrets, refused) in &rows {
            let response = server.send(&Request::mint(&grant(&ample_quotas(), secrets)));
            match refused {
                None => assert_eq!(response.status, 200, "{secrets}: {response:?}"),
                Some(index) => {
                    let member = format!("requestAuthAndQuotas.serviceSecrets[{index}].serviceId");
                    assert_error(&secrets.to_string(), &response, 403, &member);
                }
            }
        }
    }
}

#[test]
fn unusable_policy_prevents_the_start() {
    for (variable, value) in [
        ("AISBREAKER_MINT_SECRET", ""),
        ("AISBREAKER_MINT_SECRET", "ninechars"),
        ("AISBREAKER_MINT_SERVICES", ""),
        ("AISBREAKER_MINT_SERVICES", " , "),
        ("AISBREAKER_MINT_SERVICES", "chat:\u{7}"),
    ] {
        let errors = refused_start(&[], &[(variable, value)]);
        assert!(errors.contains(variable), "{variable}={value:?}: {errors}");
        assert!(!errors.contains("ninechars"), "{errors}");
    }
}
