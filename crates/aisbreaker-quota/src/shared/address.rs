//! Where a store is.

use std::{fmt, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Cmd, IntoConnectionInfo as _, RedisResult, TlsCertificates,
    Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
    io::tcp::TcpSettings,
};

use super::error::InvalidStore;

/// The longest time in which a connection is made, or an attempt counts as failed.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A call is never sent twice: the rest of a lease would be given back twice. A key that has moved
/// is a failure, after which the cluster is looked at anew.
const CLUSTER_RETRIES: u32 = 0;

/// The schemes of a single server.
const SCHEMES: [&str; 7] = [
    "redis",
    "rediss",
    "valkey",
    "valkeys",
    "unix",
    "redis+unix",
    "valkey+unix",
];

/// The address of a store, with what it takes to be let in. A secret: `Debug` shows nothing of it.
pub struct StoreAddress(Kind);

enum Kind {
    Single(Box<Client>),
    Cluster(Box<ClusterClient>),
}

/// A connection to a store. Clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl StoreAddress {
    /// Reads an address: `redis://user:password@host:port/database`, or with another scheme
    /// `rediss` (TLS), `valkey`, `valkeys` (TLS) or `unix`. Of a cluster, some nodes:
    /// `redis+cluster://user:password@host:port,host:port`, with TLS `rediss+cluster`. Reserved
    /// characters of user and password are percent-encoded.
    ///
    /// # Errors
    /// [`InvalidStore::Url`] for all else, without repeating it. Certificates are always verified,
    /// so `#insecure` is refused as well.
    pub fn parse(url: &str) -> Result<Self, InvalidStore> {
        Self::read(url, None)
    }

    /// Like [`parse`](Self::parse), for a store with TLS whose certificate is of this authority and
    /// no other: its certificate, in PEM.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and [`InvalidStore::Authority`] if that is no certificate, or the
    /// address is not one of a single server with TLS: the nodes of a cluster are verified by the
    /// authorities of the system alone.
    pub fn parse_trusting(url: &str, authority: &[u8]) -> Result<Self, InvalidStore> {
        if !url.starts_with("rediss://") && !url.starts_with("valkeys://") {
            return Err(InvalidStore::Authority);
        }
        Self::read(url, Some(authority))
    }

    fn read(url: &str, authority: Option<&[u8]>) -> Result<Self, InvalidStore> {
        let certificates = authority.map(|authority| TlsCertificates {
            client_tls: None,
            root_cert: Some(authority.to_vec()),
        });
        let (scheme, rest) = url.split_once("://").ok_or(InvalidStore::Url)?;
        if rest.contains('#') {
            return Err(InvalidStore::Url);
        }
        match scheme.split_once("+cluster") {
            Some((scheme, "")) => {
                cluster(scheme, rest).map(|client| Self(Kind::Cluster(Box::new(client))))
            }
            _ if SCHEMES.contains(&scheme) => {
                let info = url
                    .into_connection_info()
                    .map_err(|_shows_it| InvalidStore::Url)?;
                if info.redis_settings().db() < 0 {
                    return Err(InvalidStore::Url);
                }
                let info = info.set_tcp_settings(tcp_settings());
                let client = match certificates {
                    None => Client::open(info).map_err(|_shows_it| InvalidStore::Url),
                    Some(certificates) => Client::build_with_tls(info, certificates)
                        .map_err(|_shows_it| InvalidStore::Authority),
                };
                client.map(|client| Self(Kind::Single(Box::new(client))))
            }
            _ => Err(InvalidStore::Url),
        }
    }

    pub(super) async fn connect(&self) -> RedisResult<Connection> {
        match &self.0 {
            Kind::Single(client) => {
                // Decisions have a deadline of their own.
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(CONNECT_TIMEOUT))
                    .set_response_timeout(None);
                client
                    .get_multiplexed_async_connection_with_config(&config)
                    .await
                    .map(Connection::Single)
            }
            Kind::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
        }
    }
}

impl Connection {
    pub(super) async fn query(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(command).await,
            Self::Cluster(connection) => connection.req_packed_command(command).await,
        }?
        .extract_error()
    }
}

impl fmt::Debug for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreAddress(..)")
    }
}

fn cluster(scheme: &str, rest: &str) -> Result<ClusterClient, InvalidStore> {
    if !matches!(scheme, "redis" | "rediss" | "valkey" | "valkeys") {
        return Err(InvalidStore::Url);
    }
    let (credentials, nodes) = rest
        .rsplit_once('@')
        .map_or(("", rest), |(who, nodes)| (who, nodes));
    let separator = if credentials.is_empty() { "" } else { "@" };
    let nodes = nodes.trim_end_matches('/').split(',');
    let nodes: Result<Vec<_>, _> = nodes
        .map(|node| format!("{scheme}://{credentials}{separator}{node}").into_connection_info())
        .collect();
    let nodes = nodes.map_err(|_shows_it| InvalidStore::Url)?;
    if nodes.iter().any(|node| node.redis_settings().db() != 0) {
        return Err(InvalidStore::Url);
    }
    ClusterClientBuilder::new(nodes)
        .tcp_settings(tcp_settings())
        .connection_timeout(CONNECT_TIMEOUT)
        .retries(CLUSTER_RETRIES)
        .build()
        .map_err(|_shows_it| InvalidStore::Url)
}

/// A decision is one small packet; it must not wait for the next one.
fn tcp_settings() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}
