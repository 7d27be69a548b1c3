//! The body of a request for a key, parsed and checked.
//!
//! No error repeats any of it, since it holds secrets.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use aisbreaker_api::{
    InvalidRequest, ServiceId, ServicePattern, ServiceUrl,
    read::{self, required, take},
};
use aisbreaker_services::DUMMY_PROVIDER;
use aisbreaker_token::{
    Budgets, Grant, MAX_DELEGATION_DEPTH, ModelAlias, RequestLimits, RequestQuotas, Restriction,
    ServiceSecret,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use super::{
    budgets::{self, BUDGETS},
    lifetime, restriction, rfc3339,
    secret_json::{self, ZeroizingMap, ZeroizingValue, list, object, string},
    whole_number::whole_number,
};
use crate::request::credentials::{is_invisible, is_key};

/// The lifetime of a key whose request names none.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(2 * 3_600);
/// The most warnings in one response; a request may have any number of unknown members.
pub(super) const MAX_WARNINGS: usize = 20;
/// The longest name of an unknown member in a warning, in characters.
const MAX_WARNED_NAME_CHARS: usize = 100;
/// The most fallbacks of one service.
const MAX_FALLBACKS: usize = 8;
/// The longest alias of a model in bytes.
const MAX_ALIAS_LEN: usize = 128;
/// The longest name of a key, in characters.
const MAX_NAME_CHARS: usize = 64;
/// The most restrictions that one request adds to a key.
const MAX_RESTRICTIONS: usize = 8;
/// What the whole content is called in errors.
pub(super) const BODY: &str = "request body";
/// The member whose members are sealed.
pub(super) const GRANT: &str = "requestAuthAndQuotas";

/// A request for a key.
#[derive(Debug)]
pub(crate) struct MintRequest {
    pub(crate) grant: Grant,
    pub(crate) lifetime: Duration,
    /// The first moment at which the key is accepted.
    pub(crate) not_before: Option<SystemTime>,
    /// What proves that the caller may mint, where that is restricted.
    pub(crate) client_secret: Option<SecretString>,
    /// What the caller should know about members that were ignored.
    pub(crate) warnings: Vec<String>,
}

impl MintRequest {
    /// Parses the body of a request for a key that lives for `max_lifetime` at most.
    ///
    /// # Errors
    /// [`InvalidRequest`] naming the first member at fault.
    #[cfg(any(fuzzing, test))]
    pub(crate) fn parse(body: &[u8], max_lifetime: Duration) -> Result<Self, InvalidRequest> {
        Self::from_members(members(body)?, max_lifetime)
    }

    /// Reads the members of the body.
    pub(super) fn from_members(
        mut members: ZeroizingMap,
        max_lifetime: Duration,
    ) -> Result<Self, InvalidRequest> {
        let mut reader = Reader::default();
        let span = take(&mut members, "expirationTimeSpan");
        let lifetime = parse_lifetime(span, max_lifetime)?;
        let mut auth = object(required(&mut members, GRANT, GRANT)?, GRANT)?;
        let _any_client_id = members.remove("clientId");
        let client_secret = client_secret(members.remove("clientSecret"));
        let not_before = either(&mut members, &mut auth, "notBefore")?
            .map(not_before)
            .transpose()?;
        let grant = reader.grant(&mut members, auth)?;
        reader.ignore(&members, "")?;
        Ok(Self {
            grant,
            lifetime,
            not_before,
            client_secret,
            warnings: reader.warnings,
        })
    }
}

/// Parses the members of a body, with dollars as they are spelled.
pub(super) fn members(body: &[u8]) -> Result<ZeroizingMap, InvalidRequest> {
    let mut members = object(secret_json::body(body)?, BODY)?;
    budgets::keep_dollars(&mut members, body);
    Ok(members)
}

/// Checks a grant that no request for a key brought here, as if one had.
///
/// # Errors
/// [`InvalidRequest`] naming the first member at fault.
pub(crate) fn check_grant(grant: &Grant) -> Result<(), InvalidRequest> {
    let Ok(value) = serde_json::to_value(grant) else {
        return Err(InvalidRequest::new(GRANT, "is not valid JSON"));
    };
    let mut reader = Reader::default();
    reader.grant(&mut Map::new(), object(value, GRANT)?)?;
    match reader.warnings.pop() {
        Some(_unknown_member) => Err(InvalidRequest::new(GRANT, "has a member that is not known")),
        None => Ok(()),
    }
}

/// Takes a member out of the request body or out of `requestAuthAndQuotas`, where it means the same.
fn either(
    members: &mut Map<String, Value>,
    auth: &mut Map<String, Value>,
    name: &str,
) -> Result<Option<Value>, InvalidRequest> {
    match (take(members, name), take(auth, name)) {
        (Some(_), Some(_)) => Err(InvalidRequest::new(
            name,
            format!("must not be both in the request body and in {GRANT}"),
        )),
        (value, None) | (None, value) => Ok(value),
    }
}

/// Parses the name of a key: printable, and not one of the keys that it is meant to tell apart.
pub(crate) fn name(value: Value) -> Result<String, InvalidRequest> {
    let name = string(value, "name")?;
    let is_printable = |c: char| !c.is_control() && !is_invisible(c);
    let chars = name.chars().count();
    if !(1..=MAX_NAME_CHARS).contains(&chars) || !name.chars().all(is_printable) {
        let problem = format!("must be 1 to {MAX_NAME_CHARS} printable characters");
        return Err(InvalidRequest::new("name", problem));
    }
    if is_key(&name) {
        return Err(InvalidRequest::new("name", "must not be a key"));
    }
    Ok(name)
}

/// Parses a time as RFC 3339 has it.
pub(crate) fn not_before(value: Value) -> Result<SystemTime, InvalidRequest> {
    let text = string(value, "notBefore")?;
    rfc3339::parse(&text).ok_or_else(|| {
        InvalidRequest::new(
            "notBefore",
            "must be a time as RFC 3339 has it, such as '2026-12-01T08:00:00Z'",
        )
    })
}

/// Parses one restriction, or a list of them.
pub(crate) fn restrictions(value: Value) -> Result<Vec<Restriction>, InvalidRequest> {
    if !value.is_array() {
        return Ok(vec![restriction::parse(value, "restrict")?]);
    }
    let entries = read::list(value, "restrict")?;
    if entries.len() > MAX_RESTRICTIONS {
        let problem = format!("must not have more than {MAX_RESTRICTIONS} entries");
        return Err(InvalidRequest::new("restrict", problem));
    }
    let parse = |(index, entry)| restriction::parse(entry, &format!("restrict[{index}]"));
    entries.into_iter().enumerate().map(parse).collect()
}

/// Parses how many levels of keys may be made from a key.
pub(crate) fn delegation(value: &Value) -> Result<u8, InvalidRequest> {
    match value.as_u64().and_then(|levels| u8::try_from(levels).ok()) {
        Some(levels) if usize::from(levels) <= MAX_DELEGATION_DEPTH => Ok(levels),
        Some(_) | None => Err(InvalidRequest::new(
            "delegation",
            format!("must be a whole number from 0 to {MAX_DELEGATION_DEPTH}"),
        )),
    }
}

/// Returns the client secret; anything but a string is ignored.
fn client_secret(value: Option<ZeroizingValue>) -> Option<SecretString> {
    let secret = string(value?.into_inner(), "clientSecret").ok()?;
    Some(SecretString::from(secret))
}

/// The JSON does not describe quotas.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(transparent)]
#[non_exhaustive]
pub struct InvalidQuotas(InvalidRequest);

/// Parses `requestQuotas` from JSON, with the checks and messages of minting.
///
/// # Errors
/// [`InvalidQuotas`] naming the first member that is missing or not a whole number from 1 to
/// 4294967295.
pub fn quotas_from_json(json: &str) -> Result<RequestQuotas, InvalidQuotas> {
    let invalid =
        |problem: &str| InvalidQuotas(InvalidRequest::new("requestQuotas", problem.to_owned()));
    let Ok(value) = serde_json::from_str(json) else {
        return Err(invalid("is not valid JSON"));
    };
    let mut reader = Reader::default();
    let quotas = reader
        .quotas(value, "requestQuotas")
        .map_err(InvalidQuotas)?;
    if reader.warnings.is_empty() {
        Ok(quotas)
    } else {
        Err(invalid("has a member that is not known"))
    }
}

pub(super) fn parse_lifetime(
    value: Option<Value>,
    maximum: Duration,
) -> Result<Duration, InvalidRequest> {
    let Some(value) = value else {
        return Ok(DEFAULT_LIFETIME.min(maximum));
    };
    match value.as_str().and_then(lifetime::parse) {
        Some(span) if span.as_secs() >= 1 && span <= maximum => Ok(span),
        Some(_) | None => Err(invalid_lifetime(maximum)),
    }
}

/// Returns the error for an `expirationTimeSpan` that is unreadable or out of bounds.
pub(super) fn invalid_lifetime(maximum: Duration) -> InvalidRequest {
    let maximum = match (maximum.as_secs() / 86_400, maximum.as_secs() % 86_400) {
        (days @ 1.., 0) => format!("{days}d"),
        _ => humantime::format_duration(maximum).to_string(),
    };
    InvalidRequest::new(
        "expirationTimeSpan",
        format!("must be a span of time such as '30d', from 1s to {maximum}"),
    )
}

/// Reads members, and collects warnings about unknown ones.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) warnings: Vec<String>,
}

