//! Request quotas: how often a key may be used.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// The request limits of a key, for each client and for all clients together.
#[expect(
    clippy::exhaustive_structs,
    reason = "fixed by the key format; named fields keep the two apart"
)]
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestQuotas {
    /// The limits for each client.
    pub per_client_request_limits: RequestLimits,
    /// The limits for all clients together.
    pub global_request_limits: RequestLimits,
}

/// The maximum number of requests per minute, hour and day. All three are required.
#[expect(
    clippy::exhaustive_structs,
    reason = "fixed by the key format; named fields keep the three apart"
)]
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestLimits {
    /// The maximum in any minute.
    pub requests_per_minute: NonZeroU32,
    /// The maximum in any hour.
    pub requests_per_hour: NonZeroU32,
    /// The maximum in any day.
    pub requests_per_day: NonZeroU32,
}
