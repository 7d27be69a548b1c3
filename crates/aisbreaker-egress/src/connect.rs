//! Makes connections: resolves once, asks the policy about every address, dials what it allows.

use std::{
    error::Error as _,
    fmt,
    future::{Ready, ready},
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
    vec,
};

use http::Uri;
use hyper_tls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::legacy::connect::{HttpConnector, dns::Name},
    rt::TokioIo,
};
#[cfg(test)]
use native_tls::TlsConnector;
use tokio::net::TcpStream;
#[cfg(feature = "in-memory")]
use tokio::{io::DuplexStream, sync::mpsc::UnboundedSender};
use tower_service::Service;

#[cfg(any(test, feature = "test-util"))]
use crate::error::TlsUnavailable;
use crate::{
    error::{Failure, Refusal, SendError, Stage},
    origin::Origin,
    policy::Policy,
    resolve::Resolve,
    stream::Stream,
    tls::{self, Tls},
};

/// How much a connection in memory holds in each direction.
#[cfg(feature = "in-memory")]
const IN_MEMORY_BYTES: usize = 64 * 1024;

/// Connects to an origin by `http` or `https` within a time limit, as far as the policy allows.
#[derive(Clone)]
pub(crate) struct Connector {
    guarded: Guarded,
    tls: Tls,
    timeout: Duration,
    #[cfg(feature = "in-memory")]
    in_memory: Option<UnboundedSender<DuplexStream>>,
}

/// Makes the TCP connections below [`Connector`].
#[derive(Clone)]
struct Guarded {
    policy: Policy,
    resolver: Arc<dyn Resolve>,
}

impl Connector {
    pub(crate) fn new(policy: Policy, resolver: Arc<dyn Resolve>, timeout: Duration) -> Self {
        Self {
            guarded: Guarded { policy, resolver },
            tls: Tls::default(),
            timeout,
            #[cfg(feature = "in-memory")]
            in_memory: None,
        }
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.guarded.policy
    }

    #[cfg(any(test, feature = "test-util"))]
    pub(crate) async fn load_tls(&self) -> Result<(), TlsUnavailable> {
        self.tls.connector().await.map(drop)
    }

    /// Uses this TLS configuration instead of the system's.
    #[cfg(test)]
    pub(crate) fn trust(&mut self, tls: TlsConnector) {
        self.tls = Tls::from_connector(tls);
    }

    /// Sends the other ends of connections by `http` there, instead of dialling.
    #[cfg(feature = "in-memory")]
    pub(crate) fn stay_in_memory(&mut self, providers: UnboundedSender<DuplexStream>) {
        self.in_memory = Some(providers);
    }

    /// A connection in memory, where such are wanted.
    #[cfg(feature = "in-memory")]
    async fn connect_in_memory(&self, uri: &Uri) -> Result<Option<Stream>, SendError> {
        let Some(providers) = &self.in_memory else {
            return Ok(None);
        };
        self.guarded.permitted(&origin_of(uri)?).await?;
        let (ours, theirs) = tokio::io::duplex(IN_MEMORY_BYTES);
        providers
            .send(theirs)
            .map_err(|_gone| SendError::Unreachable(Failure::Refused))?;
        Ok(Some(Stream::InMemory(TokioIo::new(ours))))
    }

    async fn connect(mut self, uri: Uri) -> Result<Stream, SendError> {
        if uri.scheme_str() != Some("https") {
            #[cfg(feature = "in-memory")]
            if let Some(stream) = self.connect_in_memory(&uri).await? {
                return Ok(stream);
            }
            return self
                .guarded
                .call(uri)
                .await
                .map(|tcp| Stream::Network(MaybeHttpsStream::Http(tcp)));
        }
        let tls = self
            .tls
            .connector()
            .await
            .map_err(|error| tls::failure(&error))?;
        let stream = HttpsConnector::from((self.guarded, tls.into()))
            .call(uri)
            .await;
        stream
            .map(Stream::Network)
            .map_err(|error| match error.downcast::<SendError>() {
                Ok(verdict) => *verdict,
                Err(error) => tls::failure(error.as_ref()),
            })
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = SendError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, SendError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(self.timeout, self.clone().connect(uri));
        Box::pin(async move {
            connecting
                .await
                .map_err(|_elapsed| SendError::Timeout(Stage::Connect))?
        })
    }
}

impl Service<Uri> for Guarded {
    type Response = TokioIo<TcpStream>;
    type Error = SendError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<TcpStream>, SendError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let origin = origin_of(&uri)?;
            dial(this.permitted(&origin).await?).await
        })
    }
}

impl Guarded {
    /// The addresses at which `origin` may be dialled; at least one. A name that has none is told
    /// as such, before any rule is asked, as clients of the original server expect it.
    async fn permitted(&self, origin: &Origin) -> Result<Vec<SocketAddr>, SendError> {
        let mut permitted = Vec::new();
        let mut refusal = None;
        for address in self.addresses(origin.host()).await? {
            match self.policy.check_address(origin, address) {
                Ok(()) => permitted.push(SocketAddr::new(address, origin.port())),
                Err(reason) => refusal = refusal.or(Some(reason)),
            }
        }
        match refusal {
            Some(reason) if permitted.is_empty() => Err(SendError::Forbidden(reason)),
            _ => Ok(permitted),
        }
    }

    /// All addresses of a host, IPv4-mapped ones as IPv4; at least one.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, SendError> {
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let found = match bare.parse() {
            Ok(address) => Ok(vec![address]),
            Err(_) => self.resolver.resolve(host).await,
        };
        let addresses = found.unwrap_or_else(|error| {
            tracing::debug!(host, %error, "name of a provider not resolved");
            Vec::new()
        });
        if addresses.is_empty() {
            return Err(SendError::Unreachable(Failure::Resolution {
                host: host.to_owned(),
            }));
        }
        Ok(addresses.iter().map(IpAddr::to_canonical).collect())
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// The origin that the pool wants a connection to.
fn origin_of(uri: &Uri) -> Result<Origin, SendError> {
    Origin::of(uri).ok_or(SendError::Forbidden(Refusal::InvalidUrl))
}

/// Connects to the first of the addresses that answers, trying the other IP version soon (RFC
/// 8305).
async fn dial(addresses: Vec<SocketAddr>) -> Result<TokioIo<TcpStream>, SendError> {
    let mut tcp = HttpConnector::new_with_resolver(Checked(addresses));
    tcp.set_nodelay(true);
    // Not an address, so the connector can only dial what `Checked` answers, ports included.
    tcp.call(Uri::from_static("http://checked.invalid/"))
        .await
        .map_err(|error| {
            tracing::debug!(?error, "connection to a provider failed");
            let refused = error
                .source()
                .and_then(|cause| cause.downcast_ref::<io::Error>())
                .is_some_and(|cause| cause.kind() == io::ErrorKind::ConnectionRefused);
            SendError::Unreachable(if refused {
                Failure::Refused
            } else {
                Failure::Network
            })
        })
}

/// A resolver that knows nothing but addresses that were checked.
#[derive(Clone, Debug)]
struct Checked(Vec<SocketAddr>);

impl Service<Name> for Checked {
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
