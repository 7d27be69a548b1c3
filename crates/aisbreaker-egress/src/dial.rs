//! Dials the addresses that the policy allows. The host is resolved once, and only addresses that
//! were judged are dialled.

use std::{
    error::Error as _,
    fmt,
    future::{Ready, ready},
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    vec,
};

use http::Uri;
use hyper_util::client::legacy::connect::{HttpConnector, dns::Name};
use tower_service::Service;

use crate::{
    error::{Failure, Refusal, SendError},
    origin::Origin,
    policy::{Policy, UrlSource},
    resolve::Resolve,
    tcp::Tcp,
};

/// Makes TCP connections, where the policy allows.
#[derive(Clone)]
pub(crate) struct Dialer {
    policy: Policy,
    resolver: Arc<dyn Resolve>,
}

/// Dials for URLs from one source.
#[derive(Clone, Debug)]
pub(crate) struct SourceDialer {
    dialer: Dialer,
    source: UrlSource,
}

impl Dialer {
    pub(crate) fn new(policy: Policy, resolver: Arc<dyn Resolve>) -> Self {
        Self { policy, resolver }
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Returns the dialer for URLs from this source.
    pub(crate) fn for_source(&self, source: UrlSource) -> SourceDialer {
        SourceDialer {
            dialer: self.clone(),
            source,
        }
    }

    /// Returns all addresses of an origin, at least one; IPv4-mapped ones as IPv4.
    async fn addresses(&self, origin: &Origin) -> Result<Vec<IpAddr>, SendError> {
        if let Some(address) = origin.address() {
            return Ok(vec![address]);
        }
        let host = origin.host();
        let addresses = match self.resolver.resolve(host).await {
            Ok(addresses) => addresses,
            Err(error) => {
                tracing::debug!(host, %error, "host name not resolved");
                Vec::new()
            }
        };
        if addresses.is_empty() {
            let host = host.to_owned();
            return Err(SendError::Unreachable(Failure::Resolution { host }));
        }
        Ok(addresses.iter().map(IpAddr::to_canonical).collect())
    }
}

impl SourceDialer {
    pub(crate) async fn dial(&self, uri: &Uri) -> Result<Tcp, SendError> {
        dial_first(self.allowed_addresses(uri).await?).await
    }

    /// Returns the addresses at which the origin of `uri` may be dialled, at least one.
    ///
    /// A host without any address is [`SendError::Unreachable`], whatever the policy says.
    pub(crate) async fn allowed_addresses(&self, uri: &Uri) -> Result<Vec<SocketAddr>, SendError> {
        let origin = Origin::of(uri).ok_or(SendError::Forbidden(Refusal::InvalidUrl))?;
        let mut allowed = Vec::new();
        let mut first_refusal = None;
        for address in self.dialer.addresses(&origin).await? {
            let policy = &self.dialer.policy;
            match policy.check_address(&origin, address, self.source) {
                Ok(()) => allowed.push(SocketAddr::new(address, origin.port())),
                Err(refusal) => first_refusal = first_refusal.or(Some(refusal)),
            }
        }
        match first_refusal {
            Some(refusal) if allowed.is_empty() => Err(SendError::Forbidden(refusal)),
            _ => Ok(allowed),
        }
    }
}

impl Service<Uri> for SourceDialer {
    type Response = Tcp;
    type Error = SendError;
    type Future = Pin<Box<dyn Future<Output = Result<Tcp, SendError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.dial(&uri).await })
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// Connects to the first address that answers. Starts with the other IP version soon if the first
/// one does not answer (RFC 8305).
async fn dial_first(addresses: Vec<SocketAddr>) -> Result<Tcp, SendError> {
    let mut tcp = HttpConnector::new_with_resolver(FixedAddresses(addresses));
    tcp.set_nodelay(true);
    // A name and not an address, so that the connector can only dial what `FixedAddresses` returns,
    // ports included.
    let connecting = tcp.call(Uri::from_static("http://checked.invalid/"));
    let connected = connecting.await.map_err(|error| {
        tracing::debug!(?error, "connecting failed");
        let cause = error
            .source()
            .and_then(|cause| cause.downcast_ref::<io::Error>());
        SendError::Unreachable(match cause {
            Some(cause) if cause.kind() == io::ErrorKind::ConnectionRefused => Failure::Refused,
            _ => Failure::Network,
        })
    });
    connected.map(Tcp::new)
}

/// Resolves every name to addresses that were judged before.
#[derive(Clone, Debug)]
struct FixedAddresses(Vec<SocketAddr>);

impl Service<Name> for FixedAddresses {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Ready<io::Result<vec::IntoIter<SocketAddr>>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _name: Name) -> Self::Future {
        ready(Ok(self.0.clone().into_iter()))
    }
}
