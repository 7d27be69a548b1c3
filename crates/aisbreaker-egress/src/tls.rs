//! The TLS configuration.

use std::sync::Arc;

use native_tls::{Protocol, TlsConnector};
use tokio::sync::OnceCell;

use crate::error::{Failure, SendError, TlsUnavailable};

/// The TLS configuration, which clones share. It is loaded when it is first needed: the system's
/// certificates take 40 ms and 5 MB.
#[derive(Clone, Default)]
pub(crate) struct Tls(Arc<OnceCell<TlsConnector>>);

impl Tls {
    /// Creates a configuration that does not load the system's certificates.
    #[cfg(test)]
    pub(crate) fn from_connector(connector: TlsConnector) -> Self {
        Self(Arc::new(OnceCell::new_with(Some(connector))))
    }

    pub(crate) async fn connector(&self) -> Result<TlsConnector, TlsUnavailable> {
        self.0.get_or_try_init(load).await.cloned()
    }
}

async fn load() -> Result<TlsConnector, TlsUnavailable> {
    let loaded = tokio::task::spawn_blocking(|| {
        TlsConnector::builder()
            .min_protocol_version(Some(Protocol::Tlsv12))
            .build()
    });
    match loaded.await {
        Ok(Ok(connector)) => Ok(connector),
        Ok(Err(error)) => Err(TlsUnavailable(Some(error))),
        Err(_runtime_stops) => Err(TlsUnavailable(None)),
    }
}

/// Returns the failure as callers see it. The text of the TLS library, which may contain paths of
/// its sources, goes to the log only.
pub(crate) fn failure(error: &(dyn std::error::Error + 'static)) -> SendError {
    tracing::debug!(?error, "TLS connection failed");
    SendError::Unreachable(Failure::Tls)
}