impl Reader {
    /// Reads a grant, some of whose members may be in the request body instead.
    fn grant(
        &mut self,
        body: &mut Map<String, Value>,
        mut map: ZeroizingMap,
    ) -> Result<Grant, InvalidRequest> {
        let path = GRANT;
        let name = either(body, &mut map, "name")?.map(name).transpose()?;
        let restrict = match either(body, &mut map, "restrict")? {
            Some(restrict) => restrictions(restrict)?,
            None => Vec::new(),
        };
        let delegation = either(body, &mut map, "delegation")?
            .as_ref()
            .map(delegation)
            .transpose()?;
        let quotas = match take(&mut map, "requestQuotas") {
            Some(quotas) => Some(self.quotas(quotas, &format!("{path}.requestQuotas"))?),
            None => None,
        };
        let secrets = match take(&mut map, "serviceSecrets") {
            Some(secrets) => self.secrets(secrets, &format!("{path}.serviceSecrets"))?,
            None => Vec::new(),
        };
        let aliases = match take(&mut map, "modelAliases") {
            Some(aliases) => self.model_aliases(aliases, &format!("{path}.modelAliases"))?,
            None => BTreeMap::new(),
        };
        let budgets = match either(body, &mut map, BUDGETS)? {
            Some(budgets) => self.budgets(budgets)?,
            None => None,
        };
        self.ignore(&map, "requestAuthAndQuotas.")?;
        let mut grant = Grant::new(quotas, secrets).with_model_aliases(aliases);
        grant.name = name;
        grant.restrict = restrict;
        grant.delegation = delegation;
        grant.budgets = budgets;
        Ok(grant)
    }

