//! Service ids (`task:vendor/engine`) and patterns over them.
//!
//! Services and secrets are selected by whole segments, so that `chat:openai.com` never selects
//! `chat:openai.community`.

use std::{fmt, ops::Deref, sync::Arc};

/// The maximum length of a service id or pattern.
const MAX_BYTES: usize = 512;
/// The length up to which a text is joined without an allocation.
const SHORT_BYTES: usize = 64;

/// The id of a service: a task, then optionally a vendor and an engine, as in
/// `chat:openai.com/gpt-4o`.
///
/// An engine may contain slashes (`chat:huggingface.co/microsoft/DialoGPT-large`). Trailing slashes
/// remain in the text, but add no segment. Clones share the text.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct ServiceId(SegmentedText<Arc<str>>);

/// Why a text is not a service id or pattern.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidServiceId {
    /// The text is empty.
    #[error("must not be empty")]
    Empty,
    /// The text is longer than 512 bytes.
    #[error("must not be longer than 512 bytes")]
    TooLong,
    /// The text contains a control character.
    #[error("must not contain control characters")]
    Control,
}

impl ServiceId {
    /// Parses a service id: 1 to 512 bytes without control characters.
    ///
    /// # Errors
    /// Returns the [`InvalidServiceId`] that applies.
    pub fn parse(text: impl AsRef<str>) -> Result<Self, InvalidServiceId> {
        let text = text.as_ref();
        if text.is_empty() {
            return Err(InvalidServiceId::Empty);
        }
        SegmentedText::parse(text).map(Self)
    }

    /// Joins a task, a vendor and an engine to an id.
    ///
    /// ```
    /// # use aisbreaker_api::{InvalidServiceId, ServiceId};
    /// let id = ServiceId::from_segments("chat", "openai.com", Some("gpt-4o"))?;
    /// assert_eq!(id.as_str(), "chat:openai.com/gpt-4o");
    /// # Ok::<(), InvalidServiceId>(())
    /// ```
    ///
    /// # Errors
    /// As [`ServiceId::parse`] for the joined text.
    pub fn from_segments(
        task: &str,
        vendor: &str,
        engine: Option<&str>,
    ) -> Result<Self, InvalidServiceId> {
        match engine {
            Some(engine) => Self::parse_joined(&[task, ":", vendor, "/", engine]),
            None => Self::parse_joined(&[task, ":", vendor]),
        }
    }

    fn parse_joined(parts: &[&str]) -> Result<Self, InvalidServiceId> {
        let mut buffer = [0; SHORT_BYTES];
        let mut length = 0_usize;
        for part in parts {
            let end = length.saturating_add(part.len());
            let Some(place) = buffer.get_mut(length..end) else {
                return Self::parse(parts.concat());
            };
            place.copy_from_slice(part.as_bytes());
            length = end;
        }
        match buffer.get(..length).map(str::from_utf8) {
            Some(Ok(joined)) => Self::parse(joined),
            Some(Err(_)) | None => Self::parse(parts.concat()),
        }
    }

    /// Returns the id exactly as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Returns the part before the colon: `chat` of `chat:openai.com/gpt-4o`.
    #[must_use]
    pub fn task(&self) -> &str {
        self.0.task()
    }

    /// Returns the part between the colon and the first slash after it: `openai.com` of
    /// `chat:openai.com/gpt-4o`.
    #[must_use]
    pub fn vendor(&self) -> Option<&str> {
        self.0.vendor()
    }

    /// Returns the part after the vendor's slash: `gpt-4o` of `chat:openai.com/gpt-4o`. It may
    /// contain slashes.
    #[must_use]
    pub fn engine(&self) -> Option<&str> {
        let engine = self.0.text.get(self.0.vendor_end()..)?.get(1..)?;
        non_empty(engine.trim_end_matches('/'))
    }

    /// Returns the [prefixes](ServicePattern::prefix) of all patterns that match this id, the longest
    /// first. The last one is empty.
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        let text = &*self.0.text;
        let path = self.0.after_task();
        let path_begins = text.len().saturating_sub(path.len());
        let ends = path.rmatch_indices('/').map(|(end, _)| end);
        let paths = std::iter::once(path.len())
            .chain(ends)
            .filter(move |end| !path[..*end].is_empty() && !path[..*end].ends_with('/'))
            .map(move |end| &text[..path_begins.saturating_add(end)]);
        paths.chain([task_prefix(self.0.task()), ""])
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl From<&ServiceId> for Arc<str> {
    /// Returns the text of the id, shared with it.
    fn from(id: &ServiceId) -> Self {
        Self::clone(&id.0.text)
    }
}

/// A prefix of service ids that ends at a segment boundary, and matches all ids that begin with it.
///
/// `""` matches every id, `chat:` all ids of that task, and `chat:openai.com` that vendor with any
/// engine.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct ServicePattern(SegmentedText<Box<str>>);

impl ServicePattern {
    /// Parses a pattern: at most 512 bytes without control characters. It may be empty.
    ///
    /// # Errors
    /// Returns the [`InvalidServiceId`] that applies.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidServiceId> {
        SegmentedText::parse(text.into()).map(Self)
    }

    /// Returns the pattern exactly as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Returns the task, if the pattern fixes one: `chat` of `chat:openai.com`.
    #[must_use]
    pub fn task(&self) -> Option<&str> {
        non_empty(self.0.task())
    }

