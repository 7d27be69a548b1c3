//! Service ids and patterns against a comparison of plain texts.

use aisbreaker_api::{InvalidServiceId, ServiceId, ServicePattern};

/// The first line is a pattern, the rest an id.
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
        begins_with(id_text, pattern_text),
        "{pattern_text:?} on {id_text:?}"
    );
    assert_eq!(written(&id), normal(id_text), "{id_text:?}");
    let itself = ServicePattern::parse(id_text);
    assert!(
        itself.as_ref().is_ok_and(|itself| itself.matches(&id)),
        "{id_text:?} matches itself"
    );
    let count = |pattern: &ServicePattern| pattern.segment_count();
    let is_longer = itself.is_ok_and(|itself| count(&pattern) > count(&itself));
    assert!(
        !is_longer || !pattern.matches(&id),
        "{pattern_text:?} is longer than {id_text:?}"
    );
}

fn fault(text: &str) -> Option<InvalidServiceId> {
    match text {
        _ if text.len() > 512 => Some(InvalidServiceId::TooLong),
        _ if text.chars().any(char::is_control) => Some(InvalidServiceId::Control),
        _ => None,
    }
}

/// The same text without what makes no segment: slashes at the end, and then a colon at the end.
fn normal(text: &str) -> String {
    match text.split_once(':') {
        Some((task, rest)) if rest.trim_end_matches('/').is_empty() => task.to_owned(),
        Some((task, rest)) => format!("{task}:{}", rest.trim_end_matches('/')),
        None => text.to_owned(),
    }
}

/// Whether the one is the other's beginning, up to where a segment ends.
fn begins_with(id: &str, pattern: &str) -> bool {
    let (id, normal_pattern) = (normal(id), normal(pattern));
    let end = if normal_pattern.contains(':') {
        '/'
    } else {
        ':'
    };
    let rest = id.strip_prefix(&normal_pattern);
    pattern.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(end))
}

/// The id put together from its parts.
fn written(id: &ServiceId) -> String {
    match (id.vendor(), id.engine()) {
        (None, None) => id.task().to_owned(),
        (vendor, None) => format!("{}:{}", id.task(), vendor.unwrap_or_default()),
        (vendor, Some(engine)) => format!("{}:{}/{engine}", id.task(), vendor.unwrap_or_default()),
    }
}
