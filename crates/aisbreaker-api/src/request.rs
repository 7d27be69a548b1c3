//! The service properties and the request of a call.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    error::InvalidRequest,
    read::{self, is_truthy, object, required, string, take},
};

/// The properties that select and configure a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ServiceProps {
    /// The service id as the client wrote it.
    pub service_id: String,
    /// The base URL to call, if not the default one of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The next service, for a service that forwards requests.
    #[serde(
        rename = "forward2ServiceProps",
        skip_serializing_if = "Option::is_none"
    )]
    pub forward_to: Option<Box<Self>>,
    /// All other members, which only the service interprets.
    #[serde(flatten)]
    pub options: Map<String, Value>,
}

impl ServiceProps {
    /// Creates properties with a service id and nothing else.
    #[must_use]
    pub fn new(service_id: impl Into<String>) -> Self {
        Self {
            service_id: service_id.into(),
            url: None,
            forward_to: None,
            options: Map::new(),
        }
    }

    /// Sets the base URL to call.
    #[must_use]
    pub fn with_url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// Sets the service to forward requests to.
    #[must_use]
    pub fn with_forward_to(mut self, inner: Self) -> Self {
        self.forward_to = Some(Box::new(inner));
        self
    }

    /// Reads properties from JSON. `path` names the value in errors.
    ///
    /// # Errors
    /// Returns [`InvalidRequest`] for a member that is missing or has the wrong type.
    pub fn from_value(value: Value, path: &str) -> Result<Self, InvalidRequest> {
        let mut options = object(value, path)?;
        let id_path = format!("{path}.serviceId");
        let service_id = string(required(&mut options, "serviceId", &id_path)?, &id_path)?;
        let url = match take(&mut options, "url") {
            Some(url) => Some(string(url, &format!("{path}.url"))?),
            None => None,
        };
        let forward_to = match take(&mut options, "forward2ServiceProps") {
            Some(inner) => {
                let inner_path = format!("{path}.forward2ServiceProps");
                Some(Box::new(Self::from_value(inner, &inner_path)?))
            }
            None => None,
        };
        Ok(Self {
            service_id,
            url,
            forward_to,
            options,
        })
    }
}

/// The request to a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Request {
    /// The inputs of this turn; at least one.
    pub inputs: Vec<Input>,
    /// The state that the previous response returned, if this request continues a conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_state: Option<String>,
    /// The kind of output that the client wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested: Option<Value>,
    /// The end user, as the client identifies it to the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_user: Option<Value>,
    /// Members to merge into the provider's own request, such as `temperature`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub intern_options: Map<String, Value>,
    /// Whether to stream the response.
    pub stream: bool,
}

impl Request {
    /// Creates a request with these inputs and nothing else.
    #[must_use]
    pub fn new(inputs: Vec<Input>) -> Self {
        Self {
            inputs,
            conversation_state: None,
            requested: None,
            client_user: None,
            intern_options: Map::new(),
            stream: false,
        }
    }

    /// Creates a request with one text from the user.
    #[must_use]
    pub fn user_text(content: impl Into<String>) -> Self {
        Self::new(vec![Input::user_text(content)])
    }

    /// Returns the content of the first text input.
    #[must_use]
    pub fn first_text(&self) -> Option<&str> {
        self.inputs.iter().find_map(|input| match input {
            Input::Text(text) => Some(text.content.as_str()),
            Input::Image(_) => None,
        })
    }

    /// Sets the state of the conversation to continue; `None` starts a new one.
    #[must_use]
    pub fn with_conversation_state(mut self, state: Option<String>) -> Self {
        self.conversation_state = state;
        self
    }

    /// Sets whether to stream the response.
    #[must_use]
    pub fn with_stream(mut self, stream: bool) -> Self {
        self.stream = stream;
        self
    }

    /// Reads a request from JSON.
    pub(crate) fn from_value(value: Value) -> Result<Self, InvalidRequest> {
        let mut map = object(value, "request")?;
        let inputs = inputs(required(&mut map, "inputs", "request.inputs")?)?;
        let conversation_state = conversation_state(&mut map)?;
        let intern_options = match take(&mut map, "internOptions") {
            Some(options) => object(options, "request.internOptions")?,
            None => Map::new(),
        };
        Ok(Self {
            inputs,
            conversation_state,
            requested: take(&mut map, "requested"),
            client_user: take(&mut map, "clientUser"),
            intern_options,
            stream: is_truthy(map.get("stream")),
        })
    }
}

