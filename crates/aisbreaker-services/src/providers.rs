//! The provider table: which providers there are, where they are called, what they speak, and how
//! they want their secret.
//!
//! The table that comes with this crate is `providers.toml`; rows of one's own are added with
//! [`Providers::with_rows`].

use std::{collections::BTreeMap, fmt, sync::Arc};

use aisbreaker_api::ServiceUrl;
use aisbreaker_egress as egress;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use secrecy::SecretString;
use serde::Deserialize;

use crate::{
    destination::{SecretNeed, secret_header},
    error::ServiceError,
    usage::UsageRule,
};

const BUILTIN: &str = include_str!("providers.toml");
/// Longest id of a provider in bytes.
const MAX_ID_LEN: usize = 100;

/// A protocol that clients and providers speak.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever answers in a dialect must know all of them"
)]
pub enum Dialect {
    /// That of OpenAI's API.
    OpenAi,
    /// That of Anthropic's API.
    Anthropic,
}

impl Dialect {
    /// Its name as people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "OpenAI",
            Self::Anthropic => "Anthropic",
        }
    }
}

/// The header in which a provider wants its secret.
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
    /// The header that carries this secret; its value is marked as sensitive and wiped when it is
    /// dropped.
    ///
    /// # Errors
    /// [`ServiceError::BadRequest`] when the secret has characters that a header cannot carry.
    pub fn header(self, secret: &SecretString) -> Result<(HeaderName, HeaderValue), ServiceError> {
        let (name, scheme) = match self {
            Self::Bearer => (header::AUTHORIZATION, "Bearer "),
            Self::XApiKey => (HeaderName::from_static("x-api-key"), ""),
            Self::ApiKey => (HeaderName::from_static("api-key"), ""),
            Self::XGoogApiKey => (HeaderName::from_static("x-goog-api-key"), ""),
        };
        Ok((name, secret_header(scheme, secret)?))
    }
}

/// A row of the table.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Provider {
    /// Its name in service ids: `groq.com` in `chat:groq.com/llama-3.1-8b`.
    pub id: String,
    /// Other names of it.
    pub aliases: Vec<String>,
    /// Where it is called when nobody says where.
    pub url: Option<String>,
    /// The header in which it wants its secret.
    pub auth: AuthScheme,
    /// Whether it can be called without a secret.
    pub secret: SecretNeed,
    /// The model of `/api/v1/process` where the caller names none.
    pub engine: Option<String>,
    /// Headers that it gets where the caller sent none of that name.
    pub headers: HeaderMap,
    /// Whether a stream must be asked for its usage (`stream_options`).
    pub asks_for_usage: bool,
    openai: Option<Spoken>,
    anthropic: Option<Spoken>,
}

/// How a provider speaks a dialect.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Spoken {
    /// What stands before the path of an operation: `/v1` of `/v1/chat/completions`.
    pub prefix: String,
    /// How its usage is read.
    pub usage: Arc<UsageRule>,
}

impl Provider {
    /// How it speaks this dialect; `None` if it does not.
    #[must_use]
    pub fn spoken(&self, dialect: Dialect) -> Option<&Spoken> {
        match dialect {
            Dialect::OpenAi => self.openai.as_ref(),
            Dialect::Anthropic => self.anthropic.as_ref(),
        }
    }

    /// All its names, the id first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.id)
            .chain(&self.aliases)
            .map(String::as_str)
    }
}

/// The provider table. Cheap to clone.
#[derive(Clone)]
pub struct Providers {
    rows: Arc<Vec<Arc<Provider>>>,
    usage: Arc<BTreeMap<String, Arc<UsageRule>>>,
}

/// Rows as they are written: `[[provider]]` and `[usage.<name>]`, as in `providers.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ProviderRows {
    #[serde(default)]
    provider: Vec<Row>,
    #[serde(default)]
    usage: BTreeMap<String, UsageRule>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    #[serde(default)]
    aliases: Vec<String>,
    url: Option<String>,
    openai: Option<String>,
    anthropic: Option<String>,
    #[serde(default)]
    auth: AuthScheme,
    #[serde(default)]
    secret: Need,
    engine: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    usage: Option<String>,
    #[serde(default)]
    stream_usage: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Need {
    #[default]
    Required,
    Optional,
}

/// A row of a provider table that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("provider {id:?}: {problem}")]
#[non_exhaustive]
pub struct InvalidProvider {
    id: String,
    problem: &'static str,
}

