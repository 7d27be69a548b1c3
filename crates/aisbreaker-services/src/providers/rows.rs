//! Rows of a provider table as they are written, and the checks that they pass.

use std::{collections::BTreeMap, iter, sync::Arc};

use aisbreaker_api::ServiceUrl;
use aisbreaker_egress::is_configurable_header;
use http::{HeaderMap, HeaderName};
use serde::Deserialize;

use super::provider::{AuthScheme, DialectConfig, Provider};
use crate::{endpoint::SecretNeed, usage::UsageRule};

/// The longest id of a provider in bytes.
const MAX_ID_LEN: usize = 100;
/// The rule of Anthropic's dialect, which every provider reports its usage by.
const ANTHROPIC_RULE: &str = "anthropic";
const DEFAULT_RULE: &str = "openai";

/// Rows of a provider table: `[[provider]]` and `[usage.<name>]`, as in `providers.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ProviderRows {
    #[serde(default, rename = "provider")]
    pub(super) providers: Vec<Row>,
    #[serde(default)]
    pub(super) usage: BTreeMap<String, UsageRule>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
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
    #[serde(default)]
    translate: bool,
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

impl Row {
    /// Checks the row; `rules` are the usage rules that it may name.
    pub(super) fn into_provider(
        self,
        rules: &BTreeMap<String, Arc<UsageRule>>,
    ) -> Result<Provider, InvalidProvider> {
        self.check_names()?;
        self.check_url()?;
        if self.openai.is_none() && self.anthropic.is_none() {
            return Err(self.invalid(
                "must speak a dialect: set openai or anthropic to the prefix of its paths",
            ));
        }
        let rule = self.usage.as_deref().unwrap_or(DEFAULT_RULE);
        let openai = self.dialect(self.openai.as_deref(), rule, rules)?;
        let anthropic = self.dialect(self.anthropic.as_deref(), ANTHROPIC_RULE, rules)?;
        let Some(headers) = parse_headers(&self.headers) else {
            return Err(self.invalid(
                "headers must have usable names and values, and none of the connection's own or a \
                 secret's",
            ));
        };
        Ok(Provider {
            id: self.id,
            aliases: self.aliases,
            url: self.url,
            auth: self.auth,
            secret: match self.secret {
                Need::Required => SecretNeed::Required,
                Need::Optional => SecretNeed::Optional,
            },
            engine: self.engine,
            headers,
            stream_usage: self.stream_usage,
            translate: self.translate,
            is_dummy: false,
            openai,
            anthropic,
        })
    }

    fn check_names(&self) -> Result<(), InvalidProvider> {
        let mut names = iter::once(&self.id).chain(&self.aliases);
        if names.all(|name| is_name(name)) {
            return Ok(());
        }
        Err(self.invalid("id and aliases must be 1 to 100 letters, digits, '.', '-' and '_'"))
    }

    fn check_url(&self) -> Result<(), InvalidProvider> {
        match &self.url {
            Some(url) if ServiceUrl::parse_base(url).is_err() => {
                Err(self.invalid("url must be an absolute http or https URL"))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn dialect(
        &self,
        prefix: Option<&str>,
        rule: &str,
        rules: &BTreeMap<String, Arc<UsageRule>>,
    ) -> Result<Option<DialectConfig>, InvalidProvider> {
        let Some(prefix) = prefix else {
            return Ok(None);
        };
        if !is_path_prefix(prefix) {
            return Err(self.invalid(
                "openai and anthropic must be '' or a path such as '/v1', without a slash at its \
                 end",
            ));
        }
        let Some(usage) = rules.get(rule) else {
            return Err(self.invalid("usage names a rule that is not there"));
        };
        Ok(Some(DialectConfig {
            prefix: prefix.to_owned(),
            usage: Arc::clone(usage),
        }))
    }

    fn invalid(&self, problem: &'static str) -> InvalidProvider {
        InvalidProvider {
            id: self.id.clone(),
            problem,
        }
    }
}

fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (1..=MAX_ID_LEN).contains(&name.len()) && name.bytes().all(is_allowed)
}

fn is_path_prefix(prefix: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/.-_~".contains(&byte);
    let has_form = prefix.is_empty() || (prefix.starts_with('/') && !prefix.ends_with('/'));
    has_form
        && prefix.bytes().all(is_allowed)
        && !prefix.split('/').any(|part| matches!(part, "." | ".."))
}

fn parse_headers(rows: &BTreeMap<String, String>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in rows {
        let name: HeaderName = name.parse().ok()?;
        if !is_configurable_header(&name) {
            return None;
        }
        headers.insert(name, value.parse().ok()?);
    }
    Some(headers)
}
