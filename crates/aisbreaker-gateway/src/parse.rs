//! The parse stage: what the head of a request says, checked for form. Its body is a matter of
//! `receive`.

use std::{net::IpAddr, sync::Arc};

use aisbreaker_api::InvalidRequest;
use aisbreaker_egress::BudgetSpent;
use aisbreaker_services::{
    Dialect,
    services::{HOPS_HEADER, SEALED_HEADER},
};
use aisbreaker_token::Host;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, EXPECT},
    request::Parts,
};
use http_body::Body;
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    authenticate::is_key,
    config::Config,
    identity::{self, HostFault},
    inflate::Coding,
    receive::Received,
    shares::Share,
};

const HOPS: HeaderName = HeaderName::from_static(HOPS_HEADER);
const SEALED: HeaderName = HeaderName::from_static(SEALED_HEADER);
/// Where clients of providers' APIs put their key, besides `Authorization`.
const KEY_FIELDS: [HeaderName; 2] = [
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
];
/// How many fields a request may have.
const MAX_FIELDS: usize = 100;
/// The largest sum of all header field names and values.
const MAX_HEAD_BYTES: usize = 32 << 10;

/// Why a request could not be read.
#[derive(Debug)]
pub(crate) enum ParseFault {
    /// The host is not named, or not ours.
    Host(HostFault),
    /// Too many bytes of header fields.
    HeadTooLarge,
    /// A content type that the route does not take.
    ContentType { accepted: &'static str },
    /// A content coding that is not supported.
    ContentEncoding,
    /// The body does not have the coding it claims.
    Inflate,
    /// The body is over the limit.
    TooLarge { limit: usize },
    /// The body paused for too long.
    Slow,
    /// The bodies of other requests take all the memory that bodies may take.
    Overloaded(BudgetSpent),
    /// Other bodies are being read, and it is not the turn of this one in time.
    Busy,
    /// The connection broke before the body was whole.
    Cut,
    /// A header field is repeated or unreadable.
    Field { name: HeaderName },
    /// The body is not what the route takes.
    Body(InvalidRequest),
}

impl From<BudgetSpent> for ParseFault {
    fn from(spent: BudgetSpent) -> Self {
        Self::Overloaded(spent)
    }
}

impl From<InvalidRequest> for ParseFault {
    fn from(invalid: InvalidRequest) -> Self {
        Self::Body(invalid)
    }
}

/// The head of a request, read.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) host: Host,
    pub(crate) client: IpAddr,
}

/// What `Authorization` says.
#[derive(Debug)]
pub(crate) enum Authorization {
    /// There is none.
    Absent,
    /// `Bearer` and a value.
    Bearer(SecretString),
    /// The same from another server, which took the value out of a sealed key: whoever made the
    /// call does not know it.
    Entrusted(SecretString),
    /// Another scheme, or no value.
    Unusable,
}

/// A call whose head is read, and whose body has come; who calls is not known yet.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) head: Head,
    pub(crate) authorization: Authorization,
    pub(crate) hops: u8,
    pub(crate) body: Received,
}

/// Refuses heads that are too large; `hyper` has bounds of its own far above.
pub(crate) fn check_head_size(headers: &HeaderMap) -> Result<(), ParseFault> {
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len().saturating_add(value.len()))
        .sum();
    let is_too_large = bytes > MAX_HEAD_BYTES || headers.len() > MAX_FIELDS;
    if is_too_large {
        Err(ParseFault::HeadTooLarge)
    } else {
        Ok(())
    }
}

/// Reads the host of a request from this client.
pub(crate) fn head(
    parts: &Parts,
    client: IpAddr,
    peer: IpAddr,
    config: &Config,
) -> Result<Head, ParseFault> {
    let from_trusted_proxy = identity::is_trusted(peer, &config.trusted_proxies);
    let host = identity::host(
        &parts.uri,
        &parts.headers,
        from_trusted_proxy,
        &config.public_hosts,
    )
    .map_err(ParseFault::Host)?;
    Ok(Head { host, client })
}

/// Refuses a host that is not ours, and requests that name none (RFC 9112 section 3.2); HTTP/1.0
/// need not name one as long as nothing depends on it.
pub(crate) fn check_host(parts: &Parts, head: &Result<Head, ParseFault>) -> Result<(), ParseFault> {
    match head {
        Err(ParseFault::Host(HostFault::NotOurs)) => Err(ParseFault::Host(HostFault::NotOurs)),
        Err(ParseFault::Host(HostFault::Unreadable)) if parts.version > Version::HTTP_10 => {
            Err(ParseFault::Host(HostFault::Unreadable))
        }
        _ => Ok(()),
    }
}

