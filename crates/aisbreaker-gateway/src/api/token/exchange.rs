//! The token exchange (RFC 8693): the holder of a key gets a narrower one.
//!
//! The server stores nothing. Whoever has a key may narrow it: no other credentials are asked for,
//! even where minting takes a secret.

mod request;

use std::{cell::OnceCell, net::IpAddr, time::SystemTime};

use aisbreaker_api::InvalidRequest;
use aisbreaker_token::{
    Grant, Host, KeyRing, Opened, Restriction, SealError, SealedKey,
    delegation::{self, DelegationError, GrantPart},
};
use http::Response;

pub(super) use self::request::ExchangeRequest;
use super::{budgets, reach::Reach, token_response::TokenResponse};
use crate::{
    failure::Failure, pipeline::Pipeline, request::error::RequestError, response::ResponseBody,
    telemetry::access_log::AccessLog,
};

/// The grant type of the exchange.
pub(super) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// Why a token is not exchanged.
#[derive(Debug)]
pub(crate) enum ExchangeError {
    /// A parameter is missing, unusable or repeated.
    Request(InvalidRequest),
    /// Another grant type.
    UnsupportedGrantType,
    /// The parameter asks for a key of another host.
    InvalidTarget { parameter: &'static str },
    /// There are no scopes.
    InvalidScope,
    /// The subject token does not open here and now. The cause is for the log.
    InvalidSubject { cause: Option<String> },
    /// The subject token allows no child.
    Delegation(DelegationError),
    /// The key would be too long.
    TooLong { chars: usize, maximum: usize },
    /// The server failed.
    Internal(String),
}

impl From<InvalidRequest> for ExchangeError {
    fn from(invalid: InvalidRequest) -> Self {
        Self::Request(invalid)
    }
}

impl From<ExchangeError> for RequestError {
    fn from(error: ExchangeError) -> Self {
        Self::Refused(Box::new(error.into()))
    }
}

/// Exchanges a key for a narrower one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange<'a> {
    pub(super) keys: &'a KeyRing,
    pub(super) host: &'a Host,
    pub(super) client: IpAddr,
    pub(super) now: SystemTime,
}

impl Exchange<'_> {
    /// Answers a request that was admitted.
    pub(super) fn serve(
        self,
        pipeline: &Pipeline,
        request: ExchangeRequest,
        log: &mut AccessLog,
    ) -> Result<Response<ResponseBody>, ExchangeError> {
        request.check_target(self.host)?;
        if !pipeline.budgets.may_last {
            budgets::refuse_long(request.child.budgets.as_deref())
                .map_err(ExchangeError::Request)?;
        }
        let parent = match pipeline.open_key(&request.subject_token, self.host, self.client) {
            Ok(parent) => parent,
            Err(error) => {
                let cause = Failure::from(error).cause;
                return Err(ExchangeError::InvalidSubject { cause });
            }
        };
        log.set_parent(parent.id());
        let name = request.child.name.clone();
        let key = self.seal_child(parent, request.child)?;
        log.set_key(key.id());
        if let Some(name) = &name {
            log.set_key_name(name);
        }
        Ok(TokenResponse::exchanged(&key, name.as_deref(), &request.warnings).send())
    }

    fn seal_child(
        self,
        parent: Opened<Grant>,
        request: delegation::ChildRequest,
    ) -> Result<SealedKey, ExchangeError> {
        let reach = OnceCell::new();
        let can_use = |restrictions: &[Restriction], part: GrantPart<'_>| {
            let reach = reach.get_or_init(|| Reach::new(restrictions));
            reach.includes(part)
        };
        let (grant, validity) = delegation::child_of(parent, request, self.now, can_use)
            .map_err(ExchangeError::Delegation)?;
        match self.keys.seal_for(&grant, self.host, validity) {
            Ok(key) => Ok(key),
            Err(SealError::TooLong {
                chars,
                maximum_chars,
            }) => Err(ExchangeError::TooLong {
                chars,
                maximum: maximum_chars,
            }),
            Err(SealError::Lifetime) => Err(ExchangeError::Delegation(DelegationError::NeverValid)),
            Err(error) => Err(ExchangeError::Internal(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests;