    pub(super) fn quotas(
        &mut self,
        value: Value,
        path: &str,
    ) -> Result<RequestQuotas, InvalidRequest> {
        let mut map = object(value, path)?;
        let quotas = RequestQuotas {
            per_client_request_limits: self.limits(&mut map, "perClientRequestLimits", path)?,
            global_request_limits: self.limits(&mut map, "globalRequestLimits", path)?,
        };
        self.ignore(&map, &format!("{path}."))?;
        Ok(quotas)
    }

    fn limits(
        &mut self,
        map: &mut Map<String, Value>,
        name: &str,
        path: &str,
    ) -> Result<RequestLimits, InvalidRequest> {
        let path = format!("{path}.{name}");
        let mut map = object(required(map, name, &path)?, &path)?;
        let limits = RequestLimits {
            requests_per_minute: limit(&mut map, "requestsPerMinute", &path)?,
            requests_per_hour: limit(&mut map, "requestsPerHour", &path)?,
            requests_per_day: limit(&mut map, "requestsPerDay", &path)?,
        };
        self.ignore(&map, &format!("{path}."))?;
        Ok(limits)
    }

    fn secrets(&mut self, value: Value, path: &str) -> Result<Vec<ServiceSecret>, InvalidRequest> {
        let mut secrets = Vec::new();
        for (index, entry) in list(value, path)?.into_iter().enumerate() {
            secrets.push(self.secret(entry.into_inner(), &format!("{path}[{index}]"))?);
        }
        Ok(secrets)
    }

