//! Request fields: which of them reach a provider.

use serde_json::json;

use crate::support::{
    Provider, Request, Server,
    provider_api::{CHAT, MESSAGES, OPENAI_SECRET, post_with_key, two_dialect_key},
};

/// Fields of clients, SDKs and providers.
const KEPT: [(&str, &str); 21] = [
    ("User-Agent", "sdk/1"),
    ("Accept", "application/json"),
    ("Accept-Language", "de"),
    ("OpenAI-Organization", "org"),
    ("OpenAI-Project", "project"),
    ("OpenAI-Beta", "assistants=v2"),
    ("Anthropic-Beta", "a"),
    ("Anthropic-Version", "2023-06-01"),
    ("Anthropic-Dangerous-Direct-Browser-Access", "true"),
    ("X-Stainless-Lang", "js"),
    ("X-Stainless-Retry-Count", "0"),
    ("Idempotency-Key", "a"),
    ("X-Goog-User-Project", "a"),
    ("X-Goog-Api-Client", "a"),
    ("HTTP-Referer", "https://app.example"),
    ("X-Title", "App"),
    ("X-Request-Id", "a"),
    ("X-Client-Request-Id", "a"),
    ("X-Amzn-Bedrock-Trace", "ENABLED"),
    (
        "traceparent",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ),
    ("tracestate", "a=b"),
];

/// Fields that front proxies, access proxies and browsers add.
const DROPPED: [&str; 77] = [
    "CF-Connecting-IP",
    "CF-Connecting-IPv6",
    "CF-IPCountry",
    "CF-Ray",
    "CF-Visitor",
    "Cf-Access-Jwt-Assertion",
    "Cf-Access-Authenticated-User-Email",
    "CDN-Loop",
    "CloudFront-Viewer-Address",
    "CloudFront-Viewer-Country",
    "X-Amz-Cf-Id",
    "X-Amzn-Trace-Id",
    "X-Amzn-Oidc-Accesstoken",
    "X-Amzn-Oidc-Identity",
    "X-Amzn-Mtls-Clientcert",
    "Fastly-Client-IP",
    "Fastly-FF",
    "Fly-Client-IP",
    "Fly-Region",
    "True-Client-IP",
    "Akamai-Origin-Hop",
    "X-Akamai-Edgescape",
    "Incap-Client-IP",
    "DO-Connecting-IP",
    "X-Envoy-External-Address",
    "X-Envoy-Peer-Metadata",
    "X-ARR-ClientCert",
    "X-Azure-ClientIP",
    "X-Azure-FDID",
    "X-MS-Token-Aad-Access-Token",
    "X-MS-Client-Principal-Name",
    "X-Goog-IAP-JWT-Assertion",
    "X-Goog-Authenticated-User-Email",
    "X-Serverless-Authorization",
    "X-Cloud-Trace-Context",
    "X-Appengine-User-IP",
    "X-Auth-Request-Access-Token",
    "X-Auth-Request-Email",
    "X-Forwarded",
    "X-Forwarded-Access-Token",
    "X-Forwarded-Client-Cert",
    "X-Original-Forwarded-For",
    "X-Original-URL",
    "X-Real-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-ProxyUser-IP",
    "X-Remote-User",
    "X-SSL-Client-Cert",
    "X-Client-Cert",
    "X-TLS-Version",
    "SSL-Client-Cert",
    "Client-Cert",
    "Client-Cert-Chain",
    "Remote-User",
    "Remote-Addr",
    "X-Vercel-IP-City",
    "X-NF-Client-Connection-IP",
    "Tailscale-User-Login",
    "X-Pomerium-Jwt-Assertion",
    "X-B3-TraceId",
    "b3",
    "baggage",
    "Via",
    "Forwarded",
    "From",
    "Origin",
    "Referer",
    "Sec-Fetch-Mode",
    "Sec-CH-UA",
    "Sec-GPC",
    "Access-Control-Request-Method",
    "Access-Control-Request-Headers",
    "DNT",
    "Priority",
    "Upgrade-Insecure-Requests",
    "Save-Data",
];

#[test]
fn only_fields_for_the_provider_reach_it() {
    let provider = Provider::with_response(200, json!({}));
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    // Half of them at a time: a request may have a hundred fields.
    let (first, second) = DROPPED.split_at(40);
    let rows = [
        (CHAT, first),
        (CHAT, second),
        (MESSAGES, first),
        (MESSAGES, second),
    ];
    for (path, dropped) in rows {
        let mut request = post_with_key(path, &key, r#"{"model":"m"}"#);
        for (name, value) in KEPT {
            request = request.header(name, value);
        }
        for name in dropped {
            request = request.header(name, "canary");
        }

        let response = server.send(&request);

        assert_eq!(response.status, 200, "{path}: {}", response.text());
        let received = provider.requests().pop().unwrap();
        let leaked: Vec<&&str> = dropped
            .iter()
            .filter(|name| received.header(&name.to_lowercase()).is_some())
            .collect();
        assert!(leaked.is_empty(), "{path}: {leaked:?}");
        for (name, value) in KEPT {
            let name = name.to_lowercase();
            assert_eq!(received.header(&name), Some(value), "{path}: {name}");
        }
        assert_eq!(received.header("content-type"), Some("application/json"));
        assert_eq!(received.header("accept-encoding"), Some("identity"));
    }
}

#[test]
fn post_without_body_states_its_length() {
    let provider = Provider::with_response(200, json!({}));
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    let rows = [
        ("POST", "/v1/responses/resp_1/cancel", Some("0")),
        ("GET", "/v1/responses/resp_1", None),
        ("DELETE", "/v1/responses/resp_1", None),
    ];
    for (method, path, expected) in rows {
        let response = server.send(&Request::new(method, path).bearer(&key));

        assert_eq!(response.status, 200, "{method}: {}", response.text());
        let received = provider.requests().pop().unwrap();
        assert_eq!(received.header("content-length"), expected, "{method}");
        assert_eq!(received.header("transfer-encoding"), None, "{method}");
        assert_eq!(
            received.header("authorization"),
            Some(&*format!("Bearer {OPENAI_SECRET}"))
        );
    }
}