/// Reads the head of a call of `process` and receives its body.
pub(crate) async fn process<B: Body<Data = Bytes>>(
    head: Head,
    parts: &Parts,
    body: B,
    config: &Config,
    share: &Arc<Share>,
) -> Result<Asked, ParseFault> {
    let authorization = authorization(&parts.headers)?;
    let hops = hops(&parts.headers)?;
    if !matches!(
        content_type(&parts.headers)?.as_str(),
        "" | "application/json" | "text/plain"
    ) {
        return Err(ParseFault::ContentType {
            accepted: "application/json",
        });
    }
    let body = received(&parts.headers, body, config, share).await?;
    Ok(Asked {
        head,
        authorization,
        hops,
        body,
    })
}

/// Receives the body of a request that must be JSON.
pub(crate) async fn json_body<B: Body<Data = Bytes>>(
    headers: &HeaderMap,
    body: B,
    config: &Config,
    share: &Arc<Share>,
) -> Result<Received, ParseFault> {
    if content_type(headers)? != "application/json" {
        return Err(ParseFault::ContentType {
            accepted: "application/json",
        });
    }
    received(headers, body, config, share).await
}

/// Receives the body of a request, whatever it is.
pub(crate) async fn received<B: Body<Data = Bytes>>(
    headers: &HeaderMap,
    body: B,
    config: &Config,
    share: &Arc<Share>,
) -> Result<Received, ParseFault> {
    let coding = Coding::parse(sole(headers, CONTENT_ENCODING)?.unwrap_or_default())
        .ok_or(ParseFault::ContentEncoding)?;
    Received::receive(body, coding, headers.contains_key(EXPECT), config, share).await
}

/// How a body that is passed on is to be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BodyForm {
    Json,
    /// A form of several parts.
    Multipart,
}

/// How a body is read by all who look at its type, and by those who do not: a form only where the
/// operation takes one, and JSON in UTF-8 only.
pub(crate) fn body_form(headers: &HeaderMap, takes_forms: bool) -> Result<BodyForm, ParseFault> {
    let essence = content_type(headers)?;
    let is_utf8 = |value: &HeaderValue| {
        let parameters = value
            .as_bytes()
            .split(|byte| *byte == b';')
            .skip(1)
            .map(<[u8]>::trim_ascii);
        let mut charsets = parameters.filter(|parameter| {
            parameter
                .get(..7)
                .is_some_and(|name| name.eq_ignore_ascii_case(b"charset"))
        });
        charsets.all(|charset| {
            let value = charset
                .get(7..)
                .unwrap_or_default()
                .trim_ascii()
                .strip_prefix(b"=")
                .unwrap_or_default();
            let value = value.trim_ascii().to_ascii_lowercase();
            matches!(&*value, b"utf-8" | b"\"utf-8\"" | b"utf8" | b"us-ascii")
        })
    };
    if !headers.get(CONTENT_TYPE).is_none_or(is_utf8) {
        return Err(ParseFault::ContentType {
            accepted: "in UTF-8",
        });
    }
    let is_json = matches!(essence.as_str(), "" | "application/json" | "text/plain")
        || essence.ends_with("+json");
    match essence.as_str() {
        "multipart/form-data" if takes_forms => Ok(BodyForm::Multipart),
        _ if is_json => Ok(BodyForm::Json),
        _ if takes_forms => Err(ParseFault::ContentType {
            accepted: "multipart/form-data or application/json",
        }),
        _ => Err(ParseFault::ContentType {
            accepted: "application/json",
        }),
    }
}

/// The media type without parameters, lower case; empty if there is none.
fn content_type(headers: &HeaderMap) -> Result<String, ParseFault> {
    let Some(value) = sole(headers, CONTENT_TYPE)? else {
        return Ok(String::new());
    };
    let essence = value
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    Ok(String::from_utf8_lossy(essence).to_ascii_lowercase())
}

