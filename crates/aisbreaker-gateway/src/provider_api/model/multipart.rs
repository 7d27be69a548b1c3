//! The model in `multipart/form-data` (RFC 7578, RFC 2046 section 5.1): the content of the field
//! `model`.

use std::{borrow::Cow, ops::Range};

use aisbreaker_api::InvalidRequest;
use http::HeaderValue;
use memchr::memmem;

use super::{BodyModel, NameEncoding, other_models, repeated};
use crate::form_urlencoded;

const FIELD: &str = "model";
/// The longest boundary (RFC 2046 section 5.1.1).
const MAX_BOUNDARY_LEN: usize = 70;
/// The longest header section of one part.
const MAX_HEAD_LEN: usize = 16 << 10;
/// The longest run of empty lines before the first part.
const MAX_BLANK_LEN: usize = 64;
/// The most parts of one form.
const MAX_PARTS: usize = 1_000;

/// Finds the model in a form; `None` if it has no such field.
///
/// Files are skipped, whatever they hold.
pub(crate) fn model_in_multipart(
    body: &[u8],
    content_type: &HeaderValue,
) -> Result<Option<BodyModel>, InvalidRequest> {
    let Some(boundary) = content_type.to_str().ok().and_then(boundary) else {
        return Err(InvalidRequest::new(
            "Content-Type",
            "must be multipart/form-data with a boundary of 1 to 70 characters",
        ));
    };
    let (mut model, mut others) = (None, None);
    let mut delimiters = 1;
    for part in Parts::of(body, &boundary) {
        let Part { head, content } = part?;
        delimiters += 1;
        match field_of(body.get(head).unwrap_or_default())? {
            Field::Model => {}
            Field::OtherModels(name) => {
                others = Some(name);
                continue;
            }
            Field::Other => continue,
        }
        let bytes = body.get(content.clone()).unwrap_or_default();
        let name = std::str::from_utf8(bytes)
            .map_err(|_not_utf8| InvalidRequest::new(FIELD, "must be text in UTF-8"))?;
        let found = BodyModel::new(name.to_owned(), content, NameEncoding::FormField)?;
        if model.replace(found).is_some() {
            return Err(repeated(FIELD));
        }
    }
    // Lenient parsers accept a delimiter after a bare line feed, or after the closing one.
    let dashed = format!("--{boundary}");
    if memmem::find_iter(body, dashed.as_bytes()).count() > delimiters {
        return Err(malformed("has its boundary in a part or behind its end"));
    }
    Ok(model.map(|model| BodyModel {
        other_models: others,
        ..model
    }))
}

/// Returns the boundary of `multipart/form-data; boundary=…`.
fn boundary(content_type: &str) -> Option<String> {
    let (essence, parameters) = content_type.split_once(';')?;
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let mut boundary = None;
    for (name, value) in parse_parameters(parameters)? {
        if !name.starts_with("boundary") {
            continue;
        }
        // Some parsers prefer `boundary*` or `boundary*0` (RFC 2231).
        let is_other_form = name != "boundary";
        if is_other_form || boundary.replace(value).is_some() {
            return None;
        }
    }
    boundary.filter(|boundary| is_boundary(boundary))
}

/// More characters are accepted than RFC 2046 allows: Android's clients send `*****`.
fn is_boundary(text: &str) -> bool {
    let is_allowed = |byte: u8| matches!(byte, b' '..=b'~') && !b"\"\\;".contains(&byte);
    (1..=MAX_BOUNDARY_LEN).contains(&text.len())
        && text.bytes().all(is_allowed)
        && !text.ends_with(' ')
}

/// The places of the header section and of the content of a part.
struct Part {
    head: Range<usize>,
    content: Range<usize>,
}

/// The parts of a body, up to its closing delimiter.
struct Parts<'a> {
    body: &'a [u8],
    /// A line break, two hyphens and the boundary.
    delimiter: Vec<u8>,
    /// The place after the last delimiter; `None` at the end.
    position: Option<usize>,
    count: usize,
}

impl<'a> Parts<'a> {
    fn of(body: &'a [u8], boundary: &str) -> Self {
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        // No other preamble than empty lines is accepted: nobody sends one, and a parser that
        // ignores the media type could read it as JSON.
        let first = from(&delimiter, 2);
        let mut blank = 0;
        while blank < MAX_BLANK_LEN && from(body, blank).starts_with(b"\r\n") {
            blank = blank.saturating_add(2);
        }
        let position = if from(body, blank).starts_with(first) {
            blank.saturating_add(first.len())
        } else {
            body.len()
        };
        Self {
            body,
            position: Some(position),
            delimiter,
            count: 0,
        }
    }

