//! Why no key was minted.

use aisbreaker_api::InvalidRequest;

/// Why no key was minted.
#[derive(Debug)]
pub(crate) enum MintError {
    /// The request cannot be sealed.
    Request(InvalidRequest),
    /// Minting requires a secret, which the caller did not send.
    UnknownClient,
    /// This server seals no secrets for the service at this index.
    ForbiddenService { index: usize },
    /// The URL of the secret at this index would lead to an address that is not public.
    ForbiddenUrl { index: usize },
    /// The key would be too long.
    TooLong { chars: usize, maximum: usize },
    /// The server failed.
    Internal(String),
}

impl From<InvalidRequest> for MintError {
    fn from(invalid: InvalidRequest) -> Self {
        Self::Request(invalid)
    }
}
