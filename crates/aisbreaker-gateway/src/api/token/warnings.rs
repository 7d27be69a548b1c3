//! What a grant asks for that can never work at this server, in words for whoever minted it.
//!
//! A warning names the member at fault and, where there is one, an id of this server that would
//! work. It repeats nothing of the request but the alias of a model: a secret may stand anywhere.

mod entries;
mod restrictions;

use std::collections::BTreeMap;

use aisbreaker_api::{ServiceId, ServicePattern};
use aisbreaker_egress::Refusal;
use aisbreaker_services::{
    Dialect, Provider, Providers, Registry, SecretNeed,
    services::{lacks_url, secret_need},
};
use aisbreaker_token::{Grant, ModelAlias, ServiceSecret};

use self::entries::{Entries, SecretKind};
use super::{grant_rules::GrantRules, mint_request::MAX_WARNINGS, reach::OWN_TASK};
use crate::request::credentials::is_key;

const SECRETS: &str = "requestAuthAndQuotas.serviceSecrets";
const ALIASES: &str = "requestAuthAndQuotas.modelAliases";
/// The tasks whose services the providers' APIs below `/v1` can reach.
const PROVIDER_API_TASKS: [&str; 2] = [CHAT, "text-to-image"];
const CHAT: &str = "chat";
const DIALECTS: [Dialect; 2] = [Dialect::OpenAi, Dialect::Anthropic];

/// Adds to `warnings` what can never work of a grant, up to the most that one response has.
pub(super) fn add(
    warnings: &mut Vec<String>,
    (registry, rules): (&Registry, &GrantRules),
    grant: &Grant,
) {
    let Some(relay) = &rules.relay else {
        return;
    };
    let mut review = Review {
        registry,
        providers: relay.providers(),
        rules,
        known: registry.ids().filter_map(KnownService::parse).collect(),
        entries: Entries::of(grant),
        aliases: &grant.model_aliases,
        warnings,
    };
    for (index, entry) in grant.service_secrets.iter().enumerate() {
        review.entry(entry, &format!("{SECRETS}[{index}]"));
    }
    for (name, alias) in &grant.model_aliases {
        let path = if is_key(name) {
            ALIASES.to_owned()
        } else {
            format!("{ALIASES}.{name}")
        };
        review.alias(alias, &path);
    }
    review.restrictions(grant);
}

/// A service of this server, as an id and as the pattern of what it serves.
struct KnownService {
    id: ServiceId,
    pattern: ServicePattern,
}

impl KnownService {
    fn parse(id: &str) -> Option<Self> {
        Some(Self {
            id: ServiceId::parse(id).ok()?,
            pattern: ServicePattern::parse(id).ok()?,
        })
    }
}

/// The review of one grant.
struct Review<'a> {
    registry: &'a Registry,
    known: Vec<KnownService>,
    providers: &'a Providers,
    rules: &'a GrantRules,
    entries: Entries<'a>,
    aliases: &'a BTreeMap<String, ModelAlias>,
    warnings: &'a mut Vec<String>,
}