/// What a client of a provider's API says of itself, in `Authorization` or in a field of its own.
/// Of several, a key of ours counts first, then what is usual in the dialect.
pub(crate) fn any_authorization(
    headers: &HeaderMap,
    dialect: Dialect,
) -> Result<Authorization, ParseFault> {
    let bearer = authorization(headers)?;
    let mut fields = Vec::with_capacity(KEY_FIELDS.len());
    for name in KEY_FIELDS {
        let Some(value) = sole(headers, name.clone())? else {
            continue;
        };
        let text = std::str::from_utf8(value)
            .map_err(|_utf8| ParseFault::Field { name })?
            .trim();
        if !text.is_empty() {
            fields.push(entrusted_or_not(headers, text));
        }
    }
    let has_key = |given: &Authorization| match given {
        Authorization::Bearer(secret) | Authorization::Entrusted(secret) => {
            is_key(secret.expose_secret())
        }
        Authorization::Absent | Authorization::Unusable => false,
    };
    if has_key(&bearer) {
        return Ok(bearer);
    }
    if let Some(at) = fields.iter().position(has_key) {
        return Ok(fields.swap_remove(at));
    }
    let is_usable = matches!(
        bearer,
        Authorization::Bearer(_) | Authorization::Entrusted(_)
    );
    if is_usable && dialect == Dialect::OpenAi || fields.is_empty() {
        return Ok(bearer);
    }
    Ok(fields.swap_remove(0))
}

fn entrusted_or_not(headers: &HeaderMap, secret: &str) -> Authorization {
    let secret = SecretString::from(secret);
    if headers.contains_key(SEALED) {
        Authorization::Entrusted(secret)
    } else {
        Authorization::Bearer(secret)
    }
}

pub(crate) fn authorization(headers: &HeaderMap) -> Result<Authorization, ParseFault> {
    let Some(value) = sole(headers, AUTHORIZATION)? else {
        return Ok(Authorization::Absent);
    };
    let text = std::str::from_utf8(value).map_err(|_utf8| ParseFault::Field {
        name: AUTHORIZATION,
    })?;
    let secret = text
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    Ok(match secret.map(|(_, secret)| secret.trim()) {
        Some(secret) if !secret.is_empty() => entrusted_or_not(headers, secret),
        Some(_) | None => Authorization::Unusable,
    })
}

/// How many AIsBreaker servers the request has passed.
pub(crate) fn hops(headers: &HeaderMap) -> Result<u8, ParseFault> {
    let Some(value) = sole(headers, HOPS)? else {
        return Ok(0);
    };
    std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(ParseFault::Field { name: HOPS })
}

/// The value of a field that must not be repeated.
fn sole(headers: &HeaderMap, name: HeaderName) -> Result<Option<&[u8]>, ParseFault> {
    let mut values = headers.get_all(&name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(ParseFault::Field { name });
    }
    Ok(first.map(|value| value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_as_everybody_would_or_not_at_all() {
        let (json, form) = (Some(BodyForm::Json), Some(BodyForm::Multipart));
        let rows: [(&[&str], _, _); 22] = [
            (&[], json, json),
            (&["application/json"], json, json),
            (&["Application/JSON ; charset=UTF-8"], json, json),
            (&["application/json; charset=\"utf-8\""], json, json),
            (&["application/vnd.a+json"], json, json),
            (&["text/plain;charset=UTF-8"], json, json),
            (&["multipart/form-data; boundary=b"], None, form),
            (
                &["multipart/form-data; boundary=b; charset=utf-8"],
                None,
                form,
            ),
            // Some read UTF-7 or EBCDIC if they are told to.
            (&["application/json; charset=utf-7"], None, None),
            (
                &["application/json; charset=utf-8; charset=utf-7"],
                None,
                None,
            ),
            (&["application/json; CharSet = ibm037"], None, None),
            (&["application/json; charset*=utf-8''utf-7"], None, None),
            (
                &["application/json; x=\"a; charset=utf-8\"; charset=utf-16"],
                None,
                None,
            ),
            (
                &["multipart/form-data; boundary=b; charset=utf-16"],
                None,
                None,
            ),
            (&["application/x-www-form-urlencoded"], None, None),
            (&["multipart/mixed; boundary=b"], None, None),
            (
                &["application/json, multipart/form-data; boundary=b"],
                None,
                None,
            ),
            (
                &["multipart/form-data, application/json; boundary=b"],
                None,
                None,
            ),
            (&["application/octet-stream"], None, None),
            (&["\u{e9}"], None, None),
            (&["application/json", "application/json"], None, None),
            (
                &["application/json", "multipart/form-data; boundary=b"],
                None,
                None,
            ),
        ];
        for (types, elsewhere, where_forms_are) in rows {
            let mut headers = HeaderMap::new();
            for value in types {
                headers.append(
                    CONTENT_TYPE,
                    HeaderValue::from_bytes(value.as_bytes()).unwrap(),
                );
            }
            let read = [false, true].map(|takes_forms| body_form(&headers, takes_forms).ok());
            assert_eq!(read, [elsewhere, where_forms_are], "{types:?}");
        }
    }
}
