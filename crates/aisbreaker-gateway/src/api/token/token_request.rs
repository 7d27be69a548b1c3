//! What a request to the token endpoint asks for: a new key, or one made from another.

use std::time::Duration;

use aisbreaker_api::{InvalidRequest, read::take};
use serde_json::{Map, Value};

use super::{
    budgets::{self, BUDGETS},
    exchange::{self, ExchangeError, ExchangeRequest},
    mint_request::{self, MintRequest},
    secret_json::{self, ZeroizingMap},
};
use crate::{
    form_urlencoded,
    request::{error::RequestError, head::ContentFormat},
};

const GRANT_TYPE: &str = "grant_type";
/// The most parameters of a form.
const MAX_PARAMETERS: usize = 64;
/// Parameters whose value in a form is JSON text.
const JSON_IN_FORMS: [&str; 4] = ["restrict", "requestQuotas", BUDGETS, "delegation"];
/// Parameters that may be repeated in a form (RFC 8693 section 2.1).
const REPEATABLE: [&str; 2] = ["resource", "audience"];

/// A request to the token endpoint.
#[derive(Debug)]
pub(super) enum TokenRequest {
    Mint(MintRequest),
    Exchange(ExchangeRequest),
}

impl TokenRequest {
    /// Parses the content of a request. Only an exchange has a grant type, or comes as a form.
    pub(super) fn parse(
        format: Option<ContentFormat>,
        body: &[u8],
        max_lifetime: Duration,
    ) -> Result<Self, RequestError> {
        let mut members = match format {
            Some(ContentFormat::UrlEncoded) => form_members(body)?,
            Some(ContentFormat::Json | ContentFormat::Multipart) | None => {
                mint_request::members(body)?
            }
        };
        let grant_type = take(&mut members, GRANT_TYPE);
        match (grant_type, format) {
            (None, Some(ContentFormat::UrlEncoded)) => Err(RequestError::MediaType {
                accepted: "application/json, unless the form has a grant_type",
            }),
            (None, _) => {
                let request = MintRequest::from_members(members, max_lifetime)?;
                // Which of two members counts may not be left open where they restrict.
                let grant = &request.grant;
                if !grant.restrict.is_empty() || grant.budgets.is_some() || names_limits(body) {
                    secret_json::check_unique_members(body)?;
                }
                Ok(Self::Mint(request))
            }
            (Some(Value::String(grant_type)), format) if grant_type == exchange::GRANT_TYPE => {
                if format != Some(ContentFormat::UrlEncoded) {
                    secret_json::check_unique_members(body).map_err(ExchangeError::from)?;
                }
                let request = ExchangeRequest::from_members(members, max_lifetime)?;
                Ok(Self::Exchange(request))
            }
            (Some(_), _) => Err(ExchangeError::UnsupportedGrantType.into()),
        }
    }
}

/// Returns whether a minting request may have meant to restrict its key, or to give it budgets.
fn names_limits(body: &[u8]) -> bool {
    ["restrict", BUDGETS].iter().any(|member| {
        let mut windows = body.windows(member.len());
        windows.any(|window| window == member.as_bytes())
    })
}

/// Parses a form. A parameter without a value counts as left out (RFC 6749 section 3.2).
fn form_members(body: &[u8]) -> Result<ZeroizingMap, ExchangeError> {
    let mut members = ZeroizingMap::default();
    for (name, value) in form_urlencoded::parameters(body, MAX_PARAMETERS)? {
        // Judged here, since the value is not zeroized any more once it is parsed.
        if members.contains_key(&name) && !REPEATABLE.contains(&&*name) {
            let problem = "must not have a parameter twice";
            return Err(InvalidRequest::new("the form", problem).into());
        }
        let value = if JSON_IN_FORMS.contains(&&*name) {
            json(&name, value.as_bytes())?
        } else {
            Value::String(String::clone(&value))
        };
        insert(&mut members, name, value);
    }
    Ok(members)
}

/// Parses JSON text in a form.
fn json(name: &str, text: &[u8]) -> Result<Value, InvalidRequest> {
    let parsed = secret_json::body(text);
    match (parsed, secret_json::check_unique_members(text)) {
        (Ok(mut value), Ok(())) => {
            if let Ok(text) = str::from_utf8(text)
                && name == BUDGETS
            {
                budgets::keep_dollars_of(&mut value, text);
            }
            Ok(value)
        }
        (Ok(_), Err(_)) => Err(InvalidRequest::new(name, "must not have a member twice")),
        (Err(_), _) => Err(InvalidRequest::new(name, "must be JSON text in a form")),
    }
}

/// Inserts a parameter. One that may be repeated becomes a list.
fn insert(members: &mut Map<String, Value>, name: String, value: Value) {
    if REPEATABLE.contains(&&*name) {
        let values = members
            .entry(name)
            .or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(values) = values {
            values.push(value);
        }
    } else {
        members.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_token() {
        let body = "grant_type=urn:ietf:params:oauth:grant-type:token-exchange\
                    &subject_token_type=urn:ietf:params:oauth:token-type:access_token\
                    &subject_token=canary&client_secret=canary&client_id=canary";
        let format = Some(ContentFormat::UrlEncoded);
        let parsed = TokenRequest::parse(format, body.as_bytes(), Duration::from_secs(9_000));

        let shown = format!("{parsed:?}");

        assert!(shown.starts_with("Ok(Exchange("), "{shown}");
        assert!(!shown.contains("canary"), "{shown}");
    }
}
