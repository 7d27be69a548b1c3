//! Why something is not translated.

use std::borrow::Cow;

/// A request that has no counterpart in the other API.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{member} {reason}")]
#[non_exhaustive]
pub struct Untranslatable {
    /// The path of the member, such as `messages[2].content[0].type`.
    pub member: String,
    /// The end of a sentence that begins with the member. It holds no content of the request.
    pub reason: Cow<'static, str>,
}

impl Untranslatable {
    /// Creates the error for a member.
    #[must_use]
    pub fn new(member: impl Into<String>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            member: member.into(),
            reason: reason.into(),
        }
    }

    /// Puts the path of the object or array that holds the member in front. The path of a value by itself is empty.
    pub(crate) fn within(mut self, parent: &str) -> Self {
        let is_index_or_empty = self.member.is_empty() || self.member.starts_with('[');
        let dot = if is_index_or_empty { "" } else { "." };
        self.member = format!("{parent}{dot}{}", self.member);
        self
    }
}

/// A provider's answer that is not what its API describes.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the provider's answer cannot be translated: {reason}")]
#[non_exhaustive]
pub struct UnreadableAnswer {
    /// What is wrong. It holds no content of the answer.
    pub reason: Cow<'static, str>,
}

impl UnreadableAnswer {
    /// Creates the error with a reason.
    #[must_use]
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}