    /// Reads the part after the delimiter that ends at `position`.
    fn read(&mut self, position: usize) -> Result<Option<Part>, InvalidRequest> {
        let rest = from(self.body, position);
        if rest.starts_with(b"--") {
            return Ok(None);
        }
        let head_start = position.saturating_add(delimiter_padding(rest)?);
        let (head_len, separator_len) = head_len(from(self.body, head_start))?;
        let head = head_start..head_start.saturating_add(head_len);
        let content_start = head.end.saturating_add(separator_len);
        // The line break before the delimiter may be that of the header section.
        let search_start = content_start.saturating_sub(2);
        let Some(found) = memmem::find(from(self.body, search_start), &self.delimiter) else {
            return Err(malformed("has no closing delimiter"));
        };
        let content = content_start..search_start.saturating_add(found);
        if content.end < content.start {
            return Err(malformed("has a part without content"));
        }
        self.position = Some(content.end.saturating_add(self.delimiter.len()));
        self.count = self.count.saturating_add(1);
        if self.count > MAX_PARTS {
            return Err(malformed("has too many parts"));
        }
        Ok(Some(Part { head, content }))
    }
}

impl Iterator for Parts<'_> {
    type Item = Result<Part, InvalidRequest>;

    fn next(&mut self) -> Option<Self::Item> {
        let position = self.position.take()?;
        self.read(position).transpose()
    }
}

/// Returns what follows a position, which is nothing from the end on.
fn from(bytes: &[u8], position: usize) -> &[u8] {
    bytes.get(position..).unwrap_or_default()
}

/// Returns the length of the rest of a delimiter's line: white space (RFC 2046 section 5.1.1) and a
/// line break.
fn delimiter_padding(rest: &[u8]) -> Result<usize, InvalidRequest> {
    let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t');
    let blanks = rest.iter().take_while(is_blank).count();
    if !from(rest, blanks).starts_with(b"\r\n") {
        return Err(malformed(
            "has a delimiter that is not on a line of its own, or no closing one",
        ));
    }
    Ok(blanks.saturating_add(2))
}

/// Returns the length of a header section, and of the separator after it.
fn head_len(part: &[u8]) -> Result<(usize, usize), InvalidRequest> {
    let window = part.get(..MAX_HEAD_LEN.min(part.len())).unwrap_or_default();
    if window.starts_with(b"\r\n") {
        return Ok((0, 2));
    }
    match memmem::find(window, b"\r\n\r\n") {
        Some(length) => Ok((length, 4)),
        None => Err(malformed(
            "has a part without a head, or with too long a one",
        )),
    }
}

/// The field that a part is.
#[derive(Clone, Copy)]
enum Field {
    Model,
    /// One that names other models.
    OtherModels(&'static str),
    Other,
}

/// Returns which field the header section of a part names. Refuses what another parser may read
/// differently.
fn field_of(head: &[u8]) -> Result<Field, InvalidRequest> {
    let head = decode_head(head);
    let is_allowed = |c: char| !c.is_control() || matches!(c, '\r' | '\n' | '\t');
    if !head.chars().all(is_allowed) {
        return Err(malformed("has a part whose head has control characters"));
    }
    let (mut disposition, mut encoding) = (None, None);
    for line in head.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, value) = split_field(line)?;
        let known = match name.to_ascii_lowercase().as_str() {
            "content-disposition" => &mut disposition,
            "content-transfer-encoding" => &mut encoding,
            _ => continue,
        };
        if known.replace(value.trim()).is_some() {
            return Err(malformed("has a part with a field twice"));
        }
    }
    let Some(parameters) = disposition.and_then(form_data_parameters) else {
        return Err(malformed(
            "has a part without Content-Disposition: form-data and usable parameters",
        ));
    };
    field_named(&parameters, encoding)
}

/// Decodes a header section: UTF-8, or Latin-1 as older clients write names of files.
///
/// The controls above ASCII are letters and quotes in Windows' version of Latin-1, and stand for
/// something else here. Only one of them, a line break in Unicode, could mislead a parser.
fn decode_head(head: &[u8]) -> Cow<'_, str> {
    let decode = |byte: &u8| match byte {
        0x80..=0x84 | 0x86..=0x9f => char::REPLACEMENT_CHARACTER,
        byte => char::from(*byte),
    };
    match std::str::from_utf8(head) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => head.iter().map(decode).collect(),
    }
}

fn split_field(line: &str) -> Result<(&str, &str), InvalidRequest> {
    match line.split_once(':') {
        Some((name, value)) if is_token(name) && !line.contains(['\r', '\n']) => Ok((name, value)),
        Some(_) | None => Err(malformed(
            "has a part whose head has a line that is no field",
        )),
    }
}

fn form_data_parameters(disposition: &str) -> Option<Vec<(String, String)>> {
    let (kind, parameters) = disposition.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return None;
    }
    parse_parameters(parameters)
}