    fn secret(&mut self, value: Value, path: &str) -> Result<ServiceSecret, InvalidRequest> {
        let mut map = object(value, path)?;
        let id_path = format!("{path}.serviceId");
        let service_id = string(required(&mut map, "serviceId", &id_path)?, &id_path)?;
        ServicePattern::parse(&service_id)
            .map_err(|error| InvalidRequest::new(&id_path, error.to_string()))?;
        let secret_path = format!("{path}.authSecret");
        let secret = SecretString::from(string(
            required(&mut map, "authSecret", &secret_path)?,
            &secret_path,
        )?);
        if secret.expose_secret().chars().any(char::is_control) {
            return Err(InvalidRequest::new(
                secret_path,
                "must not contain control characters",
            ));
        }
        let urls = match take(&mut map, "url") {
            Some(url) => urls(url, &format!("{path}.url"))?,
            None => Vec::new(),
        };
        let fallback = match take(&mut map, "fallback") {
            Some(fallback) => fallbacks(fallback, &format!("{path}.fallback"))?,
            None => Vec::new(),
        };
        self.ignore(&map, &format!("{path}."))?;
        Ok(ServiceSecret::new(service_id, secret)
            .with_url(urls)
            .with_fallback(fallback))
    }

    fn model_aliases(
        &mut self,
        value: Value,
        path: &str,
    ) -> Result<BTreeMap<String, ModelAlias>, InvalidRequest> {
        let aliases = object(value, path)?.into_inner();
        let mut read = BTreeMap::new();
        for (name, target) in aliases {
            if !(1..=MAX_ALIAS_LEN).contains(&name.len()) || name.chars().any(char::is_control) {
                let problem = format!(
                    "has a name that is not 1 to {MAX_ALIAS_LEN} bytes without control characters"
                );
                return Err(InvalidRequest::new(path, problem));
            }
            let alias = self.model_alias(target, &format!("{path}.{name}"))?;
            read.insert(name, alias);
        }
        Ok(read)
    }

    /// Reads what an alias stands for: a service id with a model, or an object that has it.
    fn model_alias(&mut self, value: Value, path: &str) -> Result<ModelAlias, InvalidRequest> {
        if !value.is_object() {
            return Ok(ModelAlias::from(alias_target(value, path)?));
        }
        let mut map = object(value, path)?;
        let model_path = format!("{path}.model");
        let model = required(&mut map, "model", &model_path)?;
        let alias = ModelAlias::from(alias_target(model, &model_path)?);
        let alias = match take(&mut map, "translate") {
            None | Some(Value::Bool(false)) => alias,
            Some(Value::Bool(true)) => alias.translated(),
            Some(_) => {
                let path = format!("{path}.translate");
                return Err(InvalidRequest::new(path, "must be true or false"));
            }
        };
        self.ignore(&map, &format!("{path}."))?;
        Ok(alias)
    }

