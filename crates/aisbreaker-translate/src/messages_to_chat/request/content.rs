//! Blocks of content: text, images, documents.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    chat::{Content, File, ImageUrl, Part},
    options::empty_list,
};
use crate::{
    Untranslatable,
    members::{Members, NO_COUNTERPART, boolean, for_each_item, is_string, object, text},
};

/// What is between the texts of blocks that become one text.
pub(super) const SEPARATOR: &str = "\n\n";

/// A block whose `type` is read.
pub(super) struct Block<'a> {
    pub(super) kind: Cow<'a, str>,
    pub(super) members: Members<'a>,
}

impl<'a> Block<'a> {
    pub(super) fn read(block: &'a RawValue) -> Result<Self, Untranslatable> {
        let mut members = Members::read(block)?;
        let kind = members.require_as("type", text)?;
        members.take_as("cache_control", object)?;
        Ok(Self { kind, members })
    }

    /// Reads the text of a `text` block.
    pub(super) fn text(mut self) -> Result<Cow<'a, str>, Untranslatable> {
        let text = self.members.require_as("text", text)?;
        self.members.take_as("citations", empty_list)?;
        self.members.finish()?;
        Ok(text)
    }

    /// Reads a `text`, `image` or `document` block.
    pub(super) fn append_to(self, parts: &mut Vec<Part<'a>>) -> Result<(), Untranslatable> {
        match self.kind.as_ref() {
            "text" => parts.push(Part::Text { text: self.text()? }),
            "image" => parts.push(image(self.members)?),
            "document" => document(self.members, parts)?,
            _ => return Err(self.refuse()),
        }
        Ok(())
    }

    /// Returns why a block that is not translated is refused.
    pub(super) fn refuse(&self) -> Untranslatable {
        let known = NAMED_BLOCKS.iter().find(|(kind, _)| *kind == self.kind);
        Untranslatable::new("type", known.map_or(NO_COUNTERPART, |(_, reason)| *reason))
    }
}

/// Blocks that are worth a reason of their own.
const NAMED_BLOCKS: [(&str, &str); 12] = [
    (
        "browser_state",
        "is browser_state, which has no counterpart in the provider's API",
    ),
    (
        "compaction",
        "is compaction, which has no counterpart in the provider's API",
    ),
    (
        "container_upload",
        "is container_upload, which has no counterpart in the provider's API",
    ),
    (
        "document",
        "is document, which belongs in a message of the user",
    ),
    ("image", "is image, which belongs in a message of the user"),
    (
        "mcp_tool_result",
        "is mcp_tool_result, which has no counterpart in the provider's API",
    ),
    (
        "mcp_tool_use",
        "is mcp_tool_use, which has no counterpart in the provider's API",
    ),
    (
        "search_result",
        "is search_result, which has no counterpart in the provider's API",
    ),
    (
        "server_tool_use",
        "is server_tool_use, which has no counterpart in the provider's API",
    ),
    (
        "tool_result",
        "is tool_result, which belongs in a message of the user",
    ),
    (
        "tool_use",
        "is tool_use, which belongs in a message of the assistant",
    ),
    (
        "web_search_tool_result",
        "is web_search_tool_result, which has no counterpart in the provider's API",
    ),
];

/// Reads a string, or `text` blocks as one text.
pub(super) fn joined_text(value: &RawValue) -> Result<Cow<'_, str>, Untranslatable> {
    if is_string(value) {
        return text(value);
    }
    let mut texts = Vec::new();
    for_each_item(value, |_, block| {
        let block = Block::read(block)?;
        if block.kind != "text" {
            return Err(block.refuse());
        }
        texts.push(block.text()?);
        Ok(())
    })?;
    Ok(join(texts))
}

