//! The body of `POST /api/v1/process`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::read::{self, object, required, string, take, truth};

/// Why a request body is refused: the member, and what is wrong with it, without its value.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{member} {problem}")]
#[non_exhaustive]
pub struct InvalidRequest {
    /// The member's path, such as `request.inputs[0].text.content`.
    pub member: String,
    /// What is wrong with it, such as `must be a string`.
    pub problem: String,
}

impl InvalidRequest {
    /// Names a member and what is wrong with it; `problem` must not repeat the member's value.
    pub fn new(member: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            member: member.into(),
            problem: problem.into(),
        }
    }
}

/// One call: which service, and what to do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "an envelope with two members, as the API defines it"
)]
pub struct ProcessCall {
    /// The service and its properties.
    pub service: ServiceProps,
    /// The request to it.
    pub request: Request,
}

impl ProcessCall {
    /// Reads the JSON body of a call; a UTF-8 byte order mark is skipped.
    ///
    /// # Errors
    /// [`InvalidRequest`] naming the first member that is missing or of a wrong type.
    pub fn from_json(body: &[u8]) -> Result<Self, InvalidRequest> {
        let mut body = object(read::body(body)?, "request body")?;
        let service =
            ServiceProps::from_value(required(&mut body, "service", "service")?, "service")?;
        let request = Request::from_value(required(&mut body, "request", "request")?)?;
        Ok(Self { service, request })
    }
}

/// The properties that choose and shape a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ServiceProps {
    /// The id of the service, as sent.
    pub service_id: String,
    /// Where to call it, if not at its default URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The service behind this one, for services that forward.
    #[serde(
        rename = "forward2ServiceProps",
        skip_serializing_if = "Option::is_none"
    )]
    pub forward_to: Option<Box<Self>>,
    /// All other members, for the service itself.
    #[serde(flatten)]
    pub options: Map<String, Value>,
}

impl ServiceProps {
    /// Properties that hold a service id alone.
    #[must_use]
    pub fn new(service_id: impl Into<String>) -> Self {
        Self {
            service_id: service_id.into(),
            url: None,
            forward_to: None,
            options: Map::new(),
        }
    }

    /// Sets the URL.
    #[must_use]
    pub fn with_url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// Sets the service behind this one.
    #[must_use]
    pub fn with_forward_to(mut self, inner: Self) -> Self {
        self.forward_to = Some(Box::new(inner));
        self
    }

    /// Reads properties from JSON; `path` names the value in errors.
    ///
    /// # Errors
    /// [`InvalidRequest`] when a member is missing or of a wrong type.
    pub fn from_value(value: Value, path: &str) -> Result<Self, InvalidRequest> {
        let mut options = object(value, path)?;
        let id_path = format!("{path}.serviceId");
        let service_id = string(required(&mut options, "serviceId", &id_path)?, &id_path)?;
        let url = take(&mut options, "url")
            .map(|url| string(url, &format!("{path}.url")))
            .transpose()?;
        let forward_to = take(&mut options, "forward2ServiceProps")
            .map(|inner| Self::from_value(inner, &format!("{path}.forward2ServiceProps")))
            .transpose()?
            .map(Box::new);
        Ok(Self {
            service_id,
            url,
            forward_to,
            options,
        })
    }
}

/// What the service is asked to do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Request {
    /// What the user says this turn; at least one.
    pub inputs: Vec<Input>,
    /// The state of the answer before, if the conversation goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_state: Option<String>,
    /// What kind of output is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested: Option<Value>,
    /// Who the end user is, for the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_user: Option<Value>,
    /// Members for the provider's own request, such as `temperature`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub intern_options: Map<String, Value>,
    /// Whether the answer is to come in pieces.
    pub stream: bool,
}

impl Request {
    /// A request with these inputs and nothing else.
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

    /// A request with one text of the user.
    #[must_use]
    pub fn user_text(content: impl Into<String>) -> Self {
        Self::new(vec![Input::user_text(content)])
    }

    /// Continues the conversation that `state` holds.
    #[must_use]
    pub fn with_conversation_state(mut self, state: Option<String>) -> Self {
        self.conversation_state = state;
        self
    }

