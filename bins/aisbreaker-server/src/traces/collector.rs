//! The HTTP client of the exporter.

use std::{fmt, time::Duration};

use aisbreaker_egress::{Client, Outgoing, Policy, Timeouts, UrlSource};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use tokio::{runtime::Handle, time::timeout};

use super::environment::Environment;

/// Sends requests to the collector, and to nobody else.
pub(super) struct CollectorClient {
    client: Client,
    /// The exporter's thread has no runtime of its own.
    runtime: Handle,
    timeout: Duration,
}

impl CollectorClient {
    /// Creates a client that may call the collector wherever it is, by `http` too.
    ///
    /// # Errors
    /// A URL that names no origin.
    pub(super) fn new(runtime: Handle, environment: &Environment) -> Result<Self, String> {
        let policy = Policy::strict()
            .allow(&environment.origin())
            .map_err(|_invalid| {
                "OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT must be a URL \
                 such as http://localhost:4318"
            })?;
        Ok(Self {
            client: Client::new(policy, Timeouts::default()),
            runtime,
            timeout: environment.timeout,
        })
    }
}

#[async_trait]
impl HttpClient for CollectorClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = timeout_of(self.timeout, send(self.client.clone(), request));
        self.runtime.spawn(sent).await?
    }
}

async fn timeout_of(
    limit: Duration,
    sent: impl Future<Output = Result<Response<Bytes>, HttpError>>,
) -> Result<Response<Bytes>, HttpError> {
    timeout(limit, sent).await?
}

async fn send(client: Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let (parts, body) = request.into_parts();
    let outgoing = Outgoing::post(parts.headers, body);
    let response = client
        .send(&parts.uri, UrlSource::Trusted, outgoing)
        .await?;
    let (parts, body) = response.into_parts();
    let (body, _reservation) = body.collect_bounded().await?;
    Ok(Response::from_parts(parts, body))
}

impl fmt::Debug for CollectorClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CollectorClient(..)")
    }
}