impl Providers {
    /// The table that comes with this crate.
    #[must_use]
    pub fn builtin() -> Self {
        let empty = Self {
            rows: Arc::default(),
            usage: Arc::default(),
        };
        // Both are tested to be well.
        toml::from_str(BUILTIN)
            .ok()
            .and_then(|rows| empty.with_rows(rows).ok())
            .unwrap_or(empty)
    }

    /// The table with more rows. A row of an id or alias that is there already replaces that one,
    /// at its place.
    ///
    /// # Errors
    /// [`InvalidProvider`] for the first row that cannot be used.
    pub fn with_rows(&self, more: ProviderRows) -> Result<Self, InvalidProvider> {
        let mut usage = (*self.usage).clone();
        usage.extend(
            more.usage
                .into_iter()
                .map(|(name, rule)| (name, Arc::new(rule))),
        );
        let mut rows = (*self.rows).clone();
        for row in more.provider {
            let provider = Arc::new(row.read(&usage)?);
            let is_same = |known: &Arc<Provider>| {
                provider
                    .names()
                    .any(|name| known.names().any(|known| known == name))
            };
            let at = rows.iter().position(is_same).unwrap_or(rows.len());
            rows.retain(|known| !is_same(known));
            rows.insert(at, provider);
        }
        Ok(Self {
            rows: Arc::new(rows),
            usage: Arc::new(usage),
        })
    }

    /// The rows in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.rows.iter()
    }

    /// The provider with this id or alias.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<Provider>> {
        self.rows
            .iter()
            .find(|provider| provider.names().any(|own| own == name))
    }

    /// The first provider that speaks this dialect.
    #[must_use]
    pub fn first(&self, dialect: Dialect) -> Option<&Arc<Provider>> {
        self.rows
            .iter()
            .find(|provider| provider.spoken(dialect).is_some())
    }
}

impl Default for Providers {
    fn default() -> Self {
        Self::builtin()
    }
}

impl fmt::Debug for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.rows.iter().map(|provider| &provider.id))
            .finish()
    }
}

impl Row {
    fn read(self, rules: &BTreeMap<String, Arc<UsageRule>>) -> Result<Provider, InvalidProvider> {
        let fault = |problem| InvalidProvider {
            id: self.id.clone(),
            problem,
        };
        if !std::iter::once(&self.id)
            .chain(&self.aliases)
            .all(|name| is_name(name))
        {
            return Err(fault(
                "id and aliases must be 1 to 100 letters, digits, '.', '-' and '_'",
            ));
        }
        if self
            .url
            .as_deref()
            .is_some_and(|url| ServiceUrl::parse_base(url).is_err())
        {
            return Err(fault("url must be an absolute http or https URL"));
        }
        if self.openai.is_none() && self.anthropic.is_none() {
            return Err(fault(
                "must speak a dialect: set openai or anthropic to the prefix of its paths",
            ));
        }
        let spoken = |prefix: &Option<String>, rule: &str| match prefix {
            None => Ok(None),
            Some(prefix) if !is_prefix(prefix) => Err(fault(
                "openai and anthropic must be '' or a path such as '/v1', without a slash at its end",
            )),
            Some(prefix) => {
                let usage = rules
                    .get(rule)
                    .cloned()
                    .ok_or(fault("usage names a rule that is not there"))?;
                Ok(Some(Spoken {
                    prefix: prefix.clone(),
                    usage,
                }))
            }
        };
        Ok(Provider {
            openai: spoken(&self.openai, self.usage.as_deref().unwrap_or("openai"))?,
            // The other dialect leaves no room for rules of one's own.
            anthropic: spoken(&self.anthropic, "anthropic")?,
            headers: headers(&self.headers).ok_or(fault(
                "headers must have usable names and values, and none of the connection's own or a secret's",
            ))?,
            secret: match self.secret {
                Need::Required => SecretNeed::Required,
                Need::Optional => SecretNeed::Optional,
            },
            asks_for_usage: self.stream_usage,
            auth: self.auth,
            id: self.id,
            aliases: self.aliases,
            url: self.url,
            engine: self.engine,
        })
    }
}

fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (1..=MAX_ID_LEN).contains(&name.len()) && name.bytes().all(is_allowed)
}

fn is_prefix(prefix: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/.-_~".contains(&byte);
    let has_form = prefix.is_empty() || (prefix.starts_with('/') && !prefix.ends_with('/'));
    has_form
        && prefix.bytes().all(is_allowed)
        && !prefix.split('/').any(|part| matches!(part, "." | ".."))
}

fn headers(rows: &BTreeMap<String, String>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in rows {
        let name: HeaderName = name.parse().ok()?;
        if !egress::is_configurable_header(&name) {
            return None;
        }
        headers.insert(name, value.parse().ok()?);
    }
    Some(headers)
}
