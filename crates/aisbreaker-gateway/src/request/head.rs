//! The header section of a request, read once for the route that it is for.

use std::net::IpAddr;

use aisbreaker_services::{Dialect, services::HOPS_HEADER};
use aisbreaker_token::Host;
use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{CONTENT_ENCODING, CONTENT_TYPE, ORIGIN},
    request::Parts,
};

use crate::{
    request::{
        credentials::{self, Authorization},
        error::{HostError, RequestError},
        field::singleton,
        inflate::ContentCoding,
        media_type,
    },
    route::operation::OperationContent,
};

const JSON: &[u8] = b"application/json";
const FORM: &[u8] = b"application/x-www-form-urlencoded";
const MULTIPART: &[u8] = b"multipart/form-data";
const HOPS: HeaderName = HeaderName::from_static(HOPS_HEADER);
/// The most header fields of a request.
const MAX_FIELDS: usize = 100;
/// The largest sum of all header field names and values.
const MAX_HEAD_BYTES: usize = 32 << 10;

/// Where a request comes from, and which host it was sent to.
#[derive(Debug)]
pub(crate) struct Endpoints {
    pub(crate) client: IpAddr,
    pub(crate) host: Result<Host, HostError>,
}

/// The surface that a header section is read for.
///
/// Fields that a surface does not read it does not refuse either.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Surface {
    /// The token endpoint takes JSON or a form, and its own kind of credentials.
    Token,
    /// `process` takes JSON, also as `text/plain` or without a type.
    Process,
    /// A quota query has no content.
    Quota,
    /// A form that carries its own credentials.
    Form,
    /// A provider operation takes what the provider takes.
    Provider {
        dialect: Dialect,
        /// `None` for methods without content.
        content: Option<OperationContent>,
    },
}

/// The header section of a request.
#[derive(Debug)]
pub struct Head<'a> {
    pub(crate) client: IpAddr,
    pub(crate) host: Host,
    pub(crate) authorization: Authorization<'a>,
    /// The origin of the page whose script sent the request, if exactly one is named.
    pub(crate) origin: Option<HeaderValue>,
    /// How many aisbreaker servers forwarded the request.
    pub(crate) hops: u8,
    pub(crate) content: Content,
}

/// What a header section says of the content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Content {
    /// `None` where no content is expected or read.
    pub(crate) format: Option<ContentFormat>,
    pub(crate) coding: ContentCoding,
}

/// The format of content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ContentFormat {
    Json,
    /// `multipart/form-data`.
    Multipart,
    /// `application/x-www-form-urlencoded`.
    UrlEncoded,
}

impl<'a> Head<'a> {
    /// Reads a header section. The first fault in the order of the fields of [`Head`] is returned.
    pub(crate) fn read(
        parts: &'a Parts,
        endpoints: Endpoints,
        surface: Surface,
    ) -> Result<Self, RequestError> {
        let headers = &parts.headers;
        let host = endpoints.host?;
        let authorization = match surface {
            Surface::Token | Surface::Form => Authorization::Absent,
            Surface::Process => credentials::authorization(headers)?,
            Surface::Quota => credentials::any_authorization(headers, Dialect::OpenAi)?,
            Surface::Provider { dialect, .. } => credentials::any_authorization(headers, dialect)?,
        };
        let hops = match surface {
            Surface::Token | Surface::Quota | Surface::Form => 0,
            Surface::Process | Surface::Provider { .. } => hops(headers)?,
        };
        let content = match surface {
            // Opaque content is passed on with its fields.
            Surface::Quota
            | Surface::Provider {
                content: Some(OperationContent::Opaque),
                ..
            } => Content::NONE,
            Surface::Token | Surface::Process | Surface::Form | Surface::Provider { .. } => {
                Content {
                    format: format(headers, surface)?,
                    coding: coding(headers)?,
                }
            }
        };
        Ok(Self {
            client: endpoints.client,
            host,
            authorization,
            origin: origin(headers),
            hops,
            content,
        })
    }
}

impl Content {
    const NONE: Self = Self {
        format: None,
        coding: ContentCoding::Identity,
    };
}

/// Refuses oversized header sections. The HTTP library's own bounds are far above.
pub(crate) fn check_size(headers: &HeaderMap) -> Result<(), RequestError> {
    let mut bytes: usize = 0;
    for (name, value) in headers {
        bytes = bytes.saturating_add(name.as_str().len().saturating_add(value.len()));
    }
    if bytes > MAX_HEAD_BYTES || headers.len() > MAX_FIELDS {
        return Err(RequestError::HeadTooLarge);
    }
    Ok(())
}

/// Refuses a request to another host, and one without a valid host (RFC 9112 section 3.2).
///
/// HTTP/1.0 need not name a host, as long as nothing depends on it.
pub(crate) fn check_host(version: Version, endpoints: &Endpoints) -> Result<(), RequestError> {
    match &endpoints.host {
        Ok(_) => Ok(()),
        Err(HostError::Invalid) if version <= Version::HTTP_10 => Ok(()),
        Err(error) => Err(error.clone().into()),
    }
}

fn origin(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut fields = headers.get_all(ORIGIN).iter();
    match (fields.next(), fields.next()) {
        (Some(origin), None) => Some(origin.clone()),
        (_, _) => None,
    }
}

