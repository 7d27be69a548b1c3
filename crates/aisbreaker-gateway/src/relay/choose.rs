//! Which service is called for a model.
//!
//! - An alias of the key stands for the service id that the key says.
//! - A service id (`chat:openai.com/gpt-4o`, or `openai.com/gpt-4o` without its task) is itself.
//! - Anything else is the bare name of a model: it goes to the first service of the key whose
//!   provider speaks the dialect.

use std::{collections::BTreeMap, sync::Arc};

use aisbreaker_api::{ServiceId, ServicePattern};
use aisbreaker_services::{
    Credential, Credentials, Dialect, Provider, Providers, SealedSecret, SecretNeed,
};

use crate::{authenticate::Caller, operation::Operation};

const CHAT: &str = "chat";
/// The task of services that make pictures.
const IMAGE: &str = "text-to-image";
/// How many service ids of a key are named in an error.
const MAX_NAMED: usize = 20;

/// A service that can be called.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    pub(crate) service_id: ServiceId,
    pub(crate) provider: Arc<Provider>,
    /// What the provider calls the model; `None`: as the caller does.
    pub(crate) engine: Option<String>,
}

/// No service can be called.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct NoService(pub(crate) String);

/// Finds services for requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chooser<'a> {
    pub(crate) providers: &'a Providers,
    pub(crate) credentials: &'a Credentials,
    pub(crate) aliases: &'a BTreeMap<String, String>,
    pub(crate) dialect: Dialect,
    pub(crate) operation: Operation,
}

impl<'a> Chooser<'a> {
    pub(crate) fn new(
        providers: &'a Providers,
        caller: &'a Caller,
        dialect: Dialect,
        operation: Operation,
    ) -> Self {
        let Caller {
            credentials,
            model_aliases: aliases,
            ..
        } = caller;
        Self {
            providers,
            credentials,
            aliases,
            dialect,
            operation,
        }
    }

    /// The service for a model, or for a request that names none, and after it those to be called
    /// when it fails.
    pub(crate) fn choose(&self, model: Option<&str>) -> Result<Vec<Chosen>, NoService> {
        let first = self.first(model)?;
        if self.operation.is_of_one_provider() {
            return Ok(vec![first]);
        }
        let named = first.engine.as_deref().or(model);
        let others = self.credentials.fallback_for(&first.service_id);
        let others: Vec<Chosen> = others
            .iter()
            .filter_map(|id| self.fallback(id, named))
            .collect();
        Ok(std::iter::once(first).chain(others).collect())
    }

    fn first(&self, model: Option<&str>) -> Result<Chosen, NoService> {
        let Some(model) = model else {
            return self.bare(None);
        };
        let alias = self.aliases.get(model);
        let target = alias.map_or(model, String::as_str);
        match self.service_id(target) {
            Some(id) => self.explicit(&id),
            // What an alias stands for is the name of a model at least.
            None => self.bare(Some(target)).map(|chosen| Chosen {
                engine: alias.cloned(),
                ..chosen
            }),
        }
    }

    /// The service id that a name of a model is, if it is one.
    fn service_id(&self, model: &str) -> Option<ServiceId> {
        let has_task = [CHAT, IMAGE].iter().any(|task| {
            model
                .strip_prefix(task)
                .is_some_and(|rest| rest.starts_with(':'))
        });
        if has_task {
            return ServiceId::parse(model).ok();
        }
        let vendor = model.split('/').next()?;
        // Names such as `openai/gpt-4o` are models of providers that sell those of others.
        let is_vendor = vendor.contains('.') && self.providers.find(vendor).is_some()
            || self
                .entries()
                .any(|entry| vendor_of(&entry.pattern) == Some(vendor));
        is_vendor
            .then(|| ServiceId::parse(format!("{CHAT}:{model}")).ok())
            .flatten()
    }

