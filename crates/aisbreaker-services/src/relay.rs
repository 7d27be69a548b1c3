//! Passes requests on to providers in the provider's own protocol, and their answers back as they
//! come.
//!
//! Nothing is made of bodies here; what a request is about is known already: which service, which
//! operation.

use std::{collections::HashMap, sync::Arc};

use aisbreaker_api::{ErrorObject, Origin, ServiceId};
use aisbreaker_egress::{self as egress, Client, Outgoing};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, response};
use tokio::time::Instant;

use crate::{
    credentials::Credentials,
    destination::{Destination, Endpoint},
    error::ServiceError,
    providers::{Dialect, Provider, Providers},
    request_uri::request_uri,
    services::{
        SEALED_HEADER,
        network::{HOPS_HEADER, next_hop},
        upstream::{self, Context},
    },
};

/// The marker of URLs to which nothing is to be appended.
const NO_DEFAULT_PATH: &str = "#no-default-path";
/// The operation that a URL with the marker is for.
const CHAT: [&str; 2] = ["/chat/completions", "/messages"];
const MAX_ERROR_TEXT_BYTES: usize = 2048;

/// Passes requests on to the providers of a table. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Relay {
    client: Client,
    providers: Providers,
    operator_origins: Arc<HashMap<String, Vec<Origin>>>,
}

/// A request that is to be passed on.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "whoever passes a request on must decide each of these"
)]
pub struct Passing<'a> {
    /// The service that is called; its vendor is the provider.
    pub service_id: &'a ServiceId,
    /// The provider.
    pub provider: &'a Provider,
    /// The protocol that the request is in.
    pub dialect: Dialect,
    /// The path of the operation behind the provider's prefix, such as `/chat/completions`.
    pub path: &'a str,
    /// The secrets of the caller, of which the service gets its own.
    pub credentials: &'a Credentials,
    /// How many AIsBreaker servers the request has passed already.
    pub hops: u8,
    /// Everything else. Its headers hold no credentials of the caller any more.
    pub outgoing: Outgoing,
}

impl Relay {
    /// Passes requests on to these providers.
    #[must_use]
    pub fn new(client: Client, providers: Providers) -> Self {
        Self {
            client,
            providers,
            operator_origins: Arc::default(),
        }
    }

    /// Sets by service id, such as `chat:openai.com`, the origins to which sealed secrets may go
    /// besides those in the key.
    #[must_use]
    pub fn with_operator_origins(mut self, origins: HashMap<String, Vec<Origin>>) -> Self {
        self.operator_origins = Arc::new(origins);
        self
    }

    /// The providers to which requests are passed on.
    #[must_use]
    pub fn providers(&self) -> &Providers {
        &self.providers
    }

    /// When the head of the answer must have come to a request that is begun now.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.client.deadline()
    }

    /// Passes a request on and waits for the head of the answer, whatever its status is.
    ///
    /// # Errors
    /// The [`ServiceError`] that applies; none of them is an answer of the provider.
    ///
    /// # Cancel safety
    /// Dropping the future ends the call; the provider may have received it.
    pub async fn send(
        &self,
        passing: Passing<'_>,
    ) -> Result<(response::Parts, egress::Body), ServiceError> {
        let Passing {
            service_id,
            provider,
            dialect,
            path,
            credentials,
            hops,
            mut outgoing,
        } = passing;
        let spoken = provider.spoken(dialect).ok_or_else(|| {
            let name = dialect.name();
            ServiceError::BadRequest(format!("{service_id} does not speak the {name} dialect"))
        })?;
        let path = [spoken.prefix.as_str(), path].concat();
        let destination = self.destination(service_id, provider, &path, credentials)?;
        let headers = &mut outgoing.headers;
        for (name, value) in &provider.headers {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        headers.insert(HeaderName::from_static(HOPS_HEADER), next_hop(hops)?);
        if let Some(secret) = &destination.secret {
            let (name, value) = provider.auth.header(secret)?;
            headers.insert(name, value);
            if destination.is_sealed {
                headers.insert(
                    HeaderName::from_static(SEALED_HEADER),
                    HeaderValue::from_static("1"),
                );
            }
        }
        let explain = |error| {
            Context::new(
                "Provider",
                service_id.as_str(),
                &destination,
                MAX_ERROR_TEXT_BYTES,
            )
            .explain(error)
        };
        let answer = match request_uri(&destination.url) {
            Ok(uri) => self.client.send(&uri, outgoing).await,
            Err(refused) => Err(refused),
        };
        let (parts, body) = answer.map_err(|error| explain(error.into()))?.into_parts();
        // A client would follow a redirect with its key.
        let is_answer = parts.status.is_success() || parts.status == StatusCode::NOT_MODIFIED;
        if !is_answer && !upstream::is_error(parts.status) {
            return Err(explain(upstream::unusable_status(parts.status)));
        }
        Ok((parts, body))
    }

    /// Passes a request on and collects its answer, which must be a success.
    ///
    /// # Errors
    /// As [`Relay::send`], and [`ServiceError::Provider`] for an error of the provider.
    pub async fn read(&self, passing: Passing<'_>) -> Result<Bytes, ServiceError> {
        let id = passing.service_id;
        let (parts, body) = self.send(passing).await?;
        if upstream::is_error(parts.status) {
            let (code, reason) = (parts.status.as_u16(), upstream::reason(parts.status));
            let error = ErrorObject::new(
                code,
                reason,
                format!("{id}: the provider answered with status {code} {reason}"),
            );
            let retry_after = upstream::retry_after(&parts.headers);
            return Err(ServiceError::Provider {
                error: Box::new(error),
                retry_after,
            });
        }
        Ok(upstream::read_answer(body).await?.0)
    }

    fn operator_origins(&self, id: &ServiceId) -> &[Origin] {
        if self.operator_origins.is_empty() {
            return &[];
        }
        let registered = [id.task(), ":", id.vendor().unwrap_or_default()].concat();
        self.operator_origins
            .get(&registered)
            .map_or(&[], Vec::as_slice)
    }

    fn destination(
        &self,
        id: &ServiceId,
        provider: &Provider,
        path: &str,
        credentials: &Credentials,
    ) -> Result<Destination, ServiceError> {
        let endpoint = Endpoint {
            default_url: provider.url.as_deref(),
            default_path: path,
            operator_origins: self.operator_origins(id),
            is_continued: true,
            secret: provider.secret,
        };
        let url_of_key = credentials.url_for(id);
        if provider.url.is_none() && url_of_key.is_none() {
            return Err(ServiceError::BadRequest(format!(
                "{id} has no address of its own: mint a key that names its url"
            )));
        }
        let is_for_chat = CHAT.iter().any(|chat| path.ends_with(chat));
        if !is_for_chat && url_of_key.is_some_and(|url| url.contains(NO_DEFAULT_PATH)) {
            return Err(ServiceError::BadRequest(format!(
                "the url in the key for {id} is that of one operation (#no-default-path); for others mint a key with the \
                 base URL"
            )));
        }
        Destination::of_service(&endpoint, id, credentials)
    }
}
