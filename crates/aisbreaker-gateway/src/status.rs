//! Where errors become HTTP: one `match` per error enum and no `_` arm, so that a new variant does
//! not compile until somebody has chosen its status.

use std::time::Duration;

use aisbreaker_api::InvalidRequest;
use aisbreaker_services::ServiceError;
use http::{
    HeaderValue, StatusCode,
    header::{ACCEPT_ENCODING, RETRY_AFTER, WWW_AUTHENTICATE},
};

use crate::{
    admit::{NotAdmitted, Refused},
    answer::{Failure, X_SHOULD_RETRY},
    authenticate::AuthFault,
    identity::HostFault,
    mint::MintFault,
    parse::ParseFault,
};

/// Clients that sleep out `Retry-After` should not do so for longer than this.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
const INVALID_TOKEN: HeaderValue = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
/// RFC 6749 section 5.2 wants the scheme of the client told.
const BASIC: HeaderValue = HeaderValue::from_static(r#"Basic realm="aisbreaker", charset="UTF-8""#);
const BEARER: HeaderValue = HeaderValue::from_static("Bearer");

/// What every bad key gets, whatever is wrong with it.
const BAD_KEY: &str = "Invalid aisbreaker access token: it is not valid at this host, has expired or was altered. \
                       Mint a new one with POST /api/v1/oauth/token";

impl From<HostFault> for Failure {
    fn from(fault: HostFault) -> Self {
        match fault {
            HostFault::Unreadable => Self::new(
                StatusCode::BAD_REQUEST,
                "the request must name exactly one valid host in its Host field",
            ),
            HostFault::NotOurs => Self::new(
                StatusCode::MISDIRECTED_REQUEST,
                "this server does not answer to the host of the request; use one of its public host names",
            ),
        }
    }
}

impl From<ParseFault> for Failure {
    fn from(fault: ParseFault) -> Self {
        match fault {
            ParseFault::Host(fault) => fault.into(),
            ParseFault::HeadTooLarge => Self::new(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "the header fields of the request are too large",
            ),
            ParseFault::ContentType { accepted } => Self::new(
                StatusCode::BAD_REQUEST,
                format!("the Content-Type of the request must be {accepted}"),
            ),
            ParseFault::ContentEncoding => Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the Content-Encoding of the request must be gzip, deflate or none",
            )
            .with_header(ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate")),
            ParseFault::Inflate => Self::new(
                StatusCode::BAD_REQUEST,
                "the request body is not what its Content-Encoding says",
            ),
            ParseFault::TooLarge { limit } => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!(
                    "the request body is larger than {limit} bytes, the most that this server takes"
                ),
            ),
            ParseFault::Slow => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "the request body did not come in time; send it without pauses",
            ),
            ParseFault::Busy => overloaded(
                "this server is overloaded: too many large requests are being read; try again",
            ),
            ParseFault::Overloaded(spent) => ServiceError::from(spent).into(),
            ParseFault::Cut => Self::new(StatusCode::BAD_REQUEST, "the request body ended early"),
            ParseFault::Field { name } => Self::new(
                StatusCode::BAD_REQUEST,
                format!("the request field {name} is not valid, or there twice"),
            ),
            ParseFault::Body(invalid) => invalid.into(),
        }
    }
}

impl From<InvalidRequest> for Failure {
    fn from(invalid: InvalidRequest) -> Self {
        Self::new(StatusCode::BAD_REQUEST, invalid.to_string())
    }
}

impl From<AuthFault> for Failure {
    fn from(fault: AuthFault) -> Self {
        match fault {
            AuthFault::BadKey(cause) => Self::new(StatusCode::UNAUTHORIZED, BAD_KEY)
                .with_header(WWW_AUTHENTICATE, INVALID_TOKEN)
                .because(cause.to_string()),
            AuthFault::BadDefaultKey(cause) => Self::new(
                StatusCode::UNAUTHORIZED,
                "this server's default key is not valid at this host; send a key of your own in Authorization",
            )
            .with_header(WWW_AUTHENTICATE, BEARER)
            .because(format!("default key refused: {cause}")),
            AuthFault::BadPattern => Self::new(StatusCode::UNAUTHORIZED, BAD_KEY)
                .with_header(WWW_AUTHENTICATE, INVALID_TOKEN)
                .because("key names a service id that cannot be one"),
            AuthFault::NotBearer => Self::new(
                StatusCode::UNAUTHORIZED,
                "Authorization must be 'Bearer' and an aisbreaker key or the secret of the service",
            )
            .with_header(WWW_AUTHENTICATE, BEARER),
        }
    }
}

