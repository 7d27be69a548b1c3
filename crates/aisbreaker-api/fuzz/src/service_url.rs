//! Three parsers agree on the origin of a service URL, and neither path nor engine can change it.

use std::net::Ipv6Addr;

use aisbreaker_api::{Origin, ServiceUrl};
use http::Uri;
use url::Url;

const PATHS: [&str; 3] = ["", "/v1/chat/completions", "/m/${engine}/x"];

/// Resolves the first line as a base URL, with the rest as the engine.
pub fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let (base, engine) = match text.split_once('\n') {
        Some((base, engine)) => (base, Some(engine)),
        None => (text, None),
    };
    let bound = Origin::parse(base);
    for path in PATHS {
        let Ok(url) = ServiceUrl::resolve(base, path, engine) else {
            continue;
        };
        let origin = url.origin();
        assert_eq!(
            bound.as_ref(),
            Ok(origin),
            "{base:?} with {path:?} and {engine:?} resolves to {url}"
        );
        assert_canonical(&url);
        assert_parsers_agree(&url, origin);
    }
    if let Ok(origin) = &bound {
        assert_eq!(
            Origin::parse(&origin.to_string()).as_ref(),
            Ok(origin),
            "{origin}"
        );
        let is_plain = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '.' | '_');
        let bare = origin
            .host()
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let is_address = bare.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
        assert!(
            is_address || origin.host().chars().all(is_plain),
            "{origin}"
        );
    }
}

/// Resolving a canonical text again returns the same text.
fn assert_canonical(url: &ServiceUrl) {
    let text = url.as_str();
    assert!(!text.contains(['#', '\\']) && text.is_ascii(), "{text}");
    // Replacing one placeholder may form another, which would be replaced now.
    if text.len() <= 2000 && !text.contains("${engine}") {
        let again = ServiceUrl::resolve(&format!("{text}#no-default-path"), "/ignored", None);
        assert_eq!(again.as_ref().map(ServiceUrl::as_str), Ok(text));
    }
}

/// The crates `url` and `http` parse the same origin.
fn assert_parsers_agree(url: &ServiceUrl, origin: &Origin) {
    let scheme = if origin.is_https() { "https" } else { "http" };
    let default_port = if origin.is_https() { 443 } else { 80 };

    let parsed = Url::parse(url.as_str()).unwrap_or_else(|error| unreachable!("{error}: {url}"));
    assert_eq!((parsed.username(), parsed.password()), ("", None), "{url}");
    assert_eq!(
        parsed.origin().ascii_serialization(),
        origin.to_string(),
        "{url}"
    );

    // The `http` crate rejects some URLs, and no request is sent to them.
    let Ok(uri) = url.as_str().parse::<Uri>() else {
        return;
    };
    let parsed_origin = (
        uri.scheme_str(),
        uri.host(),
        uri.port_u16().unwrap_or(default_port),
    );
    assert_eq!(
        parsed_origin,
        (Some(scheme), Some(origin.host()), origin.port()),
        "{url}"
    );
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    assert!(!authority.contains('@'), "{url}");
}
