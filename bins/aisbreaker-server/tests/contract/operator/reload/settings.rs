//! Each setting that is reloaded changes what the server does.

use serde_json::{Value, json};

use crate::support::{
    ConfigFile, KEY, Provider, ReloadableServer, Request, Response, Server, ample_quotas, base64,
    call, dummy_call, grant, openai, quotas, service,
};

const OTHER_KEY: &str = "c2Vjb25kLWtleS1mb3ItdGhlLXRlc3RzLTMyLWJ5dGU";

fn key(server: &Server) -> String {
    server.mint_with_secrets(&json!([]))
}

fn is_accepted(server: &Server, key: &str) -> bool {
    server.process(key, &dummy_call()).status == 200
}

fn mint(server: &Server, secrets: &Value) -> Response {
    server.send(&Request::mint(&grant(&ample_quotas(), secrets)))
}

#[test]
fn server_keys() {
    let ample = ample_quotas().to_string();
    let quotas = [
        ("AISBREAKER_SERVER_QUOTAS", &*ample),
        ("AISBREAKER_DEFAULT_QUOTAS", &*ample),
        ("AISBREAKER_MINT_QUOTAS", &*ample),
    ];
    let server = ReloadableServer::start_with(&quotas, &format!("keys.sealing = \"{KEY}\""));
    let first = key(&server);

    server.reload(&format!(
        "keys.sealing = \"{OTHER_KEY}\"\nkeys.opening = [\"{KEY}\"]"
    ));
    let second = key(&server);
    assert!(is_accepted(&server, &first) && is_accepted(&server, &second));

    server.reload(&format!("keys.sealing = \"{OTHER_KEY}\""));
    assert!(!is_accepted(&server, &first) && is_accepted(&server, &second));
}

#[test]
fn random_key_survives_and_a_lasting_one_is_not_given_up() {
    let server = ReloadableServer::start_with(&[], "");
    let random = key(&server);

    server.reload("max_expiration = \"1d\"");
    assert!(is_accepted(&server, &random));

    server.reload(&format!("keys.sealing = \"{KEY}\""));
    let lasting = key(&server);
    assert!(!is_accepted(&server, &random) && is_accepted(&server, &lasting));

    let cause = server.refuse("");
    assert_eq!(cause, "only a restart can change keys.sealing");
    assert!(is_accepted(&server, &lasting));
}

#[test]
fn callers_without_a_key() {
    let server = ReloadableServer::start("");
    assert!(is_accepted(&server, ""));

    server.reload("require_key = true");
    assert!(!is_accepted(&server, ""));

    let default = key(&server);
    server.reload(&format!(
        "require_key = true\ndefault_api_key = \"{default}\""
    ));
    assert!(is_accepted(&server, ""));
}

#[test]
fn mint_policy() {
    let openai = json!([{"serviceId": "chat:openai.com", "authSecret": "sk-any"}]);
    let server = ReloadableServer::start("");
    assert_eq!(mint(&server, &openai).status, 200);

    server.reload("mint.services = [\"chat:anthropic.com\"]");
    assert_eq!(mint(&server, &openai).status, 403);

    server.reload("mint.secret = \"open-sesame-open\"");
    assert_eq!(mint(&server, &openai).status, 401);
    let mut request = grant(&ample_quotas(), &openai);
    request["clientSecret"] = json!("open-sesame-open");
    assert_eq!(server.send(&Request::mint(&request)).status, 200);

    server.reload("");
    assert_eq!(mint(&server, &openai).status, 200);
}

#[test]
fn longest_lifetime() {
    let request = Request::mint(&json!({"requestAuthAndQuotas": {}, "expirationTimeSpan": "30d"}));
    let server = ReloadableServer::start("");
    assert_eq!(server.send(&request).status, 200);
    server.reload("max_expiration = \"1d\"");
    assert_eq!(server.send(&request).status, 400);
}

