//! Forwards requests to providers in the provider's own protocol, and returns their answers as they
//! come.
//!
//! Bodies are not looked at here. The caller has found out already which service and which
//! operation a request is for.

mod url_cache;

use std::{collections::HashMap, sync::Arc};

use aisbreaker_api::{ErrorObject, Origin, ServiceId};
use aisbreaker_egress::{Body, Client, Outgoing, Policy, SendError, Upgrade, UrlSource};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, response};
use secrecy::SecretString;
use tokio::time::Instant;

use self::url_cache::{CallUrl, UrlCache, UrlKey};
use crate::{
    call_failure::loggable_host,
    credentials::{Credential, Credentials},
    destination::Destination,
    dummy_api,
    endpoint::{Endpoint, PathJoin, SecretNeed},
    error::ServiceError,
    providers::{Dialect, Provider, Providers},
    upstream::{
        body::read_whole,
        error_context::ErrorContext,
        headers,
        send::prepare_url,
        send_error::no_answer,
        status::{is_error, reason, retry_after, unusable_status},
    },
};

/// The marker of URLs to which no path is appended.
const NO_DEFAULT_PATH: &str = "#no-default-path";
/// The operations that a URL with the marker is for.
const CHAT: [&str; 2] = ["/chat/completions", "/messages"];
const MAX_ERROR_TEXT_BYTES: usize = 2048;

/// Forwards requests to the providers of a table; cheap to clone.
#[derive(Clone, Debug)]
pub struct Relay {
    client: Client,
    providers: Providers,
    operator_origins: Arc<HashMap<String, Vec<Origin>>>,
    urls: Arc<UrlCache>,
}

/// Where a request goes, and the secret that goes with it.
struct RelayedCall<'a> {
    id: &'a ServiceId,
    url: Arc<CallUrl>,
    secret: Option<&'a SecretString>,
    is_sealed: bool,
}

/// A request to be forwarded.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "code that forwards a request must decide each of these"
)]
pub struct ForwardedRequest<'a> {
    /// The service that is called; its vendor is the provider.
    pub service_id: &'a ServiceId,
    /// The provider.
    pub provider: &'a Provider,
    /// The protocol of the request.
    pub dialect: Dialect,
    /// The path of the operation behind the provider's prefix, such as `/chat/completions`.
    pub path: &'a str,
    /// The caller's secrets, of which the provider gets that of the service.
    pub credentials: &'a Credentials,
    /// How many AIsBreaker servers have forwarded the request already.
    pub hops: u8,
    /// Everything else. The headers must hold no credentials of the caller.
    pub outgoing: Outgoing,
}

impl Relay {
    /// Creates a relay to these providers.
    #[must_use]
    pub fn new(client: Client, providers: Providers) -> Self {
        Self {
            client,
            providers,
            operator_origins: Arc::default(),
            urls: Arc::default(),
        }
    }

    /// Sets by service id, such as `chat:openai.com`, the origins to which sealed secrets may go in
    /// addition to those in the key.
    #[must_use]
    pub fn with_operator_origins(mut self, origins: HashMap<String, Vec<Origin>>) -> Self {
        self.operator_origins = Arc::new(origins);
        self.urls = Arc::default();
        self
    }

    /// Returns the providers to which requests are forwarded.
    #[must_use]
    pub fn providers(&self) -> &Providers {
        &self.providers
    }

    /// Returns which addresses may be called.
    #[must_use]
    pub fn egress_policy(&self) -> &Policy {
        self.client.policy()
    }

    /// Returns whether the operator has added origins for a service.
    #[must_use]
    pub fn has_operator_origins(&self, id: &ServiceId) -> bool {
        !self.operator_origins(id).is_empty()
    }

    /// Returns whether a service has this origin by itself: its provider's, or one that the
    /// operator has added.
    #[must_use]
    pub fn has_origin(&self, id: &ServiceId, origin: &Origin) -> bool {
        let provider = id.vendor().and_then(|vendor| self.providers.find(vendor));
        let url = provider.and_then(|provider| provider.url.as_deref());
        let is_default =
            url.is_some_and(|url| Origin::parse(url).is_ok_and(|default| default == *origin));
        is_default || self.operator_origins(id).contains(origin)
    }

