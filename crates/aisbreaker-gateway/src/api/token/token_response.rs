//! The response of the token endpoint.

use aisbreaker_token::{KeyId, SealedKey};
use http::Response;
use serde::Serialize;

use crate::response::{self, ResponseBody};

/// The only type of token there is (RFC 8693 section 3).
pub(super) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A new key (RFC 6749 section 5.1).
#[derive(Serialize)]
pub(crate) struct TokenResponse<'a> {
    access_token: &'a str,
    /// Only of an exchange (RFC 8693 section 2.2.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_token_type: Option<&'static str>,
    token_type: &'static str,
    expires_in: u64,
    #[serde(rename = "keyId")]
    key_id: KeyId,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
}

impl<'a> TokenResponse<'a> {
    /// Creates the response of minting.
    pub(crate) fn minted(
        key: &'a SealedKey,
        name: Option<&'a str>,
        warnings: &'a [String],
    ) -> Self {
        Self {
            access_token: key.expose(),
            issued_token_type: None,
            token_type: "Bearer",
            expires_in: key.expires_in().as_secs(),
            key_id: key.id(),
            name,
            warnings,
        }
    }

    /// Creates the response of an exchange.
    pub(super) fn exchanged(
        key: &'a SealedKey,
        name: Option<&'a str>,
        warnings: &'a [String],
    ) -> Self {
        Self {
            issued_token_type: Some(ACCESS_TOKEN),
            ..Self::minted(key, name, warnings)
        }
    }

    pub(crate) fn send(&self) -> Response<ResponseBody> {
        response::not_stored(self)
    }
}
