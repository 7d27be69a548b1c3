//! The stages between the socket and a surface: authenticate → restrict → receive → admit.
//!
//! Each stage consumes the value of the one before, and a surface takes an [`Admitted`]. Only
//! [`Pipeline::admit`] creates one, and only from a [`Permitted`], which only
//! [`Authenticated::permit`] creates. So a stage left out does not compile; the documentation of
//! [`stages`](crate::stages) proves it.

use std::{net::IpAddr, sync::Arc, time::SystemTime};

use aisbreaker_api::InvalidRequest;
use aisbreaker_token::{Grant, Host, Opened};
use bytes::Bytes;
use http::{HeaderMap, Response, request::Parts};
use http_body::Body;
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    admission::{Admission, Permit, refusal::NotAdmitted},
    authenticate::{self, AuthenticationError, Authenticator, Caller, offline::OfflineFailures},
    budgets::Budgets,
    clock::Clock,
    cors::AllowedOrigin,
    failure::Failure,
    memory::{ClientMemories, ClientMemory},
    request::{
        body::{BodyLimits, ReceivedBody},
        error::RequestError,
        head::{Endpoints, Head, Surface},
        upload::Upload,
    },
    response::{ResponseBody, with_headers},
    restrictions::KeyUse,
    revocation::{Revocations, Revoked},
    telemetry::{access_log::AccessLog, key_expiry::KeyExpiry},
};

/// The stages that every surface shares.
#[derive(Debug)]
pub struct Pipeline {
    pub(crate) authenticator: Authenticator,
    pub(crate) revocations: Arc<Revocations>,
    /// Keys that were issued before are refused.
    pub(crate) revoked_before: Option<SystemTime>,
    pub(crate) admission: Admission,
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) body_limits: BodyLimits,
    pub(crate) memories: ClientMemories,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What the stages know of a request. Boxed, since each hands it to the next.
#[derive(Debug)]
struct RequestContext {
    caller: Caller,
    client: IpAddr,
    hops: u8,
    received: SystemTime,
}

/// A request whose caller is known.
#[derive(Debug)]
pub struct Authenticated {
    context: Box<RequestContext>,
    origin: AllowedOrigin,
}

/// A request that the restrictions of its key allow, as far as its head shows.
#[derive(Debug)]
pub struct Permitted {
    context: Box<RequestContext>,
}

/// A request that was charged to all quotas that apply to it.
#[derive(Debug)]
pub struct Admitted {
    context: Box<RequestContext>,
    permit: Permit,
}

impl Pipeline {
    /// Returns the memory of the client of a request.
    pub(crate) fn memory(&self, head: &Head<'_>) -> Arc<ClientMemory> {
        self.memories.for_client(head.client)
    }