impl Review<'_> {
    fn is_full(&self) -> bool {
        self.warnings.len() >= MAX_WARNINGS
    }

    fn warn(&mut self, path: &str, problem: &str) {
        if !self.is_full() {
            self.warnings.push(format!("{path} {problem}"));
        }
    }

    fn entry(&mut self, entry: &ServiceSecret, path: &str) {
        if self.is_full() {
            return;
        }
        self.default_url(entry, &format!("{path}.url"));
        if SecretKind::of(entry) == SecretKind::CallersOwn
            && !entry.service_id.starts_with(OWN_TASK)
        {
            self.warn(
                &format!("{path}.authSecret"),
                "is {{secret}}, so the service receives the key itself; that is for \
                 aisbreaker:network",
            );
        }
        // The empty id is all services.
        let id = ServiceId::parse(entry.service_id.as_str()).ok();
        match &id {
            Some(id) if self.is_service(id) => self.address(entry, id, path),
            Some(id) => self.unknown(id, &format!("{path}.serviceId")),
            None => {}
        }
        let path = format!("{path}.fallback");
        for (index, fallback) in entry.fallback.iter().enumerate() {
            if let Ok(fallback) = ServiceId::parse(fallback.as_str()) {
                let path = path_of(&path, index, entry.fallback.len());
                self.fallback(id.as_ref(), &fallback, &path);
            }
        }
    }

    /// Returns whether a service of this server answers calls of this id.
    fn is_served(&self, id: &ServiceId) -> bool {
        self.known.iter().any(|known| known.pattern.matches(id))
    }

    /// Returns whether an id, taken as a pattern, selects a service of this server.
    fn is_service(&self, id: &ServiceId) -> bool {
        let Ok(pattern) = ServicePattern::parse(id.as_str()) else {
            return false;
        };
        self.is_served(id) || self.known.iter().any(|known| pattern.matches(&known.id))
    }

    fn unknown(&mut self, id: &ServiceId, path: &str) {
        if self.is_full() {
            return;
        }
        let problem = if id.as_str().contains(':') {
            "is no service of this server"
        } else {
            "has no task, so it is no service"
        };
        match self.registry.nearest(id) {
            Some(nearest) => self.warn(path, &format!("{problem}; did you mean {nearest}?")),
            None => self.warn(path, problem),
        }
    }

    /// The URL that is called unless the request names another one of the entry.
    fn default_url(&mut self, entry: &ServiceSecret, path: &str) {
        let Some(url) = entry.url.first() else {
            return;
        };
        let Some(refusal) = self.rules.refusal(entry, url) else {
            return;
        };
        let path = path_of(path, 0, entry.url.len());
        self.warn(&path, &refusal_problem(refusal, self.rules));
    }

    /// A secret that is bound to the addresses of a service without any.
    fn address(&mut self, entry: &ServiceSecret, id: &ServiceId, path: &str) {
        let has_operator_origins = self
            .rules
            .relay
            .as_ref()
            .is_some_and(|relay| relay.has_operator_origins(id));
        if SecretKind::of(entry) == SecretKind::Sealed
            && entry.url.is_empty()
            && lacks_url(self.providers, id)
            && !has_operator_origins
        {
            let path = format!("{path}.url");
            self.warn(
                &path,
                "is missing, and this service has no address of its own: name where it is",
            );
        }
    }

    fn fallback(&mut self, of: Option<&ServiceId>, id: &ServiceId, path: &str) {
        if !self.is_service(id) {
            return self.unknown(id, path);
        }
        if let Some(problem) = self.missing_secret(id, &[id.vendor().unwrap_or_default()]) {
            return self.warn(path, &problem);
        }
        let provider = |id: &ServiceId| {
            let vendor = id.vendor()?;
            self.providers.find(vendor)
        };
        if let (Some(of), Some(fallback)) = (of.and_then(provider), provider(id))
            && !share_a_dialect(of, fallback)
            && !fallback.translate
            && !self.has_translated_alias(of)
        {
            self.warn(
                path,
                "speaks another dialect than its service, so it is not called for requests below \
                 /v1; it would be with a model alias of the service that has translate",
            );
        }
    }

    /// Returns whether some alias of a model of this provider allows translation.
    fn has_translated_alias(&self, of: &Provider) -> bool {
        let is_of_provider = |alias: &&ModelAlias| {
            let id = ServiceId::parse(alias.model.as_str()).ok();
            let vendor = id.as_ref().and_then(ServiceId::vendor);
            vendor.is_some_and(|vendor| of.names().any(|name| name == vendor))
        };
        let mut translated = self.aliases.values().filter(|alias| alias.translate);
        translated.any(|alias| is_of_provider(&alias))
    }

    /// A model of another name, which only the providers' APIs know.
    fn alias(&mut self, alias: &ModelAlias, path: &str) {
        let Ok(id) = ServiceId::parse(alias.model.as_str()) else {
            return;
        };
        let provider = id.vendor().and_then(|vendor| self.providers.find(vendor));
        let Some(provider) = provider.filter(|_| PROVIDER_API_TASKS.contains(&id.task())) else {
            return self.unknown_model(&id, path);
        };
        if alias.translate {
            self.translation(&id, provider, &format!("{path}.translate"));
        }
        // The dummy needs no entry.
        if provider.is_dummy() {
            return;
        }
        let names: Vec<&str> = id.vendor().into_iter().chain(provider.names()).collect();
        let has_entry = names.iter().any(|name| {
            with_vendor(&id, name).is_some_and(|id| self.entries.first_match(&id).is_some())
        });
        if !has_entry {
            return self.warn(
                path,
                "is of a service without an entry in serviceSecrets: add one",
            );
        }
        if let Some(problem) = self.missing_secret(&id, &names) {
            self.warn(path, &problem);
        }
    }

    /// An alias whose requests never need translation.
    fn translation(&mut self, id: &ServiceId, provider: &Provider, path: &str) {
        let needs_none = |dialect| provider.dialect(dialect).is_some();
        if id.task() != CHAT {
            self.warn(path, "does nothing: only chat services are translated for");
        } else if DIALECTS.into_iter().all(needs_none) {
            self.warn(path, "does nothing: the provider speaks both dialects");
        }
    }

    fn unknown_model(&mut self, id: &ServiceId, path: &str) {
        if self.is_service(id) {
            self.warn(path, "is of a service that cannot be called below /v1");
        } else {
            self.unknown(id, path);
        }
    }

    /// Returns why a service that needs a secret gets none under any of these names of its vendor.
    fn missing_secret(&self, id: &ServiceId, names: &[&str]) -> Option<String> {
        if secret_need(self.providers, id) == SecretNeed::Optional {
            return None;
        }
        let kinds = names.iter().filter_map(|name| {
            let id = with_vendor(id, name)?;
            self.entries.kind_for(&id)
        });
        match kinds.max() {
            Some(SecretKind::Sealed | SecretKind::CallersOwn) => None,
            Some(SecretKind::Invalid) => {
                Some("is of a service whose entry in serviceSecrets is INVALID".to_owned())
            }
            Some(SecretKind::Empty) => {
                Some("is of a service whose entry in serviceSecrets has no secret".to_owned())
            }
            None => {
                let hint = match self.name_with_entry(id) {
                    Some(name) => format!("did you mean {name}?"),
                    None => "add one".to_owned(),
                };
                Some(format!(
                    "is of a service without an entry in serviceSecrets; {hint}"
                ))
            }
        }
    }

    /// Returns the service under another name of its provider, for which there is an entry.
    fn name_with_entry(&self, id: &ServiceId) -> Option<String> {
        let provider = self.providers.find(id.vendor()?)?;
        let name = provider.names().find(|name| {
            with_vendor(id, name).is_some_and(|id| self.entries.kind_for(&id).is_some())
        })?;
        Some(format!("{}:{name}", id.task()))
    }
}