impl From<NotAdmitted> for Failure {
    fn from(not_admitted: NotAdmitted) -> Self {
        match not_admitted {
            NotAdmitted::Refused(refused) => refused.into(),
            NotAdmitted::Unavailable(cause) => overloaded(
                "this server cannot count requests at the moment, and so takes none; try again",
            )
            .because(cause.to_string()),
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let mut failure = spent(refused.message(), refused.retry_after);
        refused.describe(&mut failure.headers);
        failure
    }
}

/// A quota is spent, and there is this long to wait; without a time, for ever.
pub(crate) fn spent(message: impl Into<String>, wait: Option<Duration>) -> Failure {
    let mut failure = Failure::new(StatusCode::TOO_MANY_REQUESTS, message);
    if let Some(wait) = wait {
        failure = failure.with_header(RETRY_AFTER, seconds_rounded_up(wait));
    }
    if wait.is_none_or(|wait| wait > LONGEST_SLEEP) {
        failure = failure.with_header(X_SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    failure
}

impl From<MintFault> for Failure {
    fn from(fault: MintFault) -> Self {
        match fault {
            MintFault::Request(invalid) => invalid.into(),
            MintFault::UnknownClient => Self::new(
                StatusCode::UNAUTHORIZED,
                "this server mints keys only for those who know its secret: send it as clientSecret, or as the password \
                 of HTTP Basic authentication",
            )
            .with_kind("invalid_client")
            .with_header(WWW_AUTHENTICATE, BASIC),
            MintFault::ForbiddenService { index } => Self::new(
                StatusCode::FORBIDDEN,
                format!(
                    "requestAuthAndQuotas.serviceSecrets[{index}].serviceId is none of the services for which this \
                     server seals secrets"
                ),
            ),
            MintFault::TooLong { chars, maximum } => Self::new(
                StatusCode::BAD_REQUEST,
                format!(
                    "the key would have {chars} characters, more than {maximum}: seal fewer or shorter serviceSecrets"
                ),
            ),
            MintFault::Internal(cause) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the key could not be sealed; try again")
                    .because(cause)
            }
        }
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        let message = error.to_string();
        match error {
            ServiceError::BadRequest(_) => Self::new(StatusCode::BAD_REQUEST, message),
            ServiceError::MissingSecret { .. } => {
                Self::new(StatusCode::UNAUTHORIZED, message).with_header(WWW_AUTHENTICATE, BEARER)
            }
            ServiceError::Forbidden(_) => Self::new(StatusCode::FORBIDDEN, message),
            ServiceError::UnknownService { .. } => Self::new(StatusCode::NOT_FOUND, message),
            ServiceError::Provider { error, retry_after } => {
                let status = StatusCode::from_u16(error.status_code)
                    .ok()
                    .filter(|status| status.is_client_error() || status.is_server_error())
                    .unwrap_or(StatusCode::BAD_GATEWAY);
                let cause = format!("provider answered {}", status.as_u16());
                let mut failure = Self::new(status, error.message).because(cause);
                failure.status_text = Some(error.status_text);
                failure.kind = error.kind;
                if let Some(wait) = retry_after {
                    failure = failure.with_header(RETRY_AFTER, seconds_rounded_up(wait));
                }
                if status == StatusCode::UNAUTHORIZED {
                    failure = failure.with_header(WWW_AUTHENTICATE, BEARER);
                }
                failure
            }
            ServiceError::BadAnswer(_) => Self::new(StatusCode::BAD_GATEWAY, message),
            ServiceError::Unreachable(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, message),
            ServiceError::Overloaded(_) => overloaded(message),
            ServiceError::Timeout(_) => Self::new(StatusCode::GATEWAY_TIMEOUT, message),
            ServiceError::Internal(cause) => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "this server has a fault; try again",
            )
            .because(cause.to_string()),
        }
    }
}

/// This server has too much to do; a moment later it may have less.
pub(crate) fn overloaded(message: impl Into<String>) -> Failure {
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, message)
        .with_header(RETRY_AFTER, HeaderValue::from_static("1"))
}

/// Whole seconds, rounded up, at least one (RFC 9110 section 10.2.3).
fn seconds_rounded_up(wait: Duration) -> HeaderValue {
    HeaderValue::from(crate::admit::whole_seconds(wait).max(1))
}
