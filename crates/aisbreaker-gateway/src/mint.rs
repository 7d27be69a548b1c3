//! `POST /api/v1/oauth/token`: seals what the caller brings into a key.
//!
//! Nothing of the request is repeated in an error, since it holds secrets.

mod policy;

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use aisbreaker_api::{
    InvalidRequest, ServiceId, ServicePattern, ServiceUrl,
    read::{self, required, take},
};
use aisbreaker_token::{
    Grant, Host, KeyId, RequestLimits, RequestQuotas, SealError, SealedKey, ServiceSecret,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header::CACHE_CONTROL};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::{Map, Value};

pub use self::policy::MintPolicy;
use crate::{
    answer,
    body::ResponseBody,
    config::Config,
    span,
    wiped::{self, Wiped, list, object, string},
};

/// The lifetime of a key whose request names none.
const DEFAULT_SPAN: Duration = Duration::from_secs(2 * 3_600);
/// The most warnings in one answer; a request may have any number of unknown members.
const MAX_WARNINGS: usize = 20;
/// The most services that are called one after the other.
const MAX_FALLBACKS: usize = 8;
/// The longest alias of a model in bytes.
const MAX_ALIAS_LEN: usize = 128;

/// Why no key was minted.
#[derive(Debug)]
pub(crate) enum MintFault {
    /// The request cannot be sealed as it is.
    Request(InvalidRequest),
    /// Minting needs a secret, which the caller did not send.
    UnknownClient,
    /// A secret is for a service for which none may be sealed.
    ForbiddenService { index: usize },
    /// The key would be too long.
    TooLong { chars: usize, maximum: usize },
    /// The server failed.
    Internal(String),
}

impl From<InvalidRequest> for MintFault {
    fn from(invalid: InvalidRequest) -> Self {
        Self::Request(invalid)
    }
}

/// A request for a key, read and checked.
#[derive(Debug)]
pub(crate) struct MintRequest {
    grant: Grant,
    span: Duration,
    /// What proves that the caller may mint, where that is restricted.
    client_secret: Option<SecretString>,
    warnings: Vec<String>,
}

#[cfg(any(fuzzing, test))]
impl MintRequest {
    /// What was read, for the fuzz target.
    pub(crate) fn into_parts(self) -> (Grant, Duration, Vec<String>) {
        (self.grant, self.span, self.warnings)
    }
}

#[derive(Serialize)]
struct MintAnswer<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
}

/// The JSON given as quotas is none.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(transparent)]
#[non_exhaustive]
pub struct InvalidQuotas(InvalidRequest);

/// Reads `requestQuotas` from JSON, with the checks and messages of minting.
///
/// # Errors
/// [`InvalidQuotas`] naming the first member that is missing or not a whole number from 1 to
/// 4294967295.
pub fn quotas_from_json(json: &str) -> Result<RequestQuotas, InvalidQuotas> {
    let value = serde_json::from_str(json).map_err(|_syntax| {
        InvalidQuotas(InvalidRequest::new("requestQuotas", "is not valid JSON"))
    })?;
    let mut reader = Reader::default();
    let quotas = reader
        .quotas(value, "requestQuotas")
        .map_err(InvalidQuotas)?;
    match reader.warnings.pop() {
        None => Ok(quotas),
        Some(_) => Err(InvalidQuotas(InvalidRequest::new(
            "requestQuotas",
            "has a member that is not known",
        ))),
    }
}

/// Reads the body of a request for a key.
pub(crate) fn parse(body: &[u8], max_expiration: Duration) -> Result<MintRequest, InvalidRequest> {
    let mut reader = Reader::default();
    let mut body = object(wiped::body(body)?, "request body")?;
    let span = lifetime(take(&mut body, "expirationTimeSpan"), max_expiration)?;
    let auth = required(&mut body, "requestAuthAndQuotas", "requestAuthAndQuotas")?;
    let _any_client = body.remove("clientId");
    let client_secret = body.remove("clientSecret").map(Wiped::into_inner);
    let client_secret = client_secret.and_then(|secret| string(secret, "clientSecret").ok());
    let client_secret = client_secret.map(SecretString::from);
    reader.warn_of(&body, "");
    let grant = reader.grant(auth)?;
    Ok(MintRequest {
        grant,
        span,
        client_secret,
        warnings: reader.warnings,
    })
}

