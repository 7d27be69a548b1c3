//! The model that a query names: found, and replaced without touching anything else.

use std::ops::Range;

use aisbreaker_api::InvalidRequest;

use crate::{
    form_urlencoded::{decode, encode},
    provider_api::model::is_valid_name,
};

const MODEL: &str = "model";

/// The model that a query names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct QueryModel {
    pub(super) name: String,
    /// The place of the value in the query.
    span: Range<usize>,
}

impl QueryModel {
    /// Finds the model; `None` if the query names none.
    ///
    /// # Errors
    /// [`InvalidRequest`] if it is there twice, or can be no model.
    pub(super) fn of(query: &str) -> Result<Option<Self>, InvalidRequest> {
        let mut found = None;
        let mut start = 0;
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if decode(name) == MODEL {
                if found.is_some() {
                    return Err(InvalidRequest::new(MODEL, "is there twice"));
                }
                let end = start + pair.len();
                found = Some(Self {
                    name: decode(value),
                    span: end - value.len()..end,
                });
            }
            start += pair.len() + 1;
        }
        match found {
            Some(model) if !is_valid_name(&model.name) => {
                let problem = "must be 1 to 512 bytes without control characters";
                Err(InvalidRequest::new(MODEL, problem))
            }
            found => Ok(found),
        }
    }

    /// Returns the query with another name of the model.
    pub(super) fn replace(&self, query: &str, name: &str) -> String {
        let before = query.get(..self.span.start).unwrap_or_default();
        let after = query.get(self.span.end..).unwrap_or_default();
        [before, &encode(name), after].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_found_and_replaced() {
        let rows = [
            ("model=gpt-realtime", "gpt-realtime", "model=a%2Fb"),
            ("a=1&model=x%2Fy+z&b=2", "x/y z", "a=1&model=a%2Fb&b=2"),
            ("m%6fdel=x", "x", "m%6fdel=a%2Fb"),
            ("&model=x&", "x", "&model=a%2Fb&"),
        ];
        for (query, name, replaced) in rows {
            let model = QueryModel::of(query).unwrap().unwrap();
            assert_eq!(model.name, name, "{query}");
            assert_eq!(model.replace(query, "a/b"), replaced, "{query}");
        }
        for query in ["", "models=x", "intent=transcription", "x=model"] {
            assert_eq!(QueryModel::of(query), Ok(None), "{query}");
        }
        for query in [
            "model=",
            "model",
            "model=a&model=a",
            "model=a&mod%65l=b",
            "model=%00",
        ] {
            assert!(QueryModel::of(query).is_err(), "{query}");
        }
    }
}
