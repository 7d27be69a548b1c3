//! Why a call was not made or not answered, in words for the operator.

use std::{error::Error as _, fmt};

use aisbreaker_egress::{Failure, Refusal, SendError, UrlSource};
use secrecy::{ExposeSecret as _, SecretString};

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
            // Its own text has the host as it is.
            SendError::Unreachable(Failure::Resolution { .. }) => {
                write!(f, "{origin}: no address found")
            }
            SendError::Forbidden(Refusal::InvalidUrl)
            | SendError::Unreachable(Failure::Refused | Failure::Tls | Failure::Network)
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

/// Returns the origin of a destination, with its host as [`loggable_host`] has it.
fn loggable_origin(destination: &Destination) -> String {
    let origin = destination.url.origin();
    let text = origin.to_string();
    text.replacen(origin.host(), &loggable_host(destination), 1)
}

/// Returns the host of a destination, without the secret, and nothing of one that DNS could not have:
/// somebody may have put a secret there.
pub(crate) fn loggable_host(destination: &Destination) -> String {
    let origin = destination.url.origin();
    let host = origin.host();
    if host.split('.').any(|label| label.len() > MAX_LABEL_BYTES) {
        return "not-a-host-name".to_owned();
    }
    match &destination.secret {
        // Hosts are in lower case.
        Some(secret) => {
            let lower: SecretString = secret.expose_secret().to_ascii_lowercase().into();
            mask(host, &lower)
        }
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aisbreaker_api::ServiceUrl;

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
        assert!(long.starts_with("https://not-a-host-name: "), "{long}");
    }

    #[test]
    fn a_failure_names_the_origin_and_no_secret_in_it() {
        let rows = [
            ("a.example", "https://a.example: no address found"),
            ("sk-secret.example", "https://***.example: no address found"),
            // Of a secret in mixed case, a host has the lower case.
            (
                "x.SK-Secret.example",
                "https://x.***.example: no address found",
            ),
        ];
        for (host, expected) in rows {
            for host in [host.to_owned(), [host, ":443"].concat()] {
                let error = SendError::Unreachable(Failure::Resolution {
                    host: host.to_ascii_lowercase(),
                });
                let shown = text(&format!("https://{host}/v1"), UrlSource::Trusted, error);
                assert_eq!(shown, expected);
            }
        }
        let long = format!("{}.example", "a".repeat(64));
        let error = SendError::Unreachable(Failure::Resolution { host: long.clone() });
        let shown = text(&format!("https://{long}/"), UrlSource::Trusted, error);
        assert_eq!(shown, "https://not-a-host-name: no address found");
    }
}
