//! `text-to-image:dummy`: a picture for those who try things out, without a provider.

use aisbreaker_api::{Output, OutputImage};
use base64ct::{Base64, Encoding as _};

use super::{
    super::{told::in_one_piece, turn::Turn},
    prompt,
};
use crate::{
    error::ServiceError,
    service::{Call, Reply, ReplyFuture, Service},
};

/// How many cells a side of the picture has.
const CELLS: u32 = 8;
/// How many pixels a side of a cell has.
const CELL: u32 = 8;
const SIDE: u32 = CELLS * CELL;

/// A service that needs no secret and makes a small PNG picture of a text: another text, another
/// pattern and colours; the same text, the same picture.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct DummyImages;

impl Service for DummyImages {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(async move { answer(call) })
    }
}

fn answer(mut call: Call) -> Result<Reply, ServiceError> {
    let turn = Turn::begin(&call.service_id, &mut call.request)?;
    let prompt = prompt(&call.service_id, &turn)?;
    let picture = picture(&prompt).map_err(|error| ServiceError::Internal(error.to_string()))?;
    let image = OutputImage::base64(0, Base64::encode_string(&picture));
    let response = turn.finish_for_good(vec![Output::Image(image)]);
    Ok(if call.request.stream {
        in_one_piece(response)
    } else {
        Reply::Final(response)
    })
}

/// A PNG picture with two colours, of which the left half mirrors the right one.
fn picture(prompt: &str) -> Result<Vec<u8>, png::EncodingError> {
    let hash = hash(prompt.as_bytes());
    // The colours are the hash's upper bytes, one of them made dark and one light; the lower ones
    // are the pattern.
    let [red, green, blue, other_red, pattern @ ..] = hash.to_be_bytes();
    let dark = [red, green, blue].map(|part| part >> 1);
    let light = [other_red, red, green].map(|part| 128 | part >> 1);
    let pattern = u32::from_be_bytes(pattern);
    let mut pixels = Vec::new();
    for y in 0..SIDE {
        for x in 0..SIDE {
            let (row, column) = (y / CELL, x / CELL);
            let cell = row * (CELLS / 2) + column.min(CELLS - 1 - column);
            pixels.extend(if pattern >> cell & 1 == 1 {
                light
            } else {
                dark
            });
        }
    }
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, SIDE, SIDE);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(file)
}

/// FNV-1a with 64 bits, and a last mix so that texts that differ a little differ much: the same on
/// every machine.
fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, step);
    let hash = (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ hash >> 29
}
