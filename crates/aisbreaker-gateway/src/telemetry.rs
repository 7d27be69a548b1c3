//! What the operator sees: the access log and the metrics.

pub(crate) mod access_log;
pub(crate) mod metrics;
pub(crate) mod request_id;