    /// Returns the vendor, if the pattern fixes one: `openai.com` of `chat:openai.com/gpt-4o`.
    #[must_use]
    pub fn vendor(&self) -> Option<&str> {
        self.0.vendor()
    }

    /// Returns the pattern in the one form that all patterns of the same meaning have: `chat` of
    /// `chat:`, and `chat:openai.com` of `chat:openai.com/`.
    #[must_use]
    pub fn prefix(&self) -> &str {
        let Self(pattern) = self;
        match pattern.after_task().trim_end_matches('/') {
            "" if pattern.text.is_empty() => "",
            "" => task_prefix(pattern.task()),
            _ => pattern.text.trim_end_matches('/'),
        }
    }

    /// Returns whether each segment of the pattern equals the corresponding segment of the id.
    #[must_use]
    pub fn matches(&self, id: &ServiceId) -> bool {
        self.matches_text(&id.0.text)
    }

    fn matches_text(&self, id: &str) -> bool {
        let Self(pattern) = self;
        if pattern.text.is_empty() {
            return true;
        }
        let prefix = pattern.without_trailing_slashes();
        let Some(rest) = id.as_bytes().strip_prefix(prefix) else {
            return false;
        };
        let separator = if prefix.len() == pattern.task_end() {
            b':'
        } else {
            b'/'
        };
        rest.first().is_none_or(|next| *next == separator)
    }

    /// Returns whether this pattern matches every id that the other one matches.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        if other.0.text.is_empty() {
            // Every id, which only the empty pattern covers.
            self.0.text.is_empty()
        } else {
            self.matches_text(&other.0.text)
        }
    }

    /// Returns how many segments the pattern fixes: 0 for `""`, 1 for `chat:`, 2 for
    /// `chat:openai.com`.
    #[must_use]
    pub fn segment_count(&self) -> usize {
        segments(&self.0.text).count()
    }
}

/// The text of an id or a pattern, and where its segments end, so that it is searched once.
///
/// It is not larger than a string, so that a list of those becomes a list of patterns in place.
#[derive(Clone, Eq, PartialEq, Hash)]
struct SegmentedText<T> {
    text: T,
    task_end: u16,
    /// The vendor begins after the colon behind the task.
    vendor_end: u16,
}

impl<T: Deref<Target = str>> SegmentedText<T> {
    fn parse<S: AsRef<str> + Into<T>>(text: S) -> Result<Self, InvalidServiceId> {
        check_text(text.as_ref())?;
        let task_end = find(text.as_ref(), b':', 0);
        let vendor_end = find(text.as_ref(), b'/', task_end);
        let short = |place| u16::try_from(place).map_err(|_too_large| InvalidServiceId::TooLong);
        Ok(Self {
            task_end: short(task_end)?,
            vendor_end: short(vendor_end)?,
            text: text.into(),
        })
    }

    fn task_end(&self) -> usize {
        self.task_end.into()
    }

    fn vendor_end(&self) -> usize {
        self.vendor_end.into()
    }

    fn task(&self) -> &str {
        self.text.get(..self.task_end()).unwrap_or_default()
    }

    /// Returns what follows the colon behind the task.
    fn after_task(&self) -> &str {
        let rest = self.text.get(self.task_end()..).unwrap_or_default();
        rest.get(1..).unwrap_or_default()
    }

    /// Returns the text up to its last segment: only the task if there is no other.
    fn without_trailing_slashes(&self) -> &[u8] {
        let path = self.after_task().as_bytes();
        let end = match path.iter().rposition(|byte| *byte != b'/') {
            Some(last) => self.task_end().saturating_add(2).saturating_add(last),
            None => self.task_end(),
        };
        self.text.as_bytes().get(..end).unwrap_or_default()
    }

    fn vendor(&self) -> Option<&str> {
        non_empty(
            self.text
                .get(self.task_end()..self.vendor_end())?
                .get(1..)?,
        )
    }
}

impl<T: fmt::Debug> fmt::Debug for SegmentedText<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

fn check_text(text: &str) -> Result<(), InvalidServiceId> {
    if text.len() > MAX_BYTES {
        return Err(InvalidServiceId::TooLong);
    }
    let is_printable = |byte: u8| matches!(byte, b' '..=b'~');
    if !text.bytes().all(is_printable) && text.chars().any(char::is_control) {
        return Err(InvalidServiceId::Control);
    }
    Ok(())
}

/// Returns where a byte is from this place on; the end of the text if it is not there.
fn find(text: &str, byte: u8, from: usize) -> usize {
    let rest = text.as_bytes().get(from..).unwrap_or_default();
    match rest.iter().position(|other| *other == byte) {
        Some(at) => from.saturating_add(at),
        None => text.len(),
    }
}

/// Returns the prefix of all services of a task. That of the empty task differs from that of all ids.
fn task_prefix(task: &str) -> &str {
    non_empty(task).unwrap_or(":")
}

fn split_task(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((task, rest)) => (task, Some(rest)),
        None => (text, None),
    }
}

/// Returns the task, then the segments between slashes. Trailing empty segments do not count.
fn segments(text: &str) -> impl Iterator<Item = &str> {
    let (task, rest) = split_task(text);
    let first = if text.is_empty() { None } else { Some(task) };
    let path = non_empty(rest.unwrap_or_default().trim_end_matches('/'));
    first
        .into_iter()
        .chain(path.into_iter().flat_map(|path| path.split('/')))
}

fn non_empty(text: &str) -> Option<&str> {
    if text.is_empty() { None } else { Some(text) }
}

#[cfg(test)]
mod tests;
