//! Which request fields are not for a provider.
//!
//! Front proxies, content delivery networks, access proxies and browsers add fields about the
//! caller, and name them by a family (`cf-…`, `x-envoy-…`) or a kind (`…-client-ip`). A provider
//! gets none of them, and none with a credential: that is sealed in the key. Fields of no family
//! are forwarded, since providers and SDKs define new ones.

/// Returns whether a field, by its name in lower case, is forwarded to a provider.
pub(super) fn is_for_provider(name: &str) -> bool {
    let name = name.as_bytes();
    // Half the fields of an SDK's request: no search for these.
    if name.starts_with(b"x-stainless-") {
        return true;
    }
    let stem = match name {
        [b'x', b'-' | b'_', stem @ ..] => stem,
        _ => name,
    };
    let is_dropped = is_of_any(stem, families(stem)) && !is_of_any(stem, PROVIDER_FAMILIES);
    !is_dropped && !is_of_kind(name)
}

/// Families that providers define below one that is dropped: Cloudflare's AI gateway, Bedrock, and
/// OpenAI's `x-client-request-id`.
const PROVIDER_FAMILIES: &[&str] = &["cf-aig", "amzn-bedrock", "client-request-id"];

/// Returns the families that begin with the first letter of `stem`, a name without `x-`.
///
/// A family is the name itself and every longer one that goes on with `-`, with or without `x-`.
fn families(stem: &[u8]) -> &'static [&'static str] {
    let Some(first) = stem.first() else {
        return &[];
    };
    match first {
        b'a' => &[
            "authorization",
            "api-key",
            "aisbreaker",
            "access-control-request",
            "auth-request",
            "auth-token",
            "authenticated",
            "authentik",
            "akamai",
            "alt-used",
            "amz-cf",
            "amz-security-token",
            "amzn",
            "anonymous-consumer",
            "appengine",
            "appservice",
            "arr",
            "azure",
        ],
        b'b' => &["baggage", "b3", "bluecoat"],
        b'c' => &[
            "cookie",
            "cookie2",
            "cdn",
            "cf",
            "client",
            "cloud-trace-context",
            "cloudfront",
            "cluster",
            "consumer",
            "credential",
            "csrf-token",
        ],
        b'd' => &[
            "datadog",
            "device-memory",
            "disguised-host",
            "dnt",
            "downlink",
            "dpr",
        ],
        b'e' => &["early-data", "ect", "edge", "envoy"],
        b'f' => &[
            "fastly",
            "fd",
            "fly",
            "forward",
            "forwarded",
            "from",
            "front-end-https",
        ],
        b'g' => &[
            "geo",
            "geoip",
            "goog-api-key",
            "goog-authenticated-user",
            "goog-iap",
            "google",
        ],
        b'h' => &["heroku", "host", "http2-settings"],
        b'i' => &["incap", "istio"],
        b'j' => &["jwt-assertion"],
        b'k' => &["k8se", "kong"],
        b'm' => &["ms-client-principal", "ms-token", "mtls"],
        b'n' => &["nf", "nginx"],
        b'o' => &["oidc", "origin", "original", "ot-baggage"],
        b'p' => &[
            "ping-from",
            "ping-to",
            "pomerium",
            "priority",
            "proto",
            "proxy",
            "purpose",
        ],
        b'r' => &[
            "railway",
            "real",
            "referer",
            "referrer",
            "remote",
            "render",
            "requested-with",
            "request-start",
            "rewrite-url",
            "rndr",
            "rtt",
        ],
        b's' => &[
            "save-data",
            "scheme",
            "sec",
            "sentry-trace",
            "service-worker",
            "serviceworker",
            "site-deployment-id",
            "ssl",
            "sucuri",
        ],
        b't' => &["tailscale", "tls", "true-client"],
        b'u' => &[
            "uber-trace-id",
            "uberctx",
            "upgrade-insecure-requests",
            "url-scheme",
        ],
        b'v' => &["varnish", "vercel", "via", "viewport-width", "vouch"],
        b'w' => &[
            "was-default-hostname",
            "waws",
            "webauth",
            "width",
            "wl-proxy",
        ],
        b'x' => &["xsrf-token"],
        b'z' => &["zscaler"],
        _ => &[],
    }
}

/// Returns whether the end of a name shows that it holds an address, a place, a certificate or a
/// credential, whichever proxy or SDK added it.
fn is_of_kind(name: &[u8]) -> bool {
    let kinds: &[&str] = match name.last() {
        Some(b'p') => &["-ip", "clientip"],
        Some(b'r') => &["-addr"],
        Some(b's') => &["-address"],
        Some(b'y') => &["-country"],
        Some(b't') => &["-cert", "clientcert"],
        Some(b'n') => &[
            "-authorization",
            "-jwt-assertion",
            "-access-token",
            "-id-token",
        ],
        Some(b'6') => &["-ipv6"],
        Some(b'o') => &["-userinfo"],
        Some(b'e') => &["-country-code"],
        _ => return false,
    };
    kinds
        .iter()
        .any(|kind| match name.len().checked_sub(kind.len()) {
            Some(start) => name
                .get(start..)
                .is_some_and(|end| is_same(end, kind.as_bytes())),
            None => false,
        })
}

fn is_of_any(stem: &[u8], families: &[&str]) -> bool {
    // The second letter rules most of them out.
    let second = stem.get(1);
    families.iter().any(|family| {
        let family = family.as_bytes();
        family.get(1) == second && is_of(stem, family)
    })
}

fn is_of(stem: &[u8], family: &[u8]) -> bool {
    match stem.split_at_checked(family.len()) {
        Some((start, [] | [b'-' | b'_', ..])) => is_same(start, family),
        _ => false,
    }
}

/// Compares two names of one length. Some servers read `_` as `-`, so both are the same here.
fn is_same(name: &[u8], rule: &[u8]) -> bool {
    let mut pairs = name.iter().zip(rule);
    pairs.all(|(of_name, of_rule)| of_name == of_rule || (*of_name == b'_' && *of_rule == b'-'))
}