/// Returns the path of one of several values; a single one need not be a list.
fn path_of(path: &str, index: usize, count: usize) -> String {
    if count > 1 {
        format!("{path}[{index}]")
    } else {
        path.to_owned()
    }
}

fn share_a_dialect(one: &Provider, other: &Provider) -> bool {
    DIALECTS
        .into_iter()
        .any(|dialect| one.dialect(dialect).is_some() && other.dialect(dialect).is_some())
}

/// Returns the id with another name of its vendor.
fn with_vendor(id: &ServiceId, vendor: &str) -> Option<ServiceId> {
    let text = match id.engine() {
        Some(engine) => format!("{}:{vendor}/{engine}", id.task()),
        None => format!("{}:{vendor}", id.task()),
    };
    ServiceId::parse(text).ok()
}

fn refusal_problem(refusal: Refusal, rules: &GrantRules) -> String {
    let reason = match refusal {
        Refusal::Scheme => "is not https",
        Refusal::Address => "is not at a public address",
        Refusal::InvalidUrl => {
            return "has a host that cannot be called".to_owned();
        }
    };
    let settings = if rules.policy.secret.is_some() {
        "AISBREAKER_EGRESS_ALLOW (egress.allow)"
    } else {
        "AISBREAKER_EGRESS_ALLOW (egress.allow), together with AISBREAKER_MINT_SECRET \
         (mint.secret) or AISBREAKER_EGRESS_ALLOW_CALLERS (egress.allow_callers)"
    };
    format!("{reason}, so this server will not call it; its operator can allow it with {settings}")
}

#[cfg(test)]
mod tests;
