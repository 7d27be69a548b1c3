//! The fixed words for what went wrong, in the log and the metrics.

use http::StatusCode;

macro_rules! error_types {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)+) => {
        /// What went wrong with a request.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub(crate) enum ErrorType {
            $($(#[$doc])* $variant,)+
        }

        impl ErrorType {
            /// All types, each at the index of its discriminant.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Returns the word for the log and the metrics.
            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

error_types! {
    /// The request is malformed or cannot be used.
    InvalidRequest = "invalid_request",
    /// The body is not in a form that is accepted.
    UnsupportedBody = "unsupported_body",
    /// The head or the body is too large.
    TooLarge = "too_large",
    /// The body did not arrive, or not in time.
    IncompleteBody = "incomplete_body",
    /// The host is missing or invalid.
    InvalidHost = "invalid_host",
    /// The server does not answer to this host.
    MisdirectedHost = "misdirected_host",
    /// There is nothing at this path.
    NotFound = "not_found",
    /// The path takes other methods.
    MethodNotAllowed = "method_not_allowed",
    /// The key, or the other credential, is not valid.
    InvalidKey = "invalid_key",
    /// The server takes no requests without a key.
    KeyRequired = "key_required",
    /// A restriction of the key.
    Restricted = "restricted",
    /// The operator does not allow it.
    Forbidden = "forbidden",
    /// A quota is used up.
    QuotaExceeded = "quota_exceeded",
    /// A budget in tokens has too little left.
    TokensExceeded = "token_budget_exceeded",
    /// A budget in dollars has too little left for now.
    BudgetExceeded = "budget_exceeded",
    /// A budget in dollars is spent for good.
    BudgetSpent = "budget_spent",
    /// A budget is in dollars, and the price of the model is not known.
    PriceUnknown = "model_price_unknown",
    /// There is no such service or model.
    UnknownService = "unknown_service",
    /// There is no secret for the service.
    MissingSecret = "missing_secret",
    /// The egress policy or the key does not allow the address.
    EgressForbidden = "egress_forbidden",
    /// As many connections are open as may be.
    TooManyConnections = "too_many_connections",
    /// The server has too much to do.
    Overloaded = "overloaded",
    /// The server shuts down.
    Draining = "draining",
    /// The shared store does not answer.
    StoreUnavailable = "store_unavailable",
    /// The server has a fault.
    Internal = "internal",
    /// The provider answered with an error.
    ProviderError = "provider_error",
    /// The provider could not be reached.
    ProviderUnreachable = "provider_unreachable",
    /// The provider was too slow.
    ProviderTimeout = "provider_timeout",
    /// The provider's answer was cut short, or could not be read.
    ProviderCut = "provider_cut",
    /// The client left before the end.
    ClientLeft = "client_left",
}

impl ErrorType {
    /// Returns the type of a failure of which only the status is known.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::InvalidKey,
            StatusCode::FORBIDDEN => Self::Forbidden,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::TOO_MANY_REQUESTS => Self::QuotaExceeded,
            StatusCode::SERVICE_UNAVAILABLE => Self::Overloaded,
            status if status.is_server_error() => Self::Internal,
            _ => Self::InvalidRequest,
        }
    }
    /// Returns whether this server refused the request, rather than that a provider or the client
    /// ended it.
    pub(crate) fn is_refusal(self) -> bool {
        match self {
            Self::Internal
            | Self::ProviderError
            | Self::ProviderUnreachable
            | Self::ProviderTimeout
            | Self::ProviderCut
            | Self::ClientLeft => false,
            Self::InvalidRequest
            | Self::UnsupportedBody
            | Self::TooLarge
            | Self::IncompleteBody
            | Self::InvalidHost
            | Self::MisdirectedHost
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::InvalidKey
            | Self::KeyRequired
            | Self::Restricted
            | Self::Forbidden
            | Self::QuotaExceeded
            | Self::TokensExceeded
            | Self::BudgetExceeded
            | Self::BudgetSpent
            | Self::PriceUnknown
            | Self::UnknownService
            | Self::MissingSecret
            | Self::EgressForbidden
            | Self::TooManyConnections
            | Self::Overloaded
            | Self::Draining
            | Self::StoreUnavailable => true,
        }
    }
}
