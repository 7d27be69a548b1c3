//! `POST /v1/images/generations`: small pictures, each decided by its prompt alone.

use std::sync::Arc;

use base64ct::{Base64, Encoding as _};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Content, Request, answer::tokens_of, event, fault::Fault, id};
use crate::services::images::dummy::picture_of;

/// The most pictures of one answer.
const MAX_PICTURES: u32 = 10;
/// The most unfinished pictures of a stream.
const MAX_PARTIAL: u32 = 3;
/// The tokens of a picture.
const PICTURE_TOKENS: u64 = 64;

#[derive(Deserialize)]
struct ImageRequest {
    prompt: Option<String>,
    n: Option<u32>,
    response_format: Option<String>,
    stream: Option<bool>,
    partial_images: Option<u32>,
}

pub(super) fn answer(request: Request<'_>) -> Result<Content, Fault> {
    let written: ImageRequest = request.parse()?;
    let prompt = written.prompt.ok_or(Fault::missing("prompt"))?;
    let n @ 1..=MAX_PICTURES = written.n.unwrap_or(1) else {
        return Err(Fault::invalid("n", "must be from 1 to 10"));
    };
    let partial @ 0..=MAX_PARTIAL = written.partial_images.unwrap_or(0) else {
        return Err(Fault::invalid("partial_images", "must be from 0 to 3"));
    };
    let Ok(png) = picture_of(&prompt) else {
        return Err(Fault::internal());
    };
    let picture = Base64::encode_string(&png);
    let input_tokens = tokens_of(prompt.len());
    if written.stream == Some(true) {
        let picture: Arc<str> = picture.into();
        let events = (0..n).flat_map(move |_| events(&picture, partial, input_tokens));
        return Ok(Content::Events(Box::new(events)));
    }
    let image = match written.response_format.as_deref() {
        Some("url") => json!({"url": format!("data:image/png;base64,{picture}")}),
        None | Some("b64_json") => json!({"b64_json": picture}),
        Some(_) => return Err(Fault::invalid("response_format", "must be url or b64_json")),
    };
    let images = (0..n).map(|_| image.clone());
    Ok(Content::Json(json!({
        "created": id::created(), "data": Vec::from_iter(images), "output_format": "png",
        "usage": usage(input_tokens, PICTURE_TOKENS.saturating_mul(n.into())),
    })))
}

fn usage(input_tokens: u64, output_tokens: u64) -> Value {
    json!({
        "input_tokens": input_tokens,
        "input_tokens_details": {"text_tokens": input_tokens, "image_tokens": 0},
        "output_tokens": output_tokens,
        "total_tokens": input_tokens.saturating_add(output_tokens),
    })
}

/// Returns the events of one picture.
fn events(
    picture: &Arc<str>,
    partial: u32,
    input_tokens: u64,
) -> impl Iterator<Item = Bytes> + Send + use<> {
    let picture = Arc::clone(picture);
    (0..=partial).map(move |index| {
        let mut event = json!({
            "b64_json": &*picture, "background": "opaque", "created_at": id::created(),
            "output_format": "png", "quality": "low", "size": "auto",
        });
        let (kind, member, value) = if index < partial {
            let kind = "image_generation.partial_image";
            (kind, "partial_image_index", json!(index))
        } else {
            let usage = usage(input_tokens, PICTURE_TOKENS);
            ("image_generation.completed", "usage", usage)
        };
        if let Some(members) = event.as_object_mut() {
            members.insert("type".to_owned(), json!(kind));
            members.insert(member.to_owned(), value);
        }
        event::named(kind, &event)
    })
}
