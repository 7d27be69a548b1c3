//! `GET /v1/models`: one list of the models of all services of a key, in the dialect of the caller.
//!
//! A model has the name under which it can be used: its own where a bare name leads to its provider,
//! else `vendor/model`. The models of the dummy come last.

mod cache;
mod listed_model;

use std::{sync::Arc, time::Duration};

use aisbreaker_egress::{MemoryReservation, Outgoing};
use aisbreaker_services::{
    Credentials, DUMMY_MODELS, DUMMY_PROVIDER, Dialect, ForwardedRequest, ProviderCalls,
    ServiceError, Trace,
};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use tokio::time::timeout;

pub(crate) use self::cache::ModelListCache;
use self::{
    cache::CacheKey,
    listed_model::{ListedModel, alias_model, encode_list, named_model},
};
use super::{
    ProviderApi,
    error::ProviderApiError,
    headers::{self, dialects},
    model::is_valid_name,
    resolve::{ResolvedService, Resolver},
};
use crate::{
    authenticate::Caller,
    form_urlencoded,
    memory::ClientMemory,
    pipeline::Admitted,
    request::credentials::is_key,
    response::{self, ResponseBody},
    route::operation::{self, Operation},
};

/// The most services that are queried for one list.
const MAX_SERVICES: usize = 20;
/// How long one service may take. A list without its models is better than none.
const SERVICE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest list of one service in bytes, the most models in it, and the longest model. The
/// holder of a key may also be the provider that it names.
const MAX_LIST_BYTES: usize = 4 << 20;
const MAX_MODELS: usize = 1_000;
const MAX_MODEL_BYTES: usize = 64 << 10;
/// How many models are converted before other tasks get a turn.
const MODELS_PER_TURN: usize = 50;
/// The largest page of Anthropic's API.
const ANTHROPIC_PAGE: &str = "limit=1000";
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A query for the list of models.
#[derive(Debug)]
pub struct ModelListQuery<'a> {
    pub(crate) dialect: Dialect,
    pub(crate) memory: Arc<ClientMemory>,
    pub(crate) now: std::time::Instant,
    /// The header fields of the request.
    pub(crate) headers: &'a HeaderMap,
    pub(crate) calls: ProviderCalls,
    pub(crate) trace: Trace,
}

/// The models of one service, with the memory that they hold.
struct ServiceModels {
    models: Vec<ListedModel>,
    reservation: MemoryReservation,
}

/// Returns the model that the path of a request names.
pub(super) fn model_in_path(path: &str) -> Result<String, ProviderApiError> {
    let path = operation::strip_base(operation::trim_slashes(path)).unwrap_or_default();
    let name = path.strip_prefix("/models/").unwrap_or_default();
    // A plus in a path is a plus.
    let name = form_urlencoded::decode(&name.replace('+', "%2B"));
    if is_listable(&name) {
        Ok(name)
    } else {
        Err(ProviderApiError::UnknownModel)
    }
}

/// Returns the path of a model in a provider's API.
///
/// Slashes stay, since providers take them so, unless a server could merge two of them or drop one.
pub(super) fn path_of(model: &str) -> String {
    let has_empty_segment = model.split('/').any(str::is_empty);
    let model = form_urlencoded::encode(model);
    let model = if has_empty_segment {
        model
    } else {
        model.replace("%2F", "/")
    };
    ["/models/", &model].concat()
}

/// Returns whether a model of this name can be called, and found by the path of its name.
fn is_listable(name: &str) -> bool {
    let has_dot_segment = name.split('/').any(|segment| matches!(segment, "." | ".."));
    is_valid_name(name) && !has_dot_segment && !is_key(name)
}

