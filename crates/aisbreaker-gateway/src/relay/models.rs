//! `GET /v1/models`: one list of the models of all services in a key, in the dialect of whoever
//! asks.
//!
//! A model is named so that it can be used by this name: as its provider does where a bare name
//! leads there, else as `vendor/model`.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, UNIX_EPOCH},
};

use aisbreaker_egress::{MemoryBudget, MemoryReservation, Outgoing};
use aisbreaker_services::{Dialect, ForwardedRequest, Relay, ServiceError};
use aisbreaker_token::KeyId;
use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::{
    Map, Value, json,
    value::{RawValue, to_raw_value},
};
use tokio::time::timeout;

use super::{Chooser, Chosen, NoService};
use crate::{
    answer, answer::Failure, authenticate::Caller, body::ResponseBody, form, operation,
    operation::Operation,
};

/// How long a list is good.
const LASTS: Duration = Duration::from_secs(60);
/// How much all lists that are kept may have together, in bytes.
const MAX_KEPT_BYTES: usize = 16 << 20;
/// How many services are asked for one list.
const MAX_SERVICES: usize = 20;
/// How long a service may take to tell its models. A list without them is better than none.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest list of one service in bytes, the most models of it, and the longest one: whoever
/// names a provider in a key may be the provider, too.
const MAX_LIST_BYTES: usize = 4 << 20;
const MAX_MODELS: usize = 1_000;
const MAX_MODEL_BYTES: usize = 64 << 10;
/// After so many models others have their turn.
const MODELS_AT_ONCE: usize = 50;
/// The most that Anthropic's API gives at once.
const ANTHROPIC_PAGE: &str = "limit=1000";

/// Lists of models that were made a moment ago, by key and dialect.
#[derive(Debug, Default)]
pub(crate) struct ModelLists(Mutex<HashMap<(KeyId, Dialect), (Instant, Bytes)>>);

impl ModelLists {
    fn get(&self, of: (KeyId, Dialect), now: Instant) -> Option<Bytes> {
        let lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (made, list) = lists.get(&of)?;
        (now.saturating_duration_since(*made) < LASTS).then(|| list.clone())
    }

    fn put(&self, of: (KeyId, Dialect), now: Instant, list: Bytes) {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lists.retain(|_, (made, _)| now.saturating_duration_since(*made) < LASTS);
        let kept: usize = lists.values().map(|(_, list)| list.len()).sum();
        if kept.saturating_add(list.len()) <= MAX_KEPT_BYTES {
            lists.insert(of, (now, list));
        }
    }
}

/// The model that a path names.
pub(super) fn named_in(path: &str) -> Result<String, Failure> {
    let path = operation::below(operation::slash_free(path)).unwrap_or_default();
    let name = path.strip_prefix("/models/").unwrap_or_default();
    // In a path, a plus is itself.
    let name = form::decode(&name.replace('+', "%2B"));
    if name
        .split('/')
        .any(|segment| matches!(segment, "" | "." | ".."))
        || name.chars().any(char::is_control)
    {
        return Err(
            Failure::new(StatusCode::NOT_FOUND, "there is no such model").with_param("model"),
        );
    }
    Ok(name)
}

/// Who asks for a list, and what for.
#[derive(Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) dialect: Dialect,
    pub(crate) hops: u8,
    pub(crate) budget: &'a MemoryBudget,
    pub(crate) now: Instant,
}

