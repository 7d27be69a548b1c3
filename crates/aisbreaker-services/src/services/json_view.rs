//! What the readers of answers ask of a JSON value, be it a tree of its own or of borrowed texts.

use aisbreaker_api::JsonTree;
use serde_json::Value;

/// A JSON value.
pub(super) trait JsonView: Sized {
    /// Returns the member of an object.
    fn member(&self, name: &str) -> Option<&Self>;

    fn as_text(&self) -> Option<&str>;

    /// Returns a whole number that is not negative.
    fn as_count(&self) -> Option<u64>;

    fn as_list(&self) -> Option<&[Self]>;
}

impl JsonView for Value {
    fn member(&self, name: &str) -> Option<&Self> {
        self.get(name)
    }

    fn as_text(&self) -> Option<&str> {
        self.as_str()
    }

    fn as_count(&self) -> Option<u64> {
        self.as_u64()
    }

    fn as_list(&self) -> Option<&[Self]> {
        self.as_array().map(Vec::as_slice)
    }
}

impl JsonView for JsonTree<'_> {
    fn member(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else {
            return None;
        };
        let (_, value) = members.iter().find(|(known, _)| known == name)?;
        Some(value)
    }

    fn as_text(&self) -> Option<&str> {
        let Self::Text(text) = self else { return None };
        Some(text)
    }

    fn as_count(&self) -> Option<u64> {
        let Self::Number(number) = self else {
            return None;
        };
        number.as_u64()
    }

    fn as_list(&self) -> Option<&[Self]> {
        let Self::List(entries) = self else {
            return None;
        };
        Some(entries)
    }
}
