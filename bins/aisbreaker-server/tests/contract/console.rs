//! The files of the console, as browsers get them. What the page does with them is tested in a
//! browser.

mod demo;
mod files;
mod live_page;
mod log;
mod mode;

use crate::support::{Request, Response};

/// The files, with the content type of each.
const FILES: [(&str, &str); 3] = [
    ("/console/", "text/html; charset=utf-8"),
    ("/console/console.js", "text/javascript; charset=utf-8"),
    ("/console/console.css", "text/css; charset=utf-8"),
];

/// The fields that keep pages of other origins, and what a provider sends, from harm.
const SECURITY: [(&str, &str); 5] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// Checks the fields that every response of the console has, and those that none may have.
#[track_caller]
fn assert_is_secured(what: &str, response: &Response) {
    for (name, value) in SECURITY {
        assert_eq!(
            response.header(name),
            Some(value),
            "{what}: {name} in {response:?}"
        );
    }
    for (name, _) in &response.headers {
        let name = name.to_ascii_lowercase();
        let is_cors = name.starts_with("access-control-");
        assert!(!is_cors && name != "set-cookie", "{what}: {name}");
    }
}

fn request_with(path: &str, fields: &[(&str, &str)]) -> Request {
    let request = Request::get(path);
    fields.iter().fold(request, |request, (name, value)| {
        request.header(name, value)
    })
}
