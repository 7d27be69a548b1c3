//! Resolves host names.

use std::{io, net::IpAddr, pin::Pin};

/// Finds the addresses of a host name.
pub trait Resolve: Send + Sync + 'static {
    /// Returns the addresses of `host`, best first. An empty list counts as a failure.
    ///
    /// The client calls this once per connection, and never for a host that is an address already.
    fn resolve(&self, host: &str) -> ResolveFuture;
}

/// The future that [`Resolve::resolve`] returns.
pub type ResolveFuture = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Resolves names as the system does (`getaddrinfo`).
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has nothing to configure")]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str) -> ResolveFuture {
        let host = host.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}
