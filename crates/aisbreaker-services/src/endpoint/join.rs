//! Joins the default path of a service to a base URL.

use std::borrow::Cow;

use super::PathJoin;

/// The marker of URLs to which no path is appended.
const NO_DEFAULT_PATH: &str = "#no-default-path";

/// What precedes the host of a URL.
const SCHEMES: [&str; 2] = ["https://", "http://"];

/// The ends of URLs that are those of one operation. Of two that fit, the longer one comes first.
const OPERATIONS: [&str; 13] = [
    "/chat/completions",
    "/completions",
    "/messages",
    "/responses",
    "/embeddings",
    "/moderations",
    "/images/generations",
    "/images/edits",
    "/images/variations",
    "/audio/speech",
    "/audio/transcriptions",
    "/audio/translations",
    "/messages/count_tokens",
];

/// Returns the base URL and the path that is appended to it.
///
/// A base URL that ends with the path of an operation already is that of the operation, with its
/// query. If another operation is called, its path takes that place.
pub(super) fn base_and_path<'a>(
    base: &'a str,
    path: &'a str,
    join: PathJoin,
) -> (Cow<'a, str>, &'a str) {
    if let Some(called) = at_operation(base, path) {
        return (Cow::Owned(called), "");
    }
    let path = match join {
        PathJoin::Append => path,
        PathJoin::Overlap => without_overlap(base, path),
    };
    (Cow::Borrowed(base), path)
}

/// Returns the URL to call, with the marker, if `base` ends with the path of an operation.
fn at_operation(base: &str, path: &str) -> Option<String> {
    let (location, query) = match memchr::memchr2(b'?', b'#', base.as_bytes()) {
        Some(at) => base.split_at(at),
        None => (base, ""),
    };
    if query.contains('#') {
        return None;
    }
    let location = location.strip_suffix('/').unwrap_or(location);
    let location_path = path_of(location);
    let named = if !path.is_empty() && ends_with_path(location_path, path) {
        path
    } else {
        operation_of(location_path)?
    };
    if named == path || operation_of(path) == Some(named) {
        return Some([location, query, NO_DEFAULT_PATH].concat());
    }
    let prefix = location.strip_suffix(named)?;
    let rest = match operation_of(path).or_else(|| models_of(path)) {
        Some(operation) => operation,
        None => without_overlap(prefix, path),
    };
    Some([prefix, rest, query, NO_DEFAULT_PATH].concat())
}

/// Returns whether a path ends with that of the service, in which any segment may stand for the
/// engine.
fn ends_with_path(location_path: &str, path: &str) -> bool {
    if location_path.ends_with(path) {
        return true;
    }
    let Some((before, after)) = path.split_once("/${engine}") else {
        return false;
    };
    match location_path
        .strip_suffix(after)
        .and_then(|rest| rest.rsplit_once('/'))
    {
        Some((start, engine)) => !engine.is_empty() && start.ends_with(before),
        None => false,
    }
}

/// Returns the operation with which a path ends.
fn operation_of(path: &str) -> Option<&'static str> {
    OPERATIONS
        .into_iter()
        .find(|operation| path.ends_with(operation))
}

/// Returns the end of a path that leads to the list of models or to one model.
fn models_of(path: &str) -> Option<&str> {
    const MODELS: &str = "/models";
    let (_, model) = path.split_once(MODELS)?;
    let is_models = model.is_empty() || model.starts_with('/');
    let start = path.len().checked_sub(model.len() + MODELS.len())?;
    is_models.then(|| path.get(start..)).flatten()
}

