//! The host of a request, compared with a slow and simple implementation of the same rules.

use aisbreaker_gateway::fuzzing;
use aisbreaker_token::Host;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

/// The first line is `t` for a request from a trusted proxy, and the second is the request target.
/// Each further line is a field: `H` and a value of `Host`, or `F` and a value of
/// `X-Forwarded-Host`.
pub fn check(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let is_trusted = lines.next() == Some(b"t");
    let Ok(uri) = Uri::try_from(lines.next().unwrap_or_default()) else {
        return;
    };
    let (mut hosts, mut forwarded) = (Vec::new(), Vec::new());
    let mut headers = HeaderMap::new();
    for (kind, value) in lines.filter_map(<[u8]>::split_first) {
        let Ok(value) = HeaderValue::from_bytes(value) else {
            continue;
        };
        let (name, values) = match kind {
            b'H' => ("host", &mut hosts),
            b'F' => ("x-forwarded-host", &mut forwarded),
            _ => continue,
        };
        headers.append(HeaderName::from_static(name), value.clone());
        values.push(value);
    }

    let found = fuzzing::host(&uri, &headers, is_trusted, &[]);

    let expected = if is_trusted && !forwarded.is_empty() {
        let last = forwarded.last().and_then(|value| value.to_str().ok());
        last.and_then(|list| list.split(',').next_back())
            .and_then(host)
    } else if let Some(authority) = uri.authority() {
        host(authority.as_str())
    } else if let [value] = &*hosts {
        value.to_str().ok().and_then(host)
    } else {
        None
    };
    assert_eq!(found, expected, "{uri} {headers:?} {is_trusted}");

    let ours: Vec<Host> = host("api.example.com").into_iter().collect();
    let chosen = fuzzing::host(&uri, &headers, is_trusted, &ours);
    assert_eq!(
        chosen,
        found.filter(|host| ours.contains(host)),
        "only configured names"
    );
}

fn host(text: &str) -> Option<Host> {
    Host::parse(text.trim()).ok()
}