    /// The service that is named, by whichever name of its provider the key has.
    fn explicit(&self, id: &ServiceId) -> Result<Chosen, NoService> {
        let provider = id.vendor().and_then(|vendor| self.providers.find(vendor));
        let Some(provider) = provider.filter(|provider| provider.dialect(self.dialect).is_some())
        else {
            let known = if provider.is_some() {
                "does not speak"
            } else {
                "is not known to speak"
            };
            return Err(self.nothing(&format!("{id} {known} the {} dialect", self.dialect.name())));
        };
        let Some(engine) = id.engine().or(provider.engine.as_deref()) else {
            return Err(self.nothing(&format!("{id} names no model; write {id}/<model>")));
        };
        // What the key says of the provider's own choice counts as well.
        let names = id.vendor().into_iter().chain(provider.names());
        let mut ids = names.filter_map(|name| self.at(id.task(), name, provider, Some(engine)));
        let is_usable = |chosen: &Chosen| {
            !matches!(self.credentials, Credentials::Sealed { .. })
                || self.is_in_key(&chosen.service_id)
        };
        let chosen = ids.find(is_usable).map(|chosen| Chosen {
            engine: Some(engine.to_owned()),
            ..chosen
        });
        chosen.ok_or_else(|| self.nothing(&format!("the key has no service for {id}")))
    }

    fn is_in_key(&self, id: &ServiceId) -> bool {
        self.entries().any(|entry| entry.pattern.matches(id))
    }

    /// The first service whose provider speaks the dialect and that can be used for a model of this
    /// name.
    fn bare(&self, model: Option<&str>) -> Result<Chosen, NoService> {
        if let Credentials::None | Credentials::Caller(_) = self.credentials {
            return self
                .at_first_provider(model)
                .ok_or_else(|| self.nothing("no provider is known"));
        }
        let mut unusable = None;
        for entry in self.entries() {
            let Some(chosen) = self.of_entry(entry, model) else {
                continue;
            };
            if self.is_usable(&chosen) {
                return Ok(chosen);
            }
            // It is named, so what is wrong with it is what is to be told.
            if vendor_of(&entry.pattern).is_some() {
                unusable.get_or_insert(chosen);
            }
        }
        let name = self.dialect.name();
        let wanted = model.map_or_else(
            || {
                format!(
                    "the request names no model, and the key has no service that speaks the {name} dialect"
                )
            },
            |_| format!("the key has no service for this model that speaks the {name} dialect"),
        );
        unusable.ok_or_else(|| self.nothing(&wanted))
    }

    fn at_first_provider(&self, model: Option<&str>) -> Option<Chosen> {
        let provider = self.providers.first(self.dialect)?;
        self.at(CHAT, &provider.id, provider, model)
    }

    /// The service of an entry of the key, if it is one for this operation and model.
    fn of_entry(&self, entry: &SealedSecret, model: Option<&str>) -> Option<Chosen> {
        let task = task_of(&entry.pattern).unwrap_or(CHAT);
        if task != CHAT && !(task == IMAGE && self.operation.is_of_images()) {
            return None;
        }
        let chosen = match vendor_of(&entry.pattern) {
            None => self.at_first_provider(model)?,
            Some(vendor) => {
                let provider = self.providers.find(vendor)?;
                provider.dialect(self.dialect)?;
                self.at(task, vendor, provider, model)?
            }
        };
        entry.pattern.matches(&chosen.service_id).then_some(chosen)
    }

    fn at(
        &self,
        task: &str,
        vendor: &str,
        provider: &Arc<Provider>,
        model: Option<&str>,
    ) -> Option<Chosen> {
        let id = match model {
            None => [task, ":", vendor].concat(),
            Some(model) => [task, ":", vendor, "/", model].concat(),
        };
        let service_id = ServiceId::parse(id).ok()?;
        Some(Chosen {
            service_id,
            provider: Arc::clone(provider),
            engine: None,
        })
    }

    /// A service to be called when another one failed; it has its own model or that of the other
    /// one.
    fn fallback(&self, id: &ServiceId, model: Option<&str>) -> Option<Chosen> {
        let vendor = id.vendor()?;
        let provider = self.providers.find(vendor)?;
        provider.dialect(self.dialect)?;
        // Where a request names no model, there is none to be replaced by that of the other
        // service.
        let engine = model.map(|model| id.engine().unwrap_or(model));
        if engine.is_none() && id.engine().is_some() {
            return None;
        }
        let chosen = self.at(id.task(), vendor, provider, engine)?;
        let chosen = Chosen {
            engine: engine.map(str::to_owned),
            ..chosen
        };
        self.is_usable(&chosen).then_some(chosen)
    }

