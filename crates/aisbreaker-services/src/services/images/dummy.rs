//! `text-to-image:dummy`: an image without a provider, to try things out.

use aisbreaker_api::{Output, OutputImage};
use base64ct::{Base64, Encoding as _};

use super::{
    super::{conversation::Conversation, reply::whole_reply},
    prompt,
};
use crate::{
    error::{ErrorDetail, ServiceError},
    service::{Call, Reply, ReplyFuture, Service},
};

/// The cells along a side of the image.
const CELLS: u32 = 8;
/// The pixels along a side of a cell.
const CELL_PIXELS: u32 = 8;
const SIDE_PIXELS: u32 = CELLS * CELL_PIXELS;

/// A service that needs no secret, and makes a small PNG image of a text.
///
/// The same text gives the same image; another text gives another pattern and other colours.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct DummyImages;

impl Service for DummyImages {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(async move { paint(call) })
    }
}

fn paint(mut call: Call) -> Result<Reply, ServiceError> {
    let kind = call.reply_kind();
    let conversation = Conversation::start(&call.service_id, &mut call.request)?;
    let prompt = prompt(&call.service_id, &conversation)?;
    let png = picture_of(&prompt)
        .map_err(|error| ServiceError::Internal(ErrorDetail::from_source(error)))?;
    let image = OutputImage::base64(0, Base64::encode_string(&png));
    let response = conversation.finish_without_state(vec![Output::Image(image)]);
    Ok(whole_reply(response, kind))
}

/// Returns a PNG image of a text.
///
/// # Errors
/// Those of the encoder, which are not expected.
pub(crate) fn picture_of(prompt: &str) -> Result<Vec<u8>, png::EncodingError> {
    encode(&pixels(prompt))
}

/// Returns the RGB pixels of a pattern in two colours, whose left half mirrors the right one.
fn pixels(prompt: &str) -> Vec<u8> {
    // The upper bytes of the hash are the colours, one made dark and one light; the lower bytes are
    // the pattern.
    let [red, green, blue, other_red, pattern @ ..] = hash(prompt.as_bytes()).to_be_bytes();
    let dark = [red, green, blue].map(|part| part >> 1);
    let light = [other_red, red, green].map(|part| 128 | part >> 1);
    let pattern = u32::from_be_bytes(pattern);
    let mut pixels = Vec::new();
    for y in 0..SIDE_PIXELS {
        for x in 0..SIDE_PIXELS {
            let (row, column) = (y / CELL_PIXELS, x / CELL_PIXELS);
            let cell = row * (CELLS / 2) + column.min(CELLS - 1 - column);
            let is_light = pattern >> cell & 1 == 1;
            pixels.extend(if is_light { light } else { dark });
        }
    }
    pixels
}

fn encode(pixels: &[u8]) -> Result<Vec<u8>, png::EncodingError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, SIDE_PIXELS, SIDE_PIXELS);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(file)
}

/// Returns the 64-bit FNV-1a hash, mixed so that similar texts have very different hashes. It is
/// the same on every machine.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325, step);
    let mixed = (fnv ^ fnv >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 29
}