    /// Ignores members that are not known, with warnings.
    ///
    /// # Errors
    /// A member that may be meant as a budget is refused.
    pub(super) fn ignore(
        &mut self,
        unknown: &Map<String, Value>,
        prefix: &str,
    ) -> Result<(), InvalidRequest> {
        if unknown.keys().any(|name| budgets::looks_like_budget(name)) {
            let at = match prefix.trim_end_matches('.') {
                "" => BODY,
                path => path,
            };
            let problem = "has a member that is not known and looks like a budget; budgets has \
                           perClient and global with tokensPerMinute, tokensPerHour, tokensPerDay \
                           and usdPerDay, global usdPerMonth and usdTotal as well";
            return Err(InvalidRequest::new(at, problem));
        }
        let room = MAX_WARNINGS.saturating_sub(self.warnings.len());
        for name in unknown.keys().take(room) {
            let name: String = name.chars().take(MAX_WARNED_NAME_CHARS).collect();
            let warning = format!("{prefix}{name} is not known and was ignored");
            self.warnings.push(warning);
        }
        Ok(())
    }

    pub(super) fn budgets(&mut self, value: Value) -> Result<Option<Box<Budgets>>, InvalidRequest> {
        let budgets = budgets::parse(value)?;
        let room = MAX_WARNINGS.saturating_sub(self.warnings.len());
        let advice = budgets::advice(&budgets);
        self.warnings.extend(advice.into_iter().take(room));
        Ok((budgets != Budgets::default()).then(|| Box::new(budgets)))
    }
}

/// Parses the service id that an alias stands for, which must name a service and a model.
fn alias_target(value: Value, path: &str) -> Result<String, InvalidRequest> {
    let target = string(value, path)?;
    let id = service_id(&target, path)?;
    let has_model = id.engine().is_some() || id.vendor() == Some(DUMMY_PROVIDER);
    if id.vendor().is_none() || !has_model {
        return Err(InvalidRequest::new(
            path,
            "must be a service id with a model, such as 'chat:openai.com/gpt-4o'",
        ));
    }
    Ok(target)
}

/// Parses the services that are called when one fails.
fn fallbacks(value: Value, path: &str) -> Result<Vec<String>, InvalidRequest> {
    let values = one_or_more(value, path)?;
    if values.len() > MAX_FALLBACKS {
        return Err(InvalidRequest::new(
            path,
            format!("must not name more than {MAX_FALLBACKS} services"),
        ));
    }
    let mut fallbacks = Vec::with_capacity(values.len());
    for value in values {
        let id = string(value, path)?;
        if service_id(&id, path)?.vendor().is_none() {
            return Err(InvalidRequest::new(
                path,
                "must be service ids, such as 'chat:groq.com/llama-3.1-8b'",
            ));
        }
        fallbacks.push(id);
    }
    Ok(fallbacks)
}

/// Returns the values of a list, or the one value that stands for a list of one.
fn one_or_more(value: Value, path: &str) -> Result<Vec<Value>, InvalidRequest> {
    if value.is_array() {
        read::list(value, path)
    } else {
        Ok(vec![value])
    }
}

fn service_id(text: &str, path: &str) -> Result<ServiceId, InvalidRequest> {
    ServiceId::parse(text).map_err(|error| InvalidRequest::new(path, error.to_string()))
}

fn urls(value: Value, path: &str) -> Result<Vec<String>, InvalidRequest> {
    let values = one_or_more(value, path)?;
    if values.is_empty() {
        return Err(InvalidRequest::new(path, "must not be empty"));
    }
    let mut urls = Vec::with_capacity(values.len());
    for value in values {
        let url = string(value, path)?;
        ServiceUrl::parse_base(&url)
            .map_err(|error| InvalidRequest::new(path, error.to_string()))?;
        urls.push(url);
    }
    Ok(urls)
}

fn limit(
    map: &mut Map<String, Value>,
    name: &str,
    path: &str,
) -> Result<NonZeroU32, InvalidRequest> {
    let path = format!("{path}.{name}");
    let value = required(map, name, &path)?;
    let limit = whole_number(&value).and_then(|limit| u32::try_from(limit).ok());
    match limit.and_then(NonZeroU32::new) {
        Some(limit) => Ok(limit),
        None => {
            let problem = format!("must be a whole number from 1 to {}", u32::MAX);
            Err(InvalidRequest::new(path, problem))
        }
    }
}
