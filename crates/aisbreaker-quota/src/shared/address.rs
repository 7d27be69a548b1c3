//! The address of a store, and how to connect to it.

use std::{fmt, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo as _, RedisResult, TlsCertificates,
    cluster::{ClusterClient, ClusterClientBuilder},
    io::tcp::TcpSettings,
};

use super::connection::Connection;
use super::error::InvalidStore;

/// How long an attempt to connect may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A cluster client never repeats a call by itself, since that would release the rest of a lease
/// twice. A call to a key that has moved fails instead, and the client then refreshes its view of
/// the cluster.
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

/// The address of a store with its credentials. It is a secret: `Debug` shows nothing of it.
///
/// # Examples
///
/// ```
/// use aisbreaker_quota::shared::StoreAddress;
///
/// let address = StoreAddress::parse("rediss://gate:secret@redis.example:6379/0")?;
/// assert!(!format!("{address:?}").contains("secret"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct StoreAddress(Kind);

enum Kind {
    Single(Box<Client>),
    Cluster(Box<ClusterClient>),
}

impl StoreAddress {
    /// Parses an address such as `redis://user:password@host:port/database`.
    ///
    /// Other schemes for a single server are `rediss` (TLS), `valkey`, `valkeys` (TLS) and `unix`.
    /// The address of a cluster has some of its nodes:
    /// `redis+cluster://user:password@host:port,host:port`, or `rediss+cluster` with TLS. Reserved
    /// characters in user and password are percent-encoded.
    ///
    /// # Errors
    /// [`InvalidStore::Url`] for anything else; it does not repeat the address. Certificates are
    /// always verified, so `#insecure` is an error as well.
    pub fn parse(url: &str) -> Result<Self, InvalidStore> {
        Self::parse_kind(url, None)
    }

    /// Parses an address like [`parse`](Self::parse), of a server whose certificate must be issued
    /// by this CA and no other. `ca_certificate` is in PEM.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and [`InvalidStore::CaCertificate`] if the certificate cannot be
    /// read, or if the address is not that of a single server with TLS. The nodes of a cluster can
    /// only be verified by the CAs of the system.
    pub fn parse_with_ca(url: &str, ca_certificate: &[u8]) -> Result<Self, InvalidStore> {
        if !url.starts_with("rediss://") && !url.starts_with("valkeys://") {
            return Err(InvalidStore::CaCertificate);
        }
        Self::parse_kind(url, Some(ca_certificate))
    }

    fn parse_kind(url: &str, ca_certificate: Option<&[u8]>) -> Result<Self, InvalidStore> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(InvalidStore::Url);
        };
        if rest.contains('#') {
            return Err(InvalidStore::Url);
        }
        if let Some((node_scheme, "")) = scheme.split_once("+cluster") {
            let client = cluster(node_scheme, rest)?;
            return Ok(Self(Kind::Cluster(Box::new(client))));
        }
        if !SCHEMES.contains(&scheme) {
            return Err(InvalidStore::Url);
        }
        let client = single(url, ca_certificate)?;
        Ok(Self(Kind::Single(Box::new(client))))
    }

    /// Connects to the store.
    pub(super) async fn connect(&self) -> RedisResult<Connection> {
        match &self.0 {
            Kind::Single(client) => {
                // There is no timeout for replies, since decisions have a deadline of their own.
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(CONNECT_TIMEOUT))
                    .set_response_timeout(None);
                let connection = client
                    .get_multiplexed_async_connection_with_config(&config)
                    .await?;
                Ok(Connection::Single(connection))
            }
            Kind::Cluster(client) => {
                let connection = client.get_async_connection().await?;
                Ok(Connection::Cluster(connection))
            }
        }
    }
}

impl fmt::Debug for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreAddress(..)")
    }
}

// Errors of the redis crate are dropped below, since they may repeat the address.

fn single(url: &str, ca_certificate: Option<&[u8]>) -> Result<Client, InvalidStore> {
    let info = url
        .into_connection_info()
        .map_err(|_shows_url| InvalidStore::Url)?;
    if info.redis_settings().db() < 0 {
        return Err(InvalidStore::Url);
    }
    let tuned = info.set_tcp_settings(tcp_settings());
    let Some(certificate) = ca_certificate else {
        return Client::open(tuned).map_err(|_shows_url| InvalidStore::Url);
    };
    let certificates = TlsCertificates {
        client_tls: None,
        root_cert: Some(certificate.to_vec()),
    };
    Client::build_with_tls(tuned, certificates).map_err(|_shows_url| InvalidStore::CaCertificate)
}

fn cluster(scheme: &str, rest: &str) -> Result<ClusterClient, InvalidStore> {
    if !matches!(scheme, "redis" | "rediss" | "valkey" | "valkeys") {
        return Err(InvalidStore::Url);
    }
    let (credentials, hosts) = rest.rsplit_once('@').unwrap_or(("", rest));
    let separator = if credentials.is_empty() { "" } else { "@" };
    let mut nodes = Vec::new();
    for host in hosts.trim_end_matches('/').split(',') {
        let node = format!("{scheme}://{credentials}{separator}{host}")
            .into_connection_info()
            .map_err(|_shows_url| InvalidStore::Url)?;
        if node.redis_settings().db() != 0 {
            return Err(InvalidStore::Url);
        }
        nodes.push(node);
    }
    ClusterClientBuilder::new(nodes)
        .tcp_settings(tcp_settings())
        .connection_timeout(CONNECT_TIMEOUT)
        .retries(CLUSTER_RETRIES)
        .build()
        .map_err(|_shows_url| InvalidStore::Url)
}

/// A decision is one small packet, which must not wait for the next one.
fn tcp_settings() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}
