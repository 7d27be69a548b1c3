//! A conversation as protocols want it that know two speakers and keep instructions apart.

use aisbreaker_api::{ImageSource, Input, Message, Output, Role};

use super::turn::{Turn, media_type};

/// Who speaks; instructions are kept apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Speaker {
    User,
    Assistant,
}

/// One thing that was said.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said<'a> {
    Text(&'a str),
    /// A picture at an address.
    ImageAt(&'a str),
    /// A picture in base64.
    Image {
        media_type: &'a str,
        base64: &'a str,
    },
}

/// The instructions, a paragraph each; `None` if there are none.
pub(super) fn instructions(turn: &Turn) -> Option<String> {
    let texts = inputs(turn).filter_map(|input| {
        if let Input::Text(text) = input {
            Some(text)
        } else {
            None
        }
    });
    let instructions = texts.filter(|text| text.role == Role::System && !text.content.is_empty());
    let paragraphs: Vec<&str> = instructions.map(|text| &*text.content).collect();
    (!paragraphs.is_empty()).then(|| paragraphs.join("\n\n"))
}

/// What was said, in turns of one speaker each. Empty texts are left out: there are providers that
/// refuse them.
pub(super) fn turns(turn: &Turn) -> Vec<(Speaker, Vec<Said<'_>>)> {
    let mut turns: Vec<(Speaker, Vec<Said<'_>>)> = Vec::new();
    let earlier = turn.earlier().iter().filter_map(|message| match message {
        Message::Input(input) => said_by_input(input),
        Message::Output(output) => said_by_output(output),
    });
    for (speaker, said) in earlier.chain(turn.inputs().iter().filter_map(said_by_input)) {
        match turns.last_mut() {
            Some((last, beside)) if *last == speaker => beside.push(said),
            _ => turns.push((speaker, vec![said])),
        }
    }
    turns
}

fn inputs(turn: &Turn) -> impl Iterator<Item = &Input> {
    let earlier = turn.earlier().iter().filter_map(|message| match message {
        Message::Input(input) => Some(input),
        Message::Output(_) => None,
    });
    earlier.chain(turn.inputs())
}

fn said_by_input(input: &Input) -> Option<(Speaker, Said<'_>)> {
    match input {
        Input::Text(text) if text.content.is_empty() => None,
        Input::Text(text) => Some((speaker(text.role)?, Said::Text(&text.content))),
        // A picture is no instruction, whoever shows it.
        Input::Image(image) => Some((
            speaker(image.role).unwrap_or(Speaker::User),
            picture(&image.source),
        )),
        _ => None,
    }
}

fn said_by_output(output: &Output) -> Option<(Speaker, Said<'_>)> {
    let Output::Text(text) = output else {
        return None;
    };
    (!text.content.is_empty()).then_some((Speaker::Assistant, Said::Text(&text.content)))
}

fn speaker(role: Role) -> Option<Speaker> {
    match role {
        Role::User => Some(Speaker::User),
        Role::Assistant => Some(Speaker::Assistant),
        Role::System => None,
    }
}

fn picture(source: &ImageSource) -> Said<'_> {
    match source {
        ImageSource::Url(url) => inline(url).unwrap_or(Said::ImageAt(url)),
        ImageSource::Base64(text) => inline(text).unwrap_or_else(|| Said::Image {
            media_type: media_type(text),
            base64: text,
        }),
    }
}

/// The picture that a `data:` URL in base64 holds (RFC 2397).
fn inline(url: &str) -> Option<Said<'_>> {
    let (head, base64) = url.strip_prefix("data:")?.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?.split(';').next()?;
    let media_type = if media_type.is_empty() {
        self::media_type(base64)
    } else {
        media_type
    };
    Some(Said::Image { media_type, base64 })
}
