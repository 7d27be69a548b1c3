//! The standard payload: quotas, the secrets of the services that a key may use, and other names of
//! their models.
//!
//! Plain data. What quotas mean and where a secret may be sent is decided by those who use it.

use std::{collections::BTreeMap, num::NonZeroU32};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a key allows, as the AIsBreaker server seals it.
///
/// In JSON: `{"requestQuotas": {…}, "serviceSecrets": […], "modelAliases": {…}}`, all optional.
/// Members that are not known are ignored when a key is opened.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Grant {
    /// How often the key may be used. `None`: the server's defaults apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_quotas: Option<RequestQuotas>,
    /// Secrets by service; the order matters to the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_secrets: Vec<ServiceSecret>,
    /// Other names of models: the name, and the service id with an engine that it stands for, such
    /// as `chat:groq.com/llama-3.1-8b`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub model_aliases: BTreeMap<String, String>,
}

impl Grant {
    /// A grant of these quotas and secrets.
    pub fn new(request_quotas: Option<RequestQuotas>, service_secrets: Vec<ServiceSecret>) -> Self {
        Self {
            request_quotas,
            service_secrets,
            model_aliases: BTreeMap::new(),
        }
    }

    /// The same grant with other names of models.
    #[must_use]
    pub fn with_model_aliases(mut self, model_aliases: BTreeMap<String, String>) -> Self {
        self.model_aliases = model_aliases;
        self
    }
}

/// Limits for each client of a key, and for all its clients together.
#[expect(
    clippy::exhaustive_structs,
    reason = "fixed by the key format; named fields keep the two apart"
)]
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestQuotas {
    /// What each client address may do.
    pub per_client_request_limits: RequestLimits,
    /// What all clients may do together.
    pub global_request_limits: RequestLimits,
}

/// Requests per minute, hour and day; all three are required, and none is zero.
#[expect(
    clippy::exhaustive_structs,
    reason = "fixed by the key format; named fields keep the three apart"
)]
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestLimits {
    /// Requests in any minute.
    pub requests_per_minute: NonZeroU32,
    /// Requests in any hour.
    pub requests_per_hour: NonZeroU32,
    /// Requests in any day.
    pub requests_per_day: NonZeroU32,
}

/// A secret for the services that an id stands for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ServiceSecret {
    /// Which services, such as `chat:openai.com`; empty for all.
    pub service_id: String,
    /// What authenticates to the service; may be empty.
    #[serde(serialize_with = "expose")]
    pub auth_secret: SecretString,
    /// Where the secret may be sent. In JSON absent, one string, or a list of strings.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "one_or_many",
        deserialize_with = "from_one_or_many"
    )]
    pub url: Vec<String>,
    /// Ids of the services to be called, one after the other, when this one fails. In JSON absent,
    /// one string, or a list of strings.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "one_or_many",
        deserialize_with = "from_one_or_many"
    )]
    pub fallback: Vec<String>,
}

impl ServiceSecret {
    /// A secret for the services of this id, to be sent to their usual address.
    pub fn new(service_id: impl Into<String>, auth_secret: SecretString) -> Self {
        Self {
            service_id: service_id.into(),
            auth_secret,
            url: Vec::new(),
            fallback: Vec::new(),
        }
    }

    /// The same secret with the services to be called when this one fails.
    #[must_use]
    pub fn with_fallback(mut self, fallback: Vec<String>) -> Self {
        self.fallback = fallback;
        self
    }

    /// The same secret, to be sent to these addresses.
    #[must_use]
    pub fn with_url(mut self, url: Vec<String>) -> Self {
        self.url = url;
        self
    }
}

/// The one place where a secret becomes JSON: the plaintext of a key.
fn expose<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

fn one_or_many<S: Serializer>(texts: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    match texts {
        [text] => text.serialize(serializer),
        texts => texts.serialize(serializer),
    }
}

fn from_one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }

    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(text) => vec![text],
        OneOrMany::Many(texts) => texts,
    })
}
