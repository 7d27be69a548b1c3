//! Where errors get their HTTP status.
//!
//! There is one `match` per error enum and no `_` arm, so a new variant does not compile until
//! somebody has chosen its status. Those of the OAuth endpoints are in `oauth`.

mod budgets;
mod oauth;

use aisbreaker_api::InvalidRequest;
use aisbreaker_services::ServiceError;
use aisbreaker_token::Host;
use http::{
    HeaderValue, StatusCode,
    header::{
        ACCEPT_ENCODING, ALLOW, CONNECTION, SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE,
    },
};

use crate::{
    admission::refusal::{Exceeded, NotAdmitted},
    api::quota::QuotaError,
    authenticate::AuthenticationError,
    clock::ceil_seconds,
    failure::{ErrorType, Failure},
    gateway_error::GatewayError,
    provider_api::{error::ProviderApiError, socket::SocketRefusal},
    request::{
        error::{HandshakeError, HostError, RequestError},
        websocket::WEBSOCKET,
    },
    restrictions::{
        RestrictionError,
        bypass::{BypassError, Limit},
    },
    revocation::Revoked,
    route::RouteError,
};

const INVALID_TOKEN: HeaderValue = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
const BEARER: HeaderValue = HeaderValue::from_static("Bearer");
/// RFC 6749 section 5.2 requires the scheme that the client used.
const BASIC: HeaderValue = HeaderValue::from_static(r#"Basic realm="aisbreaker", charset="UTF-8""#);

/// Follows the message about a missing secret, for clients that only know of API keys.
const MISSING_SECRET_HINT: &str =
    "; the API key must be a key of this server that has a secret for it, or that secret itself";
/// The longest label of a host name (RFC 1035 section 2.3.4).
const MAX_LABEL_BYTES: usize = 63;
/// The message for every invalid key, whatever is wrong with it.
const INVALID_KEY: &str = "Invalid aisbreaker access token: it is not valid at this host, has expired or was altered. \
                           Mint a new one with POST /api/v1/oauth/token";

impl From<GatewayError> for Failure {
    fn from(error: GatewayError) -> Self {
        match error {
            GatewayError::TooManyRequests => Self::overloaded(
                "this server is overloaded: too many requests are in flight; try again",
            ),
            GatewayError::Draining => Self::overloaded("this server is shutting down; try again")
                .with_type(ErrorType::Draining)
                .with_header(CONNECTION, HeaderValue::from_static("close")),
            GatewayError::NotReady => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "this server is shutting down",
            )
            .with_type(ErrorType::Draining),
            // The panic message may hold a secret, so it is dropped.
            GatewayError::Panicked => ServiceError::Internal("the gateway panicked".into()).into(),
        }
    }
}

impl From<RouteError<'_>> for Failure {
    fn from(error: RouteError<'_>) -> Self {
        match error {
            RouteError::NotFound => Self::new(
                StatusCode::NOT_FOUND,
                "this server has no such path; see /api/v1/version",
            ),
            RouteError::ConsoleOff => Self::new(
                StatusCode::NOT_FOUND,
                "the console of this server is off; its operator can turn it on with \
                 AISBREAKER_CONSOLE=on",
            ),
            RouteError::NotServed(request) => Self::new(StatusCode::NOT_FOUND, request.to_string()),
            RouteError::WrongBaseUrl => Self::new(
                StatusCode::NOT_FOUND,
                "this server has no such path; OpenAI's clients need a base URL that ends with /v1, \
                 Anthropic's one without a path",
            ),
            RouteError::MethodNotAllowed { allowed } => Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                format!("this path accepts {allowed}"),
            )
            .with_header(ALLOW, HeaderValue::from_static(allowed)),
            RouteError::WebSocket => Self::new(
                StatusCode::UPGRADE_REQUIRED,
                "this path has no WebSocket; send the request over HTTP, where responses can be \
                 streamed as server-sent events",
            )
            .with_header(UPGRADE, HeaderValue::from_static("HTTP/1.1"))
            .with_header(CONNECTION, HeaderValue::from_static("upgrade")),
        }
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Invalid => Self::new(
                StatusCode::BAD_REQUEST,
                "the request must name exactly one valid host in its Host field",
            )
            .with_type(ErrorType::InvalidHost),
            HostError::Misdirected(host) => Self::new(
                StatusCode::MISDIRECTED_REQUEST,
                "this server does not answer to the host of the request; use one of its public host names",
            )
            .with_type(ErrorType::MisdirectedHost)
            .with_cause(misdirected_cause(&host)),
        }
    }
}