fn hops(headers: &HeaderMap) -> Result<u8, RequestError> {
    let Some(value) = singleton(headers, HOPS)? else {
        return Ok(0);
    };
    let text = std::str::from_utf8(value).unwrap_or_default();
    text.parse()
        .map_err(|_not_a_number| RequestError::InvalidField { name: HOPS })
}

fn coding(headers: &HeaderMap) -> Result<ContentCoding, RequestError> {
    let value = singleton(headers, CONTENT_ENCODING)?.unwrap_or_default();
    ContentCoding::parse(value).ok_or(RequestError::ContentCoding)
}

/// Returns the format that a surface reads content as.
fn format(headers: &HeaderMap, surface: Surface) -> Result<Option<ContentFormat>, RequestError> {
    let json_only = RequestError::MediaType {
        accepted: "application/json",
    };
    match surface {
        Surface::Quota => Ok(None),
        Surface::Form => match media_type(headers)? {
            essence if essence.eq_ignore_ascii_case(FORM) => Ok(Some(ContentFormat::UrlEncoded)),
            _ => Err(RequestError::MediaType {
                accepted: "application/x-www-form-urlencoded",
            }),
        },
        Surface::Token => match media_type(headers)? {
            essence if essence.eq_ignore_ascii_case(JSON) => Ok(Some(ContentFormat::Json)),
            essence if essence.eq_ignore_ascii_case(FORM) => Ok(Some(ContentFormat::UrlEncoded)),
            _ => Err(json_only),
        },
        Surface::Process => match media_type(headers)? {
            essence if may_be_json(essence) => Ok(Some(ContentFormat::Json)),
            _ => Err(json_only),
        },
        Surface::Provider {
            content: None | Some(OperationContent::Opaque),
            ..
        } => Ok(None),
        Surface::Provider {
            content: Some(accepted),
            ..
        } => provider_format(headers, accepted).map(Some),
    }
}

/// Returns the format of content that is forwarded as it is.
///
/// The gateway and every provider must read the same content, so JSON is accepted in UTF-8 only,
/// and a form only where the operation has one.
fn provider_format(
    headers: &HeaderMap,
    accepted: OperationContent,
) -> Result<ContentFormat, RequestError> {
    let value = singleton(headers, CONTENT_TYPE)?.unwrap_or_default();
    if !media_type::is_utf8(value) {
        return Err(RequestError::MediaType {
            accepted: "in UTF-8",
        });
    }
    let takes_multipart = accepted == OperationContent::JsonOrMultipart;
    match media_type::essence(value) {
        essence if may_be_json(essence) || has_json_suffix(essence) => Ok(ContentFormat::Json),
        essence if takes_multipart && essence.eq_ignore_ascii_case(MULTIPART) => {
            Ok(ContentFormat::Multipart)
        }
        _ if takes_multipart => Err(RequestError::MediaType {
            accepted: "multipart/form-data or application/json",
        }),
        _ => Err(RequestError::MediaType {
            accepted: "application/json",
        }),
    }
}

/// Returns the media type without parameters, in the case it came in; empty if there is none.
fn media_type(headers: &HeaderMap) -> Result<&[u8], RequestError> {
    let value = singleton(headers, CONTENT_TYPE)?;
    Ok(value.map(media_type::essence).unwrap_or_default())
}

/// Returns whether content of this media type is read as JSON, since clients send it so.
fn may_be_json(essence: &[u8]) -> bool {
    essence.is_empty()
        || essence.eq_ignore_ascii_case(JSON)
        || essence.eq_ignore_ascii_case(b"text/plain")
}

/// Returns whether a media type has the suffix of JSON (RFC 6839 section 3.1).
fn has_json_suffix(essence: &[u8]) -> bool {
    let suffix = essence.last_chunk::<5>();
    suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"+json"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn content_is_read_as_every_provider_reads_it_or_refused() {
        let (json, form) = (Some(ContentFormat::Json), Some(ContentFormat::Multipart));
        let rows: [(&[&str], _, _); 23] = [
            (&[], json, json),
            (&["application/json"], json, json),
            (&["Application/JSON ; charset=UTF-8"], json, json),
            (&["application/json; charset=\"utf-8\""], json, json),
            (&["application/json;charset=\"UTF8\""], json, json),
            (&["application/vnd.a+json"], json, json),
            (&["text/plain;charset=UTF-8"], json, json),
            (&["multipart/form-data; boundary=b"], None, form),
            (
                &["multipart/form-data; boundary=b; charset=utf-8"],
                None,
                form,
            ),
            // Some readers decode UTF-7 or EBCDIC.
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
        for (types, without_forms, with_forms) in rows {
            let mut headers = HeaderMap::new();
            for value in types {
                headers.append(
                    CONTENT_TYPE,
                    HeaderValue::from_bytes(value.as_bytes()).unwrap(),
                );
            }
            let read = [OperationContent::Json, OperationContent::JsonOrMultipart]
                .map(|accepted| provider_format(&headers, accepted).ok());
            assert_eq!(read, [without_forms, with_forms], "{types:?}");
        }
    }
}
