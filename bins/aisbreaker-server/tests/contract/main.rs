//! The server as its clients see it: the real binary, real sockets on loopback, and providers that
//! fail on demand.
//!
//! One module per area of the HTTP contract:
//!
//! - [`own_api`]: the server's own API below `/api/v1`.
//! - [`provider_api`]: the providers' own APIs below `/v1`.
//! - [`console`]: the files of the console, and where they are served.
//! - [`key_lifecycle`]: what a key allows, how it is narrowed, and how it ends.
//! - [`limits`]: quotas, memory, connections, time, and clients that exhaust them.
//! - [`secrets`]: where secrets may go, and where they must never appear.
//! - [`shutdown`]: what ends with a disconnect, a signal or a fault, and leaves nothing behind.
//! - [`operator`]: settings, logs and traces.
//!
//! All modules are one test binary on purpose: it is linked once, and its tests run concurrently,
//! each with its own servers and providers. Nothing here sleeps. Tests wait for a response, a log
//! line, the end of a socket, or, where they are about time, for the events of a paced stream.

#[cfg(test)]
mod support;

#[cfg(test)]
#[path = "../../../../crates/aisbreaker-quota/tests/support/redis_server.rs"]
mod redis_server;

#[cfg(test)]
mod console;
#[cfg(test)]
mod key_lifecycle;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod operator;
#[cfg(test)]
mod own_api;
#[cfg(test)]
mod provider_api;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod shutdown;