    /// Reads the head of a request. Returns it with the memory of its client.
    ///
    /// # Errors
    /// Those of [`Head::read`].
    pub(crate) fn read_head<'a>(
        &self,
        parts: &'a Parts,
        endpoints: Endpoints,
        surface: Surface,
    ) -> Result<(Head<'a>, Arc<ClientMemory>), Failure> {
        let head = Head::read(parts, endpoints, surface)?;
        let memory = self.memory(&head);
        Ok((head, memory))
    }

    /// Receives the content of a request that needs no key.
    pub(crate) async fn receive<B: Body<Data = Bytes>>(
        &self,
        head: &Head<'_>,
        body: B,
        memory: &Arc<ClientMemory>,
    ) -> Result<ReceivedBody, RequestError> {
        ReceivedBody::receive(body, head.content, self.body_limits, None, memory).await
    }

    /// Receives a form and parses it.
    pub(crate) async fn receive_form<'a, B: Body<Data = Bytes>, T: Send + 'static>(
        &self,
        (parts, endpoints): (&'a Parts, Endpoints),
        body: B,
        parse: fn(&[u8]) -> Result<T, InvalidRequest>,
    ) -> Result<(Head<'a>, T), Failure> {
        let head = Head::read(parts, endpoints, Surface::Form)?;
        let body = self.receive(&head, body, &self.memory(&head)).await?;
        let (form, _hold) = body.parse(move |body| parse(body)).await?;
        Ok((head, form))
    }

    /// Authenticates a request and judges its head by the restrictions of its key, then receives
    /// its content, no more than they allow.
    ///
    /// A caller who cannot be authenticated is reported beside the content, since it is refused
    /// later than a request that cannot be read.
    ///
    /// # Errors
    /// Status 403 or 413 if a restriction refuses the request, and those of the content.
    pub(crate) async fn permit_and_receive<B: Body<Data = Bytes>>(
        &self,
        (head, key_use): (Head<'_>, KeyUse),
        body: B,
        memory: &Arc<ClientMemory>,
        log: &mut AccessLog,
    ) -> Result<(Result<Permitted, Failure>, ReceivedBody), Failure> {
        let content = head.content;
        let permitted = match self.authenticate(head, log) {
            Ok(authenticated) => Ok(authenticated.permit(key_use)?),
            Err(unknown) => Err(unknown),
        };
        let key_limit = match &permitted {
            Ok(permitted) => permitted.caller().restrictions.max_body_bytes(),
            Err(_) => None,
        };
        let limits = self.body_limits;
        let received = ReceivedBody::receive(body, content, limits, key_limit, memory).await?;
        log.mark_received();
        Ok((permitted, received))
    }

    /// Authenticates a request and judges its head by the restrictions of its key, and the announced
    /// length of its content. Nothing of the content is read.
    ///
    /// # Errors
    /// Status 401, 403, 413, or 503 if there is no memory to pass the content on.
    pub(crate) fn permit_upload<B: Body<Data = Bytes> + Send + 'static>(
        &self,
        (head, key_use): (Head<'_>, KeyUse),
        body: B,
        memory: &Arc<ClientMemory>,
        log: &mut AccessLog,
    ) -> Result<(Permitted, Upload), Failure> {
        let permitted = self.authenticate(head, log)?.permit(key_use)?;
        let key_limit = permitted.caller().restrictions.max_body_bytes();
        let upload = Upload::begin(body, self.body_limits, key_limit, memory)?;
        Ok((permitted, upload))
    }

    /// Authenticates the caller of a request.
    ///
    /// # Errors
    /// A failure with status 401.
    pub fn authenticate(
        &self,
        head: Head<'_>,
        log: &mut AccessLog,
    ) -> Result<Authenticated, Failure> {
        let Head {
            client,
            host,
            authorization,
            origin,
            hops,
            content: _,
        } = head;
        let now = self.clock.wall();
        let failures = self.offline_failures(client);
        let caller = self
            .authenticator
            .authenticate(authorization, &host, now, failures)?;
        if let Some(key) = &caller.key {
            log.set_key(key.id);
            if let Some(name) = &key.name {
                log.set_key_name(name);
            }
            if let Err(revoked) = self.revocations.check(key, self.revoked_before) {
                return Err(caller.refuse(revoked).into());
            }
            if let Some(expiry) = KeyExpiry::within_days(key.expires_at, now) {
                log.set_key_expiry(expiry);
                if !caller.is_default {
                    log.announce_key_expiry();
                }
            }
        }
        let origin = caller.restrictions.allowed_origin(origin.as_ref());
        log.set_allowed_origin(origin.clone());
        let context = Box::new(RequestContext {
            caller,
            client,
            hops,
            received: now,
        });
        Ok(Authenticated { context, origin })
    }

    /// Opens a key that a request is about, as one opens that a request is made with.
    ///
    /// # Errors
    /// Why the key may not be used.
    pub(crate) fn open_key(
        &self,
        key: &SecretString,
        host: &Host,
        client: IpAddr,
    ) -> Result<Opened<Grant>, AuthenticationError> {
        let (now, failures) = (self.clock.wall(), self.offline_failures(client));
        let key = key.expose_secret();
        let opened = self.authenticator.open(key, host, now, failures)?;
        authenticate::check_usable(opened.payload())?;
        let revoked = self.revocations.check_opened(&opened, self.revoked_before);
        revoked.map_err(AuthenticationError::Revoked)?;
        Ok(opened)
    }

    /// Returns what counts the offline keys of this client that do not open.
    pub(crate) fn offline_failures(&self, client: IpAddr) -> OfflineFailures<'_> {
        OfflineFailures {
            admission: &self.admission,
            clock: &*self.clock,
            client,
        }
    }

    /// Charges a permitted request to the quotas of the server and of its key.
    ///
    /// # Errors
    /// A failure with status 401 without a key where one is required or with a key that is revoked in
    /// the shared store, 429, or 503 if requests cannot be counted.
    pub async fn admit(
        &self,
        request: Permitted,
        log: &mut AccessLog,
    ) -> Result<Admitted, Failure> {
        let Permitted { context } = request;
        let caller = &context.caller;
        self.authenticator.check_key(caller)?;
        let key = caller.key.as_ref();
        let admitted = self
            .admission
            .admit(key, context.client, || self.clock.monotonic())
            .await;
        let permit = match admitted {
            Err(NotAdmitted::Revoked) => return Err(caller.refuse(Revoked::InStore).into()),
            admitted => admitted?,
        };
        log.mark_charged();
        Ok(Admitted { context, permit })
    }

    /// Charges a request to mint or exchange a key to the quotas of the server and those of minting.
    pub(crate) async fn admit_minting(
        &self,
        client: IpAddr,
        log: &mut AccessLog,
    ) -> Result<Permit, Failure> {
        let permit = self
            .admission
            .admit_minting(client, || self.clock.monotonic())
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
pub(crate) async fn parse_and_admit<T: Send + 'static, E: Into<RequestError>, A: AsRef<Permit>>(
    body: ReceivedBody,
    parse: impl FnOnce(&Bytes) -> Result<T, E> + Send + 'static,
    admit: impl AsyncFnOnce(&mut AccessLog) -> Result<A, Failure>,
    log: &mut AccessLog,
) -> Result<(T, A), Failure> {
    let admit = async |_: Option<&T>, log: &mut AccessLog| admit(log).await;
    parse_judge_and_admit(body, parse, admit, log).await
}

/// As [`parse_and_admit`], where `admit` can also judge what was parsed, if that was done first.
pub(crate) async fn parse_judge_and_admit<T, E, A>(
    body: ReceivedBody,
    parse: impl FnOnce(&Bytes) -> Result<T, E> + Send + 'static,
    admit: impl AsyncFnOnce(Option<&T>, &mut AccessLog) -> Result<A, Failure>,
    log: &mut AccessLog,
) -> Result<(T, A), Failure>
where
    T: Send + 'static,
    E: Into<RequestError>,
    A: AsRef<Permit>,
{
    if !body.is_costly() {
        let (parsed, hold) = body.parse(parse).await?;
        let admitted = admit(Some(&parsed), log).await?;
        log.hold_request_memory(hold);
        return Ok((parsed, admitted));
    }
    let admitted = admit(None, log).await?;
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
    /// Judges the request by the restrictions of its key, as far as its head shows.
    ///
    /// # Errors
    /// A failure with status 403 that names the restriction, or the limit of the key that could be got
    /// round.
    pub fn permit(self, key_use: KeyUse) -> Result<Permitted, Failure> {
        let Self { context, origin } = self;
        let caller = &context.caller;
        caller
            .restrictions
            .judge(context.client, &origin, key_use)?;
        caller.judge_bypass(key_use)?;
        Ok(Permitted { context })
    }
}

impl Permitted {
    pub(crate) fn caller(&self) -> &Caller {
        &self.context.caller
    }

    pub(crate) fn client(&self) -> IpAddr {
        self.context.client
    }
}

impl Admitted {
    pub(crate) fn caller(&self) -> &Caller {
        &self.context.caller
    }

    pub(crate) fn client(&self) -> IpAddr {
        self.context.client
    }

    /// Returns how many aisbreaker servers forwarded the request.
    pub(crate) fn hops(&self) -> u8 {
        self.context.hops
    }

    /// Takes the request apart for the call.
    pub(crate) fn into_parts(self) -> (Caller, Permit) {
        (self.context.caller, self.permit)
    }

    /// Adds the state of the quotas to a provider's response. Of a limit of ours and one of the
    /// provider, the one with less remaining is reported.
    pub(crate) fn report_beside_provider(
        &self,
        outcome: Result<Response<ResponseBody>, Failure>,
    ) -> Result<Response<ResponseBody>, Failure> {
        with_headers(outcome, |headers| {
            self.permit
                .write_headers_beside_provider(self.context.received, headers);
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
