//! Service ids (`task:vendor/engine`) and patterns over them.
//!
//! Everything that picks a service or a secret by id compares whole segments, so that
//! `chat:openai.com` never stands for `chat:openai.community`.

use std::fmt;

/// Longest accepted service id in bytes.
const MAX_LEN: usize = 512;

/// The name of a service: a task, and optionally a vendor and an engine, as in
/// `chat:openai.com/gpt-4o`.
///
/// An engine may hold slashes (`chat:huggingface.co/microsoft/DialoGPT-large`). A trailing slash or
/// a missing vendor is kept in the text, but makes no segment.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct ServiceId(String);

/// Why a text is not a service id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidServiceId {
    /// The text is empty.
    #[error("must not be empty")]
    Empty,
    /// The text is over 512 bytes long.
    #[error("must not be longer than 512 bytes")]
    TooLong,
    /// The text has a control character.
    #[error("must not contain control characters")]
    Control,
}

impl ServiceId {
    /// Reads a service id: 1 to 512 bytes without control characters.
    ///
    /// # Errors
    /// The [`InvalidServiceId`] that applies.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidServiceId> {
        let text = text.into();
        if text.is_empty() {
            return Err(InvalidServiceId::Empty);
        }
        check_text(&text)?;
        Ok(Self(text))
    }

    /// The id as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the colon: `chat` of `chat:openai.com/gpt-4o`.
    #[must_use]
    pub fn task(&self) -> &str {
        split_task(&self.0).0
    }

    /// What stands between the colon and the first slash: `openai.com` of `chat:openai.com/gpt-4o`.
    #[must_use]
    pub fn vendor(&self) -> Option<&str> {
        let rest = split_task(&self.0).1?;
        Some(rest.split_once('/').map_or(rest, |(vendor, _)| vendor))
            .filter(|vendor| !vendor.is_empty())
    }

    /// What stands behind the vendor's slash: `gpt-4o` of `chat:openai.com/gpt-4o`; it may hold
    /// slashes itself.
    #[must_use]
    pub fn engine(&self) -> Option<&str> {
        let (_, engine) = split_task(&self.0).1?.split_once('/')?;
        Some(engine.trim_end_matches('/')).filter(|engine| !engine.is_empty())
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A service id, or the front part of one on a segment boundary, that stands for all ids that begin
/// so.
///
/// `""` matches every id, `chat:` a whole task, `chat:openai.com` that vendor with any engine.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct ServicePattern(String);

impl ServicePattern {
    /// Reads a pattern: at most 512 bytes without control characters; may be empty.
    ///
    /// # Errors
    /// The [`InvalidServiceId`] that applies.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidServiceId> {
        let text = text.into();
        check_text(&text)?;
        Ok(Self(text))
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether every segment of the pattern equals the id's segment at its place.
    #[must_use]
    pub fn matches(&self, id: &ServiceId) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let (task, rest) = split_task(&self.0);
        let Some(behind_task) = id.0.strip_prefix(task) else {
            return false;
        };
        let rest = rest.map_or("", |rest| rest.trim_end_matches('/'));
        if rest.is_empty() {
            return behind_task.is_empty() || behind_task.starts_with(':');
        }
        let behind = behind_task
            .strip_prefix(':')
            .and_then(|behind| behind.strip_prefix(rest));
        behind.is_some_and(|behind| behind.is_empty() || behind.starts_with('/'))
    }

    /// How many whole segments the pattern fixes: 0 for `""`, 1 for `chat:`, 2 for
    /// `chat:openai.com`.
    #[must_use]
    pub fn segment_count(&self) -> usize {
        segments(&self.0).count()
    }
}

fn check_text(text: &str) -> Result<(), InvalidServiceId> {
    if text.len() > MAX_LEN {
        return Err(InvalidServiceId::TooLong);
    }
    if text.chars().any(char::is_control) {
        return Err(InvalidServiceId::Control);
    }
    Ok(())
}

