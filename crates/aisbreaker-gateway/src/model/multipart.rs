//! The model in a form of several parts (RFC 7578, RFC 2046 section 5.1): the content of the field
//! `model`.

use std::ops::Range;

use aisbreaker_api::InvalidRequest;
use http::HeaderValue;
use memchr::memmem;

use super::{Form, Model, twice};

const FIELD: &str = "model";
/// The longest boundary (RFC 2046 section 5.1.1).
const MAX_BOUNDARY_LEN: usize = 70;
/// The longest head of one part.
const MAX_HEAD_LEN: usize = 16 << 10;
/// The most parts of one form.
const MAX_PARTS: usize = 1_000;

/// The model that a form names; `None` if it has no such field.
///
/// Files are passed over, whatever is in them.
pub(crate) fn of_multipart(
    body: &[u8],
    content_type: &HeaderValue,
) -> Result<Option<Model>, InvalidRequest> {
    let boundary = content_type
        .to_str()
        .ok()
        .and_then(boundary)
        .ok_or_else(|| {
            InvalidRequest::new(
                "Content-Type",
                "must be multipart/form-data with a boundary of 1 to 70 characters",
            )
        })?;
    let mut model = None;
    let mut delimiters = 1;
    for part in Parts::of(body, &boundary) {
        let Part { head, content } = part?;
        delimiters += 1;
        if !is_model(body.get(head).unwrap_or_default())? {
            continue;
        }
        let text = body
            .get(content.clone())
            .and_then(|text| std::str::from_utf8(text).ok());
        let text = text.ok_or_else(|| InvalidRequest::new(FIELD, "must be text in UTF-8"))?;
        if model
            .replace(Model::new(text.to_owned(), content, Form::Field)?)
            .is_some()
        {
            return Err(twice(FIELD));
        }
    }
    // Some take a delimiter for one wherever it stands, behind a line feed alone or behind the end.
    if memmem::find_iter(body, format!("--{boundary}").as_bytes()).count() > delimiters {
        return Err(malformed("has its boundary in a part or behind its end"));
    }
    Ok(model)
}

/// The parameter of `multipart/form-data; boundary=…`.
fn boundary(content_type: &str) -> Option<String> {
    let (essence, parameters) = content_type.split_once(';')?;
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let mut boundary = None;
    for (name, value) in parameters_of(parameters)? {
        // Others put `boundary*` and `boundary*0` in its place (RFC 2231).
        let is_another = name.starts_with("boundary") && name != "boundary";
        if is_another || name == "boundary" && boundary.replace(value).is_some() {
            return None;
        }
    }
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    boundary.filter(|boundary| {
        (1..=MAX_BOUNDARY_LEN).contains(&boundary.len())
            && boundary.bytes().all(is_allowed)
            && !boundary.ends_with(' ')
    })
}

/// Where the head and the content of a part are.
struct Part {
    head: Range<usize>,
    content: Range<usize>,
}

/// The parts of a body, up to its closing delimiter.
struct Parts<'a> {
    body: &'a [u8],
    /// A line's end, two hyphens and the boundary.
    delimiter: Vec<u8>,
    /// Behind the last delimiter; `None` at the end.
    at: Option<usize>,
    count: usize,
}

impl<'a> Parts<'a> {
    fn of(body: &'a [u8], boundary: &str) -> Self {
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        // Nobody sends a text before the first delimiter, and who does not look at the type could
        // read it as JSON.
        let first = delimiter.get(2..).unwrap_or_default();
        let at = [first, &delimiter]
            .into_iter()
            .find(|first| body.starts_with(first))
            .map(<[u8]>::len);
        Self {
            body,
            at: Some(at.unwrap_or(body.len())),
            delimiter,
            count: 0,
        }
    }

    fn next_part(&mut self, at: usize) -> Result<Option<Part>, InvalidRequest> {
        let rest = self.body.get(at..).unwrap_or_default();
        if rest.starts_with(b"--") {
            return Ok(None);
        }
        // Blanks may follow a delimiter (RFC 2046 section 5.1.1).
        let blanks = rest
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        if !rest.get(blanks..).unwrap_or_default().starts_with(b"\r\n") {
            return Err(malformed(
                "has a delimiter that is not on a line of its own, or no closing one",
            ));
        }
        let head = at.saturating_add(blanks).saturating_add(2);
        let after = self.body.get(head..).unwrap_or_default();
        let window = after
            .get(..MAX_HEAD_LEN.min(after.len()))
            .unwrap_or_default();
        let head_len = if window.starts_with(b"\r\n") {
            Some(0)
        } else {
            memmem::find(window, b"\r\n\r\n")
        };
        let head_len = head_len
            .ok_or_else(|| malformed("has a part without a head, or with too long a one"))?;
        let separator = if head_len == 0 { 2 } else { 4 };
        let content = head.saturating_add(head_len).saturating_add(separator);
        // The line's end in front of a delimiter may be that of the head.
        let searched = content.saturating_sub(2);
        let found = self
            .body
            .get(searched..)
            .and_then(|rest| memmem::find(rest, &self.delimiter));
        let end = found
            .map(|at| at.saturating_add(searched))
            .ok_or_else(|| malformed("has no closing delimiter"))?;
        if end < content {
            return Err(malformed("has a part without content"));
        }
        self.at = Some(end.saturating_add(self.delimiter.len()));
        self.count = self.count.saturating_add(1);
        if self.count > MAX_PARTS {
            return Err(malformed("has too many parts"));
        }
        Ok(Some(Part {
            head: head..head.saturating_add(head_len),
            content: content..end,
        }))
    }
}

