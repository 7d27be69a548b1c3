//! One provider of the table.

use std::sync::Arc;

use aisbreaker_egress::{API_KEY, X_API_KEY, X_GOOG_API_KEY};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use secrecy::SecretString;
use serde::Deserialize;

use crate::{endpoint::SecretNeed, error::ServiceError, secret::secret_header, usage::UsageRule};

/// A protocol that both clients and providers use.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "code that answers in a dialect must handle all of them"
)]
pub enum Dialect {
    /// OpenAI's API.
    OpenAi,
    /// Anthropic's API.
    Anthropic,
}

impl Dialect {
    /// Returns the other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::OpenAi => Self::Anthropic,
            Self::Anthropic => Self::OpenAi,
        }
    }

    /// Returns the name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "OpenAI",
            Self::Anthropic => "Anthropic",
        }
    }
}

/// The header in which a provider expects its secret.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AuthScheme {
    /// `Authorization: Bearer …`
    #[default]
    Bearer,
    /// `x-api-key: …`
    XApiKey,
    /// `api-key: …`
    ApiKey,
    /// `x-goog-api-key: …`
    XGoogApiKey,
}

impl AuthScheme {
    /// Returns the header that carries this secret; its value is marked as sensitive, and wiped
    /// when it is dropped.
    ///
    /// # Errors
    /// [`ServiceError::BadRequest`] when the secret has characters that a header cannot carry.
    pub fn header(self, secret: &SecretString) -> Result<(HeaderName, HeaderValue), ServiceError> {
        let (name, scheme) = match self {
            Self::Bearer => (header::AUTHORIZATION, "Bearer "),
            Self::XApiKey => (X_API_KEY, ""),
            Self::ApiKey => (API_KEY, ""),
            Self::XGoogApiKey => (X_GOOG_API_KEY, ""),
        };
        Ok((name, secret_header(scheme, secret)?))
    }
}

/// A provider: where it is called, which dialects it supports, and how it expects its secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Provider {
    /// The name in service ids: `groq.com` in `chat:groq.com/llama-3.1-8b`.
    pub id: String,
    /// Other names in service ids.
    pub aliases: Vec<String>,
    /// The base URL if neither the caller nor the key names one.
    pub url: Option<String>,
    /// The header in which the provider expects its secret.
    pub auth: AuthScheme,
    /// Whether the provider can be called without a secret.
    pub secret: SecretNeed,
    /// The model of `/api/v1/process` if the caller names none.
    pub engine: Option<String>,
    /// Headers of every request, unless the caller sent one of the same name.
    pub headers: HeaderMap,
    /// Whether a stream reports its usage only if the request sets `stream_options`.
    pub stream_usage: bool,
    /// Whether requests in a dialect that the provider does not speak are translated, where that is
    /// possible.
    pub translate: bool,
    /// Whether this is the dummy, which is called without a network.
    pub(super) is_dummy: bool,
    pub(super) openai: Option<DialectConfig>,
    pub(super) anthropic: Option<DialectConfig>,
}

/// How a provider supports a dialect.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DialectConfig {
    /// The prefix of an operation's path: `/v1` of `/v1/chat/completions`.
    pub prefix: String,
    /// How the provider's usage objects are read.
    pub usage: Arc<UsageRule>,
}

impl Provider {
    /// Returns how the provider supports this dialect, or `None` if it does not.
    #[must_use]
    pub fn dialect(&self, dialect: Dialect) -> Option<&DialectConfig> {
        match dialect {
            Dialect::OpenAi => self.openai.as_ref(),
            Dialect::Anthropic => self.anthropic.as_ref(),
        }
    }

    /// Returns whether this is the dummy, which answers without a network and costs nothing.
    #[must_use]
    pub fn is_dummy(&self) -> bool {
        self.is_dummy
    }

    /// Returns all names, the id first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.id)
            .chain(&self.aliases)
            .map(String::as_str)
    }

    /// Adds the provider's own headers to a request that has none of the same name.
    pub(crate) fn add_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            headers.entry(name).or_insert_with(|| value.clone());
        }
    }
}
