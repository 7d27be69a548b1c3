//! Connects to an origin, plain or with TLS, within a time limit.

use std::{sync::Arc, time::Duration};

use http::Uri;
use hyper_tls::{HttpsConnector, MaybeHttpsStream};
#[cfg(feature = "in-memory")]
use hyper_util::rt::TokioIo;
#[cfg(test)]
use native_tls::TlsConnector;
#[cfg(feature = "in-memory")]
use tokio::{io::DuplexStream, sync::mpsc::UnboundedSender};
use tower_service::Service;

#[cfg(feature = "in-memory")]
use crate::error::Failure;
#[cfg(any(test, feature = "test-util"))]
use crate::error::TlsUnavailable;
use crate::{
    dial::{Dialer, SourceDialer},
    error::{SendError, Stage},
    policy::{Policy, UrlSource},
    resolve::Resolve,
    stream::Stream,
    tls::{self, Tls},
};

/// How many bytes an in-memory connection buffers in each direction.
#[cfg(feature = "in-memory")]
const IN_MEMORY_BUFFER_BYTES: usize = 64 * 1024;

/// Connects to an origin by `http` or `https` within a time limit, where the policy allows.
#[derive(Clone)]
pub(crate) struct Connector {
    dialer: Dialer,
    tls: Tls,
    timeout: Duration,
    #[cfg(feature = "in-memory")]
    in_memory: Option<UnboundedSender<DuplexStream>>,
}

impl Connector {
    pub(crate) fn new(policy: Policy, resolver: Arc<dyn Resolve>, timeout: Duration) -> Self {
        Self {
            dialer: Dialer::new(policy, resolver),
            tls: Tls::default(),
            timeout,
            #[cfg(feature = "in-memory")]
            in_memory: None,
        }
    }

    pub(crate) fn policy(&self) -> &Policy {
        self.dialer.policy()
    }

    #[cfg(any(test, feature = "test-util"))]
    pub(crate) async fn load_tls(&self) -> Result<(), TlsUnavailable> {
        self.tls.connector().await.map(drop)
    }

    /// Uses this TLS configuration instead of the system's.
    #[cfg(test)]
    pub(crate) fn set_tls(&mut self, connector: TlsConnector) {
        self.tls = Tls::from_connector(connector);
    }

    /// Sends the other end of each `http` connection to `servers` instead of dialling.
    #[cfg(feature = "in-memory")]
    pub(crate) fn stay_in_memory(&mut self, servers: UnboundedSender<DuplexStream>) {
        self.in_memory = Some(servers);
    }

    /// Connects to the origin of `uri`, which came from this source.
    pub(crate) async fn connect(&self, uri: Uri, source: UrlSource) -> Result<Stream, SendError> {
        let dialer = self.dialer.for_source(source);
        // A connection is made once for many requests, whose futures stay small this way.
        let connecting = Box::pin(self.connect_by(dialer, uri));
        match tokio::time::timeout(self.timeout, connecting).await {
            Ok(connected) => connected,
            Err(_elapsed) => Err(SendError::Timeout(Stage::Connect)),
        }
    }

    async fn connect_by(&self, dialer: SourceDialer, uri: Uri) -> Result<Stream, SendError> {
        if uri.scheme_str() == Some("https") {
            return self.connect_tls(dialer, uri).await;
        }
        #[cfg(feature = "in-memory")]
        if let Some(servers) = &self.in_memory {
            return connect_in_memory(&dialer, servers, &uri).await;
        }
        let tcp = dialer.dial(&uri).await?;
        Ok(Stream::Network(MaybeHttpsStream::Http(tcp)))
    }

    async fn connect_tls(&self, dialer: SourceDialer, uri: Uri) -> Result<Stream, SendError> {
        let tls = match self.tls.connector().await {
            Ok(tls) => tls,
            Err(error) => return Err(tls::failure(&error)),
        };
        let connecting = HttpsConnector::from((dialer, tls.into())).call(uri);
        match connecting.await {
            Ok(stream) => Ok(Stream::Network(stream)),
            Err(error) => match error.downcast::<SendError>() {
                Ok(dialer_error) => Err(*dialer_error),
                Err(tls_error) => Err(tls::failure(tls_error.as_ref())),
            },
        }
    }
}

#[cfg(feature = "in-memory")]
async fn connect_in_memory(
    dialer: &SourceDialer,
    servers: &UnboundedSender<DuplexStream>,
    uri: &Uri,
) -> Result<Stream, SendError> {
    dialer.allowed_addresses(uri).await?;
    let (ours, theirs) = tokio::io::duplex(IN_MEMORY_BUFFER_BYTES);
    match servers.send(theirs) {
        Ok(()) => Ok(Stream::InMemory(TokioIo::new(ours))),
        Err(_no_server) => Err(SendError::Unreachable(Failure::Refused)),
    }
}