#[test]
fn revocations_of_the_operator() {
    let server = ReloadableServer::start("");
    let key = key(&server);
    server.reload("revoked_before = 2100-01-01T00:00:00Z");
    assert!(!is_accepted(&server, &key));
    server.reload("");
    assert!(is_accepted(&server, &key));

    let id = server
        .send(&Request::get("/api/v1/quota").bearer(&key))
        .json()["keyId"]
        .clone();
    let form = format!("id={}", id.as_str().expect("an id"));
    let credentials = base64::encode(b"admin:the-admin-secret");
    let revocation = Request::post("/api/v1/oauth/revoke", form)
        .set("Content-Type", "application/x-www-form-urlencoded")
        .header("Authorization", format!("Basic {credentials}"));
    assert_eq!(server.send(&revocation).status, 401);
    server.reload("admin_secret = \"the-admin-secret\"");
    assert_eq!(server.send(&revocation).status, 200);
    assert!(!is_accepted(&server, &key));
    server.reload("");
    assert!(!is_accepted(&server, &key), "revoked keys stay revoked");
}

/// A secret in a file is read anew, whatever names the file.
#[test]
fn secrets_in_files() {
    let [mint_file, admin_file, default_file] =
        ["open-sesame-open\n", "the-admin-secret\n", "\n"].map(ConfigFile::new);
    let server = ReloadableServer::start_with(
        &[
            ("AUTH_ENCRYPTION_KEYPHRASE", KEY),
            ("AISBREAKER_MINT_SECRET_FILE", mint_file.path()),
        ],
        &format!("admin_secret_file = {:?}", admin_file.path()),
    );
    let mint_with = |secret: &str| {
        let mut request = grant(&ample_quotas(), &json!([]));
        request["clientSecret"] = json!(secret);
        server.send(&Request::mint(&request))
    };
    let revoke_with = |secret: &str| {
        let credentials = base64::encode(format!("admin:{secret}").as_bytes());
        let revocation = Request::post("/api/v1/oauth/revoke", "id=AAAAAAAAAAAAAAAAAAAAAA")
            .set("Content-Type", "application/x-www-form-urlencoded")
            .header("Authorization", format!("Basic {credentials}"));
        server.send(&revocation).status
    };
    assert_eq!(mint_with("open-sesame-open").status, 200);
    assert_eq!(revoke_with("the-admin-secret"), 200);

    mint_file.replace("another-sesame\n");
    admin_file.replace("another-admin-secret\n");
    let minted = mint_with("open-sesame-open").json();
    default_file.replace(minted["access_token"].as_str().expect("a key"));
    server.reload(&format!(
        "require_key = true\nadmin_secret_file = {:?}\ndefault_api_key_file = {:?}",
        admin_file.path(),
        default_file.path()
    ));
    assert_eq!(mint_with("open-sesame-open").status, 401);
    assert_eq!(mint_with("another-sesame").status, 200);
    assert_eq!(revoke_with("the-admin-secret"), 401);
    assert_eq!(revoke_with("another-admin-secret"), 200);
    assert!(is_accepted(&server, ""), "by the default key");

    mint_file.replace("short");
    let cause = server.refuse_file();
    assert!(cause.contains("AISBREAKER_MINT_SECRET_FILE"), "{cause}");
    assert_eq!(mint_with("another-sesame").status, 200);
}

/// A secret in a file that needs a restart.
#[test]
fn the_address_of_the_store_in_a_file_needs_a_restart() {
    let file = ConfigFile::new("redis://127.0.0.1:1/\n");
    let environment = [
        ("AUTH_ENCRYPTION_KEYPHRASE", KEY),
        ("AISBREAKER_REDIS_URL_FILE", file.path()),
    ];
    let server = ReloadableServer::start_with(&environment, "");
    server.reload("max_expiration = \"1d\"");
    file.replace("redis://user:Xv4kRz8mTq2wNb7p@127.0.0.1:1/\n");
    let cause = server.refuse_file();
    assert_eq!(cause, "only a restart can change redis.url");
    assert!(!server.log().contains("Xv4kRz8mTq2wNb7p"));
}

