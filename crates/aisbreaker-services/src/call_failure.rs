//! Why a call was not made or not answered, in words for the operator.

use std::{error::Error as _, fmt};

use aisbreaker_egress::{Refusal, SendError, UrlSource};

use crate::{
    destination::Destination,
    error::{ErrorDetail, ServiceError},
    secret::mask,
};

/// The longest label of a host name (RFC 1035 section 2.3.4).
const MAX_LABEL_BYTES: usize = 63;

/// Why a call was not made or not answered, and where it was to go. Its text is for the operator's log:
/// callers may not know the address. It holds no secret, no path and no query.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub struct CallFailure {
    origin: String,
    url_source: UrlSource,
    #[source]
    error: SendError,
}

impl CallFailure {
    pub(crate) fn new(error: SendError, destination: &Destination) -> Self {
        Self {
            origin: loggable_origin(destination),
            url_source: destination.url_source,
            error,
        }
    }

    /// Returns the error of the HTTP client.
    #[must_use]
    pub fn send_error(&self) -> &SendError {
        &self.error
    }
}

impl fmt::Display for CallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, error, .. } = self;
        match error {
            SendError::Forbidden(Refusal::Scheme | Refusal::Address) => {
                write!(
                    f,
                    "{origin}: {error}; to allow it, add {origin} to egress.allow"
                )?;
                match self.url_source {
                    UrlSource::Trusted => Ok(()),
                    UrlSource::Untrusted => {
                        f.write_str(" and set egress.allow_callers, since a caller named it")
                    }
                }
            }
            SendError::Forbidden(Refusal::InvalidUrl)
            | SendError::Unreachable(_)
            | SendError::Busy
            | SendError::Timeout(_)
            | SendError::TransferCoding
            | SendError::Cut => write!(f, "{origin}: {error}"),
        }
    }
}

impl ServiceError {
    /// Returns why the call was not made or not answered, if that is the cause.
    #[must_use]
    pub fn call_failure(&self) -> Option<&CallFailure> {
        match self {
            Self::BadRequest(detail)
            | Self::Forbidden(detail)
            | Self::NoAnswer(detail)
            | Self::BadAnswer(detail)
            | Self::Unreachable(detail)
            | Self::Overloaded(detail)
            | Self::Timeout(detail)
            | Self::Internal(detail) => call_failure(detail),
            Self::MissingSecret { .. }
            | Self::Restricted { .. }
            | Self::UnknownService { .. }
            | Self::Provider { .. } => None,
        }
    }
}

pub(crate) fn call_failure(detail: &ErrorDetail) -> Option<&CallFailure> {
    detail.source()?.downcast_ref()
}

/// Returns the origin of a destination, unless its host is none that DNS could have: somebody may have
/// put a secret there.
fn loggable_origin(destination: &Destination) -> String {
    let origin = destination.url.origin();
    let is_name = |label: &str| label.len() <= MAX_LABEL_BYTES;
    if !origin.host().split('.').all(is_name) {
        return "(not a host name)".to_owned();
    }
    let origin = origin.to_string();
    match &destination.secret {
        Some(secret) => mask(&origin, secret),
        None => origin,
    }
}

#[cfg(test)]
mod tests {
    use aisbreaker_api::ServiceUrl;
    use aisbreaker_egress::Failure;

    use super::*;

    fn text(url: &str, source: UrlSource, error: SendError) -> String {
        let destination = Destination {
            url: ServiceUrl::resolve(url, "", None).unwrap(),
            secret: Some("sk-secret".into()),
            is_sealed: false,
            is_named_by_caller: true,
            url_source: source,
        };
        CallFailure::new(error, &destination).to_string()
    }

    #[test]
    fn a_refusal_names_the_value_that_allows_the_call() {
        let address = SendError::Forbidden(Refusal::Address);
        assert_eq!(
            text(
                "https://10.0.0.1:8443/v1?key=x#no-default-path",
                UrlSource::Trusted,
                address.clone()
            ),
            "https://10.0.0.1:8443: the address is not public; to allow it, add \
             https://10.0.0.1:8443 to egress.allow"
        );
        assert_eq!(
            text(
                "http://a.example/",
                UrlSource::Untrusted,
                SendError::Forbidden(Refusal::Scheme)
            ),
            "http://a.example: http is not allowed for this address, only https; to allow it, add \
             http://a.example to egress.allow and set egress.allow_callers, since a caller named it"
        );
        let masked = text(
            "https://sk-secret.example/",
            UrlSource::Trusted,
            address.clone(),
        );
        assert!(masked.starts_with("https://***.example: "), "{masked}");
        let long = format!("https://{}.example/", "a".repeat(64));
        let long = text(&long, UrlSource::Trusted, address);
        assert!(long.starts_with("(not a host name): "), "{long}");
    }

    #[test]
    fn a_failure_names_the_origin() {
        let host = "a.example".to_owned();
        let unknown = SendError::Unreachable(Failure::Resolution { host });
        assert_eq!(
            text("https://a.example/v1", UrlSource::Trusted, unknown),
            "https://a.example: no address found for a.example"
        );
    }
}