fn field_named(
    parameters: &[(String, String)],
    encoding: Option<&str>,
) -> Result<Field, InvalidRequest> {
    let mut names = parameters.iter().filter(|(key, _)| key == "name");
    let (Some((_, name)), None) = (names.next(), names.next()) else {
        return Err(malformed("has a part without a name, or with two"));
    };
    let filenames = parameters.iter().filter(|(key, _)| key == "filename");
    let has_coded_name = parameters.iter().any(|(key, _)| key.starts_with("name*"));
    if filenames.count() > 1 || has_coded_name {
        return Err(malformed(
            "has a part with a parameter twice, or with a coded name",
        ));
    }
    if name != FIELD {
        return if is_like_model(name) {
            Err(malformed(
                "has a field that some take for model; name it so, or otherwise",
            ))
        } else {
            // A list is written with brackets.
            let plain = form_urlencoded::decode(name);
            let plain = plain.split('[').next().unwrap_or_default().trim();
            Ok(other_models(plain).map_or(Field::Other, Field::OtherModels))
        };
    }
    let is_file = parameters
        .iter()
        .any(|(key, _)| key.starts_with("filename"));
    if is_file || !encoding.is_none_or(is_identity_encoding) {
        return Err(InvalidRequest::new(
            FIELD,
            "must be a field of its own, not a file, and without a coding",
        ));
    }
    Ok(Field::Model)
}

/// Returns whether a parser that decodes names, or compares letters only, takes this for `model`.
fn is_like_model(name: &str) -> bool {
    let mut plain = form_urlencoded::decode(name);
    plain.retain(|c| c.is_ascii_alphanumeric());
    plain.eq_ignore_ascii_case(FIELD) && !name.contains(['[', ']'])
}

fn is_identity_encoding(encoding: &str) -> bool {
    ["7bit", "8bit", "binary"]
        .iter()
        .any(|identity| encoding.eq_ignore_ascii_case(identity))
}

/// Parses parameters such as `a=b; c="d"` into lower-case names and values.
fn parse_parameters(text: &str) -> Option<Vec<(String, String)>> {
    let mut parameters = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after_name) = rest.split_once('=')?;
        let name = name.trim();
        if !is_token(name) {
            return None;
        }
        let name = name.to_ascii_lowercase();
        let (value, after_value) = parse_value(&name, after_name.trim_start())?;
        parameters.push((name, value));
        rest = match after_value.trim_start() {
            "" => "",
            more => more.strip_prefix(';')?.trim_start(),
        };
    }
    Some(parameters)
}

/// Parses the value of a parameter, and returns what follows it.
fn parse_value<'a>(name: &str, text: &'a str) -> Option<(String, &'a str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        return unquote(quoted);
    }
    let (value, rest) = text.split_at(text.find(';').unwrap_or(text.len()));
    let value = value.trim();
    let is_usable = match name {
        // Should be in quotes if it has more than a token, but often is not.
        "boundary" => is_boundary(value) && !value.contains(' '),
        name if name.starts_with("filename") => is_bare_file_name(value),
        _ => is_token(value),
    };
    if is_usable {
        Some((value.to_owned(), rest))
    } else {
        None
    }
}

/// Returns whether a file name without quotes is one for every parser: none can find another
/// parameter in it.
fn is_bare_file_name(text: &str) -> bool {
    let is_split_by = |c: char| c.is_whitespace() || c == ',';
    if text.contains('=') && text.contains(is_split_by) {
        return false;
    }
    !text.contains(['"', '\\'])
}

/// Returns the text up to the closing quote, and what follows it.
///
/// A backslash before a quote or another backslash is an escape, any other stands for itself, as in
/// the paths of old browsers.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut has_quote = false;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        let rest = text.get(at.saturating_add(1)..);
        match c {
            // A parser without escapes would find the quote, and parameters after it.
            '"' if has_quote && value.contains(';') => return None,
            '"' => return Some((value, rest?)),
            '\\' if rest?.starts_with(['"', '\\']) => {
                let escaped = chars.next().map(|(_, escaped)| escaped)?;
                has_quote |= escaped == '"';
                value.push(escaped);
            }
            c => value.push(c),
        }
    }
    None
}

/// Returns whether this is a token (RFC 9110 section 5.6.2). Brackets, slashes, colons and at signs
/// are accepted as well, since clients use them in names of lists.
fn is_token(text: &str) -> bool {
    let is_allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~[]/:@".contains(&byte);
    !text.is_empty() && text.bytes().all(is_allowed)
}

fn malformed(problem: &str) -> InvalidRequest {
    InvalidRequest::new(
        "request body",
        format!("{problem}; send multipart/form-data as RFC 7578 has it"),
    )
}