    /// Asks for the answer in pieces, or in one.
    #[must_use]
    pub fn with_stream(mut self, stream: bool) -> Self {
        self.stream = stream;
        self
    }

    fn from_value(value: Value) -> Result<Self, InvalidRequest> {
        let mut map = object(value, "request")?;
        let inputs = inputs(required(&mut map, "inputs", "request.inputs")?)?;
        let state_path = "request.conversationState";
        let conversation_state = take(&mut map, "conversationState")
            .map(|state| string(state, state_path))
            .transpose()?;
        let intern_options = take(&mut map, "internOptions")
            .map(|options| object(options, "request.internOptions"))
            .transpose()?
            .unwrap_or_default();
        Ok(Self {
            inputs,
            // The bash client sends the text "null" after an answer without state.
            conversation_state: conversation_state
                .filter(|state| !matches!(state.as_str(), "" | "null")),
            requested: take(&mut map, "requested"),
            client_user: take(&mut map, "clientUser"),
            intern_options,
            stream: truth(map.get("stream")),
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

/// Who speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "the three roles of the API")]
pub enum Role {
    /// The person.
    User,
    /// Instructions to the service.
    System,
    /// The service.
    Assistant,
}

/// One thing said to a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Input {
    /// A text.
    Text(InputText),
    /// A picture.
    Image(InputImage),
}

impl Input {
    /// A text of the user.
    #[must_use]
    pub fn user_text(content: impl Into<String>) -> Self {
        Self::Text(InputText {
            role: Role::User,
            content: content.into(),
        })
    }

    /// Reads an input from JSON; `path` names the value in errors.
    ///
    /// # Errors
    /// [`InvalidRequest`] when it is neither text nor image, or a member is of a wrong type.
    pub fn from_value(value: Value, path: &str) -> Result<Self, InvalidRequest> {
        let mut map = object(value, path)?;
        if let Some(text) = take(&mut map, "text") {
            let path = format!("{path}.text");
            let mut text = object(text, &path)?;
            let content_path = format!("{path}.content");
            let content = string(
                required(&mut text, "content", &content_path)?,
                &content_path,
            )?;
            return Ok(Self::Text(InputText {
                role: role(&mut text, &path)?,
                content,
            }));
        }
        if let Some(image) = take(&mut map, "image") {
            let path = format!("{path}.image");
            let mut image = object(image, &path)?;
            let source = image_source(&mut image, &path)?;
            return Ok(Self::Image(InputImage {
                role: role(&mut image, &path)?,
                source,
            }));
        }
        Err(InvalidRequest::new(
            path,
            "must have a member text or image",
        ))
    }
}

/// A text said to a service.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "role and content are all that the API has"
)]
pub struct InputText {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// A picture shown to a service.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "role and source are all that the API has"
)]
pub struct InputImage {
    /// Who shows it.
    pub role: Role,
    /// Where the picture is.
    #[serde(flatten)]
    pub source: ImageSource,
}

/// A picture, by address or by content.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "the two forms of the API")]
pub enum ImageSource {
    /// The address of the picture, for the provider to fetch.
    Url(String),
    /// The picture itself in base64, or a whole `data:` URL.
    Base64(String),
}

fn role(map: &mut Map<String, Value>, path: &str) -> Result<Role, InvalidRequest> {
    let Some(value) = take(map, "role") else {
        return Ok(Role::User);
    };
    match value.as_str() {
        Some("user") => Ok(Role::User),
        Some("system") => Ok(Role::System),
        Some("assistant") => Ok(Role::Assistant),
        Some(_) | None => Err(InvalidRequest::new(
            format!("{path}.role"),
            "must be user, system or assistant",
        )),
    }
}

fn image_source(map: &mut Map<String, Value>, path: &str) -> Result<ImageSource, InvalidRequest> {
    if let Some(url) = take(map, "url") {
        return Ok(ImageSource::Url(string(url, &format!("{path}.url"))?));
    }
    if let Some(base64) = take(map, "base64") {
        return Ok(ImageSource::Base64(string(
            base64,
            &format!("{path}.base64"),
        )?));
    }
    Err(InvalidRequest::new(
        path,
        "must have a member url or base64",
    ))
}
