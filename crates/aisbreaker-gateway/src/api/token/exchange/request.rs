//! The parameters of an exchange, parsed and checked.
//!
//! No error repeats any of them, since one is a key.

use std::time::Duration;

use aisbreaker_api::{
    InvalidRequest,
    read::{self, string, take},
};
use aisbreaker_token::{Host, delegation::ChildRequest};
use http::Uri;
use secrecy::{SecretString, zeroize::Zeroizing};
use serde_json::{Map, Value};

use super::{
    super::{
        budgets::BUDGETS,
        mint_request::{self, Reader},
        secret_json::{self, ZeroizingMap},
        token_response::ACCESS_TOKEN,
    },
    ExchangeError,
};

/// Members of a minting request that would widen a child, or look as if they did.
const ONLY_FOR_MINTING: [&str; 3] = [mint_request::GRANT, "serviceSecrets", "modelAliases"];
/// Parameters of RFC 6749 section 2.3.1, which are not needed.
const CLIENT_CREDENTIALS: [&str; 4] = ["client_id", "client_secret", "clientId", "clientSecret"];

/// A request for a narrower key.
#[derive(Debug)]
pub(in crate::api::token) struct ExchangeRequest {
    pub(super) subject_token: SecretString,
    /// The resources that the key is for (RFC 8707): URLs of this server.
    resources: Vec<String>,
    /// Other names for what the key is for: that of this host, or such URLs.
    audiences: Vec<String>,
    pub(super) child: ChildRequest,
    /// What the caller should know about parameters that were ignored.
    pub(super) warnings: Vec<String>,
}

impl ExchangeRequest {
    /// Reads the parameters behind the grant type, for a key that lives for `max_lifetime` at most.
    ///
    /// A scope is refused, since there are none: a caller that asks for less must not get all.
    pub(in crate::api::token) fn from_members(
        mut members: ZeroizingMap,
        max_lifetime: Duration,
    ) -> Result<Self, ExchangeError> {
        let members = &mut members;
        for name in ONLY_FOR_MINTING {
            if members.contains_key(name) {
                let problem = "is for minting; an exchange takes its secrets from subject_token, \
                               and restrict, requestQuotas and budgets as they are";
                return Err(InvalidRequest::new(name, problem).into());
            }
        }
        for name in ["actor_token", "actor_token_type"] {
            if members.remove(name).is_some_and(|value| !value.is_null()) {
                return Err(InvalidRequest::new(name, "is not supported").into());
            }
        }
        if take(members, "scope").is_some() {
            return Err(ExchangeError::InvalidScope);
        }
        let subject_token = subject_token(members)?;
        check_type(members, "requested_token_type")?;
        let resources = targets(members, "resource")?;
        let audiences = targets(members, "audience")?;
        for name in CLIENT_CREDENTIALS {
            // Zeroized when it is dropped.
            let _unused = members.remove(name);
        }
        let mut reader = Reader::default();
        let child = child(members, &mut reader, max_lifetime)?;
        reader.ignore(members, "")?;
        Ok(Self {
            subject_token,
            resources,
            audiences,
            child,
            warnings: reader.warnings,
        })
    }

    /// Checks that the key is asked for this host and no other.
    pub(super) fn check_target(&self, host: &Host) -> Result<(), ExchangeError> {
        if !self.resources.iter().all(|url| is_url_of(url, host)) {
            return Err(ExchangeError::InvalidTarget {
                parameter: "resource",
            });
        }
        let names_host = |text: &String| {
            let is_name = Host::parse(text).is_ok_and(|name| name == *host);
            is_name || is_url_of(text, host)
        };
        if !self.audiences.iter().all(names_host) {
            return Err(ExchangeError::InvalidTarget {
                parameter: "audience",
            });
        }
        Ok(())
    }
}

fn subject_token(members: &mut ZeroizingMap) -> Result<SecretString, ExchangeError> {
    let (name, missing) = ("subject_token", "is missing");
    let Some(token) = take(members, name) else {
        return Err(InvalidRequest::new(name, missing).into());
    };
    let token = Zeroizing::new(secret_json::string(token, name)?);
    // Files and shells leave line ends.
    let token = SecretString::from(token.trim());
    let name = "subject_token_type";
    if members.get(name).is_none_or(Value::is_null) {
        return Err(InvalidRequest::new(name, missing).into());
    }
    check_type(members, name)?;
    Ok(token)
}

/// Checks that a type of token, if any, is the one that there is.
fn check_type(members: &mut Map<String, Value>, name: &str) -> Result<(), InvalidRequest> {
    match take(members, name) {
        None => Ok(()),
        Some(Value::String(kind)) if kind == ACCESS_TOKEN => Ok(()),
        Some(_) => Err(InvalidRequest::new(name, format!("must be {ACCESS_TOKEN}"))),
    }
}

/// Parses a parameter that may be repeated (RFC 8693 section 2.1).
fn targets(members: &mut Map<String, Value>, name: &str) -> Result<Vec<String>, InvalidRequest> {
    let values = match take(members, name) {
        None => Vec::new(),
        Some(value) if value.is_array() => read::list(value, name)?,
        Some(value) => vec![value],
    };
    values
        .into_iter()
        .map(|value| string(value, name))
        .collect()
}

/// Parses what is asked of the child.
fn child(
    members: &mut Map<String, Value>,
    reader: &mut Reader,
    max_lifetime: Duration,
) -> Result<ChildRequest, InvalidRequest> {
    let mut child = ChildRequest::default();
    let span = take(members, "expirationTimeSpan");
    child.lifetime = Some(mint_request::parse_lifetime(span, max_lifetime)?);
    if let Some(time) = take(members, "notBefore") {
        child.not_before = Some(mint_request::not_before(time)?);
    }
    if let Some(name) = take(members, "name") {
        child.name = Some(mint_request::name(name)?);
    }
    if let Some(quotas) = take(members, "requestQuotas") {
        child.request_quotas = Some(reader.quotas(quotas, "requestQuotas")?);
    }
    if let Some(budgets) = take(members, BUDGETS) {
        child.budgets = reader.budgets(budgets)?;
    }
    if let Some(restrict) = take(members, "restrict") {
        child.restrict = mint_request::restrictions(restrict)?;
    }
    if let Some(levels) = take(members, "delegation") {
        child.delegation = Some(mint_request::delegation(&levels)?);
    }
    Ok(child)
}

/// Returns whether this is an absolute URL of this host, as RFC 8707 section 2 has it.
fn is_url_of(text: &str, host: &Host) -> bool {
    if text.contains('#') {
        return false;
    }
    let Ok(url) = text.parse::<Uri>() else {
        return false;
    };
    let is_http = matches!(url.scheme_str(), Some("http" | "https"));
    match url.authority() {
        Some(authority) if is_http => {
            let name = Host::parse(authority.as_str());
            name.is_ok_and(|name| name == *host)
        }
        Some(_) | None => false,
    }
}
