//! A conversation for protocols that have two speakers and keep instructions apart.

use aisbreaker_api::{ImageSource, Input, Message, Output, Role};

use super::{conversation::Conversation, media_type};

/// Consecutive content of one speaker.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pub(super) speaker: Speaker,
    pub(super) parts: Vec<Part<'a>>,
}

/// A speaker; instructions of the system have none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Speaker {
    User,
    Assistant,
}

/// A part of a turn.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    Text(&'a str),
    /// An image at a URL.
    ImageUrl(&'a str),
    /// An image in base64.
    Image {
        media_type: &'a str,
        base64: &'a str,
    },
}

/// Returns the instructions, a paragraph each, or `None` if there are none.
pub(super) fn instructions(conversation: &Conversation) -> Option<String> {
    let mut paragraphs = Vec::new();
    for input in conversation.all_inputs() {
        if let Input::Text(text) = input
            && text.role == Role::System
            && !text.content.is_empty()
        {
            paragraphs.push(text.content.as_str());
        }
    }
    if paragraphs.is_empty() {
        return None;
    }
    Some(paragraphs.join("\n\n"))
}

/// Returns the turns of a conversation without its instructions.
///
/// Empty texts are left out, since some providers refuse them.
pub(super) fn turns(conversation: &Conversation) -> Vec<Turn<'_>> {
    let mut turns = Vec::new();
    for message in conversation.history() {
        let part = match message {
            Message::Input(input) => input_part(input),
            Message::Output(output) => output_part(output),
        };
        push(&mut turns, part);
    }
    for input in conversation.inputs() {
        push(&mut turns, input_part(input));
    }
    turns
}

fn push<'a>(turns: &mut Vec<Turn<'a>>, part: Option<(Speaker, Part<'a>)>) {
    let Some((speaker, part)) = part else {
        return;
    };
    match turns.last_mut() {
        Some(turn) if turn.speaker == speaker => turn.parts.push(part),
        _ => turns.push(Turn {
            speaker,
            parts: vec![part],
        }),
    }
}

fn input_part(input: &Input) -> Option<(Speaker, Part<'_>)> {
    match input {
        Input::Text(text) if text.content.is_empty() => None,
        Input::Text(text) => Some((speaker(text.role)?, Part::Text(&text.content))),
        Input::Image(image) => {
            // An image is no instruction, even with the role of the system.
            let speaker = speaker(image.role).unwrap_or(Speaker::User);
            Some((speaker, image_part(&image.source)))
        }
        _ => None,
    }
}

fn output_part(output: &Output) -> Option<(Speaker, Part<'_>)> {
    let Output::Text(text) = output else {
        return None;
    };
    if text.content.is_empty() {
        return None;
    }
    Some((Speaker::Assistant, Part::Text(&text.content)))
}

fn speaker(role: Role) -> Option<Speaker> {
    match role {
        Role::User => Some(Speaker::User),
        Role::Assistant => Some(Speaker::Assistant),
        Role::System => None,
    }
}

fn image_part(source: &ImageSource) -> Part<'_> {
    match source {
        ImageSource::Url(url) => data_url(url).unwrap_or(Part::ImageUrl(url)),
        ImageSource::Base64(text) => data_url(text).unwrap_or_else(|| Part::Image {
            media_type: media_type::of_base64(text),
            base64: text,
        }),
    }
}

/// Returns the image in a base64 `data:` URL (RFC 2397).
fn data_url(url: &str) -> Option<Part<'_>> {
    let (head, base64) = url.strip_prefix("data:")?.split_once(',')?;
    let named = head.strip_suffix(";base64")?.split(';').next()?;
    let media_type = if named.is_empty() {
        media_type::of_base64(base64)
    } else {
        named
    };
    Some(Part::Image { media_type, base64 })
}
