//! Service ids and patterns agree with a plain text comparison.

use aisbreaker_api::{InvalidServiceId, ServiceId, ServicePattern};

/// Parses the first line as a pattern and the rest as a service id.
pub fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let (pattern_text, id_text) = text.split_once('\n').unwrap_or(("", text));
    let (pattern, id) = (
        ServicePattern::parse(pattern_text),
        ServiceId::parse(id_text),
    );
    assert_eq!(
        pattern.as_ref().err(),
        fault(pattern_text).as_ref(),
        "{pattern_text:?}"
    );
    let expected = if id_text.is_empty() {
        Some(InvalidServiceId::Empty)
    } else {
        fault(id_text)
    };
    assert_eq!(id.as_ref().err(), expected.as_ref(), "{id_text:?}");
    let (Ok(pattern), Ok(id)) = (pattern, id) else {
        return;
    };

    assert_eq!((pattern.as_str(), id.as_str()), (pattern_text, id_text));
    assert_eq!(
        pattern.matches(&id),
        is_segment_prefix(pattern_text, id_text),
        "{pattern_text:?} on {id_text:?}"
    );
    assert_eq!(from_segments(&id), normalized(id_text), "{id_text:?}");
    let Ok(same) = ServicePattern::parse(id_text) else {
        unreachable!("{id_text:?} is a service id, but not a pattern");
    };
    assert!(same.matches(&id), "{id_text:?} does not match itself");
    if pattern.segment_count() > same.segment_count() {
        assert!(
            !pattern.matches(&id),
            "{pattern_text:?} has more segments than {id_text:?}"
        );
    }
}

fn fault(text: &str) -> Option<InvalidServiceId> {
    match text {
        _ if text.len() > 512 => Some(InvalidServiceId::TooLong),
        _ if text.chars().any(char::is_control) => Some(InvalidServiceId::Control),
        _ => None,
    }
}

/// Removes the characters that add no segment: trailing slashes, then a trailing colon.
fn normalized(text: &str) -> String {
    match text.split_once(':') {
        Some((task, rest)) if rest.trim_end_matches('/').is_empty() => task.to_owned(),
        Some((task, rest)) => format!("{task}:{}", rest.trim_end_matches('/')),
        None => text.to_owned(),
    }
}

/// Returns whether the pattern is a prefix of the id that ends at a segment boundary.
fn is_segment_prefix(pattern: &str, id: &str) -> bool {
    if pattern.is_empty() {
        return true;
    }
    let prefix = normalized(pattern);
    let boundary = if prefix.contains(':') { '/' } else { ':' };
    match normalized(id).strip_prefix(&prefix) {
        Some(rest) => rest.is_empty() || rest.starts_with(boundary),
        None => false,
    }
}

/// Assembles the id from its segments.
fn from_segments(id: &ServiceId) -> String {
    match (id.vendor(), id.engine()) {
        (None, None) => id.task().to_owned(),
        (vendor, None) => format!("{}:{}", id.task(), vendor.unwrap_or_default()),
        (vendor, Some(engine)) => format!("{}:{}/{engine}", id.task(), vendor.unwrap_or_default()),
    }
}