/// Joins texts by an empty line.
pub(super) fn join(mut texts: Vec<Cow<'_, str>>) -> Cow<'_, str> {
    match texts.len() {
        1 => texts.pop().unwrap_or_default(),
        _ => Cow::Owned(texts.join(SEPARATOR)),
    }
}

/// Returns parts as content: as one text, if they are nothing else.
pub(super) fn content_of(parts: Vec<Part<'_>>) -> Content<'_> {
    let is_text = parts.iter().all(|part| matches!(part, Part::Text { .. }));
    if !is_text {
        return Content::Parts(parts);
    }
    let texts = parts.into_iter().filter_map(|part| match part {
        Part::Text { text } => Some(text),
        Part::ImageUrl { .. } | Part::File { .. } => None,
    });
    Content::Text(join(texts.collect()))
}

const IMAGE_TYPES: [&str; 4] = ["image/gif", "image/jpeg", "image/png", "image/webp"];

fn image(mut image: Members<'_>) -> Result<Part<'_>, Untranslatable> {
    let url = image.require_as("source", |source| {
        let mut source = Members::read(source)?;
        let kind = source.require_as("type", text)?;
        let url = match kind.as_ref() {
            "base64" => Cow::Owned(data_url(&mut source, &IMAGE_TYPES)?),
            "url" => source.require_as("url", text)?,
            _ => return Err(refuse_source(&kind)),
        };
        source.finish()?;
        Ok(url)
    })?;
    image.take_as("transformations", default_transformations)?;
    image.finish()?;
    Ok(Part::ImageUrl {
        image_url: ImageUrl { url },
    })
}

/// Accepts what is done to images anyway: large ones are scaled down.
fn default_transformations(value: &RawValue) -> Result<(), Untranslatable> {
    let mut members = Members::read(value)?;
    members.take_as("oversized_image", |value| match text(value)?.as_ref() {
        "downsize" => Ok(()),
        _ => Err(Untranslatable::new("", NO_COUNTERPART)),
    })?;
    members.finish()
}

fn data_url(source: &mut Members<'_>, types: &[&str]) -> Result<String, Untranslatable> {
    let media_type = source.require_as("media_type", text)?;
    if !types.contains(&media_type.as_ref()) {
        return Err(Untranslatable::new(
            "media_type",
            "is not one that the messages API takes here",
        ));
    }
    let data = source.require_as("data", text)?;
    Ok(format!("data:{media_type};base64,{data}"))
}

fn refuse_source(kind: &str) -> Untranslatable {
    let reason = match kind {
        "file" => "is file, but the provider has no files of Anthropic's: send it as base64",
        "url" => "is url, but the provider reads no documents from URLs: send it as base64",
        _ => NO_COUNTERPART,
    };
    Untranslatable::new("type", reason)
}

/// Reads a `document` block: a PDF becomes a file, anything else becomes what it holds.
fn document<'a>(
    mut document: Members<'a>,
    parts: &mut Vec<Part<'a>>,
) -> Result<(), Untranslatable> {
    document.take_as("citations", no_citations)?;
    let title = document.take_as("title", text)?;
    let context = document.take_as("context", text)?;
    let source = document.require("source")?;
    document.finish()?;
    document_source(source, title, context, parts).map_err(|error| error.within("source"))
}

fn document_source<'a>(
    source: &'a RawValue,
    title: Option<Cow<'a, str>>,
    context: Option<Cow<'a, str>>,
    parts: &mut Vec<Part<'a>>,
) -> Result<(), Untranslatable> {
    let mut source = Members::read(source)?;
    let kind = source.require_as("type", text)?;
    if kind == "base64" {
        parts.extend(context.map(|text| Part::Text { text }));
        parts.push(Part::File {
            file: File {
                filename: title.unwrap_or(Cow::Borrowed("document.pdf")),
                file_data: data_url(&mut source, &["application/pdf"])?,
            },
        });
        return source.finish();
    }
    parts.extend(
        [title, context]
            .into_iter()
            .flatten()
            .map(|text| Part::Text { text }),
    );
    match kind.as_ref() {
        "text" => {
            source.take_as("media_type", plain_text)?;
            let text = source.require_as("data", text)?;
            parts.push(Part::Text { text });
        }
        "content" => source.require_as("content", |content| document_content(content, parts))?,
        _ => return Err(refuse_source(&kind)),
    }
    source.finish()
}

/// Reads the content of a document: a string, or `text` and `image` blocks.
fn document_content<'a>(
    content: &'a RawValue,
    parts: &mut Vec<Part<'a>>,
) -> Result<(), Untranslatable> {
    if is_string(content) {
        let text = text(content)?;
        parts.push(Part::Text { text });
        return Ok(());
    }
    for_each_item(content, |_, block| {
        let block = Block::read(block)?;
        match block.kind.as_ref() {
            "text" | "image" => block.append_to(parts),
            _ => Err(Untranslatable::new("type", "is not text or image")),
        }
    })
}

fn plain_text(media_type: &RawValue) -> Result<(), Untranslatable> {
    match text(media_type)?.as_ref() {
        "text/plain" => Ok(()),
        _ => Err(Untranslatable::new("", "is not text/plain")),
    }
}

fn no_citations(value: &RawValue) -> Result<(), Untranslatable> {
    let mut members = Members::read(value)?;
    if members.take_as("enabled", boolean)? == Some(true) {
        return Err(Untranslatable::new("enabled", NO_COUNTERPART));
    }
    members.finish()
}