/// Makes the list, or takes one that is good still.
pub(crate) async fn list(
    asker: &Asker<'_>,
    relay: &Relay,
    lists: &ModelLists,
) -> Result<Response<ResponseBody>, Failure> {
    let Asker {
        caller,
        dialect,
        now,
        ..
    } = *asker;
    let kept_as = caller.key.map(|key| (key.id, dialect));
    if let Some(list) = kept_as.and_then(|of| lists.get(of, now)) {
        return Ok(answer::full(
            StatusCode::OK,
            HeaderValue::from_static("application/json"),
            list,
        ));
    }
    let chooser = Chooser::new(relay.providers(), caller, dialect, Operation::Models);
    let mut services = chooser.all();
    services.truncate(MAX_SERVICES);
    if services.is_empty() {
        return Err(chooser
            .nothing("the key has no service whose models can be listed")
            .into());
    }
    let told = join_all(
        services
            .iter()
            .map(|service| models_of(service, asker, relay, &chooser)),
    )
    .await;
    let are_all_there = told.iter().all(Result::is_ok);
    let (mut models, mut held) = (Vec::new(), Vec::new());
    let mut fault = None;
    for ((service, _), told) in services.iter().zip(told) {
        match told {
            Ok(told) => {
                models.extend(told.models);
                held.push(told.held);
            }
            Err(error) => {
                tracing::debug!(service = service.service_id.as_str(), %error, "no list of models");
                fault.get_or_insert(error);
            }
        }
    }
    if let (true, Some(error)) = (models.is_empty(), fault) {
        return Err(super::told_to_client(error));
    }
    let aliases = caller
        .model_aliases
        .iter()
        .map(|(alias, target)| of_alias(alias, target));
    models.extend(aliases.filter_map(|model| Listed::new(model, dialect)));
    let list = Bytes::from(in_dialect(&models, dialect));
    if let (true, Some(of)) = (are_all_there, kept_as) {
        lists.put(of, now, list.clone());
    }
    Ok(answer::full(
        StatusCode::OK,
        HeaderValue::from_static("application/json"),
        list,
    ))
}

/// What a service tells of its models, in the dialect of who asks.
struct Told {
    models: Vec<Listed>,
    held: MemoryReservation,
}

/// A model as it is in a list.
struct Listed {
    id: String,
    json: Box<RawValue>,
}

impl Listed {
    fn new(model: Map<String, Value>, dialect: Dialect) -> Option<Self> {
        let id = model.get("id")?.as_str()?.to_owned();
        let model = match dialect {
            Dialect::OpenAi => for_openai(model),
            Dialect::Anthropic => for_anthropic(model),
        };
        Some(Self {
            id,
            json: to_raw_value(&model).ok()?,
        })
    }
}

/// The models of one service that can be used, in the dialect of who asks.
async fn models_of(
    of: &(Chosen, Dialect),
    asker: &Asker<'_>,
    relay: &Relay,
    chooser: &Chooser<'_>,
) -> Result<Told, ServiceError> {
    let (service, _) = of;
    let id = &service.service_id;
    let whole = timeout(PATIENCE, whole_list(of, asker, relay))
        .await
        .map_err(|_elapsed| {
            ServiceError::Timeout(
                format!("{id}: the provider took too long to list its models").into(),
            )
        })??;
    let models = models_in(&whole).ok_or_else(|| {
        ServiceError::BadAnswer(format!("{id}: the list of models is not JSON, or too long").into())
    })?;
    let mut told = Told {
        models: Vec::new(),
        held: asker.budget.reservation(),
    };
    let mut length = 0_usize;
    for (count, model) in models.into_iter().take(MAX_MODELS).enumerate() {
        if count % MODELS_AT_ONCE == MODELS_AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
        let model = Some(model.get()).filter(|model| model.len() <= MAX_MODEL_BYTES);
        let model = model.and_then(|model| serde_json::from_str(model).ok());
        let model =
            model.and_then(|model| Listed::new(named(model, service, chooser)?, asker.dialect));
        let Some(model) = model else { continue };
        length = length.saturating_add(model.json.get().len());
        told.held.hold(length)?;
        told.models.push(model);
    }
    Ok(told)
}

/// The list of a service as its provider tells it.
async fn whole_list(
    (service, dialect): &(Chosen, Dialect),
    asker: &Asker<'_>,
    relay: &Relay,
) -> Result<Bytes, ServiceError> {
    let query = (*dialect == Dialect::Anthropic).then(|| ANTHROPIC_PAGE.to_owned());
    let outgoing = Outgoing::new(Method::GET, HeaderMap::new(), Bytes::new())
        .with_query(query)
        .with_budget(asker.budget.clone());
    let request = ForwardedRequest {
        service_id: &service.service_id,
        provider: &service.provider,
        dialect: *dialect,
        path: "/models",
        credentials: &asker.caller.credentials,
        hops: asker.hops,
        outgoing,
    };
    relay.fetch(request).await
}

