//! The content blocks of Anthropic's messages, as a request has them.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// A content block, or a block of the system prompt.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Text {
        text: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    Image {
        source: Source<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    Document {
        source: Source<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<Cow<'a, str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        input: Box<RawValue>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        content: Content<'a>,
    },
}

impl<'a> Block<'a> {
    /// Creates a block of text.
    pub(super) fn text(text: Cow<'a, str>) -> Self {
        Self::Text {
            text,
            cache_control: None,
        }
    }

    /// Returns whether this is a text without characters.
    pub(super) fn is_empty_text(&self) -> bool {
        matches!(self, Self::Text { text, .. } if text.is_empty())
    }
}

/// Where the bytes of an image or a document are.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Source<'a> {
    Base64 {
        media_type: &'static str,
        data: Cow<'a, str>,
    },
    Text {
        media_type: &'static str,
        data: String,
    },
    Url {
        url: Cow<'a, str>,
    },
}

/// Content blocks. A text by itself is written as a string.
#[derive(Default)]
pub(super) struct Content<'a>(pub(super) Vec<Block<'a>>);

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let [
            Block::Text {
                text,
                cache_control: None,
            },
        ] = self.0.as_slice()
        {
            return serializer.serialize_str(text);
        }
        self.0.serialize(serializer)
    }
}
