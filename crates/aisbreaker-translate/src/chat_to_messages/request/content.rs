//! The content of a message: a string, or parts.

use std::borrow::Cow;

use base64ct::{Base64, Encoding};
use serde_json::value::RawValue;

use super::blocks::{Block, Source};
use crate::{
    Untranslatable,
    members::{self, Members, NO_COUNTERPART},
};

/// The images that Anthropic's messages accept, by the media types that clients write.
const IMAGE_TYPES: [(&str, &str); 5] = [
    ("image/png", "image/png"),
    ("image/jpeg", "image/jpeg"),
    // Not a registered name, but a common one.
    ("image/jpg", "image/jpeg"),
    ("image/gif", "image/gif"),
    ("image/webp", "image/webp"),
];
const PLAIN_TEXT: &str = "text/plain";
const PDF: &str = "application/pdf";
/// How the base64 of a PDF begins: `%PDF-`.
const PDF_PREFIX: &str = "JVBERi0";

/// Which parts the content of a message may have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Parts {
    /// Of a system or developer message.
    Text,
    /// Of an assistant message.
    TextAndRefusals,
    /// Of a user message or a tool's result.
    TextAndFiles,
}

/// Reads the content of a message and appends its blocks.
///
/// Empty texts of the assistant are left out: beside tool calls the content is often an empty string, which Anthropic's
/// API refuses.
pub(super) fn read<'a>(
    content: &'a RawValue,
    parts: Parts,
    blocks: &mut Vec<Block<'a>>,
) -> Result<(), Untranslatable> {
    let mut append = |block: Block<'a>| {
        if parts != Parts::TextAndRefusals || !block.is_empty_text() {
            blocks.push(block);
        }
    };
    if members::is_string(content) {
        append(Block::text(members::text(content)?));
        return Ok(());
    }
    if !content.get().starts_with('[') {
        return Err(Untranslatable::new(
            "",
            "is neither a string nor an array of parts",
        ));
    }
    members::for_each_item(content, |_, part| {
        append(read_part(part, parts)?);
        Ok(())
    })
}

fn read_part(part: &RawValue, parts: Parts) -> Result<Block<'_>, Untranslatable> {
    let mut part = Members::read(part)?;
    let kind = part.require_as("type", members::text)?;
    let cache_control = part.take_as("cache_control", members::object)?;
    let block = match (&*kind, parts) {
        ("text", _) => Block::Text {
            text: part.require_as("text", members::text)?,
            cache_control,
        },
        ("refusal", Parts::TextAndRefusals) => Block::Text {
            text: part.require_as("refusal", members::text)?,
            cache_control,
        },
        ("image_url", Parts::TextAndFiles) => Block::Image {
            source: part.require_as("image_url", read_image)?,
            cache_control,
        },
        ("file", Parts::TextAndFiles) => {
            let (source, title) = part.require_as("file", read_file)?;
            Block::Document {
                source,
                title,
                cache_control,
            }
        }
        ("input_audio", Parts::TextAndFiles) => {
            return Err(Untranslatable::new("input_audio", NO_COUNTERPART));
        }
        _ => {
            return Err(Untranslatable::new(
                "type",
                "is not a kind of part that this message may have",
            ));
        }
    };
    part.finish()?;
    Ok(block)
}

fn read_image(image: &RawValue) -> Result<Source<'_>, Untranslatable> {
    let mut image = Members::read(image)?;
    let url = image.require_as("url", members::text)?;
    if let Some(detail) = image.take_as("detail", members::text)? {
        // Anthropic's models see every image in the highest detail they have.
        if !matches!(&*detail, "auto" | "high") {
            return Err(Untranslatable::new(
                "detail",
                "has no counterpart in the provider's API: only auto and high have",
            ));
        }
    }
    image.finish()?;
    image_source(url).map_err(|error| error.within("url"))
}

