//! What an alias of a model stands for.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
    ser::SerializeStruct as _,
};

/// What an alias of a model stands for.
///
/// In JSON, it is the model as a string, or an object with `model` and `"translate": true`. A server
/// of an older release does not open a key with such an object.
///
/// # Examples
///
/// ```
/// use aisbreaker_token::{Grant, ModelAlias};
///
/// let grant = Grant::default().with_model_aliases([
///     ("fast", ModelAlias::from("chat:groq.com/llama-3.1-8b")),
///     ("smart", ModelAlias::from("chat:anthropic.com/claude-sonnet-4-5").translated()),
/// ]);
/// assert!(grant.model_aliases["smart"].translate);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ModelAlias {
    /// The service id with an engine, such as `chat:groq.com/llama-3.1-8b`.
    pub model: String,
    /// Whether a request in a protocol that the service does not speak is translated.
    pub translate: bool,
}

impl ModelAlias {
    /// Sets that a request in a protocol that the service does not speak is translated.
    #[must_use]
    pub fn translated(self) -> Self {
        Self {
            translate: true,
            ..self
        }
    }
}

impl From<String> for ModelAlias {
    fn from(model: String) -> Self {
        Self {
            model,
            translate: false,
        }
    }
}

impl From<&str> for ModelAlias {
    fn from(model: &str) -> Self {
        Self::from(model.to_owned())
    }
}

impl Serialize for ModelAlias {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.translate {
            return self.model.serialize(serializer);
        }
        let mut object = serializer.serialize_struct("ModelAlias", 2)?;
        object.serialize_field("model", &self.model)?;
        object.serialize_field("translate", &true)?;
        object.end()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    model: String,
    #[serde(default)]
    translate: bool,
}

impl<'de> Deserialize<'de> for ModelAlias {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StringOrMembers;

        impl<'de> Visitor<'de> for StringOrMembers {
            type Value = ModelAlias;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a service id, or an object with model and translate")
            }

            fn visit_str<E: Error>(self, model: &str) -> Result<ModelAlias, E> {
                Ok(ModelAlias::from(model))
            }

            fn visit_string<E: Error>(self, model: String) -> Result<ModelAlias, E> {
                Ok(ModelAlias::from(model))
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<ModelAlias, A::Error> {
                let members = MapAccessDeserializer::new(members);
                let Members { model, translate } = Members::deserialize(members)?;
                Ok(ModelAlias { model, translate })
            }
        }

        deserializer.deserialize_any(StringOrMembers)
    }
}