/// Returns which host a request named, unless it is none that DNS could have: somebody may have put a
/// secret there.
fn misdirected_cause(host: &Host) -> String {
    let is_name = host
        .as_str()
        .split('.')
        .all(|label| label.len() <= MAX_LABEL_BYTES);
    let host = if is_name {
        host.as_str()
    } else {
        "(not a host name)"
    };
    format!(
        "the request is for the host {host}, which is not in public_hosts; a proxy in front must pass on \
         the Host of its client"
    )
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Host(error) => error.into(),
            RequestError::HeadTooLarge => Self::new(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "the header fields of the request are too large",
            )
            .with_type(ErrorType::TooLarge),
            RequestError::MediaType { accepted } => Self::new(
                StatusCode::BAD_REQUEST,
                format!("the Content-Type of the request must be {accepted}"),
            )
            .with_type(ErrorType::UnsupportedBody),
            RequestError::ContentCoding => Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the Content-Encoding of the request must be gzip, deflate or none",
            )
            .with_type(ErrorType::UnsupportedBody)
            .with_header(ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate")),
            RequestError::Inflate => Self::new(
                StatusCode::BAD_REQUEST,
                "the request body is not encoded as its Content-Encoding says",
            )
            .with_type(ErrorType::UnsupportedBody),
            RequestError::TooLarge { limit } => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the request body is larger than {limit} bytes, the limit of this server"),
            )
            .with_type(ErrorType::TooLarge),
            RequestError::TooLargeForKey => restricted(
                StatusCode::PAYLOAD_TOO_LARGE,
                "maxBodyBytes",
                "a request body of this size",
            ),
            RequestError::Timeout => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "the request body did not arrive in time; send it without pauses",
            )
            .with_type(ErrorType::IncompleteBody),
            RequestError::Busy => Self::overloaded(
                "this server is overloaded: too many large requests are being read; try again",
            ),
            RequestError::OutOfMemory(spent) => ServiceError::from(spent).into(),
            RequestError::Incomplete => {
                Self::new(StatusCode::BAD_REQUEST, "the request body ended early")
                    .with_type(ErrorType::IncompleteBody)
            }
            RequestError::InvalidField { name } => Self::new(
                StatusCode::BAD_REQUEST,
                format!("the header field {name} is invalid or repeated"),
            ),
            RequestError::Content(invalid) => invalid.into(),
            RequestError::Handshake(error) => error.into(),
            RequestError::Refused(failure) => *failure,
        }
    }
}

