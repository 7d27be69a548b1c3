//! `POST /v1/embeddings`: vectors of unit length, each decided by its text alone.

use base64ct::{Base64, Encoding as _};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{Content, Request, answer::tokens_of, fault::Fault, prompt::bytes};
use crate::{
    json_scan::{elements, text},
    services::images::dummy::hash,
};

const DEFAULT_DIMENSIONS: u16 = 1_536;
const MAX_DIMENSIONS: u16 = 4_096;
/// The most inputs of one request.
const MAX_INPUTS: usize = 2_048;

#[derive(Deserialize)]
struct EmbeddingRequest<'a> {
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    dimensions: Option<u64>,
    encoding_format: Option<String>,
}

#[derive(Clone, Copy)]
enum Encoding {
    Floats,
    Base64,
}

pub(super) fn answer(request: Request<'_>) -> Result<Content, Fault> {
    let written: EmbeddingRequest<'_> = request.parse()?;
    let input = written.input.ok_or(Fault::missing("input"))?;
    let encoding = match written.encoding_format.as_deref() {
        None | Some("float") => Encoding::Floats,
        Some("base64") => Encoding::Base64,
        Some(_) => return Err(Fault::invalid("encoding_format", "must be float or base64")),
    };
    let dimensions = match written.dimensions {
        None => DEFAULT_DIMENSIONS,
        Some(dimensions) => match u16::try_from(dimensions) {
            Ok(dimensions @ 1..=MAX_DIMENSIONS) => dimensions,
            Ok(_) | Err(_) => return Err(Fault::invalid("dimensions", "must be from 1 to 4096")),
        },
    };
    let seeds = seeds(input)?;
    let tokens = tokens_of(input.get().len());
    let end = json!({
        "model": request.model.name,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    });
    // The members of one object, after those before them.
    let end = format!("],{}", end.to_string().trim_start_matches('{'));
    let data = seeds.into_iter().enumerate().map(move |(index, seed)| {
        let comma = if index == 0 { "" } else { "," };
        let embedding = encode(&vector(seed, dimensions), encoding);
        let object =
            format!(r#"{comma}{{"object":"embedding","index":{index},"embedding":{embedding}}}"#);
        Bytes::from(object)
    });
    let start = std::iter::once(Bytes::from_static(br#"{"object":"list","data":["#));
    let pieces = start.chain(data).chain(std::iter::once(Bytes::from(end)));
    Ok(Content::JsonPieces(Box::new(pieces)))
}

/// Returns what decides the vector of each input: a text, a list of texts, or tokens in either place.
fn seeds(input: &RawValue) -> Result<Vec<u64>, Fault> {
    let inputs: Vec<&[u8]> = match elements(bytes(input)).next() {
        Some(first) if first.starts_with(b"\"") || first.starts_with(b"[") => {
            elements(bytes(input)).take(MAX_INPUTS + 1).collect()
        }
        Some(_) => vec![bytes(input)],
        None if input.get().starts_with('"') => vec![bytes(input)],
        None => {
            return Err(Fault::invalid(
                "input",
                "must be a text or a list that is not empty",
            ));
        }
    };
    if inputs.len() > MAX_INPUTS {
        return Err(Fault::invalid("input", "must be at most 2048 texts"));
    }
    let seed = |input: &[u8]| match text(input) {
        Some(text) => hash(text.as_bytes()),
        None => hash(input),
    };
    Ok(inputs.into_iter().map(seed).collect())
}

/// Returns a vector of unit length, the same on every machine.
fn vector(seed: u64, dimensions: u16) -> Vec<f32> {
    let mut state = seed;
    let numbers = (0..dimensions).map(|_| {
        // Steps of the SplitMix64 generator.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        let [.., high, low] = (mixed ^ mixed >> 31).to_le_bytes();
        f32::from(i16::from_le_bytes([high, low]))
    });
    let mut vector: Vec<f32> = numbers.collect();
    let length = vector
        .iter()
        .map(|number| number * number)
        .sum::<f32>()
        .sqrt();
    if length > 0.0 {
        for number in &mut vector {
            *number /= length;
        }
    }
    vector
}

fn encode(vector: &[f32], encoding: Encoding) -> String {
    match encoding {
        Encoding::Floats => {
            let numbers: Vec<String> = vector.iter().map(f32::to_string).collect();
            format!("[{}]", numbers.join(","))
        }
        Encoding::Base64 => {
            let bytes: Vec<u8> = vector
                .iter()
                .flat_map(|number| number.to_le_bytes())
                .collect();
            format!("\"{}\"", Base64::encode_string(&bytes))
        }
    }
}
