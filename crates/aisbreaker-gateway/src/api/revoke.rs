//! `POST /api/v1/oauth/revoke`: revokes keys (RFC 7009).
//!
//! A holder revokes the key that it sends. The operator revokes keys by their ids.

mod revocation_request;

use std::{
    net::IpAddr,
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use aisbreaker_quota::Refusal;
use aisbreaker_token::{Host, KeyId, OpenError};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, request::Parts};
use http_body::Body;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use self::revocation_request::RevocationRequest;
use crate::{
    authenticate::AuthenticationError,
    failure::Failure,
    pipeline::Pipeline,
    request::{basic, credentials::key_in, head::Endpoints},
    response::{self, ResponseBody},
    revocation::{
        NotRevoked, Revocation,
        deny_list::{Revoker, from_unix_seconds},
    },
    telemetry::{
        access_log::AccessLog,
        metrics::{RevocationMetrics, RevocationOutcome},
    },
};

/// The requests per minute of one client, unless it is the operator.
const PER_CLIENT: NonZeroU32 = NonZeroU32::new(60).unwrap();
/// The requests per minute of all clients, unless they are the operator.
const GLOBAL: NonZeroU32 = NonZeroU32::new(600).unwrap();
/// For how long a key that is only known by its id is kept at least: the default of the longest
/// lifetime, in case that was longer when the key was minted.
const MIN_KEPT: Duration = Duration::from_secs(400 * 86_400);
/// How far ahead the clock of the server may be that issued a key.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Why nothing was revoked.
#[derive(Debug)]
pub(crate) enum RevokeError {
    /// There were too many requests.
    Exceeded {
        limit: NonZeroU32,
        /// What the limit counts besides the minute.
        unit: &'static str,
        /// `None`: never.
        retry_after: Option<Duration>,
    },
    /// Too many keys of this client that were sealed offline did not open, so that none is read.
    NotRead,
    /// Ids are revoked by the operator only.
    UnknownOperator,
    /// The keys cannot be kept.
    NotRevoked(NotRevoked),
}

/// The revocation surface.
#[derive(Debug)]
pub(crate) struct RevocationApi {
    /// What the operator proves itself with. `None`: nobody is the operator.
    pub(crate) operator_secret: Option<SecretString>,
    pub(crate) max_lifetime: Duration,
    pub(crate) metrics: RevocationMetrics,
}

impl RevocationApi {
    /// Takes a request through all stages. Errors are in the format of RFC 6749 section 5.2.
    pub(crate) async fn serve<B: Body<Data = Bytes>>(
        &self,
        pipeline: &Pipeline,
        request: (&Parts, Endpoints),
        body: B,
        log: &mut AccessLog,
    ) -> Result<Response<ResponseBody>, Failure> {
        let outcome = self.revoke(pipeline, request, body, log).await;
        outcome.map_err(Failure::into_oauth_error)
    }

    async fn revoke<B: Body<Data = Bytes>>(
        &self,
        pipeline: &Pipeline,
        (parts, endpoints): (&Parts, Endpoints),
        body: B,
        log: &mut AccessLog,
    ) -> Result<Response<ResponseBody>, Failure> {
        if let Err(error) = endpoints.host {
            return Err(error.into());
        }
        let by = self.revoker(pipeline, &parts.headers, endpoints.client)?;
        log.mark_charged();
        let parse = RevocationRequest::parse;
        let form = pipeline.receive_form((parts, endpoints), body, parse);
        let (head, request) = form.await?;
        let now = pipeline.clock.wall();
        let revocations = match request {
            RevocationRequest::Token(token) => {
                let sender = (&head.host, head.client);
                // Copied with quotes or more around it, it is meant all the same.
                let token = SecretString::from(key_in(token.expose_secret()));
                let revocation = self.of_token(pipeline, &token, sender, now)?;
                if let Some(Revocation { id, .. }) = revocation {
                    log.set_key(id);
                }
                revocation.into_iter().collect()
            }
            RevocationRequest::Ids(ids) if by == Revoker::Operator => self.of_ids(&ids, now),
            RevocationRequest::Ids(_) => return Err(RevokeError::UnknownOperator.into()),
        };
        self.apply(pipeline, revocations, by).await?;
        Ok(response::empty(StatusCode::OK))
    }

    async fn apply(
        &self,
        pipeline: &Pipeline,
        revocations: Vec<Revocation>,
        by: Revoker,
    ) -> Result<(), RevokeError> {
        let ids: Vec<KeyId> = revocations.iter().map(|revoked| revoked.id).collect();
        let outcome = pipeline.revocations.revoke(revocations, by).await;
        self.metrics.count(match &outcome {
            Ok(()) => RevocationOutcome::Revoked(ids.len()),
            Err(NotRevoked::Full) => RevocationOutcome::Full,
            Err(NotRevoked::NotKept(_)) => RevocationOutcome::NotKept,
        });
        outcome.map_err(RevokeError::NotRevoked)?;
        let kept_in = pipeline.revocations.kept_in();
        let by = match by {
            Revoker::Holder => "holder",
            Revoker::Operator => "operator",
        };
        for key in ids {
            tracing::info!(%key, by, kept_in, "a key is revoked");
        }
        Ok(())
    }

