//! The console: pages that call this server's public API from the browser.
//!
//! The pages have no authority of their own. Their files are the same for everybody, hold no secret and
//! are served without looking at credentials. A page calls the API as any other client does, with a key
//! that its user types.
//!
//! The listener for clients serves the console, and that of the metrics a page that shows them. Both
//! use the same style.

mod encoding;

use std::sync::LazyLock;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName,
        LOCATION, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};

use self::encoding::{Encoded, accepts_gzip};
use crate::{response::conditional, route::console_path::ConsolePath};

const PAGE: &str = include_str!("console/index.html");
const SCRIPT: &str = include_str!("console/console.js");
const STYLE: &str = include_str!("console/console.css");
const LIVE_PAGE: &str = include_str!("console/live.html");
const LIVE_SCRIPT: &str = include_str!("console/live.js");

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const JAVASCRIPT: HeaderValue = HeaderValue::from_static("text/javascript; charset=utf-8");
const CSS: HeaderValue = HeaderValue::from_static("text/css; charset=utf-8");

/// Browsers ask every time whether a file has changed, so that those of two versions never meet.
const CACHE: HeaderValue = HeaderValue::from_static("no-cache");
const PAGE_LOCATION: HeaderValue = HeaderValue::from_static("console/");

/// Lets the page load its own files, call its own origin, and do nothing else.
///
/// Source: Content Security Policy Level 3, and Trusted Types.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'",
);
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");
const CROSS_ORIGIN_OPENER_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-opener-policy");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// A file of the console, compressed when it is first asked for.
type File = LazyLock<Encoded>;

static PAGE_FILE: File = File::new(|| Encoded::new(HTML, PAGE));
static SCRIPT_FILE: File = File::new(|| Encoded::new(JAVASCRIPT, SCRIPT));
static STYLE_FILE: File = File::new(|| Encoded::new(CSS, STYLE));
static LIVE_PAGE_FILE: File = File::new(|| Encoded::new(HTML, LIVE_PAGE));
static LIVE_SCRIPT_FILE: File = File::new(|| Encoded::new(JAVASCRIPT, LIVE_SCRIPT));

/// Answers a request for the console.
pub(crate) fn serve(path: ConsolePath, request: &HeaderMap) -> Response<Bytes> {
    match path {
        ConsolePath::NoSlash => redirect(),
        ConsolePath::Page => respond(&PAGE_FILE, request),
        ConsolePath::Script => respond(&SCRIPT_FILE, request),
        ConsolePath::Style => respond(&STYLE_FILE, request),
    }
}

/// Answers a request for a path of the page that shows the metrics, if it is one. The response has
/// the fields of [`write_headers`].
pub(crate) fn serve_live(path: &str, request: &HeaderMap) -> Option<Response<Bytes>> {
    let mut response = match path {
        "/console" => redirect(),
        "/console/" => respond(&LIVE_PAGE_FILE, request),
        "/console/live.js" => respond(&LIVE_SCRIPT_FILE, request),
        "/console/console.css" => respond(&STYLE_FILE, request),
        _ => return None,
    };
    write_headers(response.headers_mut());
    Some(response)
}

/// Adds what every response for these pages carries. Pages of other origins may neither read nor
/// frame them.
pub(crate) fn write_headers(to: &mut HeaderMap) {
    to.insert(CONTENT_SECURITY_POLICY, POLICY);
    to.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    to.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    to.insert(CROSS_ORIGIN_OPENER_POLICY, SAME_ORIGIN);
    to.insert(CROSS_ORIGIN_RESOURCE_POLICY, SAME_ORIGIN);
}

/// Sends the browser to the page. The location is relative, so it holds below a prefix that a proxy
/// takes off.
fn redirect() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    let headers = response.headers_mut();
    headers.insert(LOCATION, PAGE_LOCATION);
    headers.insert(CACHE_CONTROL, CACHE);
    response
}

fn respond(file: &Encoded, request: &HeaderMap) -> Response<Bytes> {
    let gzip = file.gzip.as_ref().filter(|_| accepts_gzip(request));
    let (representation, coding) = match gzip {
        Some(gzip) => (gzip, Some(HeaderValue::from_static("gzip"))),
        None => (&file.identity, None),
    };
    let mut response = Response::new(Bytes::new());
    let is_known = conditional::has_tag(request, representation.tag.as_bytes());
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *response.body_mut() = representation.content.clone();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, file.content_type.clone());
        if let Some(coding) = coding {
            headers.insert(CONTENT_ENCODING, coding);
        }
    }
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, CACHE);
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.insert(ETAG, representation.tag.clone());
    response
}

#[cfg(test)]
mod tests {
    use aisbreaker_services::Providers;

    use super::*;

    /// The most bytes of all files together, uncompressed.
    const MAX_BYTES: usize = 60_000;
    const FILES: [&str; 5] = [PAGE, SCRIPT, STYLE, LIVE_PAGE, LIVE_SCRIPT];

    #[test]
    fn all_files_together_are_small() {
        let bytes: usize = FILES.iter().map(|file| file.len()).sum();
        assert!(bytes <= MAX_BYTES, "{bytes} bytes");
    }

    /// The page offers them where a service is typed.
    #[test]
    fn the_page_offers_the_vendors_that_this_server_knows() {
        let (_before, list) = SCRIPT.split_once("const VENDORS =").unwrap();
        let (list, _after) = list.split_once(';').unwrap();
        let mut offered: Vec<&str> = list
            .split(|c: char| c.is_whitespace() || c == '\'' || c == '+')
            .filter(|vendor| !vendor.is_empty())
            .collect();
        let providers = Providers::builtin();
        let mut known: Vec<&str> = providers.iter().map(|one| one.id.as_str()).collect();
        // Two that have no row: the dummy, and a service with a protocol of its own.
        known.extend(["dummy", "replicate.com"]);
        offered.sort_unstable();
        known.sort_unstable();
        assert_eq!(offered, known);
    }

    /// The policy would block all of these, and the page would be broken without a word.
    #[test]
    fn pages_load_their_own_files_only_and_have_no_code_of_their_own() {
        for page in [PAGE, LIVE_PAGE] {
            for forbidden in [
                "://",
                " style=",
                "<style",
                " onclick=",
                " onsubmit=",
                "javascript:",
            ] {
                assert!(!page.contains(forbidden), "{forbidden}");
            }
            let scripts = page.split("<script").skip(1);
            for script in scripts {
                let (tag, rest) = script.split_once('>').unwrap();
                assert!(tag.contains(" src="), "{tag}");
                assert!(rest.starts_with("</script>"), "{rest}");
            }
            for attribute in [" src=\"/", " href=\"/"] {
                assert!(!page.contains(attribute), "not relative: {attribute}");
            }
        }
    }
}