fn split_task(text: &str) -> (&str, Option<&str>) {
    text.split_once(':')
        .map_or((text, None), |(task, rest)| (task, Some(rest)))
}

/// The task, then what slashes divide; trailing empty segments do not count.
fn segments(text: &str) -> impl Iterator<Item = &str> {
    let (task, rest) = split_task(text);
    let task = Some(task).filter(|_| !text.is_empty());
    let rest = rest
        .map(|rest| rest.trim_end_matches('/'))
        .filter(|rest| !rest.is_empty());
    task.into_iter()
        .chain(rest.into_iter().flat_map(|rest| rest.split('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_task_vendor_and_engine() {
        let rows = [
            (
                "chat:openai.com/gpt-4o",
                "chat",
                Some("openai.com"),
                Some("gpt-4o"),
            ),
            ("chat:openai.com", "chat", Some("openai.com"), None),
            ("chat:openai.com/", "chat", Some("openai.com"), None),
            (
                "chat:huggingface.co/microsoft/Dialo",
                "chat",
                Some("huggingface.co"),
                Some("microsoft/Dialo"),
            ),
            ("chat:", "chat", None, None),
            ("chat", "chat", None, None),
            (
                "aisbreaker:mirror/service/chat:dummy",
                "aisbreaker",
                Some("mirror"),
                Some("service/chat:dummy"),
            ),
        ];
        for (text, task, vendor, engine) in rows {
            let id = ServiceId::parse(text).unwrap();
            assert_eq!(
                (id.task(), id.vendor(), id.engine()),
                (task, vendor, engine),
                "{text}"
            );
        }
    }

    #[test]
    fn patterns_match_on_whole_segments_only() {
        let rows = [
            ("", "chat:dummy", true),
            ("chat:", "chat:dummy", true),
            ("chat", "chat:dummy", true),
            ("chat:dummy", "chat:dummy", true),
            ("chat:dummy/", "chat:dummy", true),
            ("chat:dum", "chat:dummy", false),
            ("chat:openai.com", "chat:openai.com/gpt-4", true),
            ("chat:openai.com/gpt-4", "chat:openai.com/gpt-4o", false),
            ("chat:openai.com/gpt-4", "chat:openai.com", false),
            ("chat:openai.com", "chat:openai.community", false),
            ("text:", "text-to-image:dummy", false),
            ("cha", "chat:dummy", false),
        ];
        for (pattern, id, expected) in rows {
            let matched = ServicePattern::parse(pattern)
                .unwrap()
                .matches(&ServiceId::parse(id).unwrap());
            assert_eq!(matched, expected, "{pattern:?} on {id:?}");
        }
    }

    #[test]
    fn matching_texts_is_matching_segments() {
        let mut texts = vec![String::new()];
        for length in 0..5 {
            let longer = texts.iter().filter(|text| text.len() == length);
            let longer =
                longer.flat_map(|text| ["a", ":", "/"].map(|more| format!("{text}{more}")));
            texts.extend(longer.collect::<Vec<_>>());
        }
        for (pattern, id) in texts
            .iter()
            .flat_map(|pattern| texts.iter().map(move |id| (pattern, id)))
        {
            let Ok(parsed) = ServiceId::parse(id) else {
                continue;
            };
            let mut id_segments = segments(id);
            let expected = segments(pattern).all(|segment| id_segments.next() == Some(segment));
            assert_eq!(
                ServicePattern(pattern.clone()).matches(&parsed),
                expected,
                "{pattern:?} on {id:?}"
            );
        }
    }

    #[test]
    fn refuses_empty_long_and_control_text() {
        let long = "x".repeat(MAX_LEN + 1);
        let rows = [
            ("", InvalidServiceId::Empty),
            (long.as_str(), InvalidServiceId::TooLong),
            ("chat:\n", InvalidServiceId::Control),
        ];
        for (text, expected) in rows {
            assert_eq!(ServiceId::parse(text), Err(expected), "{text:?}");
        }
    }
}