    /// Returns the deadline for the response head of a request that begins now.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.client.deadline()
    }

    /// Forwards a request and waits for the head of the response, whatever its status is. A request
    /// to the dummy is answered here, without a network.
    ///
    /// # Errors
    /// The [`ServiceError`] that applies, but never [`ServiceError::Provider`].
    ///
    /// # Cancel safety
    /// Dropping the future ends the call. The provider may have received the request.
    pub async fn send(
        &self,
        request: ForwardedRequest<'_>,
    ) -> Result<(response::Parts, Body), ServiceError> {
        if request.provider.is_dummy() {
            return dummy_api::call(request);
        }
        let (call, outgoing) = self.prepare(request)?;
        let sent = match &call.url.prepared {
            Ok(url) => url.send(outgoing).await,
            Err(error) => Err(error.clone()),
        };
        let (parts, body) = match sent {
            Ok(response) => response.into_parts(),
            Err(error) => return Err(call.explain_no_answer(error)),
        };
        // A client would follow a redirect with its key.
        let is_answer = parts.status.is_success() || parts.status == StatusCode::NOT_MODIFIED;
        if is_answer || is_error(parts.status) {
            Ok((parts, body))
        } else {
            Err(call.explain(unusable_status(parts.status)))
        }
    }

    /// Asks a provider to switch to `protocol`, such as `websocket`, and waits for the head of the
    /// response. Of a provider that does not switch, the response is as that of [`Relay::send`].
    ///
    /// # Errors
    /// As [`Relay::send`].
    ///
    /// # Cancel safety
    /// As [`Relay::send`].
    pub async fn upgrade(
        &self,
        request: ForwardedRequest<'_>,
        protocol: HeaderValue,
    ) -> Result<Upgrade, ServiceError> {
        if request.provider.is_dummy() {
            let (parts, body) = dummy_api::call(request)?;
            return Ok(Upgrade::Refused(Response::from_parts(parts, body)));
        }
        let (call, outgoing) = self.prepare(request)?;
        let upgraded = match &call.url.prepared {
            Ok(url) => url.upgrade(protocol, outgoing).await,
            Err(error) => Err(error.clone()),
        };
        match upgraded {
            Ok(Upgrade::Refused(response)) if response.status().is_redirection() => {
                Err(call.explain(unusable_status(response.status())))
            }
            Ok(outcome) => Ok(outcome),
            Err(error) => Err(call.explain_no_answer(error)),
        }
    }

    /// Returns where a request goes, and the request with the secret of the service.
    fn prepare<'a>(
        &self,
        request: ForwardedRequest<'a>,
    ) -> Result<(RelayedCall<'a>, Outgoing), ServiceError> {
        let ForwardedRequest {
            service_id,
            provider,
            dialect,
            path,
            credentials,
            hops,
            mut outgoing,
        } = request;
        let Some(config) = provider.dialect(dialect) else {
            let name = dialect.name();
            let text = format!("{service_id} does not speak the {name} dialect");
            return Err(ServiceError::BadRequest(text.into()));
        };
        let path = [config.prefix.as_str(), path];
        let call = self.call(service_id, provider, path, credentials)?;
        provider.add_headers(&mut outgoing.headers);
        headers::add_hop(&mut outgoing.headers, hops)?;
        if let Some(secret) = call.secret {
            headers::add_secret(&mut outgoing.headers, secret, provider.auth)?;
        }
        if call.is_sealed {
            headers::mark_sealed(&mut outgoing.headers);
        }
        if outgoing.observer.is_some() {
            outgoing = outgoing.with_observed_host(loggable_host(&call.destination()));
        }
        Ok((call, outgoing))
    }

    /// Forwards a request and returns the whole body of the response, which must be a success.
    ///
    /// # Errors
    /// As [`Relay::send`], and [`ServiceError::Provider`] for an error of the provider.
    pub async fn fetch(&self, request: ForwardedRequest<'_>) -> Result<Bytes, ServiceError> {
        let id = request.service_id;
        let (parts, body) = self.send(request).await?;
        if is_error(parts.status) {
            let (code, reason) = (parts.status.as_u16(), reason(parts.status));
            let text = format!("{id}: the provider answered with status {code} {reason}");
            return Err(ServiceError::Provider {
                error: Box::new(ErrorObject::new(code, reason, text)),
                retry_after: retry_after(&parts.headers),
                is_in_answer: false,
            });
        }
        let body = read_whole(body).await?;
        Ok(body.into_bytes())
    }

    /// Returns the call of a service at this path, which is the prefix of the provider and what is
    /// behind it.
    fn call<'a>(
        &self,
        id: &'a ServiceId,
        provider: &Provider,
        path: [&str; 2],
        credentials: &'a Credentials,
    ) -> Result<RelayedCall<'a>, ServiceError> {
        let (credential, key_urls, key_source) = credentials.find(id);
        let (secret, is_sealed) = match credential {
            Credential::Bound { secret, .. } => (Some(secret), true),
            Credential::Unbound(secret) => (Some(secret), false),
            Credential::None | Credential::Blocked => (None, false),
        };
        let key_url = key_urls.first().map(String::as_str);
        let default_url = provider.url.as_deref();
        let key = UrlKey {
            base: key_url.or(default_url).unwrap_or_default(),
            path,
            default_url,
            source: match key_url {
                Some(_) => key_source,
                None => UrlSource::Trusted,
            },
        };
        // What the operator adds may make a URL trusted.
        let is_judged_alone = key.source == UrlSource::Trusted || self.operator_origins.is_empty();
        let is_callable = secret.is_some() || provider.secret == SecretNeed::Optional;
        let known = if is_judged_alone && is_callable {
            self.urls.find(&key)
        } else {
            None
        };
        let url = match known {
            Some(url) => url,
            None => {
                let url = Arc::new(self.resolve(id, provider, path, (credentials, key_url))?);
                if is_judged_alone {
                    self.urls.keep(&key, &url);
                }
                url
            }
        };
        Ok(RelayedCall {
            id,
            url,
            secret,
            is_sealed,
        })
    }

    /// Finds out the URL of a call.
    fn resolve(
        &self,
        id: &ServiceId,
        provider: &Provider,
        path: [&str; 2],
        (credentials, key_url): (&Credentials, Option<&str>),
    ) -> Result<CallUrl, ServiceError> {
        let path = path.concat();
        let endpoint = Endpoint {
            default_url: provider.url.as_deref(),
            default_path: &path,
            path_join: PathJoin::Overlap,
            operator_origins: self.operator_origins(id),
            secret: provider.secret,
        };
        if provider.url.is_none() && key_url.is_none() {
            let text = format!("{id} has no address of its own: mint a key that names its url");
            return Err(ServiceError::BadRequest(text.into()));
        }
        let is_chat = CHAT.iter().any(|chat| path.ends_with(chat));
        if !is_chat && key_url.is_some_and(|url| url.contains(NO_DEFAULT_PATH)) {
            let text = format!(
                "the url in the key for {id} is that of one operation (#no-default-path); for \
                 others mint a key with the base URL"
            );
            return Err(ServiceError::BadRequest(text.into()));
        }
        let destination = Destination::choose_default(&endpoint, id, credentials)?;
        let source = destination.url_source;
        Ok(CallUrl {
            prepared: prepare_url(&self.client, &destination.url, source),
            url: destination.url,
            source,
        })
    }

    fn operator_origins(&self, id: &ServiceId) -> &[Origin] {
        if self.operator_origins.is_empty() {
            return &[];
        }
        let registered_id = [id.task(), ":", id.vendor().unwrap_or_default()].concat();
        match self.operator_origins.get(&registered_id) {
            Some(origins) => origins,
            None => &[],
        }
    }
}

impl RelayedCall<'_> {
    fn destination(&self) -> Destination {
        Destination {
            url: self.url.url.clone(),
            secret: self.secret.cloned(),
            is_sealed: self.is_sealed,
            is_named_by_caller: false,
            url_source: self.url.source,
        }
    }

    /// Names the service in an error, and hides its secret.
    fn explain(&self, error: ServiceError) -> ServiceError {
        let destination = self.destination();
        ErrorContext::new(self.id.as_str(), &destination, MAX_ERROR_TEXT_BYTES).explain(error)
    }

    /// Returns the error of a call that failed before the head of its answer was complete.
    fn explain_no_answer(&self, error: SendError) -> ServiceError {
        self.explain(no_answer(error, &self.destination()))
    }
}