#[test]
fn hosts_and_proxies() {
    let ping = Request::get("/api/v1/ping");
    let forwarded = ping.clone().header("X-Forwarded-Host", "api.example.com");
    let server = ReloadableServer::start("");
    assert_eq!(server.send(&ping).status, 200);

    server.reload("public_hosts = [\"api.example.com\"]");
    assert_eq!(server.send(&ping).status, 421);
    assert_eq!(server.send(&forwarded).status, 421);

    server.reload("public_hosts = [\"api.example.com\"]\ntrusted_proxies = [\"127.0.0.0/8\"]");
    assert_eq!(server.send(&ping).status, 421);
    assert_eq!(server.send(&forwarded).status, 200);
}

#[test]
fn the_description_of_the_api() {
    let server = ReloadableServer::start("");
    let description = Request::get("/openapi.json");
    assert_eq!(server.send(&description).status, 200);

    server.reload("openapi = false");
    assert_eq!(server.send(&description).status, 404);

    server.reload("");
    assert_eq!(server.send(&description).status, 200);
}

/// Every limit is reached by the requests before and after a reload together.
#[test]
fn quotas_change_and_counters_survive() {
    let limits = |limit: u32| quotas([limit, 1_000, 1_000], [1_000; 3]).to_string();
    let ample = ample_quotas().to_string();
    for (name, other) in [
        ("quotas.server", "quotas.default"),
        ("quotas.default", "quotas.server"),
    ] {
        let text = |limit: u32| format!("{name} = '{}'\n{other} = '{ample}'", limits(limit));
        let server = ReloadableServer::start_with(&[("AUTH_ENCRYPTION_KEYPHRASE", KEY)], &text(2));
        assert!(
            is_accepted(&server, "") && is_accepted(&server, ""),
            "{name}"
        );
        assert_eq!(server.process("", &dummy_call()).status, 429, "{name}");
        server.reload(&text(4));
        assert!(
            is_accepted(&server, "") && is_accepted(&server, ""),
            "{name}"
        );
        assert_eq!(server.process("", &dummy_call()).status, 429, "{name}");
    }
    let server = ReloadableServer::start("");
    let key = server.mint(&grant(&quotas([3; 3], [3; 3]), &json!([])));
    for round in 0..3 {
        assert!(is_accepted(&server, &key), "{round}");
        server.reload(&format!("max_expiration = \"{}d\"", 10 + round));
    }
    assert_eq!(server.process(&key, &dummy_call()).status, 429);
}

#[test]
fn providers_and_services() {
    let provider = Provider::with_response(200, openai::completion("Hello"));
    let own_row = format!(
        "[[provider]]\nid = \"local\"\nurl = \"{}\"\nopenai = \"/v1\"\n",
        provider.url()
    );
    let allow = "egress.allow = [\"127.0.0.0/8\"]\n";
    let call = call(service("chat:local/some-model"), "Hi");
    let server = ReloadableServer::start(allow);
    assert_eq!(server.process("sk-own", &call).status, 404);

    server.reload(&format!("{allow}{own_row}"));
    assert_eq!(server.process("sk-own", &call).content(), "Hello");
    assert_eq!(provider.only_request().json()["model"], "some-model");

    let call = crate::support::call(service("chat:local"), "Hi");
    let engine = "services.\"chat:local\".engine = \"another-model\"\n";
    server.reload(&format!("{allow}{engine}{own_row}"));
    assert_eq!(server.process("sk-own", &call).content(), "Hello");
    assert_eq!(provider.requests()[1].json()["model"], "another-model");

    server.reload(allow);
    assert_eq!(server.process("sk-own", &call).status, 404);
}

#[test]
fn log_filter() {
    let server = ReloadableServer::start("");
    let request_id = || {
        let response = server.process("", &dummy_call());
        response.header("x-request-id").expect("an id").to_owned()
    };
    server.wait_for_request(&request_id());
    // Requests are logged by another crate than reloads.
    server.reload("log.filter = \"aisbreaker_server=info\"");
    let unlogged = request_id();
    server.reload("log.filter = \"info\"");
    server.wait_for_request(&request_id());
    assert!(!server.log().contains(&unlogged), "{}", server.log());
}
