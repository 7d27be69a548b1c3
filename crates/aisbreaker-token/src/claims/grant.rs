//! The standard payload: quotas, budgets, service secrets, model aliases and restrictions.
//!
//! These types are plain data. Enforcing quotas, budgets, restrictions and the destinations of secrets is up
//! to the server.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    ancestor::Ancestor, budgets::Budgets, model_alias::ModelAlias, quotas::RequestQuotas,
    restriction::Restriction,
};

/// What a key permits: the payload that the AIsBreaker server seals.
///
/// Its JSON is an object with the fields as members, in camel case. All members are optional, and
/// empty ones are left out.
///
/// A member that is not known, in the grant or in an object within it, is an error: a server must
/// never ignore a restriction that a newer one sealed. [`KeyRing::open_grant`] reads keys of the
/// original server leniently.
///
/// [`KeyRing::open_grant`]: crate::KeyRing::open_grant
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Grant {
    /// What the key is called, for people. It is not a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How often the key may be used. If `None`, the server's defaults apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_quotas: Option<RequestQuotas>,
    /// How many tokens and dollars the key may use. `None`: no limit of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budgets: Option<Box<Budgets>>,
    /// The secrets for services. Their order is significant to the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_secrets: Vec<ServiceSecret>,
    /// Aliases of models, and what they stand for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub model_aliases: BTreeMap<String, ModelAlias>,
    /// Restrictions, all of which must hold. Delegation appends to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restrict: Vec<Restriction>,
    /// How many levels of keys may be made from this one. `None`: as many as
    /// [`MAX_DELEGATION_DEPTH`](crate::MAX_DELEGATION_DEPTH) leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<u8>,
    /// The keys that this one was made from, the first of them first.
    #[serde(default, rename = "up", skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<Ancestor>,
}

impl Grant {
    /// Creates a grant with these quotas and secrets and nothing else.
    pub fn new(request_quotas: Option<RequestQuotas>, service_secrets: Vec<ServiceSecret>) -> Self {
        Self {
            request_quotas,
            service_secrets,
            ..Self::default()
        }
    }

    /// Sets the model aliases.
    #[must_use]
    pub fn with_model_aliases(
        mut self,
        model_aliases: impl IntoIterator<Item = (impl Into<String>, impl Into<ModelAlias>)>,
    ) -> Self {
        self.model_aliases = model_aliases
            .into_iter()
            .map(|(name, alias)| (name.into(), alias.into()))
            .collect();
        self
    }
}

/// A secret for the services that match an id.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct ServiceSecret {
    /// The id of the services, such as `chat:openai.com`. Empty matches all services.
    pub service_id: String,
    /// The secret that authenticates to the service. It may be empty.
    #[serde(serialize_with = "serialize_secret")]
    pub auth_secret: SecretString,
    /// The URLs to which the secret may be sent.
    ///
    /// Empty means the default URL of the service. In JSON, the member is absent, a string or a
    /// list of strings.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "serialize_one_or_many",
        deserialize_with = "deserialize_one_or_many"
    )]
    pub url: Vec<String>,
    /// The ids of the services to call, in order, if this one fails.
    ///
    /// In JSON, the member is absent, a string or a list of strings.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "serialize_one_or_many",
        deserialize_with = "deserialize_one_or_many"
    )]
    pub fallback: Vec<String>,
}

impl ServiceSecret {
    /// Creates a secret for the services that match this id, to be sent to their default URL.
    pub fn new(service_id: impl Into<String>, auth_secret: SecretString) -> Self {
        Self {
            service_id: service_id.into(),
            auth_secret,
            url: Vec::new(),
            fallback: Vec::new(),
        }
    }

    /// Sets the services to call if this one fails.
    #[must_use]
    pub fn with_fallback(mut self, fallback: Vec<String>) -> Self {
        self.fallback = fallback;
        self
    }

    /// Sets the URLs to which the secret may be sent.
    #[must_use]
    pub fn with_url(mut self, url: Vec<String>) -> Self {
        self.url = url;
        self
    }
}

/// Serializes a secret into the plaintext of a key, the only JSON that contains one.
fn serialize_secret<S: Serializer>(
    secret: &SecretString,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

fn serialize_one_or_many<S: Serializer>(
    texts: &[String],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match texts {
        [text] => text.serialize(serializer),
        texts => texts.serialize(serializer),
    }
}

pub(super) fn deserialize_one_or_many<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
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