/// Returns the path of an absolute URL without query: what comes behind its host.
fn path_of(location: &str) -> &str {
    let after_scheme = SCHEMES.iter().find_map(|scheme| {
        let (start, rest) = location.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let rest = after_scheme.unwrap_or_default();
    match memchr::memchr(b'/', rest.as_bytes()) {
        Some(slash) => rest.get(slash..).unwrap_or_default(),
        None => "",
    }
}

/// Returns `path` without the leading segments that `base` ends with.
fn without_overlap<'a>(base: &str, path: &'a str) -> &'a str {
    let base = path_of(base.strip_suffix('/').unwrap_or(base));
    let slashes = path.match_indices('/').map(|(at, _)| at);
    // The longest overlap counts.
    for end in slashes.chain([path.len()]).rev() {
        let (overlap, rest) = path.split_at(end);
        if !overlap.is_empty() && base.ends_with(overlap) {
            return rest;
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_out_the_segments_that_a_base_url_ends_with() {
        let path = "/openai/v1/chat/completions";
        let rows = [
            ("https://a.example", path),
            ("https://a.example/", path),
            ("https://a.example/openai", "/v1/chat/completions"),
            ("https://a.example/openai/v1", "/chat/completions"),
            ("https://a.example/openai/v1/", "/chat/completions"),
            ("https://a.example/openai/v1/chat/completions", ""),
            ("https://a.example/v1", path),
            ("https://a.example/openai/v", path),
            ("https://a.example/notopenai", path),
        ];
        for (base, expected) in rows {
            assert_eq!(without_overlap(base, path), expected, "{base}");
        }
    }

    #[test]
    fn a_url_that_ends_with_an_operation_is_called_as_it_is() {
        let chat = "/v1/chat/completions";
        let rows = [
            ("https://a.example/v1/chat/completions", chat, ""),
            ("https://a.example/x/v1/chat/completions/", chat, ""),
            ("https://a.example/x/chat/completions", chat, ""),
            ("https://a.example/chat/completions?v=1", chat, "?v=1"),
            ("https://a.example/x/messages", "/v1/messages", ""),
            ("https://a.example/api/v1/process", "/api/v1/process", ""),
            ("https://a.example/m/${engine}:go", "/m/${engine}:go", ""),
            ("https://a.example/v1/m/g-2:go", "/m/${engine}:go", ""),
            ("https://a.example/generate/core", "/generate/${engine}", ""),
        ];
        for (base, path, query) in rows {
            for join in [PathJoin::Append, PathJoin::Overlap] {
                let (found, rest) = base_and_path(base, path, join);
                let location = base.split('?').next().unwrap_or_default();
                let location = location.strip_suffix('/').unwrap_or(location);
                let called = format!("{location}{query}{NO_DEFAULT_PATH}");
                assert_eq!((&*found, rest), (&*called, ""), "{base}");
            }
        }
    }

    #[test]
    fn a_url_of_another_operation_leads_to_the_one_that_is_called() {
        let rows = [
            (
                "https://a.example/v1/chat/completions",
                "/v1/embeddings",
                "/v1/embeddings",
            ),
            (
                "https://a.example/x/chat/completions",
                "/v1/embeddings",
                "/x/embeddings",
            ),
            (
                "https://a.example/v1/chat/completions",
                "/v1/completions",
                "/v1/completions",
            ),
            (
                "https://a.example/v1/completions",
                "/v1/chat/completions",
                "/v1/chat/completions",
            ),
            (
                "https://a.example/v1/messages",
                "/v1/messages/count_tokens",
                "/v1/messages/count_tokens",
            ),
            (
                "https://a.example/v1/chat/completions",
                "/v1/models",
                "/v1/models",
            ),
            (
                "https://a.example/v1/chat/completions",
                "/openai/v1/models",
                "/v1/models",
            ),
            (
                "https://a.example/api/chat/completions",
                "/v1/models/org/models/x",
                "/api/models/org/models/x",
            ),
            (
                "https://a.example/v1/responses?v=1",
                "/v1/responses/r_1",
                "/v1/responses/r_1?v=1",
            ),
        ];
        for (base, path, expected) in rows {
            for join in [PathJoin::Append, PathJoin::Overlap] {
                let (found, rest) = base_and_path(base, path, join);
                let called = format!("https://a.example{expected}{NO_DEFAULT_PATH}");
                assert_eq!((&*found, rest), (&*called, ""), "{base} {path}");
            }
        }
    }

    #[test]
    fn other_urls_are_joined() {
        let rows = [
            "https://chat/completions.example",
            "https://messages",
            "https://a.example",
            "https://a.example/?x=/v1/messages",
            "https://a.example/v1/messages#no-default-path",
            "https://a.example/v1/messages#x",
            "https://a.example/xmessages",
        ];
        assert!(!ends_with_path("/m/x:stop", "/m/${engine}:go"));
        assert!(!ends_with_path("/m/:go", "/m/${engine}:go"));
        assert!(!ends_with_path("/generate", "/generate/${engine}"));
        for base in rows {
            let joined = base_and_path(base, "/v1/messages", PathJoin::Append);
            assert_eq!(joined, (base.into(), "/v1/messages"), "{base}");
        }
        assert_eq!(
            without_overlap("https://v1", "/v1/messages"),
            "/v1/messages"
        );
    }
}