impl From<HandshakeError> for Failure {
    fn from(error: HandshakeError) -> Self {
        let bad = |message| Self::new(StatusCode::BAD_REQUEST, message);
        match error {
            HandshakeError::NoUpgrade => Self::new(
                StatusCode::UPGRADE_REQUIRED,
                "this path is a WebSocket (RFC 6455); open it by HTTP/1.1, and have proxies in front \
                 pass on the fields Connection and Upgrade",
            )
            .with_header(UPGRADE, WEBSOCKET)
            .with_header(CONNECTION, HeaderValue::from_static("upgrade")),
            HandshakeError::Version => Self::new(
                StatusCode::UPGRADE_REQUIRED,
                "Sec-WebSocket-Version must be 13",
            )
            .with_header(UPGRADE, WEBSOCKET)
            .with_header(CONNECTION, HeaderValue::from_static("upgrade"))
            .with_header(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
            HandshakeError::Key => bad("Sec-WebSocket-Key must be 16 bytes in base64"),
            HandshakeError::Protocols => bad(
                "Sec-WebSocket-Protocol must be a list of tokens, with one key at most, as \
                 openai-insecure-api-key.<key>",
            ),
            HandshakeError::Extensions => bad(
                "Sec-WebSocket-Extensions must hold no key; send it in Authorization",
            ),
            HandshakeError::Content => bad("the handshake of a WebSocket has no content"),
        }
    }
}

impl From<SocketRefusal> for Failure {
    fn from(refusal: SocketRefusal) -> Self {
        let (message, cause) = match refusal {
            SocketRefusal::Budgets => (
                "a key with budgets opens no WebSocket, since what happens there cannot be charged to \
                 them; use a key without budgets, or HTTP",
                "a key with budgets opens no WebSocket",
            ),
            SocketRefusal::BodyLimit => (
                "the key's restriction `maxBodyBytes` does not allow a WebSocket, whose messages can \
                 be longer",
                "refused by the restriction maxBodyBytes of the key",
            ),
            SocketRefusal::SeveralServices => (
                "the key has several services or aliases, and a WebSocket is one of a single service",
                "a key for several services opens no WebSocket of responses",
            ),
            SocketRefusal::SingleModels => (
                "the key has this service for single models only, and a WebSocket can name others in its \
                 messages; use a key with the whole service",
                "a key for single models opens no WebSocket",
            ),
        };
        Self::new(StatusCode::FORBIDDEN, message)
            .with_type(ErrorType::Restricted)
            .with_cause(cause)
    }
}

impl From<InvalidRequest> for Failure {
    fn from(invalid: InvalidRequest) -> Self {
        Self::new(StatusCode::BAD_REQUEST, invalid.to_string())
    }
}

impl From<AuthenticationError> for Failure {
    fn from(error: AuthenticationError) -> Self {
        match error {
            AuthenticationError::InvalidKey(cause) => invalid_key(cause.to_string()),
            AuthenticationError::RuleBroken(broken) => invalid_key(broken.to_string()),
            AuthenticationError::Revoked(revoked) => invalid_key(revoked.to_string()),
            AuthenticationError::TooManyFailures => invalid_key(
                "offline key of a client whose offline keys failed too often; not opened",
            ),
            AuthenticationError::InvalidServiceId => {
                invalid_key("key names a service id that cannot be one")
            }
            AuthenticationError::InvalidRestriction(invalid) => invalid_key(format!(
                "key has a restriction {} whose value {} {}",
                invalid.member, invalid.index, invalid.problem
            )),
            AuthenticationError::DefaultKey(error) => {
                invalid_default_key(&Self::from(*error).cause.unwrap_or_default())
            }
            AuthenticationError::NotBearer => Self::new(
                StatusCode::UNAUTHORIZED,
                "Authorization must be 'Bearer' and an aisbreaker key or the secret of the service",
            )
            .with_header(WWW_AUTHENTICATE, BEARER),
            AuthenticationError::KeyRequired => Self::new(
                StatusCode::UNAUTHORIZED,
                "this server requires an aisbreaker key: mint one with POST /api/v1/oauth/token or ask its operator for \
                 one, and send it as 'Authorization: Bearer' and the key",
            )
            .with_type(ErrorType::KeyRequired)
            .with_header(WWW_AUTHENTICATE, BEARER),
        }
    }
}

impl From<RestrictionError> for Failure {
    fn from(error: RestrictionError) -> Self {
        let (restriction, what) = match error {
            RestrictionError::Client => ("clients", "the address of this client"),
            RestrictionError::Origin => {
                ("origins", "the Origin of this request, or that it has none")
            }
            RestrictionError::Operation(operation) => ("operations", operation),
        };
        restricted(StatusCode::FORBIDDEN, restriction, what)
    }
}

impl From<BypassError> for Failure {
    fn from(error: BypassError) -> Self {
        let BypassError { limit, family } = error;
        let (message, cause) = match limit {
            Limit::Services => {
                let what = format!(
                    "{family}, where other services can be named; have the key minted with {family} in \
                     `operations` of the same restriction"
                );
                return restricted(StatusCode::FORBIDDEN, "services", &what);
            }
            Limit::Engine => (
                format!(
                    "the secret in the key is for one model only, and {family} can name others; use a key for \
                     the whole service, or one that is minted with {family} in a restriction `operations`"
                ),
                "the secret of the key is for one model only",
            ),
            Limit::Budgets => (
                format!(
                    "the key has budgets, and what {family} spends cannot be counted; use a key without budgets"
                ),
                "the key has budgets, which could not be kept",
            ),
            Limit::DefaultKey => (
                format!(
                    "{family} needs a key of the caller's own; send one in Authorization, or have the operator \
                     mint this server's default key with {family} in a restriction `operations`"
                ),
                "the default key does not name the operation",
            ),
        };
        Self::new(StatusCode::FORBIDDEN, message)
            .with_type(ErrorType::Restricted)
            .with_cause(cause)
    }
}

/// Creates the failure of a request that a restriction of its key refuses. It never has a value of
/// the restriction.
fn restricted(status: StatusCode, restriction: &str, what: &str) -> Failure {
    let message = format!("the key's restriction `{restriction}` does not allow {what}");
    Failure::new(status, message)
        .with_type(ErrorType::Restricted)
        .with_cause(restriction_cause(restriction))
}

fn restriction_cause(restriction: &str) -> String {
    format!("refused by the restriction {restriction} of the key")
}

/// Creates the failure of a key that may not be used. It is one and the same, whatever the cause.
fn invalid_key(cause: impl Into<String>) -> Failure {
    Failure::new(StatusCode::UNAUTHORIZED, INVALID_KEY)
        .with_header(WWW_AUTHENTICATE, INVALID_TOKEN)
        .with_cause(cause)
}

fn invalid_default_key(cause: &str) -> Failure {
    Failure::new(
        StatusCode::UNAUTHORIZED,
        "this server's default key is not valid at this host; send a key of your own in Authorization",
    )
    .with_header(WWW_AUTHENTICATE, BEARER)
    .with_cause(format!("default key refused: {cause}"))
}

impl From<NotAdmitted> for Failure {
    fn from(not_admitted: NotAdmitted) -> Self {
        match not_admitted {
            NotAdmitted::Exceeded(exceeded) => exceeded.into(),
            NotAdmitted::Revoked => AuthenticationError::Revoked(Revoked::InStore).into(),
            NotAdmitted::Unavailable(cause) => Self::overloaded(
                "this server cannot count requests at the moment, and so takes none; try again",
            )
            .with_type(ErrorType::StoreUnavailable)
            .with_cause(cause.to_string()),
        }
    }
}

impl From<Exceeded> for Failure {
    fn from(exceeded: Exceeded) -> Self {
        let mut failure = Self::quota_exceeded(exceeded.message(), exceeded.retry_after);
        exceeded.write_headers(&mut failure.headers);
        failure
    }
}

impl From<QuotaError> for Failure {
    fn from(error: QuotaError) -> Self {
        match error {
            QuotaError::Exceeded {
                limit,
                unit,
                retry_after,
            } => {
                let seconds = ceil_seconds(retry_after).max(1);
                let message = format!(
                    "quotas were asked for too often: no more than {limit} per minute{unit}; try again in {seconds} s"
                );
                Self::quota_exceeded(message, Some(retry_after))
            }
            QuotaError::TooHeavy => Self::quota_exceeded("quotas cannot be asked for", None),
            QuotaError::Unavailable(cause) => Self::overloaded(
                "this server cannot tell at the moment how quotas stand; try again",
            )
            .with_type(ErrorType::StoreUnavailable)
            .with_cause(cause.to_string()),
        }
    }
}

impl From<ProviderApiError> for Failure {
    fn from(error: ProviderApiError) -> Self {
        match error {
            ProviderApiError::NoService(problem) => Self::new(StatusCode::NOT_FOUND, problem)
                .with_type(ErrorType::UnknownService)
                .with_param("model"),
            ProviderApiError::Bypass(error) => error.into(),
            ProviderApiError::UnknownModel => {
                Self::new(StatusCode::NOT_FOUND, "there is no such model")
                    .with_type(ErrorType::UnknownService)
                    .with_param("model")
            }
            ProviderApiError::Untranslatable(untranslatable) => Self::new(
                StatusCode::BAD_REQUEST,
                format!("the request cannot be translated for its provider: {untranslatable}"),
            )
            .with_param(untranslatable.member),
            ProviderApiError::Request(error) => error.into(),
            ProviderApiError::ModelIsKey => Self::new(
                StatusCode::BAD_REQUEST,
                "model holds an aisbreaker key; name a model",
            )
            .with_param("model"),
            ProviderApiError::KeyInQuery => Self::new(
                StatusCode::BAD_REQUEST,
                "the query holds a key, which would go to the provider; send it in Authorization",
            ),
            ProviderApiError::Service(error) => {
                let lacks_secret = matches!(error, ServiceError::MissingSecret { .. });
                let mut failure = Self::from(error);
                if lacks_secret {
                    failure.message.push_str(MISSING_SECRET_HINT);
                }
                failure
            }
        }
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        let message = error.to_string();
        let error_type = type_of(&error);
        let call_failure = error.call_failure().map(ToString::to_string);
        let mut failure =
            match error {
                ServiceError::BadRequest(_) => Self::new(StatusCode::BAD_REQUEST, message),
                ServiceError::MissingSecret { .. } => Self::new(StatusCode::UNAUTHORIZED, message)
                    .with_header(WWW_AUTHENTICATE, BEARER),
                ServiceError::Forbidden(_) => Self::new(StatusCode::FORBIDDEN, message),
                ServiceError::Restricted { .. } => Self::new(StatusCode::FORBIDDEN, message)
                    .with_cause(restriction_cause("services")),
                ServiceError::UnknownService { .. } => Self::new(StatusCode::NOT_FOUND, message),
                ServiceError::Provider {
                    error, retry_after, ..
                } => {
                    let status = StatusCode::from_u16(error.status_code)
                        .ok()
                        .filter(|status| status.is_client_error() || status.is_server_error())
                        .unwrap_or(StatusCode::BAD_GATEWAY);
                    let cause = format!("provider answered {}", status.as_u16());
                    let mut failure = Self::new(status, error.message).with_cause(cause);
                    failure.status_text = Some(error.status_text);
                    failure.kind = error.kind;
                    if let Some(wait) = retry_after {
                        failure = failure.with_retry_after(wait);
                    }
                    if status == StatusCode::UNAUTHORIZED {
                        failure = failure.with_header(WWW_AUTHENTICATE, BEARER);
                    }
                    failure
                }
                ServiceError::NoAnswer(_) | ServiceError::BadAnswer(_) => {
                    Self::new(StatusCode::BAD_GATEWAY, message)
                }
                ServiceError::Unreachable(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, message),
                ServiceError::Overloaded(_) => Self::overloaded(message),
                ServiceError::Timeout(_) => Self::new(StatusCode::GATEWAY_TIMEOUT, message),
                ServiceError::Internal(cause) => Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "this server has a fault; try again",
                )
                .with_cause(cause.to_string()),
            };
        if call_failure.is_some() {
            failure.cause = call_failure;
        }
        failure.with_type(error_type)
    }
}

fn type_of(error: &ServiceError) -> ErrorType {
    match error {
        ServiceError::BadRequest(_) => ErrorType::InvalidRequest,
        ServiceError::MissingSecret { .. } => ErrorType::MissingSecret,
        ServiceError::Forbidden(_) => ErrorType::EgressForbidden,
        ServiceError::Restricted { .. } => ErrorType::Restricted,
        ServiceError::UnknownService { .. } => ErrorType::UnknownService,
        ServiceError::Provider { .. } => ErrorType::ProviderError,
        ServiceError::NoAnswer(_) | ServiceError::BadAnswer(_) => ErrorType::ProviderCut,
        ServiceError::Unreachable(_) => ErrorType::ProviderUnreachable,
        ServiceError::Overloaded(_) => ErrorType::Overloaded,
        ServiceError::Timeout(_) => ErrorType::ProviderTimeout,
        ServiceError::Internal(_) => ErrorType::Internal,
    }
}
