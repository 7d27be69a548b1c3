//! The stages between the socket and a surface: receive → authenticate → admit.
//!
//! Each stage consumes the value of the one before, and a surface takes an [`Admitted`]. Only
//! [`Pipeline::admit`] creates one, and only from an [`Authenticated`]. So a stage left out does
//! not compile; the documentation of [`stages`](crate::stages) proves it.

use std::{net::IpAddr, sync::Arc, time::SystemTime};

use aisbreaker_api::InvalidRequest;
use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::Body;

use crate::{
    admission::{Admission, Permit},
    authenticate::{AuthenticationError, Authenticator, Caller},
    clock::Clock,
    failure::Failure,
    memory::{ClientMemories, ClientMemory},
    request::{
        body::{BodyLimits, ReceivedBody},
        credentials::Authorization,
        error::RequestError,
        head::Head,
    },
    response::{ResponseBody, with_headers},
    revocation::Revocations,
    telemetry::access_log::AccessLog,
};

/// The stages that every surface shares.
#[derive(Debug)]
pub struct Pipeline {
    pub(crate) authenticator: Authenticator,
    pub(crate) revocations: Revocations,
    pub(crate) admission: Admission,
    pub(crate) body_limits: BodyLimits,
    pub(crate) memories: ClientMemories,
    pub(crate) clock: Arc<dyn Clock>,
}

/// A request whose caller is known.
#[derive(Debug)]
pub struct Authenticated {
    caller: Caller,
    client: IpAddr,
    hops: u8,
    received: SystemTime,
}

/// A request that was charged to all quotas that apply to it.
#[derive(Debug)]
pub struct Admitted {
    caller: Caller,
    hops: u8,
    permit: Permit,
    received: SystemTime,
}

impl Pipeline {
    /// Returns the memory of the client of a request.
    pub(crate) fn memory(&self, head: &Head) -> Arc<ClientMemory> {
        self.memories.for_client(head.client)
    }

    /// Receives the content of a request.
    pub(crate) async fn receive<B: Body<Data = Bytes>>(
        &self,
        head: &Head,
        body: B,
        memory: &Arc<ClientMemory>,
    ) -> Result<ReceivedBody, RequestError> {
        ReceivedBody::receive(body, head.content, self.body_limits, memory).await
    }

    /// Authenticates the caller of a request.
    ///
    /// # Errors
    /// A failure with status 401.
    pub fn authenticate(&self, head: Head, log: &mut AccessLog) -> Result<Authenticated, Failure> {
        let now = self.clock.wall();
        let is_default = matches!(head.authorization, Authorization::Absent);
        let caller = self
            .authenticator
            .authenticate(head.authorization, &head.host, now)?;
        if let Some(key) = &caller.key {
            log.set_key(key.id);
            match self.revocations.check(key) {
                Ok(()) => {}
                Err(revoked) if is_default => {
                    return Err(AuthenticationError::RevokedDefaultKey(revoked).into());
                }
                Err(revoked) => return Err(revoked.into()),
            }
        }
        Ok(Authenticated {
            caller,
            client: head.client,
            hops: head.hops,
            received: now,
        })
    }

    /// Charges an authenticated request to the quotas of the server and of its key.
    ///
    /// # Errors
    /// A failure with status 429, or 503 if requests cannot be counted.
    pub async fn admit(
        &self,
        request: Authenticated,
        log: &mut AccessLog,
    ) -> Result<Admitted, Failure> {
        let Authenticated {
            caller,
            client,
            hops,
            received,
        } = request;
        let key = caller.key.as_ref();
        let permit = self
            .admission
            .admit(key, client, || self.clock.monotonic())
            .await?;
        log.mark_charged();
        Ok(Admitted {
            caller,
            hops,
            permit,
            received,
        })
    }

    /// Charges a request that takes no credentials to the quotas of the server and the default
    /// quotas.
    pub(crate) async fn admit_anonymous(
        &self,
        client: IpAddr,
        log: &mut AccessLog,
    ) -> Result<Permit, Failure> {
        let permit = self
            .admission
            .admit(None, client, || self.clock.monotonic())
            .await?;
        log.mark_charged();
        Ok(permit)
    }
}

/// Parses the content of a request and admits it, in the order that costs neither side in vain.
///
/// Content that is costly to parse is paid for first, so nobody parses for free. Cheap content is
/// parsed first, so a malformed request is not charged.
///
/// # Errors
/// Those of `admit`, and status 400 or 413 for the content. If the request was charged, the failure
/// reports the state of the quotas.
pub(crate) async fn parse_and_admit<T: Send + 'static, A: AsRef<Permit>>(
    body: ReceivedBody,
    parse: impl FnOnce(&Bytes) -> Result<T, InvalidRequest> + Send + 'static,
    admit: impl AsyncFnOnce(&mut AccessLog) -> Result<A, Failure>,
    log: &mut AccessLog,
) -> Result<(T, A), Failure> {
    if !body.is_costly() {
        let (parsed, hold) = body.parse(parse).await?;
        let admitted = admit(log).await?;
        log.hold_request_memory(hold);
        return Ok((parsed, admitted));
    }
    let admitted = admit(log).await?;
    match body.parse(parse).await {
        Ok((parsed, hold)) => {
            log.hold_request_memory(hold);
            Ok((parsed, admitted))
        }
        Err(error) => {
            let mut failure = Failure::from(error);
            admitted.as_ref().write_headers(&mut failure.headers);
            Err(failure)
        }
    }
}

impl Authenticated {
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    pub(crate) fn client(&self) -> IpAddr {
        self.client
    }
}

impl Admitted {
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Returns how many aisbreaker servers forwarded the request.
    pub(crate) fn hops(&self) -> u8 {
        self.hops
    }

    /// Takes the request apart for the call.
    pub(crate) fn into_parts(self) -> (Caller, Permit) {
        (self.caller, self.permit)
    }

    /// Adds the state of the quotas to a provider's response. Of a limit of ours and one of the
    /// provider, the one with less remaining is reported.
    pub(crate) fn report_beside_provider(
        &self,
        outcome: Result<Response<ResponseBody>, Failure>,
    ) -> Result<Response<ResponseBody>, Failure> {
        with_headers(outcome, |headers| {
            self.permit
                .write_headers_beside_provider(self.received, headers);
        })
    }
}

impl AsRef<Permit> for Admitted {
    fn as_ref(&self) -> &Permit {
        &self.permit
    }
}

impl AsRef<Self> for Permit {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Permit {
    /// Adds the state of the quotas to a response or a failure.
    pub(crate) fn report(
        &self,
        outcome: Result<Response<ResponseBody>, Failure>,
    ) -> Result<Response<ResponseBody>, Failure> {
        with_headers(outcome, |headers: &mut HeaderMap| {
            self.write_headers(headers)
        })
    }
}
