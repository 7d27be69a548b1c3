//! The encodings of a file, and which of them a client takes.
//!
//! Source: RFC 9110 sections 8.8.3 (`ETag`) and 12.5.3 (`Accept-Encoding`).

use std::io::{self, Write as _};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, header::ACCEPT_ENCODING};
use sha2::{Digest as _, Sha256};

/// A file in each encoding.
pub(super) struct Encoded {
    pub(super) content_type: HeaderValue,
    pub(super) identity: Representation,
    /// `None`: it could not be compressed.
    pub(super) gzip: Option<Representation>,
}

/// A file in one encoding, with the strong entity tag of these bytes.
pub(super) struct Representation {
    pub(super) content: Bytes,
    pub(super) tag: HeaderValue,
}

impl Encoded {
    /// Compresses a file.
    pub(super) fn new(content_type: HeaderValue, text: &'static str) -> Self {
        let identity = Bytes::from_static(text.as_bytes());
        let gzip = compress(text.as_bytes()).ok().map(Bytes::from);
        Self {
            content_type,
            identity: Representation::new(identity),
            gzip: gzip.map(Representation::new),
        }
    }
}

impl Representation {
    fn new(content: Bytes) -> Self {
        let tag = Base64UrlUnpadded::encode_string(&Sha256::digest(&content));
        let tag = HeaderValue::try_from(format!("\"{tag}\""));
        Self {
            content,
            // Base64url is always valid in a field.
            tag: tag.unwrap_or(HeaderValue::from_static("\"\"")),
        }
    }
}

/// Compresses bytes, always to the same ones: the head of the result has no time.
fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Returns whether a client takes gzip.
pub(super) fn accepts_gzip(request: &HeaderMap) -> bool {
    let (mut gzip, mut any) = (None, false);
    let lists = request.get_all(ACCEPT_ENCODING);
    let lists = lists.iter().filter_map(|list| list.to_str().ok());
    for entry in lists.flat_map(|list| list.split(',')) {
        let (coding, weight) = entry.split_once(';').unwrap_or((entry, "q=1"));
        let coding = coding.trim();
        if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
            gzip = Some(is_positive(weight));
        } else if coding == "*" {
            any = is_positive(weight);
        }
    }
    gzip.unwrap_or(any)
}

/// Returns whether a weight such as `q=0.5` is over zero. One that cannot be read is not.
fn is_positive(weight: &str) -> bool {
    let Some((name, value)) = weight.split_once('=') else {
        return false;
    };
    let value = value.trim().parse::<f32>();
    name.trim().eq_ignore_ascii_case("q") && value.is_ok_and(|value| value > 0.0)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn reads_whether_gzip_is_accepted() {
        let rows = [
            (vec!["gzip"], true),
            (vec!["gzip, deflate, br, zstd"], true),
            (vec!["br", "GZIP"], true),
            (vec!["x-gzip"], true),
            (vec!["*"], true),
            (vec!["gzip;q=0.001"], true),
            (vec!["br;q=1.0, gzip ; Q=0.8, *;q=0.1"], true),
            (vec!["gzip;q=0"], false),
            (vec!["gzip;q=0.000, *"], false),
            (vec!["*;q=0"], false),
            (vec!["gzip;q=high"], false),
            (vec!["gzip;level=1"], false),
            (vec!["identity"], false),
            (vec!["br, deflate"], false),
            (vec!["gzipped"], false),
            (vec![""], false),
            (vec![], false),
        ];
        for (lists, expected) in rows {
            let mut headers = HeaderMap::new();
            for list in &lists {
                headers.append(ACCEPT_ENCODING, HeaderValue::from_static(list));
            }
            assert_eq!(accepts_gzip(&headers), expected, "{lists:?}");
        }
    }

    #[test]
    fn both_encodings_are_of_the_same_text_and_have_tags_of_their_own() {
        let text = "a text that repeats itself, a text that repeats itself";
        let file = Encoded::new(HeaderValue::from_static("text/plain"), text);
        let gzip = file.gzip.unwrap();
        let mut decoded = String::new();
        GzDecoder::new(&*gzip.content)
            .read_to_string(&mut decoded)
            .unwrap();
        assert_eq!(decoded, text);
        assert_ne!(gzip.tag, file.identity.tag);
        let again = Encoded::new(HeaderValue::from_static("text/plain"), text);
        assert_eq!(again.gzip.unwrap().tag, gzip.tag);
    }
}
