//! Service URLs: three readers agree on the origin, and neither path nor engine can move it.

use std::net::Ipv6Addr;

use aisbreaker_api::{Origin, ServiceUrl};
use http::Uri;
use url::Url;

const PATHS: [&str; 3] = ["", "/v1/chat/completions", "/m/${engine}/x"];

/// The first line is a base URL, the rest an engine.
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
            "{base:?} with {path:?} and {engine:?} leads to {url}"
        );
        is_canonical(&url);
        reads_alike(&url, origin);
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

/// The text of a URL stands for itself.
fn is_canonical(url: &ServiceUrl) {
    let text = url.as_str();
    assert!(!text.contains(['#', '\\']) && text.is_ascii(), "{text}");
    // A placeholder that only the replacing of another one made is replaced when the text is read
    // again.
    if text.len() <= 2000 && !text.contains("${engine}") {
        let again = ServiceUrl::resolve(&format!("{text}#no-default-path"), "/ignored", None);
        assert_eq!(again.as_ref().map(ServiceUrl::as_str), Ok(text));
    }
}

/// What the `url` and the `http` crate make of the text is what its origin says.
fn reads_alike(url: &ServiceUrl, origin: &Origin) {
    let scheme = if origin.is_https() { "https" } else { "http" };
    let own_port = if origin.is_https() { 443 } else { 80 };

    let parsed = Url::parse(url.as_str());
    let parsed = parsed.unwrap_or_else(|error| unreachable!("{error}: {url}"));
    assert_eq!((parsed.username(), parsed.password()), ("", None), "{url}");
    assert_eq!(
        parsed.origin().ascii_serialization(),
        origin.to_string(),
        "{url}"
    );

    // That crate refuses some texts; then nothing is sent.
    let Ok(uri) = url.as_str().parse::<Uri>() else {
        return;
    };
    let read = (
        uri.scheme_str(),
        uri.host(),
        uri.port_u16().unwrap_or(own_port),
    );
    assert_eq!(
        read,
        (Some(scheme), Some(origin.host()), origin.port()),
        "{url}"
    );
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    assert!(!authority.contains('@'), "{url}");
}