fn inputs(value: Value) -> Result<Vec<Input>, InvalidRequest> {
    let values = read::list(value, "request.inputs")?;
    if values.is_empty() {
        return Err(InvalidRequest::new(
            "request.inputs",
            "must have at least one entry",
        ));
    }
    values
        .into_iter()
        .enumerate()
        .map(|(i, value)| Input::from_value(value, &format!("request.inputs[{i}]")))
        .collect()
}

fn conversation_state(map: &mut Map<String, Value>) -> Result<Option<String>, InvalidRequest> {
    let Some(value) = take(map, "conversationState") else {
        return Ok(None);
    };
    Ok(state_if_any(string(value, "request.conversationState")?))
}

/// Returns a conversation state; an empty text counts as absent.
pub(crate) fn state_if_any(state: String) -> Option<String> {
    // The bash client sends the text "null" after a response without a state.
    let is_absent = matches!(state.as_str(), "" | "null");
    (!is_absent).then_some(state)
}

/// The author of an input or output.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "the three roles of the API")]
pub enum Role {
    /// The person who uses the service.
    User,
    /// The operator or developer, who instructs the service.
    System,
    /// The service itself.
    Assistant,
}

impl Role {
    /// Returns the role with this name.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        match name {
            "user" => Some(Self::User),
            "system" => Some(Self::System),
            "assistant" => Some(Self::Assistant),
            _ => None,
        }
    }

    /// Returns the name of the role.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::System => "system",
            Self::Assistant => "assistant",
        }
    }
}

/// One input to a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Input {
    /// A text.
    Text(InputText),
    /// An image.
    Image(InputImage),
}

impl Input {
    /// Creates a text from the user.
    #[must_use]
    pub fn user_text(content: impl Into<String>) -> Self {
        Self::Text(InputText {
            role: Role::User,
            content: content.into(),
        })
    }

    /// Reads an input from JSON. `path` names the value in errors.
    ///
    /// # Errors
    /// Returns [`InvalidRequest`] if the input is neither a text nor an image, or for a member that
    /// is missing or has the wrong type.
    pub fn from_value(value: Value, path: &str) -> Result<Self, InvalidRequest> {
        let mut members = object(value, path)?;
        if let Some(text) = take(&mut members, "text") {
            return InputText::from_value(text, &format!("{path}.text")).map(Self::Text);
        }
        if let Some(image) = take(&mut members, "image") {
            return InputImage::from_value(image, &format!("{path}.image")).map(Self::Image);
        }
        Err(InvalidRequest::new(
            path,
            "must have a member text or image",
        ))
    }
}

/// A text for a service.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "role and content are all that the API has"
)]
pub struct InputText {
    /// The author.
    pub role: Role,
    /// The text.
    pub content: String,
}

impl InputText {
    fn from_value(value: Value, path: &str) -> Result<Self, InvalidRequest> {
        let mut members = object(value, path)?;
        let content_path = format!("{path}.content");
        let content = required(&mut members, "content", &content_path)?;
        Ok(Self {
            content: string(content, &content_path)?,
            role: role(&mut members, path)?,
        })
    }
}

/// An image for a service.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "role and source are all that the API has"
)]
pub struct InputImage {
    /// The author.
    pub role: Role,
    /// The image, or where to fetch it.
    #[serde(flatten)]
    pub source: ImageSource,
}

impl InputImage {
    fn from_value(value: Value, path: &str) -> Result<Self, InvalidRequest> {
        let mut members = object(value, path)?;
        Ok(Self {
            source: ImageSource::from_members(&mut members, path)?,
            role: role(&mut members, path)?,
        })
    }
}

/// An image, by URL or by content.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "the two forms of the API")]
pub enum ImageSource {
    /// A URL from which the provider fetches the image.
    Url(String),
    /// The image in base64, or a complete `data:` URL.
    Base64(String),
}

impl ImageSource {
    fn from_members(members: &mut Map<String, Value>, path: &str) -> Result<Self, InvalidRequest> {
        if let Some(url) = take(members, "url") {
            return string(url, &format!("{path}.url")).map(Self::Url);
        }
        if let Some(base64) = take(members, "base64") {
            return string(base64, &format!("{path}.base64")).map(Self::Base64);
        }
        Err(InvalidRequest::new(
            path,
            "must have a member url or base64",
        ))
    }
}

/// Reads the `role` of an input, which is the user's if absent.
fn role(members: &mut Map<String, Value>, path: &str) -> Result<Role, InvalidRequest> {
    let Some(value) = take(members, "role") else {
        return Ok(Role::User);
    };
    match value.as_str().and_then(Role::of_name) {
        Some(role) => Ok(role),
        None => Err(InvalidRequest::new(
            format!("{path}.role"),
            "must be user, system or assistant",
        )),
    }
}