    fn is_usable(&self, chosen: &Chosen) -> bool {
        match self.credentials.for_service(&chosen.service_id) {
            Credential::Bound { .. } | Credential::Unbound(_) => true,
            Credential::None => chosen.provider.secret == SecretNeed::Optional,
            Credential::Blocked => false,
        }
    }

    /// The services of the key, each provider once, and the dialect in which it is asked for its
    /// models: this one if it speaks it.
    pub(crate) fn all(&self) -> Vec<(Chosen, Dialect)> {
        let other = match self.dialect {
            Dialect::OpenAi => Dialect::Anthropic,
            Dialect::Anthropic => Dialect::OpenAi,
        };
        let choosers = [self.dialect, other].map(|dialect| Chooser { dialect, ..*self });
        if let Credentials::None | Credentials::Caller(_) = self.credentials {
            return self
                .at_first_provider(None)
                .map(|chosen| (chosen, self.dialect))
                .into_iter()
                .collect();
        }
        let mut all: Vec<(Chosen, Dialect)> = Vec::new();
        for entry in self.entries() {
            let found = choosers
                .iter()
                .find_map(|chooser| Some((chooser.whole_of_entry(entry)?, chooser.dialect)));
            let Some((chosen, dialect)) = found else {
                continue;
            };
            let is_new = all
                .iter()
                .all(|(known, _)| known.service_id.vendor() != chosen.service_id.vendor());
            if is_new && self.is_usable(&chosen) {
                all.push((chosen, dialect));
            }
        }
        all
    }

    /// Whether this model of a provider can be used with the key.
    pub(crate) fn has(&self, vendor: &str, model: &str) -> bool {
        let provider = self.providers.find(vendor);
        provider
            .and_then(|provider| self.at(CHAT, vendor, provider, Some(model)))
            .is_some_and(|chosen| self.is_usable(&chosen))
    }

    /// The service of an entry as it is written, with the engine that it is limited to.
    fn whole_of_entry(&self, entry: &SealedSecret) -> Option<Chosen> {
        let engine = ServiceId::parse(entry.pattern.as_str()).ok();
        self.of_entry(entry, engine.as_ref().and_then(ServiceId::engine))
    }

    fn entries(&self) -> impl Iterator<Item = &SealedSecret> {
        let secrets = match self.credentials {
            Credentials::None | Credentials::Caller(_) => &[][..],
            Credentials::Sealed { secrets, .. } => secrets,
        };
        secrets.iter()
    }

    /// What is wrong, and which services there are.
    pub(crate) fn nothing(&self, problem: &str) -> NoService {
        let ids: Vec<&str> = self
            .entries()
            .filter(|entry| !entry.is_blocked())
            .map(|entry| entry.pattern.as_str())
            .collect();
        let mut text = problem.to_owned();
        if matches!(self.credentials, Credentials::Sealed { .. }) {
            let named = ids
                .iter()
                .take(MAX_NAMED)
                .map(|id| if id.is_empty() { "any" } else { id })
                .collect::<Vec<_>>();
            let more = if ids.len() > MAX_NAMED {
                ", and more"
            } else {
                ""
            };
            let named = if named.is_empty() {
                "none".to_owned()
            } else {
                named.join(", ")
            };
            text = format!("{text}; the services in the key are: {named}{more}");
        }
        NoService(text)
    }
}

fn vendor_of(pattern: &ServicePattern) -> Option<&str> {
    let (_, rest) = pattern.as_str().split_once(':')?;
    rest.split('/').next().filter(|vendor| !vendor.is_empty())
}

fn task_of(pattern: &ServicePattern) -> Option<&str> {
    pattern
        .as_str()
        .split(':')
        .next()
        .filter(|task| !task.is_empty())
}

#[cfg(test)]
mod tests;
