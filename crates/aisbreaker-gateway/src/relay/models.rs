//! `GET /v1/models`: one list of the models of all services in a key, in the dialect of whoever asks.
//!
//! A model is named so that it can be used by this name: as its provider does where a bare name leads there, else as
//! `vendor/model`.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, UNIX_EPOCH},
};

use aisbreaker_services::{Dialect, Passing, Relay, ServiceError, egress::Outgoing};
use aisbreaker_token::KeyId;
use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use serde_json::{Map, Value, json};

use super::{Chooser, Chosen, NoService};
use crate::{
    answer, answer::Failure, authenticate::Caller, body::ResponseBody, form, operation, operation::Operation,
};

/// How long a list is good.
const LASTS: Duration = Duration::from_secs(60);
/// How much all lists that are kept may have together, in bytes.
const MAX_KEPT_BYTES: usize = 16 << 20;
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
    if name.split('/').any(|segment| matches!(segment, "" | "." | "..")) || name.chars().any(char::is_control)
    {
        return Err(Failure::new(StatusCode::NOT_FOUND, "there is no such model").with_param("model"));
    }
    Ok(name)
}

/// Who asks for a list, and what for.
#[derive(Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) dialect: Dialect,
    pub(crate) hops: u8,
    pub(crate) budget: &'a aisbreaker_services::Budget,
    pub(crate) now: Instant,
}

/// Makes the list, or takes one that is good still.
pub(crate) async fn list(
    asker: &Asker<'_>,
    relay: &Relay,
    lists: &ModelLists,
) -> Result<Response<ResponseBody>, Failure> {
    let Asker { caller, dialect, now, .. } = *asker;
    let kept_as = caller.key.map(|key| (key.id, dialect));
    if let Some(list) = kept_as.and_then(|of| lists.get(of, now)) {
        return Ok(answer::full(StatusCode::OK, HeaderValue::from_static("application/json"), list));
    }
    let chooser = Chooser::new(relay.providers(), caller, dialect, Operation::Models);
    let services = chooser.all();
    if services.is_empty() {
        return Err(chooser.nothing("the key has no service whose models can be listed").into());
    }
    let told = join_all(services.iter().map(|service| models_of(service, asker, relay))).await;
    let are_all_there = told.iter().all(Result::is_ok);
    let mut models = Vec::new();
    let mut fault = None;
    for ((service, _), told) in services.iter().zip(told) {
        match told {
            Ok(told) => models.extend(told.into_iter().filter_map(|model| named(model, service, &chooser))),
            Err(error) => {
                tracing::debug!(service = service.service_id.as_str(), %error, "no list of models");
                fault.get_or_insert(error);
            }
        }
    }
    if let (true, Some(error)) = (models.is_empty(), fault) {
        return Err(error.into());
    }
    models.extend(caller.model_aliases.iter().map(|(alias, target)| of_alias(alias, target)));
    let list = Bytes::from(in_dialect(models, dialect).to_string());
    if let (true, Some(of)) = (are_all_there, kept_as) {
        lists.put(of, now, list.clone());
    }
    Ok(answer::full(StatusCode::OK, HeaderValue::from_static("application/json"), list))
}

/// The models of one service, as its provider tells them.
async fn models_of(
    (service, dialect): &(Chosen, Dialect),
    asker: &Asker<'_>,
    relay: &Relay,
) -> Result<Vec<Map<String, Value>>, ServiceError> {
    let query = (*dialect == Dialect::Anthropic).then(|| ANTHROPIC_PAGE.to_owned());
    let outgoing = Outgoing::new(Method::GET, HeaderMap::new(), Bytes::new())
        .with_query(query)
        .with_budget(asker.budget.clone());
    let passing = Passing {
        service_id: &service.service_id,
        provider: &service.provider,
        dialect: *dialect,
        path: "/models",
        credentials: &asker.caller.credentials,
        hops: asker.hops,
        outgoing,
    };
    let whole = relay.read(passing).await?;
    let list: Value = serde_json::from_slice(&whole).map_err(|_syntax| {
        ServiceError::BadAnswer(format!("{}: the list of models is not JSON", service.service_id))
    })?;
    // Some answer with the list itself.
    let models = match list {
        Value::Array(models) => models,
        Value::Object(mut members) => match members.remove("data") {
            Some(Value::Array(models)) => models,
            Some(_) | None => Vec::new(),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    Ok(models
        .into_iter()
        .filter_map(|model| if let Value::Object(model) = model { Some(model) } else { None })
        .collect())
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
    let is_bare = chooser.choose(Some(&id)).is_ok_and(|chosen| chosen.first().is_some_and(leads_here));
    let name = if is_bare { id } else { format!("{vendor}/{id}") };
    model.insert("id".to_owned(), Value::from(name));
    model.entry("owned_by").or_insert_with(|| Value::from(vendor));
    Some(model)
}

fn of_alias(alias: &str, target: &str) -> Map<String, Value> {
    let owner = target.split(':').next_back().and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let members = [("id", alias), ("display_name", target), ("owned_by", owner)];
    members.into_iter().map(|(name, text)| (name.to_owned(), Value::from(text))).collect()
}

fn in_dialect(models: Vec<Map<String, Value>>, dialect: Dialect) -> Value {
    match dialect {
        Dialect::OpenAi => {
            json!({"object": "list", "data": models.into_iter().map(for_openai).collect::<Vec<_>>()})
        }
        Dialect::Anthropic => {
            let data: Vec<Value> = models.into_iter().map(for_anthropic).collect();
            let id = |model: Option<&Value>| model.and_then(|model| model.get("id")).cloned();
            json!({"first_id": id(data.first()), "last_id": id(data.last()), "has_more": false, "data": data})
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
    let name =
        ["display_name", "name", "id"].iter().find_map(|name| model.get(*name)?.as_str()).unwrap_or_default();
    let name = name.to_owned();
    model.insert("type".to_owned(), Value::from("model"));
    model.entry("display_name").or_insert_with(|| Value::from(name));
    model.entry("created_at").or_insert_with(|| Value::from(created.to_string()));
    // What is listed can be used.
    model.entry("lifecycle").or_insert_with(|| Value::from("active"));
    Value::Object(model)
}

/// Since when there is the model, in seconds since 1970, as either dialect tells it.
fn created(model: &Map<String, Value>) -> Option<u64> {
    let seconds = model.get("created").and_then(Value::as_u64);
    seconds.filter(|seconds| *seconds < 253_402_300_800).or_else(|| {
        let time = humantime::parse_rfc3339(model.get("created_at")?.as_str()?).ok()?;
        Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs())
    })
}

impl From<NoService> for Failure {
    fn from(NoService(text): NoService) -> Self {
        Self::new(StatusCode::NOT_FOUND, text).with_param("model")
    }
}
