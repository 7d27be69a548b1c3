//! The resolve stage: which services are called for a model.
//!
//! - An alias of the key stands for a service id.
//! - A service id (`chat:openai.com/gpt-4o`, or `openai.com/gpt-4o` without its task) names itself.
//! - `dummy` and `dummy/...` are models of `chat:dummy`, which no key needs an entry for.
//! - Anything else is the bare name of a model, which goes to the first service of the key whose
//!   provider speaks the dialect.
//!
//! A provider that does not speak the dialect can be called where an alias or its own row allows
//! translation. The bare name of a model prefers one that does.
//!
//! A service that the restrictions of the key do not allow is not called, whatever led to it. The
//! bare name of a model goes to the first service that they allow.
//!
//! A request for a resource names no model: it goes where one would go that names no other either.
//! A secret for one engine is not used there, since nothing would hold the request to the engine,
//! unless the key was minted for that family of resources.

mod dummy;

use std::{collections::BTreeMap, sync::Arc};

use aisbreaker_api::ServiceId;
use aisbreaker_services::{
    Allowance, Credential, Credentials, DUMMY_PROVIDER, Dialect, Provider, Providers, SealedSecret,
    SecretNeed,
};
use aisbreaker_token::ModelAlias;
use smallvec::{SmallVec, smallvec};

use crate::{
    authenticate::Caller,
    restrictions::bypass::{BypassError, Limit},
    route::{family::Family, operation::Operation},
};

const CHAT: &str = "chat";
/// The task of services that make images.
const IMAGE: &str = "text-to-image";
/// How many segments a service id has without an engine: its task and its vendor.
const SEGMENTS_OF_SERVICE: usize = 2;
/// The most service ids of a key that an error lists.
const MAX_NAMED: usize = 20;

/// A service that can be called.
#[derive(Clone, Debug)]
pub(crate) struct ResolvedService {
    pub(crate) service_id: ServiceId,
    pub(crate) provider: Arc<Provider>,
    /// The provider's name of the model; `None`: that of the caller.
    pub(crate) engine: Option<String>,
    /// The dialect in which the provider is called. If it is not that of the request, the request
    /// is translated.
    pub(crate) dialect: Dialect,
}

/// The services for a request: the first, which most requests have alone, and those to call when it
/// fails.
pub(crate) type ServicesToCall = SmallVec<[ResolvedService; 1]>;

/// Why no service can be called.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Unresolved {
    /// There is none, for this reason.
    NoService(String),
    /// The key has one, but its restrictions do not allow this.
    Restricted { what: String },
    /// A limit of the key could be got round.
    Bypass(BypassError),
}

/// Finds the services of a caller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolver<'a> {
    pub(crate) providers: &'a Providers,
    pub(crate) credentials: &'a Credentials,
    pub(crate) aliases: &'a BTreeMap<String, ModelAlias>,
    pub(crate) dialect: Dialect,
    pub(crate) operation: Operation,
    /// A member of the body that names other models.
    pub(crate) other_models: Option<&'static str>,
    /// Whether the alias of the request allows translation.
    pub(crate) is_translated: bool,
    /// The family of resources that the request reaches.
    pub(crate) family: Option<ReachedFamily>,
}