impl ProviderApi {
    /// Returns the list of models for an admitted caller, from the cache if it is fresh.
    pub(super) async fn model_list(
        &self,
        query: &ModelListQuery<'_>,
        admitted: &Admitted,
    ) -> Result<Response<ResponseBody>, ProviderApiError> {
        let caller = admitted.caller();
        let fields = headers::for_model_list(query.headers);
        let cache_key = caller
            .key
            .as_ref()
            .map(|key| CacheKey::new(key.id, query.dialect, &fields));
        if let Some(cache_key) = &cache_key
            && let Some(list) = self.model_lists.get(cache_key, query.now)
        {
            return Ok(response::full(StatusCode::OK, JSON, list));
        }
        let providers = self.relay.providers();
        let resolver = Resolver::new(providers, caller, query.dialect, Operation::Models);
        let mut services = resolver.all();
        services.truncate(MAX_SERVICES);
        let aliases = usable_aliases(caller, &resolver, query.dialect);
        let dummies = dummy_models(&resolver);
        // A restricted key may have a list without models: it shows what the key may call.
        let has_any = !(services.is_empty() && aliases.is_empty() && dummies.is_empty());
        if !has_any && !resolver.is_restricted() {
            let problem = "the key has no service whose models can be listed";
            return Err(resolver.no_service(problem).into());
        }
        let fetches = services
            .iter()
            .map(|service| self.service_models(service, query, &fields, admitted, &resolver));
        let fetched = join_all(fetches).await;
        let is_complete = fetched.iter().all(Result::is_ok);
        let (mut models, mut reservations) = (Vec::new(), Vec::new());
        let mut first_error = None;
        for (service, outcome) in services.iter().zip(fetched) {
            match outcome {
                Ok(of_service) => {
                    models.extend(of_service.models);
                    reservations.push(of_service.reservation);
                }
                Err(error) => {
                    let service = service.service_id.as_str();
                    tracing::debug!(service, %error, "no list of models");
                    first_error.get_or_insert(error);
                }
            }
        }
        // A caller without a key may have no account at all, and gets what it can call.
        let is_key = matches!(caller.credentials, Credentials::Sealed { .. });
        if let (true, Some(error)) = (models.is_empty(), first_error)
            && (is_key || dummies.is_empty())
        {
            return Err(error.into());
        }
        models.extend(aliases);
        models.extend(dummies);
        let list = Bytes::from(encode_list(&models, query.dialect));
        if let (true, Some(cache_key)) = (is_complete, cache_key) {
            self.model_lists.put(cache_key, query.now, list.clone());
        }
        Ok(response::full(StatusCode::OK, JSON, list))
    }

    /// Returns the models of one service that can be used.
    async fn service_models(
        &self,
        service: &ResolvedService,
        query: &ModelListQuery<'_>,
        fields: &HeaderMap,
        admitted: &Admitted,
        resolver: &Resolver<'_>,
    ) -> Result<ServiceModels, ServiceError> {
        let id = &service.service_id;
        let fetch = self.fetch_list(service, query, fields.clone(), admitted);
        let mut call = query.calls.begin(id);
        let fetched = match timeout(SERVICE_TIMEOUT, fetch).await {
            Ok(fetched) => fetched,
            Err(_elapsed) => {
                let problem = format!("{id}: the provider took too long to list its models");
                Err(ServiceError::Timeout(problem.into()))
            }
        };
        let list = match fetched {
            Ok(list) => list,
            Err(error) => {
                call.fail(&error);
                return Err(error);
            }
        };
        let Some(raw_models) = split_list(&list) else {
            let problem = format!("{id}: the list of models is not JSON, or too long");
            let error = ServiceError::BadAnswer(problem.into());
            call.fail(&error);
            return Err(error);
        };
        call.complete();
        let mut converted = ServiceModels {
            models: Vec::new(),
            reservation: query.memory.budget().reservation(),
        };
        let mut length = 0_usize;
        for (index, raw) in raw_models.into_iter().take(MAX_MODELS).enumerate() {
            if index % MODELS_PER_TURN == MODELS_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            let Some(model) = convert(raw, service, query.dialect, resolver) else {
                continue;
            };
            length = length.saturating_add(model.json.get().len());
            converted.reservation.hold(length)?;
            converted.models.push(model);
        }
        Ok(converted)
    }

    /// Fetches the list of a service from its provider.
    async fn fetch_list(
        &self,
        service: &ResolvedService,
        query: &ModelListQuery<'_>,
        fields: HeaderMap,
        admitted: &Admitted,
    ) -> Result<Bytes, ServiceError> {
        let page = match service.dialect {
            Dialect::OpenAi => None,
            Dialect::Anthropic => Some(ANTHROPIC_PAGE.to_owned()),
        };
        let mut fields = fields;
        if service.dialect != query.dialect {
            dialects::translate_list_request(&mut fields, &service.provider, query.dialect);
        }
        let outgoing = Outgoing::new(Method::GET, fields, Bytes::new())
            .with_query(page)
            .with_budget(query.memory.budget().clone())
            .with_observer(query.trace.call(&service.service_id, None));
        let request = ForwardedRequest {
            service_id: &service.service_id,
            provider: &service.provider,
            dialect: service.dialect,
            path: "/models",
            credentials: &admitted.caller().credentials,
            hops: admitted.hops(),
            outgoing,
        };
        self.relay.fetch(request).await
    }
}

