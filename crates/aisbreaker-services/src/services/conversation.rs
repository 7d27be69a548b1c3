//! One turn of a conversation: what every chat service does before and after its own work.

use aisbreaker_api::{
    ConversationState, Input, Message, Output, Request, Response, ServiceId, Usage,
};
use tokio::time::Instant;

use crate::error::{ErrorDetail, ServiceError};

/// A conversation whose next answer is being made.
#[derive(Debug)]
pub(super) struct Conversation {
    started: Instant,
    service_id: ServiceId,
    state: ConversationState,
    inputs: Vec<Input>,
}

impl Conversation {
    /// Takes the state and the inputs out of `request`. The time of the answer counts from here.
    ///
    /// # Errors
    /// [`ServiceError::BadRequest`] when the state is not one of an earlier answer.
    pub(super) fn start(
        service_id: &ServiceId,
        request: &mut Request,
    ) -> Result<Self, ServiceError> {
        let started = Instant::now();
        let state = match request.conversation_state.take() {
            None => ConversationState::default(),
            Some(text) => ConversationState::decode(&text).map_err(|invalid| {
                let text = format!("request.conversationState {invalid}");
                ServiceError::BadRequest(ErrorDetail::new(text).with_source(invalid))
            })?,
        };
        Ok(Self {
            started,
            service_id: service_id.clone(),
            state,
            inputs: std::mem::take(&mut request.inputs),
        })
    }

    /// Returns the messages of earlier turns.
    pub(super) fn history(&self) -> &[Message] {
        &self.state.messages
    }

    /// Returns the inputs of this turn.
    pub(super) fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Returns the inputs of all turns.
    pub(super) fn all_inputs(&self) -> impl Iterator<Item = &Input> {
        let earlier = self.history().iter().filter_map(|message| match message {
            Message::Input(input) => Some(input),
            Message::Output(_) => None,
        });
        earlier.chain(&self.inputs)
    }

    /// Ends the turn. The response has the state with this turn appended, and the time since the
    /// start.
    pub(super) fn finish(self, outputs: Vec<Output>) -> Response {
        let usage = self.usage();
        let state = self.state.encode_with_turn(&self.inputs, &outputs);
        let mut response = Response::new(outputs, usage);
        response.conversation_state = Some(state);
        response
    }

    /// Ends the conversation with this turn. The response has no state.
    pub(super) fn finish_without_state(self, outputs: Vec<Output>) -> Response {
        Response::new(outputs, self.usage())
    }

    fn usage(&self) -> Usage {
        let mut usage = Usage::new(self.service_id.as_str());
        usage.service.engine = self.service_id.engine().map(str::to_owned);
        usage.total_milliseconds = milliseconds_since(self.started);
        usage
    }
}

/// Returns whole milliseconds since `started`.
pub(super) fn milliseconds_since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}