    /// Returns who asks, and charges everybody but the operator.
    ///
    /// Wrong secrets are charged as well. A client without charges left may not guess, and who
    /// knows the secret is kept out by nobody but clients of its own address.
    fn revoker(
        &self,
        pipeline: &Pipeline,
        headers: &HeaderMap,
        client: IpAddr,
    ) -> Result<Revoker, RevokeError> {
        let (admission, limits) = (&pipeline.admission, (PER_CLIENT, GLOBAL));
        let now = pipeline.clock.monotonic();
        if let Some(secret) = &self.operator_secret
            && admission.has_revocations_left(client, limits, now)
            && basic::has_password(headers, secret)
        {
            return Ok(Revoker::Operator);
        }
        match admission.charge_revocation(client, limits, now) {
            Ok(()) => Ok(Revoker::Holder),
            Err(Refusal::Exceeded {
                charge,
                limit,
                retry_after,
                ..
            }) => Err(RevokeError::Exceeded {
                limit,
                unit: if charge == 0 { " and client" } else { "" },
                retry_after: Some(retry_after),
            }),
            // Not with a weight of one.
            Err(Refusal::TooHeavy { limit, .. }) => Err(RevokeError::Exceeded {
                limit,
                unit: "",
                retry_after: None,
            }),
        }
    }

    /// Returns the revocation of a key, if it is one of this server's that could be used, now or
    /// later, here or at another host: who has its text may revoke it.
    fn of_token(
        &self,
        pipeline: &Pipeline,
        token: &SecretString,
        (host, client): (&Host, IpAddr),
        now: SystemTime,
    ) -> Result<Option<Revocation>, RevokeError> {
        let (authenticator, failures) =
            (&pipeline.authenticator, pipeline.offline_failures(client));
        // How far ahead of this clock the key was issued at most, and its id if it is known.
        let (ahead, id) = match authenticator.open(token.expose_secret(), host, now, failures) {
            Ok(key) => return Ok(Some(Revocation::new(key.id(), key.expires_at()))),
            Err(AuthenticationError::InvalidKey(OpenError::IssuedInFuture { id, ahead })) => {
                (ahead, Some(id))
            }
            Err(AuthenticationError::InvalidKey(
                OpenError::NotYetValid { id, .. }
                | OpenError::WrongHost { id }
                | OpenError::UnknownMember { id }
                | OpenError::Payload { id },
            )) => (Duration::ZERO, Some(id)),
            // The rules may be others at another time, or at a server that shares the list.
            Err(AuthenticationError::RuleBroken(_)) => (Duration::ZERO, None),
            // It may be valid, and nobody has looked.
            Err(AuthenticationError::TooManyFailures) => return Err(RevokeError::NotRead),
            Err(AuthenticationError::InvalidKey(error)) => {
                tracing::debug!(cause = %error, "the key that was to be revoked is not valid");
                return Ok(None);
            }
            Err(_not_to_be_used) => return Ok(None),
        };
        let never = from_unix_seconds(u32::MAX);
        let issued = now.checked_add(ahead).unwrap_or(never);
        let text = token.expose_secret();
        if authenticator.keys.takes_key_agreement(text) {
            // The error may be that of the key inside, which its holder does not have.
            let lifetime = self.max_lifetime.saturating_add(CLOCK_SKEW);
            let latest = issued.checked_add(lifetime).unwrap_or(never);
            return Ok(offline_id(text).map(|id| Revocation::new(id, latest)));
        }
        Ok(id.map(|id| Revocation::new(id, self.latest_expiry(id, issued))))
    }

    fn of_ids(&self, ids: &[KeyId], now: SystemTime) -> Vec<Revocation> {
        let revocation = |id: &KeyId| Revocation::new(*id, self.latest_expiry(*id, now));
        ids.iter().map(revocation).collect()
    }

    /// Returns until when a key may live of which only the id is known, and that it was issued by
    /// `now`.
    ///
    /// A digest may be the id of a key of the original server, whose lifetime nothing bounds.
    fn latest_expiry(&self, id: KeyId, now: SystemTime) -> SystemTime {
        let never = from_unix_seconds(u32::MAX);
        let is_digest = id.as_bytes().len() > size_of::<u128>();
        let lifetime = self.max_lifetime.max(MIN_KEPT).saturating_add(CLOCK_SKEW);
        match now.checked_add(lifetime) {
            Some(latest) if !is_digest => latest,
            Some(_) | None => never,
        }
    }
}

/// Returns the id of a key that was sealed offline: the digest of its text.
fn offline_id(text: &str) -> Option<KeyId> {
    let digest = Sha256::digest(text);
    Base64UrlUnpadded::encode_string(&digest).parse().ok()
}
