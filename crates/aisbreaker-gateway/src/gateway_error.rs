//! Why the gateway itself does not serve a request.

/// Why the gateway itself does not serve a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum GatewayError {
    /// Too many requests are in flight.
    TooManyRequests,
    /// The gateway accepts no new requests.
    Draining,
    /// The readiness probe while the gateway drains.
    NotReady,
    /// The code of the gateway panicked.
    Panicked,
}