/// The models of a list, unread.
fn models_in(list: &[u8]) -> Option<Vec<&RawValue>> {
    #[derive(Deserialize)]
    struct Page<'a> {
        #[serde(borrow)]
        data: Option<Vec<&'a RawValue>>,
    }

    if list.len() > MAX_LIST_BYTES {
        return None;
    }
    // Some answer with the list itself, and some with null for none.
    if list.trim_ascii_start().starts_with(b"[") {
        return serde_json::from_slice(list).ok();
    }
    let page: Page<'_> = serde_json::from_slice(list).ok()?;
    Some(page.data.unwrap_or_default())
}

/// A model under the name by which it can be used, if it can be.
fn named(
    mut model: Map<String, Value>,
    service: &Chosen,
    chooser: &Chooser<'_>,
) -> Option<Map<String, Value>> {
    let id = model.get("id")?.as_str()?.to_owned();
    let vendor = service.service_id.vendor()?;
    if !chooser.has(vendor, &id) {
        return None;
    }
    let leads_here = |chosen: &Chosen| {
        chosen.service_id.vendor() == Some(vendor)
            && chosen.engine.as_ref().is_none_or(|engine| *engine == id)
    };
    let is_bare = chooser
        .choose(Some(&id))
        .is_ok_and(|chosen| chosen.first().is_some_and(leads_here));
    let name = if is_bare {
        id
    } else {
        format!("{vendor}/{id}")
    };
    model.insert("id".to_owned(), Value::from(name));
    model
        .entry("owned_by")
        .or_insert_with(|| Value::from(vendor));
    Some(model)
}

fn of_alias(alias: &str, target: &str) -> Map<String, Value> {
    let owner = target
        .split(':')
        .next_back()
        .and_then(|rest| rest.split('/').next())
        .unwrap_or_default();
    let members = [("id", alias), ("display_name", target), ("owned_by", owner)];
    members
        .into_iter()
        .map(|(name, text)| (name.to_owned(), Value::from(text)))
        .collect()
}

fn in_dialect(models: &[Listed], dialect: Dialect) -> String {
    let data = models
        .iter()
        .map(|model| model.json.get())
        .collect::<Vec<_>>()
        .join(",");
    match dialect {
        Dialect::OpenAi => format!(r#"{{"object":"list","data":[{data}]}}"#),
        Dialect::Anthropic => {
            let id = |model: Option<&Listed>| json!(model.map(|model| &*model.id));
            let (first, last) = (id(models.first()), id(models.last()));
            format!(r#"{{"first_id":{first},"last_id":{last},"has_more":false,"data":[{data}]}}"#)
        }
    }
}

/// The model with what OpenAI's clients look for.
fn for_openai(mut model: Map<String, Value>) -> Value {
    let created = created(&model).unwrap_or_default();
    model.insert("object".to_owned(), Value::from("model"));
    if !model.get("created").is_some_and(Value::is_number) {
        model.insert("created".to_owned(), Value::from(created));
    }
    Value::Object(model)
}

/// The model with what Anthropic's clients look for.
fn for_anthropic(mut model: Map<String, Value>) -> Value {
    let created = humantime::format_rfc3339_seconds(
        UNIX_EPOCH + Duration::from_secs(created(&model).unwrap_or_default()),
    );
    let name = ["display_name", "name", "id"]
        .iter()
        .find_map(|name| model.get(*name)?.as_str())
        .unwrap_or_default();
    let name = name.to_owned();
    model.insert("type".to_owned(), Value::from("model"));
    model
        .entry("display_name")
        .or_insert_with(|| Value::from(name));
    model
        .entry("created_at")
        .or_insert_with(|| Value::from(created.to_string()));
    // What is listed can be used.
    model
        .entry("lifecycle")
        .or_insert_with(|| Value::from("active"));
    Value::Object(model)
}

/// Since when there is the model, in seconds since 1970, as either dialect tells it.
fn created(model: &Map<String, Value>) -> Option<u64> {
    let seconds = model.get("created").and_then(Value::as_u64);
    seconds
        .filter(|seconds| *seconds < 253_402_300_800)
        .or_else(|| {
            let time = humantime::parse_rfc3339(model.get("created_at")?.as_str()?).ok()?;
            Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs())
        })
}

impl From<NoService> for Failure {
    fn from(NoService(text): NoService) -> Self {
        Self::new(StatusCode::NOT_FOUND, text).with_param("model")
    }
}