/// A family of resources that a request reaches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReachedFamily {
    family: &'static Family,
    /// Whether a secret for one engine may be used.
    leaves_engine: bool,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(
        providers: &'a Providers,
        caller: &'a Caller,
        dialect: Dialect,
        operation: Operation,
    ) -> Self {
        Self {
            providers,
            credentials: &caller.credentials,
            aliases: &caller.model_aliases,
            dialect,
            operation,
            other_models: None,
            is_translated: false,
            family: None,
        }
    }

    /// Sets the family of resources that the request of this caller reaches.
    pub(crate) fn with_family(self, family: Option<&'static Family>, caller: &Caller) -> Self {
        let family = family.map(|family| ReachedFamily {
            family,
            leaves_engine: caller.may_leave_engine(family),
        });
        Self { family, ..self }
    }

    /// Sets the member of the body that names other models.
    pub(crate) fn with_other_models(self, member: Option<&'static str>) -> Self {
        Self {
            other_models: member,
            ..self
        }
    }

    /// Returns the service for a model, or for a request that names none, followed by its fallbacks.
    pub(crate) fn resolve(&self, model: Option<&str>) -> Result<ServicesToCall, Unresolved> {
        let alias = model.and_then(|model| self.aliases.get(model));
        let resolver = Self {
            is_translated: alias.is_some_and(|alias| alias.translate),
            ..*self
        };
        let first = resolver.first(model, alias)?;
        resolver.hold_to_engine(&first)?;
        resolver.with_fallbacks(first, model)
    }

    fn with_fallbacks(
        &self,
        first: ResolvedService,
        model: Option<&str>,
    ) -> Result<ServicesToCall, Unresolved> {
        if self.operation.is_provider_bound() {
            return Ok(smallvec![first]);
        }
        let fallback_model = first.engine.as_deref().or(model);
        let mut fallbacks = Vec::new();
        for id in self.credentials.fallback_for(&first.service_id) {
            fallbacks.extend(self.fallback(id, fallback_model));
        }
        let mut services = smallvec![first];
        services.extend(fallbacks);
        Ok(services)
    }

    /// Refuses a service whose secret is for one engine, where nothing holds the request to it.
    fn hold_to_engine(&self, service: &ResolvedService) -> Result<(), Unresolved> {
        let Some(reached) = self.family.filter(|reached| !reached.leaves_engine) else {
            return Ok(());
        };
        let mut entries = self.entries();
        match entries.find(|entry| entry.pattern.matches(&service.service_id)) {
            Some(entry) if names_engine(entry) => Err(reached.engine_error()),
            Some(_) | None => Ok(()),
        }
    }

    fn first(
        &self,
        model: Option<&str>,
        alias: Option<&ModelAlias>,
    ) -> Result<ResolvedService, Unresolved> {
        let Some(model) = model else {
            return self.for_bare_name(None);
        };
        let target = alias.map_or(model, |alias| alias.model.as_str());
        if let Some(id) = self.as_service_id(target) {
            return self.for_service_id(&id);
        }
        let service = self.for_bare_name(Some(target))?;
        Ok(ResolvedService {
            engine: alias.map(|alias| alias.model.clone()),
            ..service
        })
    }

    /// Returns the service id that a model name is, if it is one.
    fn as_service_id(&self, model: &str) -> Option<ServiceId> {
        let has_task = |task| {
            let rest: Option<&str> = model.strip_prefix(task);
            rest.is_some_and(|rest| rest.starts_with(':'))
        };
        if has_task(CHAT) || has_task(IMAGE) {
            return ServiceId::parse(model).ok();
        }
        let vendor = model.split('/').next()?;
        // Without a dot it may be a model such as `openai/gpt-4o`, which resellers have.
        let is_known = vendor == DUMMY_PROVIDER
            || (vendor.contains('.') && self.providers.find(vendor).is_some());
        let is_in_key = || {
            let mut entries = self.entries();
            entries.any(|entry| entry.pattern.vendor() == Some(vendor))
        };
        if is_known || is_in_key() {
            ServiceId::parse(format!("{CHAT}:{model}")).ok()
        } else {
            None
        }
    }

    /// Returns the service with this id, under whichever name of its provider the key has.
    fn for_service_id(&self, id: &ServiceId) -> Result<ResolvedService, Unresolved> {
        let dialect = self.dialect.name();
        let Some(provider) = id.vendor().and_then(|vendor| self.providers.find(vendor)) else {
            return Err(
                self.no_service(&format!("{id} is not known to speak the {dialect} dialect"))
            );
        };
        if self.called_dialect(provider).is_none() {
            return Err(self.no_service(&self.other_dialect(id, provider)));
        }
        if provider.is_dummy() {
            return self.for_dummy(id, provider);
        }
        let Some(engine) = id.engine().or(provider.engine.as_deref()) else {
            return Err(self.no_service(&format!("{id} names no model; write {id}/<model>")));
        };
        if id.task() == IMAGE && !self.operation.takes_image_services() {
            return Err(self.no_service(&format!("{id} is for making images only")));
        }
        let mut refused = None;
        for name in id.vendor().into_iter().chain(provider.names()) {
            // The pattern of the key is matched with the provider's default engine as well.
            let Some(service) = self.service(id.task(), name, provider, Some(engine)) else {
                continue;
            };
            if !self.is_in_key(&service.service_id) {
                continue;
            }
            if self.is_allowed(&service) {
                return Ok(ResolvedService {
                    engine: Some(engine.to_owned()),
                    ..service
                });
            }
            refused.get_or_insert(service);
        }
        if let Some(service) = refused {
            return Err(self.restricted(&service));
        }
        Err(self.no_service(&format!("the key has no service for {id}")))
    }

    /// Returns the dialect in which a provider is called for this request: that of the request, or
    /// the other one where the request may be translated.
    fn called_dialect(&self, provider: &Provider) -> Option<Dialect> {
        if provider.dialect(self.dialect).is_some() {
            return Some(self.dialect);
        }
        let other = self.dialect.other();
        let is_translated = self.is_translated || provider.translate;
        if is_translated
            && provider.dialect(other).is_some()
            && self.operation.counterpart().is_some()
        {
            Some(other)
        } else {
            None
        }
    }

    /// Returns what is wrong with a service whose provider is not called in the dialect.
    fn other_dialect(&self, id: &ServiceId, provider: &Provider) -> String {
        let mut text = format!("{id} does not speak the {} dialect", self.dialect.name());
        if self.operation.counterpart().is_none() {
            if self.is_translated || provider.translate {
                text.push_str(", and only chat/completions and messages are translated");
            }
        } else {
            text.push_str(
                "; a model alias with translate, or translate in the provider's row, has requests \
                 translated",
            );
        }
        text
    }

    /// Returns whether the key has an entry for this service. Without a key, every service is there.
    fn is_in_key(&self, id: &ServiceId) -> bool {
        match self.credentials {
            Credentials::None | Credentials::Caller(_) => true,
            Credentials::Sealed { secrets, .. } => {
                secrets.iter().any(|entry| entry.pattern.matches(id))
            }
        }
    }

    /// Returns the first service whose provider speaks the dialect and which can be used for a model
    /// of this name.
    fn for_bare_name(&self, model: Option<&str>) -> Result<ResolvedService, Unresolved> {
        if let Credentials::None | Credentials::Caller(_) = self.credentials {
            return match self.at_first_provider(model) {
                Some(service) => Ok(service),
                None => Err(self.no_service("no provider is known")),
            };
        }
        let (mut translated, mut unusable) = (None, None);
        let (mut refused, mut held) = (None, None);
        for entry in self.entries() {
            let service = match (self.for_entry(entry, model), self.family) {
                (Some(service), _) => service,
                (None, Some(reached)) if model.is_none() => {
                    let Some(service) = self.for_entry_as_written(entry) else {
                        continue;
                    };
                    if !reached.leaves_engine {
                        held.get_or_insert(reached);
                        continue;
                    }
                    service
                }
                (None, _) => continue,
            };
            if !self.is_allowed(&service) {
                refused.get_or_insert(service);
                continue;
            }
            if self.is_usable(&service) {
                if service.dialect == self.dialect {
                    return Ok(service);
                }
                translated.get_or_insert(service);
                continue;
            }
            // The key names this provider, so the error should be about it.
            if entry.pattern.vendor().is_some() {
                unusable.get_or_insert(service);
            }
        }
        if let Some(service) = translated.or(unusable) {
            return Ok(service);
        }
        if let Some(service) = refused {
            return Err(self.restricted(&service));
        }
        if let Some(reached) = held {
            return Err(reached.engine_error());
        }
        let dialect = self.dialect.name();
        let problem = match model {
            None => format!(
                "the request names no model, and the key has no service that speaks the {dialect} dialect"
            ),
            Some(_) => {
                format!("the key has no service for this model that speaks the {dialect} dialect")
            }
        };
        Err(self.no_service(&problem))
    }

    fn at_first_provider(&self, model: Option<&str>) -> Option<ResolvedService> {
        let provider = self.providers.first(self.dialect)?;
        self.service(CHAT, &provider.id, provider, model)
    }

    /// Returns the service of an entry of the key, if it fits this operation and model.
    fn for_entry(&self, entry: &SealedSecret, model: Option<&str>) -> Option<ResolvedService> {
        let task = entry.pattern.task().unwrap_or(CHAT);
        if task != CHAT && !(task == IMAGE && self.operation.makes_images()) {
            return None;
        }
        let service = match entry.pattern.vendor() {
            None => self.at_first_provider(model)?,
            Some(vendor) => {
                let provider = self.providers.find(vendor)?;
                // An entry for the dummy takes no models from the others.
                if provider.is_dummy() {
                    return None;
                }
                self.service(task, vendor, provider, model)?
            }
        };
        if entry.pattern.matches(&service.service_id) {
            Some(service)
        } else {
            None
        }
    }

    /// Returns the service of a provider, if that can be called.
    fn service(
        &self,
        task: &str,
        vendor: &str,
        provider: &Arc<Provider>,
        model: Option<&str>,
    ) -> Option<ResolvedService> {
        Some(ResolvedService {
            dialect: self.called_dialect(provider)?,
            service_id: ServiceId::from_segments(task, vendor, model).ok()?,
            provider: Arc::clone(provider),
            engine: None,
        })
    }

    /// Returns the service that is called when another one failed, with its own model or that of the
    /// other one.
    fn fallback(&self, id: &ServiceId, model: Option<&str>) -> Option<ResolvedService> {
        let vendor = id.vendor()?;
        let provider = self.providers.find(vendor)?;
        if provider.is_dummy() {
            return self.for_dummy(id, provider).ok();
        }
        if id.task() == IMAGE && !self.operation.takes_image_services() {
            return None;
        }
        let engine = match (model, id.engine()) {
            (Some(_), Some(own)) => Some(own),
            (model, None) => model,
            // The request has no model that this one could replace.
            (None, Some(_)) => return None,
        };
        let service = ResolvedService {
            engine: engine.map(str::to_owned),
            ..self.service(id.task(), vendor, provider, engine)?
        };
        if self.is_allowed(&service) && self.is_usable(&service) {
            Some(service)
        } else {
            None
        }
    }

    /// Returns whether the key is restricted to some services.
    pub(crate) fn is_restricted(&self) -> bool {
        self.credentials.restrictions().is_some()
    }

    /// Returns whether the key has this service whole: no entry for it names a single model.
    pub(crate) fn has_whole(&self, service: &ResolvedService) -> bool {
        if let Credentials::None | Credentials::Caller(_) = self.credentials {
            return true;
        }
        let vendor = service.service_id.vendor().unwrap_or_default();
        let bare = ServiceId::from_segments(service.service_id.task(), vendor, None);
        let names_vendor = |entry: &SealedSecret| {
            let named = entry.pattern.vendor();
            named.is_some_and(|name| {
                name == vendor || service.provider.names().any(|own| own == name)
            })
        };
        let names_model = |entry: &SealedSecret| {
            let id = ServiceId::parse(entry.pattern.as_str());
            id.is_ok_and(|id| id.engine().is_some())
        };
        bare.is_ok_and(|bare| self.is_in_key(&bare))
            && !self
                .entries()
                .any(|entry| names_vendor(entry) && names_model(entry))
    }

    /// Returns whether the restrictions of the key allow this service for this request.
    fn is_allowed(&self, service: &ResolvedService) -> bool {
        if self.operation.resource().is_some() {
            // Its engine is not known. A key that is restricted to services was minted for this.
            return self.may_allow(service);
        }
        match self.allowance(service) {
            Allowance::Service => true,
            Allowance::Engine => self.other_models.is_none(),
            Allowance::Refused => false,
        }
    }

    fn allowance(&self, service: &ResolvedService) -> Allowance {
        match self.credentials.restrictions() {
            Some(restrictions) => restrictions.allowance(&service.service_id),
            None => Allowance::Service,
        }
    }

    /// Creates the error for a service that is not allowed.
    fn restricted(&self, service: &ResolvedService) -> Unresolved {
        let what = match (self.allowance(service), self.other_models) {
            (Allowance::Engine, Some(member)) => {
                format!("{member}, which could choose another model")
            }
            (_, _) => service.service_id.to_string(),
        };
        Unresolved::Restricted { what }
    }

    pub(crate) fn is_usable(&self, service: &ResolvedService) -> bool {
        match self.credentials.for_service(&service.service_id) {
            Credential::Bound { .. } | Credential::Unbound(_) => true,
            Credential::None => service.provider.secret == SecretNeed::Optional,
            Credential::Blocked => false,
        }
    }

    /// Returns the services of the key that speak the dialect and of which some model is allowed, each
    /// provider once, without the dummy.
    pub(crate) fn all(&self) -> Vec<ResolvedService> {
        if let Credentials::None | Credentials::Caller(_) = self.credentials {
            let first = self.at_first_provider(None);
            return Vec::from_iter(first.filter(|service| self.is_usable(service)));
        }
        let mut all: Vec<ResolvedService> = Vec::new();
        for entry in self.entries() {
            let Some(service) = self.for_entry_as_written(entry) else {
                continue;
            };
            let is_new = all
                .iter()
                .all(|known| known.service_id.vendor() != service.service_id.vendor());
            if is_new && self.may_allow(&service) && self.is_usable(&service) {
                all.push(service);
            }
        }
        all
    }

    /// Returns whether some model of this service may be allowed.
    fn may_allow(&self, service: &ResolvedService) -> bool {
        match self.credentials.restrictions() {
            Some(restrictions) => restrictions.may_allow(&service.service_id),
            None => true,
        }
    }

    /// Returns the service of an entry, with the engine that it is limited to.
    fn for_entry_as_written(&self, entry: &SealedSecret) -> Option<ResolvedService> {
        let id = ServiceId::parse(entry.pattern.as_str()).ok();
        self.for_entry(entry, id.as_ref().and_then(ServiceId::engine))
    }

    /// Returns whether this model of a provider can be used with the key.
    pub(crate) fn has_model(&self, vendor: &str, model: &str) -> bool {
        let Some(provider) = self.providers.find(vendor) else {
            return false;
        };
        match self.service(CHAT, vendor, provider, Some(model)) {
            Some(service) => self.is_allowed(&service) && self.is_usable(&service),
            None => false,
        }
    }

    fn entries(&self) -> impl Iterator<Item = &SealedSecret> {
        let secrets = match self.credentials {
            Credentials::None | Credentials::Caller(_) => &[][..],
            Credentials::Sealed { secrets, .. } => secrets,
        };
        secrets.iter()
    }

    /// Creates the error for a problem, with the services that the key has.
    pub(crate) fn no_service(&self, problem: &str) -> Unresolved {
        let mut text = problem.to_owned();
        // What a restriction hides is not told here either.
        let is_key = matches!(self.credentials, Credentials::Sealed { .. });
        if is_key && !self.is_restricted() {
            text.push_str("; the services in the key are: ");
            self.list_services(&mut text);
        }
        Unresolved::NoService(text)
    }

    fn list_services(&self, text: &mut String) {
        let mut usable = self
            .entries()
            .filter(|entry| !entry.is_blocked())
            .peekable();
        if usable.peek().is_none() {
            text.push_str("none");
        }
        for (index, entry) in usable.enumerate() {
            if index == MAX_NAMED {
                text.push_str(", and more");
                return;
            }
            if index > 0 {
                text.push_str(", ");
            }
            text.push_str(match entry.pattern.as_str() {
                "" => "any",
                id => id,
            });
        }
    }
}

impl ReachedFamily {
    fn engine_error(self) -> Unresolved {
        Unresolved::Bypass(BypassError::new(Limit::Engine, self.family))
    }
}

fn names_engine(entry: &SealedSecret) -> bool {
    entry.pattern.segment_count() > SEGMENTS_OF_SERVICE
}

#[cfg(test)]
mod tests;
