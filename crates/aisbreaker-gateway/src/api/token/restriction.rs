//! A restriction in a request for a key. Nothing in it is ignored: an unknown member is an error.

use aisbreaker_api::{
    InvalidRequest,
    read::{list, object, string, take},
};
use aisbreaker_token::Restriction;
use serde_json::{Map, Value};

use crate::restrictions;

/// The most values of one member.
const MAX_VALUES: usize = 64;

/// Parses one restriction.
///
/// # Errors
/// [`InvalidRequest`] naming the first member at fault.
pub(crate) fn parse(value: Value, path: &str) -> Result<Restriction, InvalidRequest> {
    let mut map = object(value, path)?;
    let mut restriction = Restriction::default();
    restriction.services = texts(&mut map, "services", path)?;
    restriction.operations = texts(&mut map, "operations", path)?;
    restriction.clients = texts(&mut map, "clients", path)?;
    restriction.origins = texts(&mut map, "origins", path)?;
    restriction.max_body_bytes = size(&mut map, "maxBodyBytes", path)?;
    if !map.is_empty() {
        let problem = "has a member that is not known; known are services, operations, clients, \
                       origins and maxBodyBytes";
        return Err(InvalidRequest::new(path, problem));
    }
    match restrictions::check(&restriction) {
        Ok(()) => Ok(restriction),
        Err(invalid) => {
            let value = format!("{path}.{}[{}]", invalid.member, invalid.index);
            Err(InvalidRequest::new(value, invalid.problem))
        }
    }
}

fn texts(
    map: &mut Map<String, Value>,
    name: &str,
    path: &str,
) -> Result<Option<Vec<String>>, InvalidRequest> {
    let Some(value) = take(map, name) else {
        return Ok(None);
    };
    let path = format!("{path}.{name}");
    let values = list(value, &path)?;
    if values.len() > MAX_VALUES {
        let problem = format!("must not have more than {MAX_VALUES} entries");
        return Err(InvalidRequest::new(path, problem));
    }
    let texts: Result<_, _> = values
        .into_iter()
        .map(|value| string(value, &path))
        .collect();
    texts.map(Some)
}

fn size(
    map: &mut Map<String, Value>,
    name: &str,
    path: &str,
) -> Result<Option<u64>, InvalidRequest> {
    let Some(value) = take(map, name) else {
        return Ok(None);
    };
    match value.as_u64() {
        Some(bytes) => Ok(Some(bytes)),
        None => Err(InvalidRequest::new(
            format!("{path}.{name}"),
            "must be a whole number of bytes",
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn takes_nothing_that_it_does_not_know() {
        let rows = [
            (json!({}), true),
            (json!({"services": [], "operations": ["process"]}), true),
            (
                json!({"clients": ["::1"], "origins": [], "maxBodyBytes": 0}),
                true,
            ),
            (json!({"services": null}), true),
            (json!({"models": []}), false),
            (json!({"operations": ["files", "vector_stores"]}), true),
            (json!({"operations": ["threads"]}), false),
            (json!({"clients": ["everyone"]}), false),
            (json!({"origins": ["https://app.example.com/"]}), false),
            (json!({"services": ["chat:\n"]}), false),
            (json!({"Services": []}), false),
            (json!({"services": "chat:dummy"}), false),
            (json!({"services": [1]}), false),
            (json!({"services": [null]}), false),
            (json!({"services": vec!["chat:"; 65]}), false),
            (json!({"maxBodyBytes": -1}), false),
            (json!({"maxBodyBytes": 1.5}), false),
            (json!({"maxBodyBytes": "1"}), false),
            (json!([]), false),
            (json!("services"), false),
            (json!(null), false),
        ];
        for (value, is_taken) in rows {
            assert_eq!(
                parse(value.clone(), "restrict").is_ok(),
                is_taken,
                "{value}"
            );
        }
    }
}
