//! The grant as the original server reads it: unknown members are ignored.
//!
//! Legacy keys are read so. It also tells a grant with an unknown member from one with a malformed
//! member, for the log.

use std::num::NonZeroU32;

use secrecy::SecretString;
use serde::Deserialize;

use super::{
    grant::{Grant, ServiceSecret, deserialize_one_or_many},
    quotas::{RequestLimits, RequestQuotas},
};

/// A [`Grant`] with the members that the original server knows.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LenientGrant {
    #[serde(default)]
    request_quotas: Option<Quotas>,
    #[serde(default)]
    service_secrets: Vec<Secret>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Quotas {
    per_client_request_limits: Limits,
    global_request_limits: Limits,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Limits {
    requests_per_minute: NonZeroU32,
    requests_per_hour: NonZeroU32,
    requests_per_day: NonZeroU32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Secret {
    service_id: String,
    auth_secret: SecretString,
    #[serde(default, deserialize_with = "deserialize_one_or_many")]
    url: Vec<String>,
}

impl From<LenientGrant> for Grant {
    fn from(grant: LenientGrant) -> Self {
        let secrets = grant.service_secrets.into_iter().map(ServiceSecret::from);
        Self::new(
            grant.request_quotas.map(RequestQuotas::from),
            secrets.collect(),
        )
    }
}

impl From<Quotas> for RequestQuotas {
    fn from(quotas: Quotas) -> Self {
        Self {
            per_client_request_limits: quotas.per_client_request_limits.into(),
            global_request_limits: quotas.global_request_limits.into(),
        }
    }
}

impl From<Limits> for RequestLimits {
    fn from(limits: Limits) -> Self {
        Self {
            requests_per_minute: limits.requests_per_minute,
            requests_per_hour: limits.requests_per_hour,
            requests_per_day: limits.requests_per_day,
        }
    }
}

impl From<Secret> for ServiceSecret {
    fn from(secret: Secret) -> Self {
        Self::new(secret.service_id, secret.auth_secret).with_url(secret.url)
    }
}
