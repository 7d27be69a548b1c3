//! The response to `POST /api/v1/process`, and the progress events of a streamed one.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::{json_text::JsonText, request::Role};

/// The response of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Response {
    /// The outputs of this turn.
    pub outputs: Vec<Output>,
    /// The state of the conversation, for the client to send with its next request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_state: Option<String>,
    /// The service that responded, and the tokens and time used.
    pub usage: Usage,
    /// The provider's own response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intern_response: Option<JsonText>,
}

impl Response {
    /// Creates a response without a conversation state and without a provider's own response.
    #[must_use]
    pub fn new(outputs: Vec<Output>, usage: Usage) -> Self {
        Self {
            outputs,
            conversation_state: None,
            usage,
            intern_response: None,
        }
    }

    /// Creates the response of a service that answers with one text.
    ///
    /// ```
    /// use aisbreaker_api::Response;
    ///
    /// let response = Response::text("chat:shout", "HELLO");
    /// assert_eq!(response.first_text(), Some("HELLO"));
    /// assert_eq!(response.usage.service.service_id, "chat:shout");
    /// ```
    #[must_use]
    pub fn text(service_id: impl Into<String>, content: impl Into<String>) -> Self {
        let output = Output::Text(OutputText::complete(0, content));
        Self::new(vec![output], Usage::new(service_id))
    }

    /// Returns the content of the first text output.
    #[must_use]
    pub fn first_text(&self) -> Option<&str> {
        self.outputs.iter().find_map(|output| match output {
            Output::Text(text) => Some(text.content.as_str()),
            Output::Image(_) => None,
        })
    }
}

/// A part of a response, streamed before the response is complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Progress {
    /// The outputs, or deltas of them.
    pub outputs: Vec<Output>,
    /// The provider's own event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intern_response: Option<Value>,
}

impl Progress {
    /// Creates an event with these outputs.
    #[must_use]
    pub fn new(outputs: Vec<Output>) -> Self {
        Self {
            outputs,
            intern_response: None,
        }
    }

    /// Creates an event with a delta of the text at `index`.
    #[must_use]
    pub fn text(index: u32, delta: impl Into<String>, is_processing: bool) -> Self {
        let text = OutputText {
            is_delta: Some(true),
            is_processing: Some(is_processing),
            ..OutputText::new(index, delta)
        };
        Self::new(vec![Output::Text(text)])
    }
}

/// One output of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Output {
    /// A text.
    Text(OutputText),
    /// An image.
    Image(OutputImage),
}

/// A text, or a delta of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OutputText {
    /// The position among the texts of the response, counted from 0.
    #[serde(default)]
    pub index: u32,
    /// The author.
    pub role: Role,
    /// The text, or the delta.
    pub content: String,
    /// Whether `content` is a delta, to be appended to the text so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_delta: Option<bool>,
    /// Whether the text is incomplete: more deltas follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_processing: Option<bool>,
}

impl OutputText {
    /// Creates a text from the assistant, with the streaming members absent.
    #[must_use]
    pub fn new(index: u32, content: impl Into<String>) -> Self {
        Self {
            index,
            role: Role::Assistant,
            content: content.into(),
            is_delta: None,
            is_processing: None,
        }
    }

    /// Creates a text from the assistant, marked as neither a delta nor incomplete.
    #[must_use]
    pub fn complete(index: u32, content: impl Into<String>) -> Self {
        Self {
            is_delta: Some(false),
            is_processing: Some(false),
            ..Self::new(index, content)
        }
    }
}

/// An image, with all members of the provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OutputImage {
    /// The position among the images of the response, counted from 0.
    #[serde(default)]
    pub index: u32,
    /// The author.
    pub role: Role,
    /// All other members, such as `url` or `base64`.
    #[serde(flatten)]
    pub members: Map<String, Value>,
}

impl OutputImage {
    /// Creates an image from the assistant with this base64 content.
    #[must_use]
    pub fn base64(index: u32, content: impl Into<String>) -> Self {
        Self::with_member(index, "base64", content.into())
    }

    /// Creates an image from the assistant at this URL.
    #[must_use]
    pub fn url(index: u32, url: impl Into<String>) -> Self {
        Self::with_member(index, "url", url.into())
    }

    fn with_member(index: u32, name: &str, value: String) -> Self {
        let members = Map::from_iter([(name.to_owned(), Value::String(value))]);
        Self {
            index,
            role: Role::Assistant,
            members,
        }
    }
}

/// Reads a number; `None` for any other value, which a server of another version may have there.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_f64())
}

/// The service that responded, and the tokens and time it used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Usage {
    /// The service that responded.
    pub service: ServiceUsage,
    /// The number of input tokens, if the provider reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// The number of output tokens, if the provider reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// The total number of tokens, if the provider reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_tokens: Option<u64>,
    /// What the request cost in dollars, if the server counts that and knows it. Whatever is no number
    /// is ignored.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "number"
    )]
    pub cost: Option<f64>,
    /// Milliseconds from the request to the complete response.
    pub total_milliseconds: u64,
    /// Warnings about this response for the client.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Members that other servers add and this crate does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Usage {
    /// Creates the usage of the service with this id, with everything else empty.
    #[must_use]
    pub fn new(service_id: impl Into<String>) -> Self {
        let service = ServiceUsage {
            service_id: service_id.into(),
            engine: None,
            url: None,
        };
        Self {
            service,
            input_tokens: None,
            output_tokens: None,
            total_tokens: None,
            cost: None,
            total_milliseconds: 0,
            warnings: Vec::new(),
            other: Map::new(),
        }
    }
}

/// The service that responded.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ServiceUsage {
    /// The service id as the client requested it.
    pub service_id: String,
    /// The model that responded, by the provider's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The URL that was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cost_that_is_no_number_is_ignored() {
        for (cost, expected) in [
            (json!(0.5), Some(0.5)),
            (json!({"cents": 1}), None),
            (json!("1"), None),
            (json!(null), None),
        ] {
            let usage =
                json!({"service": {"serviceId": "a:b"}, "totalMilliseconds": 1, "cost": cost});
            let usage: Usage = serde_json::from_value(usage).unwrap();
            assert_eq!(usage.cost, expected);
        }
    }
}