impl Iterator for Parts<'_> {
    type Item = Result<Part, InvalidRequest>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at.take()?;
        self.next_part(at).transpose()
    }
}

/// Whether the head of a part says that it is the field that is looked for, and nothing that others
/// may read differently.
fn is_model(head: &[u8]) -> Result<bool, InvalidRequest> {
    let head = std::str::from_utf8(head)
        .map_err(|_utf8| malformed("has a part whose head is not UTF-8"))?;
    if head.contains(|c: char| c.is_control() && !matches!(c, '\r' | '\n' | '\t')) {
        return Err(malformed("has a part whose head has control characters"));
    }
    let (mut disposition, mut encoding) = (None, None);
    for line in head.split("\r\n").filter(|line| !line.is_empty()) {
        let field = line
            .split_once(':')
            .filter(|(name, _)| is_token(name) && !line.contains(['\r', '\n']));
        let (name, value) =
            field.ok_or_else(|| malformed("has a part whose head has a line that is no field"))?;
        let known = match name.to_ascii_lowercase().as_str() {
            "content-disposition" => &mut disposition,
            "content-transfer-encoding" => &mut encoding,
            _ => continue,
        };
        if known.replace(value.trim()).is_some() {
            return Err(malformed("has a part with a field twice"));
        }
    }
    let disposition = disposition.and_then(|disposition| disposition.split_once(';'));
    let disposition = disposition.filter(|(kind, _)| kind.trim().eq_ignore_ascii_case("form-data"));
    let parameters = disposition.and_then(|(_, parameters)| parameters_of(parameters));
    let parameters = parameters.ok_or_else(|| {
        malformed("has a part without Content-Disposition: form-data and usable parameters")
    })?;
    is_named_model(&parameters, encoding)
}

fn is_named_model(
    parameters: &[(String, String)],
    encoding: Option<&str>,
) -> Result<bool, InvalidRequest> {
    let of = |name: &str| {
        parameters
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value)
            .collect::<Vec<_>>()
    };
    let [name] = of("name")[..] else {
        return Err(malformed("has a part without a name, or with two"));
    };
    if of("filename").len() > 1
        || parameters
            .iter()
            .any(|(known, _)| known.starts_with("name*"))
    {
        return Err(malformed(
            "has a part with a parameter twice, or with a coded name",
        ));
    }
    if name != FIELD {
        // Others undo codes, or look at letters only.
        let plain: String = crate::form::decode(name)
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        if plain.eq_ignore_ascii_case(FIELD) && !name.contains(['[', ']']) {
            return Err(malformed(
                "has a field that some take for model; name it so, or otherwise",
            ));
        }
        return Ok(false);
    }
    let is_plain = encoding.is_none_or(|encoding| {
        ["7bit", "8bit", "binary"]
            .iter()
            .any(|plain| encoding.eq_ignore_ascii_case(plain))
    });
    if parameters
        .iter()
        .any(|(known, _)| known.starts_with("filename"))
        || !is_plain
    {
        return Err(InvalidRequest::new(
            FIELD,
            "must be a field of its own, not a file, and without a coding",
        ));
    }
    Ok(true)
}

/// Names in lower case and values of parameters: `a=b; c="d"`. A backslash in quotes is itself but
/// before a quote, as browsers send it.
fn parameters_of(text: &str) -> Option<Vec<(String, String)>> {
    let mut parameters = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, behind) = rest.split_once('=')?;
        let name = name.trim();
        if !is_token(name) {
            return None;
        }
        let behind = behind.trim_start();
        let (value, behind) = match behind.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = behind.find(';').unwrap_or(behind.len());
                let (value, behind) = behind.split_at(end);
                let value = value.trim();
                (is_token(value).then(|| value.to_owned())?, behind)
            }
        };
        parameters.push((name.to_ascii_lowercase(), value));
        rest = match behind.trim_start() {
            "" => "",
            behind => behind.strip_prefix(';')?.trim_start(),
        };
    }
    Some(parameters)
}

/// The text up to the closing quote, and what follows that.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, text.get(at.saturating_add(1)..)?)),
            '\\' if text.get(at.saturating_add(1)..)?.starts_with('"') => {
                value.push('"');
                chars.next();
            }
            c => value.push(c),
        }
    }
    None
}

/// RFC 9110 section 5.6.2, and the brackets that clients put into names of lists.
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