/// Splits a list into its models, unparsed.
fn split_list(list: &[u8]) -> Option<Vec<&RawValue>> {
    #[derive(Deserialize)]
    struct Page<'a> {
        #[serde(borrow)]
        data: Option<Vec<&'a RawValue>>,
    }

    if list.len() > MAX_LIST_BYTES {
        return None;
    }
    // Some providers return the bare list, and some null for an empty one.
    if list.trim_ascii_start().starts_with(b"[") {
        return serde_json::from_slice(list).ok();
    }
    let page: Page<'_> = serde_json::from_slice(list).ok()?;
    Some(page.data.unwrap_or_default())
}

/// Converts a model for the list; `None` if it is malformed or cannot be used.
fn convert(
    raw: &RawValue,
    service: &ResolvedService,
    dialect: Dialect,
    resolver: &Resolver<'_>,
) -> Option<ListedModel> {
    if raw.get().len() > MAX_MODEL_BYTES {
        return None;
    }
    let model = serde_json::from_str(raw.get()).ok()?;
    ListedModel::new(with_usable_name(model, service, resolver)?, dialect)
}

/// Gives a model the name under which it can be used, if it can be.
fn with_usable_name(
    mut model: Map<String, Value>,
    service: &ResolvedService,
    resolver: &Resolver<'_>,
) -> Option<Map<String, Value>> {
    let id = model.get("id")?.as_str()?.to_owned();
    let vendor = service.service_id.vendor()?;
    if !resolver.has_model(vendor, &id) {
        return None;
    }
    let name = usable_name(&id, vendor, resolver)?;
    model.insert("id".to_owned(), Value::from(name));
    model
        .entry("owned_by")
        .or_insert_with(|| Value::from(vendor));
    Some(model)
}

/// Returns the shortest name under which a model of a vendor is called and found.
fn usable_name(id: &str, vendor: &str, resolver: &Resolver<'_>) -> Option<String> {
    let names = [
        id.to_owned(),
        format!("{vendor}/{id}"),
        format!("chat:{vendor}/{id}"),
    ];
    names
        .into_iter()
        .find(|name| is_listable(name) && leads_to(resolver, name, (vendor, id)))
}

/// Returns whether a name leads to this model of this vendor.
fn leads_to(resolver: &Resolver<'_>, name: &str, (vendor, id): (&str, &str)) -> bool {
    let Ok(services) = resolver.resolve(Some(name)) else {
        return false;
    };
    let Some(first) = services.first() else {
        return false;
    };
    first.service_id.vendor() == Some(vendor) && first.engine.as_deref().unwrap_or(name) == id
}

/// Returns the aliases of a caller that can be used, as models.
fn usable_aliases(caller: &Caller, resolver: &Resolver<'_>, dialect: Dialect) -> Vec<ListedModel> {
    let mut models = Vec::new();
    for (name, alias) in &caller.model_aliases {
        if is_usable_alias(name, resolver) {
            models.extend(ListedModel::new(alias_model(name, &alias.model), dialect));
        }
    }
    models
}

/// Returns the models of the dummy that can be called.
fn dummy_models(resolver: &Resolver<'_>) -> Vec<ListedModel> {
    let names = DUMMY_MODELS
        .into_iter()
        .filter(|name| resolver.leads_to_dummy(name));
    let listed = |name| ListedModel::new(named_model(name, name, DUMMY_PROVIDER), resolver.dialect);
    names.filter_map(listed).collect()
}

/// Returns whether an alias leads to a service that can be called.
fn is_usable_alias(alias: &str, resolver: &Resolver<'_>) -> bool {
    let is_resolved = || match resolver.resolve(Some(alias)) {
        Ok(services) => services
            .first()
            .is_some_and(|first| resolver.is_usable(first)),
        Err(_) => false,
    };
    is_listable(alias) && is_resolved()
}
