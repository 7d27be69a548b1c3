//! Header fields that must not be repeated (RFC 9110 section 5.3).

use http::{HeaderMap, HeaderName};

use super::error::RequestError;

/// Returns the value of a field that must not be repeated.
pub(super) fn singleton(
    headers: &HeaderMap,
    name: HeaderName,
) -> Result<Option<&[u8]>, RequestError> {
    let mut values = headers.get_all(&name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(RequestError::InvalidField { name });
    }
    Ok(first.map(|value| value.as_bytes()))
}
