//! The answers to `POST /api/v1/process`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::request::Role;

/// The final answer of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Response {
    /// What the service says.
    pub outputs: Vec<Output>,
    /// The conversation so far, for the next request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_state: Option<String>,
    /// What it took.
    pub usage: Usage,
    /// The provider's own answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intern_response: Option<Value>,
}

impl Response {
    /// An answer without conversation state and without a provider's own answer.
    #[must_use]
    pub fn new(outputs: Vec<Output>, usage: Usage) -> Self {
        Self {
            outputs,
            conversation_state: None,
            usage,
            intern_response: None,
        }
    }

    /// The content of the first text among the outputs.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.outputs.iter().find_map(|output| match output {
            Output::Text(text) => Some(text.content.as_str()),
            Output::Image(_) => None,
        })
    }
}

/// A piece of an answer, while the answer is being made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Progress {
    /// The pieces.
    pub outputs: Vec<Output>,
    /// The provider's own event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intern_response: Option<Value>,
}

impl Progress {
    /// Progress with these pieces.
    #[must_use]
    pub fn new(outputs: Vec<Output>) -> Self {
        Self {
            outputs,
            intern_response: None,
        }
    }

    /// A piece of the text with this index.
    #[must_use]
    pub fn text(index: u32, piece: impl Into<String>, is_processing: bool) -> Self {
        let text = OutputText {
            is_delta: Some(true),
            is_processing: Some(is_processing),
            ..OutputText::new(index, piece)
        };
        Self::new(vec![Output::Text(text)])
    }
}

/// One thing that a service says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Output {
    /// A text.
    Text(OutputText),
    /// A picture.
    Image(OutputImage),
}

/// A text, or a piece of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OutputText {
    /// Which of several texts this is; the first is 0.
    #[serde(default)]
    pub index: u32,
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// Whether `content` is to be appended to what came before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_delta: Option<bool>,
    /// Whether more is to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_processing: Option<bool>,
}

impl OutputText {
    /// A text of the assistant that tells nothing of streaming.
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

    /// A whole text of the assistant, marked as being neither a piece nor unfinished.
    #[must_use]
    pub fn complete(index: u32, content: impl Into<String>) -> Self {
        Self {
            is_delta: Some(false),
            is_processing: Some(false),
            ..Self::new(index, content)
        }
    }
}

/// A picture: members are passed on as they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OutputImage {
    /// Which of several pictures this is; the first is 0.
    #[serde(default)]
    pub index: u32,
    /// Who made it.
    pub role: Role,
    /// All other members, such as `url` or `base64`.
    #[serde(flatten)]
    pub members: Map<String, Value>,
}

impl OutputImage {
    /// A picture of the assistant with this content in base64.
    #[must_use]
    pub fn base64(index: u32, content: impl Into<String>) -> Self {
        Self::with_member(index, "base64", content.into())
    }

    /// A picture of the assistant at this address.
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

/// What an answer took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Usage {
    /// Which service answered.
    pub service: ServiceUsage,
    /// Tokens read by the provider, where it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens written by the provider, where it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Both together, where the provider tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_tokens: Option<u64>,
    /// Time from the request to the answer.
    pub total_milliseconds: u64,
    /// What the caller should know about this answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Members of other servers that this crate does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Usage {
    /// Usage of the service with this id; everything else is empty.
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
            total_milliseconds: 0,
            warnings: Vec::new(),
            other: Map::new(),
        }
    }
}

/// Which service answered.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ServiceUsage {
    /// Its id, as asked for.
    pub service_id: String,
    /// The model that answered, as the provider names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Where it was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}