fn image_source(url: Cow<'_, str>) -> Result<Source<'_>, Untranslatable> {
    if has_scheme(&url, "http:") || has_scheme(&url, "https:") {
        return Ok(Source::Url { url });
    }
    let Some(DataUrl { media_type, data }) = DataUrl::split(&url)? else {
        return Err(Untranslatable::new(
            "",
            "is neither an http(s) URL nor a data URL",
        ));
    };
    let known = IMAGE_TYPES
        .iter()
        .find(|(written, _)| written.eq_ignore_ascii_case(&url[media_type.clone()]));
    let Some((_, media_type)) = known else {
        return Err(Untranslatable::new(
            "",
            "is an image of a type that the provider's API does not accept: use PNG, JPEG, GIF or WebP",
        ));
    };
    Ok(Source::Base64 {
        media_type,
        data: from(url, data),
    })
}

type Document<'a> = (Source<'a>, Option<Cow<'a, str>>);

fn read_file(file: &RawValue) -> Result<Document<'_>, Untranslatable> {
    let mut file = Members::read(file)?;
    if file.take("file_id").is_some() {
        return Err(Untranslatable::new(
            "file_id",
            "names a file that is stored at another provider: send it as file_data",
        ));
    }
    let data = file.require_as("file_data", members::text)?;
    let title = file.take_as("filename", members::text)?;
    file.finish()?;
    let source = document_source(data).map_err(|error| error.within("file_data"))?;
    Ok((source, title))
}

fn document_source(data: Cow<'_, str>) -> Result<Source<'_>, Untranslatable> {
    let Some(url) = DataUrl::split(&data)? else {
        return if data.starts_with(PDF_PREFIX) {
            Ok(pdf_source(data))
        } else {
            Err(Untranslatable::new(
                "",
                "is neither a data URL nor the base64 of a PDF",
            ))
        };
    };
    let media_type = &data[url.media_type];
    if media_type.eq_ignore_ascii_case(PDF) {
        Ok(pdf_source(from(data, url.data)))
    } else if media_type.eq_ignore_ascii_case(PLAIN_TEXT) {
        text_source(&data[url.data..])
    } else {
        Err(Untranslatable::new(
            "",
            "is a file of a type that the provider's API does not accept: use PDF or plain text",
        ))
    }
}

fn pdf_source(data: Cow<'_, str>) -> Source<'_> {
    Source::Base64 {
        media_type: PDF,
        data,
    }
}

/// Decodes a text, which Anthropic's API has as it is.
fn text_source(base64: &str) -> Result<Source<'static>, Untranslatable> {
    let Ok(bytes) = Base64::decode_vec(base64) else {
        return Err(Untranslatable::new("", "is not valid base64"));
    };
    let Ok(data) = String::from_utf8(bytes) else {
        return Err(Untranslatable::new("", "is plain text that is not UTF-8"));
    };
    Ok(Source::Text {
        media_type: PLAIN_TEXT,
        data,
    })
}

/// The parts of a data URL (RFC 2397) with base64, as positions in it.
struct DataUrl {
    media_type: std::ops::Range<usize>,
    data: usize,
}

impl DataUrl {
    const SCHEME: &str = "data:";

    /// Returns the parts, or `None` if it is no data URL.
    fn split(url: &str) -> Result<Option<Self>, Untranslatable> {
        if !has_scheme(url, Self::SCHEME) {
            return Ok(None);
        }
        let Some(comma) = url.find(',') else {
            return Err(Untranslatable::new("", "is a data URL without data"));
        };
        let header = &url[Self::SCHEME.len()..comma];
        let mut parameters = header.split(';');
        let media_type = parameters.next().unwrap_or_default().len();
        if !parameters.any(|parameter| parameter.trim().eq_ignore_ascii_case("base64")) {
            return Err(Untranslatable::new("", "is a data URL that is not base64"));
        }
        Ok(Some(Self {
            media_type: Self::SCHEME.len()..Self::SCHEME.len() + media_type,
            data: comma + 1,
        }))
    }
}

fn has_scheme(url: &str, scheme: &str) -> bool {
    url.get(..scheme.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

/// Returns the text from a position on.
fn from(text: Cow<'_, str>, start: usize) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[start..]),
        Cow::Owned(mut text) => {
            text.drain(..start);
            Cow::Owned(text)
        }
    }
}
