//! The errors of the OAuth endpoints: minting, the exchange, introspection and revocation.

use std::time::Duration;

use aisbreaker_token::delegation::DelegationError;
use http::{
    StatusCode,
    header::{CACHE_CONTROL, WWW_AUTHENTICATE},
};

use super::{BASIC, INVALID_KEY};
use crate::{
    api::{
        introspect::IntrospectError,
        revoke::RevokeError,
        token::{ExchangeError, MintError},
    },
    failure::{ErrorType, Failure},
    response::NO_STORE,
    revocation::NotRevoked,
};

/// How long to wait for room in the list of revoked keys, from which keys go as they expire.
const FULL_LIST_RETRY: Duration = Duration::from_secs(60);
impl From<MintError> for Failure {
    fn from(error: MintError) -> Self {
        match error {
            MintError::Request(invalid) => invalid.into(),
            MintError::UnknownClient => Self::new(
                StatusCode::UNAUTHORIZED,
                "this server mints keys only for those who know its secret: send it as clientSecret, or as the password \
                 of HTTP Basic authentication",
            )
            .with_kind("invalid_client")
            .with_header(WWW_AUTHENTICATE, BASIC),
            MintError::ForbiddenService { index } => Self::new(
                StatusCode::FORBIDDEN,
                format!(
                    "requestAuthAndQuotas.serviceSecrets[{index}].serviceId is none of the services for which this \
                     server seals secrets"
                ),
            ),
            MintError::ForbiddenUrl { index } => Self::new(
                StatusCode::FORBIDDEN,
                format!(
                    "requestAuthAndQuotas.serviceSecrets[{index}].url must be at a public https address, since anyone \
                     may mint here; the operator can restrict minting (mint.secret), or open such addresses to all \
                     callers (egress.allow_callers)"
                ),
            ),
            MintError::TooLong { chars, maximum } => Self::new(
                StatusCode::BAD_REQUEST,
                format!(
                    "the key would have {chars} characters, more than {maximum}: seal fewer or shorter serviceSecrets"
                ),
            ),
            MintError::Internal(cause) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the key could not be sealed; try again")
                    .with_cause(cause)
            }
        }
    }
}

impl From<ExchangeError> for Failure {
    /// Source: RFC 6749 section 5.2, RFC 8693 section 2.2.2.
    fn from(error: ExchangeError) -> Self {
        let refused = |code, message: String| {
            let mut failure = Self::new(StatusCode::BAD_REQUEST, message);
            failure.oauth_error = Some(code);
            failure.with_header(CACHE_CONTROL, NO_STORE)
        };
        match error {
            ExchangeError::Request(invalid) => refused("invalid_request", invalid.to_string()),
            ExchangeError::UnsupportedGrantType => refused(
                "unsupported_grant_type",
                "grant_type must be urn:ietf:params:oauth:grant-type:token-exchange; a request without it mints a key"
                    .to_owned(),
            ),
            ExchangeError::InvalidTarget { parameter } => refused(
                "invalid_target",
                format!("{parameter} must name the host that the request is sent to, for which the key is"),
            ),
            ExchangeError::InvalidScope => refused(
                "invalid_scope",
                "there are no scopes; narrow the key with restrict".to_owned(),
            ),
            ExchangeError::InvalidSubject { cause } => {
                let failure = refused("invalid_request", format!("subject_token: {INVALID_KEY}"));
                failure.with_cause(cause.unwrap_or_default())
            }
            ExchangeError::Delegation(DelegationError::NeverValid) => refused(
                "invalid_request",
                "notBefore must be before the key expires, which is no later than subject_token does".to_owned(),
            ),
            ExchangeError::Delegation(cause) => refused(
                "invalid_request",
                format!("subject_token allows no further exchange: {cause}"),
            ),
            ExchangeError::TooLong { chars, maximum } => refused(
                "invalid_request",
                format!("the key would have {chars} characters, more than {maximum}: send a shorter restrict"),
            ),
            ExchangeError::Internal(cause) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the key could not be sealed; try again")
                    .with_cause(cause)
                    .into_oauth_error()
            }
        }
    }
}

impl From<IntrospectError> for Failure {
    fn from(error: IntrospectError) -> Self {
        match error {
            IntrospectError::UnknownClient => Self::new(
                StatusCode::UNAUTHORIZED,
                "only the holder of a key and the operator may ask about it: send the key itself as the bearer value, \
                 or the operator's secret as the password of HTTP Basic authentication",
            )
            .with_header(WWW_AUTHENTICATE, BASIC),
            IntrospectError::NotRead => not_read(),
        }
    }
}

impl From<RevokeError> for Failure {
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::Exceeded {
                limit,
                unit,
                retry_after,
            } => {
                let message = format!(
                    "too many revocations: no more than {limit} per minute{unit}; try again later"
                );
                Self::quota_exceeded(message, retry_after)
            }
            RevokeError::NotRead => not_read(),
            RevokeError::UnknownOperator => Self::new(
                StatusCode::UNAUTHORIZED,
                "only the operator revokes keys by id: send the operator's secret as the password of HTTP Basic \
                 authentication",
            )
            .with_header(WWW_AUTHENTICATE, BASIC),
            RevokeError::NotRevoked(NotRevoked::Full) => Self::overloaded(
                "this server's list of revoked keys is full: the key is not revoked; try again later",
            )
            .with_type(ErrorType::StoreUnavailable)
            .with_retry_after(FULL_LIST_RETRY),
            RevokeError::NotRevoked(NotRevoked::NotKept(cause)) => Self::overloaded(
                "the revocation could not be kept, and may end with this server's process; try again",
            )
            .with_type(ErrorType::StoreUnavailable)
            .with_cause(cause),
        }
    }
}

/// Creates the failure of a question about a key that was not opened.
fn not_read() -> Failure {
    Failure::quota_exceeded(
        "too many keys of this client that were sealed offline did not open: the key was not read; try again later",
        Some(Duration::from_secs(60)),
    )
}