/// Seals a key for this host, if the caller may mint it.
pub(crate) fn seal(
    request: &MintRequest,
    headers: &HeaderMap,
    host: &Host,
    config: &Config,
    now: std::time::SystemTime,
) -> Result<(KeyId, Response<ResponseBody>), MintFault> {
    config
        .minting
        .check_caller(headers, request.client_secret.as_ref())?;
    config.minting.check_services(&request.grant)?;
    let key = config
        .keys
        .seal(&request.grant, host, now, request.span)
        .map_err(|error| {
            if let SealError::TooLong {
                chars,
                maximum_chars,
            } = error
            {
                return MintFault::TooLong {
                    chars,
                    maximum: maximum_chars,
                };
            }
            if matches!(error, SealError::Lifetime) {
                return MintFault::Request(span_problem(config.max_expiration));
            }
            MintFault::Internal(error.to_string())
        })?;
    Ok((key.id(), token_response(&key, &request.warnings)))
}

fn token_response(key: &SealedKey, warnings: &[String]) -> Response<ResponseBody> {
    let body = MintAnswer {
        access_token: key.expose(),
        token_type: "Bearer",
        expires_in: key.expires_in().as_secs(),
        warnings,
    };
    let mut response = answer::json(StatusCode::OK, &body);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn lifetime(value: Option<Value>, maximum: Duration) -> Result<Duration, InvalidRequest> {
    let Some(value) = value else {
        return Ok(DEFAULT_SPAN.min(maximum));
    };
    let span = value.as_str().and_then(span::parse);
    span.filter(|span| span.as_secs() >= 1 && *span <= maximum)
        .ok_or_else(|| span_problem(maximum))
}

fn span_problem(maximum: Duration) -> InvalidRequest {
    let maximum = match (maximum.as_secs() / 86_400, maximum.as_secs() % 86_400) {
        (days @ 1.., 0) => format!("{days}d"),
        _ => humantime::format_duration(maximum).to_string(),
    };
    InvalidRequest::new(
        "expirationTimeSpan",
        format!("must be a span of time such as '30d', from 1s to {maximum}"),
    )
}

/// Reads members and collects the names of those that are not known.
#[derive(Default)]
struct Reader {
    warnings: Vec<String>,
}

impl Reader {
    fn grant(&mut self, value: Value) -> Result<Grant, InvalidRequest> {
        let path = "requestAuthAndQuotas";
        let mut map = object(value, path)?;
        let quotas = take(&mut map, "requestQuotas")
            .map(|quotas| self.quotas(quotas, &format!("{path}.requestQuotas")))
            .transpose()?;
        let secrets = match take(&mut map, "serviceSecrets") {
            Some(secrets) => self.secrets(secrets, &format!("{path}.serviceSecrets"))?,
            None => Vec::new(),
        };
        let aliases = match take(&mut map, "modelAliases") {
            Some(aliases) => model_aliases(aliases, &format!("{path}.modelAliases"))?,
            None => BTreeMap::new(),
        };
        self.warn_of(&map, "requestAuthAndQuotas.");
        Ok(Grant::new(quotas, secrets).with_model_aliases(aliases))
    }

    fn quotas(&mut self, value: Value, path: &str) -> Result<RequestQuotas, InvalidRequest> {
        let mut map = object(value, path)?;
        let quotas = RequestQuotas {
            per_client_request_limits: self.limits(&mut map, "perClientRequestLimits", path)?,
            global_request_limits: self.limits(&mut map, "globalRequestLimits", path)?,
        };
        self.warn_of(&map, &format!("{path}."));
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
        self.warn_of(&map, &format!("{path}."));
        Ok(limits)
    }

    fn secrets(&mut self, value: Value, path: &str) -> Result<Vec<ServiceSecret>, InvalidRequest> {
        let entries = list(value, path)?;
        entries
            .into_iter()
            .enumerate()
            .map(|(i, entry)| self.secret(entry.into_inner(), &format!("{path}[{i}]")))
            .collect()
    }

    fn secret(&mut self, value: Value, path: &str) -> Result<ServiceSecret, InvalidRequest> {
        let mut map = object(value, path)?;
        let id_path = format!("{path}.serviceId");
        let service_id = string(required(&mut map, "serviceId", &id_path)?, &id_path)?;
        ServicePattern::parse(&service_id)
            .map_err(|fault| InvalidRequest::new(&id_path, fault.to_string()))?;
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
        self.warn_of(&map, &format!("{path}."));
        Ok(ServiceSecret::new(service_id, secret)
            .with_url(urls)
            .with_fallback(fallback))
    }

    fn warn_of(&mut self, unknown: &Map<String, Value>, prefix: &str) {
        let room = MAX_WARNINGS.saturating_sub(self.warnings.len());
        let names = unknown
            .keys()
            .take(room)
            .map(|name| name.chars().take(100).collect::<String>());
        self.warnings
            .extend(names.map(|name| format!("{prefix}{name} is not known and was ignored")));
    }
}

/// Other names of models. What an alias stands for must say which service and which model.
fn model_aliases(value: Value, path: &str) -> Result<BTreeMap<String, String>, InvalidRequest> {
    let aliases = object(value, path)?.into_inner();
    let mut read = BTreeMap::new();
    for (alias, target) in aliases {
        if !(1..=MAX_ALIAS_LEN).contains(&alias.len()) || alias.chars().any(char::is_control) {
            let problem = format!(
                "has a name that is not 1 to {MAX_ALIAS_LEN} bytes without control characters"
            );
            return Err(InvalidRequest::new(path, problem));
        }
        let path = format!("{path}.{alias}");
        let target = string(target, &path)?;
        let id = service_id(&target, &path)?;
        if id.vendor().is_none() || id.engine().is_none() {
            return Err(InvalidRequest::new(
                path,
                "must be a service id with a model, such as 'chat:openai.com/gpt-4o'",
            ));
        }
        read.insert(alias, target);
    }
    Ok(read)
}

/// The services to be called when one fails.
fn fallbacks(value: Value, path: &str) -> Result<Vec<String>, InvalidRequest> {
    let values = if value.is_array() {
        read::list(value, path)?
    } else {
        vec![value]
    };
    if values.len() > MAX_FALLBACKS {
        return Err(InvalidRequest::new(
            path,
            format!("must not name more than {MAX_FALLBACKS} services"),
        ));
    }
    let checked = |value: Value| {
        let text = string(value, path)?;
        match service_id(&text, path)?.vendor() {
            Some(_) => Ok(text),
            None => Err(InvalidRequest::new(
                path,
                "must be service ids, such as 'chat:groq.com/llama-3.1-8b'",
            )),
        }
    };
    values.into_iter().map(checked).collect()
}

fn service_id(text: &str, path: &str) -> Result<ServiceId, InvalidRequest> {
    ServiceId::parse(text).map_err(|fault| InvalidRequest::new(path, fault.to_string()))
}

fn urls(value: Value, path: &str) -> Result<Vec<String>, InvalidRequest> {
    let values = if value.is_array() {
        read::list(value, path)?
    } else {
        vec![value]
    };
    if values.is_empty() {
        return Err(InvalidRequest::new(path, "must not be empty"));
    }
    let checked = |value: Value| {
        let url = string(value, path)?;
        ServiceUrl::parse_base(&url)
            .map_err(|fault| InvalidRequest::new(path, fault.to_string()))?;
        Ok(url)
    };
    values.into_iter().map(checked).collect()
}

fn limit(
    map: &mut Map<String, Value>,
    name: &str,
    path: &str,
) -> Result<NonZeroU32, InvalidRequest> {
    let path = format!("{path}.{name}");
    let value = required(map, name, &path)?;
    whole_number(&value).ok_or_else(|| {
        InvalidRequest::new(
            path,
            format!("must be a whole number from 1 to {}", u32::MAX),
        )
    })
}

/// JSON has one kind of number, so that `60.0` is as whole as `60`.
fn whole_number(value: &Value) -> Option<NonZeroU32> {
    let number = value.as_number()?;
    let whole = match number.as_u64() {
        Some(whole) => whole,
        None => {
            let text = number.to_string();
            text.strip_suffix(".0")?.parse().ok()?
        }
    };
    u32::try_from(whole).ok().and_then(NonZeroU32::new)
}
