//! One turn of a conversation: what every chat service does before and after its own work.

use aisbreaker_api::{
    ConversationState, Input, Message, Output, Request, Response, ServiceId, Usage,
};
use serde_json::Value;
use tokio::time::Instant;

use crate::{credentials::Credential, error::ServiceError, service::Call};

/// A turn that has begun: the conversation so far, what is said now, and since when it takes.
#[derive(Debug)]
pub(super) struct Turn {
    started: Instant,
    service_id: ServiceId,
    state: ConversationState,
    inputs: Vec<Input>,
}

impl Turn {
    /// Begins the turn that `request` asks for; takes the inputs and the state out of it.
    pub(super) fn begin(
        service_id: &ServiceId,
        request: &mut Request,
    ) -> Result<Self, ServiceError> {
        let started = Instant::now();
        let state = match request.conversation_state.take() {
            None => ConversationState::default(),
            Some(text) => ConversationState::decode(&text).map_err(|invalid| {
                ServiceError::BadRequest(format!("request.conversationState {invalid}"))
            })?,
        };
        let inputs = std::mem::take(&mut request.inputs);
        Ok(Self {
            started,
            service_id: service_id.clone(),
            state,
            inputs,
        })
    }

    /// What was said before.
    pub(super) fn earlier(&self) -> &[Message] {
        &self.state.messages
    }

    /// What is said now.
    pub(super) fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Ends the turn: the answer has the conversation with this turn appended, and the time since
    /// the beginning.
    pub(super) fn finish(self, outputs: Vec<Output>) -> Response {
        let usage = self.usage();
        let state = self.state.with_turn(&self.inputs, &outputs).encode();
        let mut response = Response::new(outputs, usage);
        response.conversation_state = Some(state);
        response
    }

    /// Ends the turn, and the conversation with it: the answer has no state.
    pub(super) fn finish_for_good(self, outputs: Vec<Output>) -> Response {
        Response::new(outputs, self.usage())
    }

    fn usage(&self) -> Usage {
        let mut usage = Usage::new(self.service_id.as_str());
        usage.total_milliseconds = milliseconds_since(self.started);
        usage
    }
}

/// Whole milliseconds since `started`.
pub(super) fn milliseconds_since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The engine to ask: the engine of the service id, else `internOptions.model`, else the default
/// one. A key that shuts an engine out shuts it out whichever way it is named.
pub(super) fn engine(call: &Call, default_engine: Option<&str>) -> Result<String, ServiceError> {
    if let Some(engine) = call.service_id.engine() {
        return Ok(engine.to_owned());
    }
    let id = call.service_id.as_str().trim_end_matches('/');
    let engine = match call.request.intern_options.get("model") {
        None | Some(Value::Null) => default_engine.map(str::to_owned).ok_or_else(|| {
            ServiceError::BadRequest(format!(
                "{id} has no default model: name one in the serviceId, as '{id}/<model>', or in \
                 request.internOptions.model"
            ))
        })?,
        Some(Value::String(model)) => model.clone(),
        Some(_) => {
            return Err(ServiceError::BadRequest(
                "request.internOptions.model must be a string".to_owned(),
            ));
        }
    };
    let is_blocked =
        |id: &ServiceId| matches!(call.credentials.for_service(id), Credential::Blocked);
    let named = ServiceId::parse(format!("{id}/{engine}"));
    if named.is_ok_and(|named| is_blocked(&named)) && !is_blocked(&call.service_id) {
        return Err(ServiceError::Forbidden(format!(
            "{id}: the key does not allow this model of the service"
        )));
    }
    Ok(engine)
}

/// The media type that the first bytes of an image in base64 tell; PNG where they tell nothing.
pub(super) fn media_type(base64: &str) -> &'static str {
    let beginnings = [
        ("/9j/", "image/jpeg"),
        ("R0lGOD", "image/gif"),
        ("UklGR", "image/webp"),
    ];
    let known = beginnings
        .into_iter()
        .find(|(beginning, _)| base64.starts_with(beginning));
    known.map_or("image/png", |(_, media_type)| media_type)
}

/// The id with this engine, for a service that is called at an address that names it.
pub(super) fn with_engine(id: &ServiceId, engine: &str) -> Result<ServiceId, ServiceError> {
    let bad =
        |problem: &str| ServiceError::BadRequest(format!("{id}: the name of the model {problem}"));
    if engine
        .split('/')
        .any(|segment| matches!(segment, "" | "." | ".."))
    {
        return Err(bad("must not have empty segments, '.' or '..'"));
    }
    if id.engine().is_some() {
        return Ok(id.clone());
    }
    let named = format!("{}/{engine}", id.as_str().trim_end_matches('/'));
    ServiceId::parse(&named).map_err(|fault| bad(&fault.to_string()))
}
