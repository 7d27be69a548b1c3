//! The conversation state: earlier inputs and outputs as base64 of `{"messages":[…]}`, readable by
//! the client.

use base64ct::{Base64, Base64Unpadded, Encoding};
use serde::Serialize;
use serde_json::Value;

use crate::{
    read::{object, take},
    request::Input,
    response::Output,
};

/// The inputs and outputs of a conversation, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ConversationState {
    /// What was said.
    pub messages: Vec<Message>,
}

/// One thing that was said in a conversation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "the two sides of a conversation")]
pub enum Message {
    /// By the user or the system.
    Input(Input),
    /// By the service.
    Output(Output),
}

/// The text is not a conversation state.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "is not a conversation state of an earlier answer; send it back unchanged, or leave it out"
)]
#[non_exhaustive]
pub struct InvalidState;

impl ConversationState {
    /// Reads a state from base64 of either alphabet, padded or not.
    ///
    /// # Errors
    /// [`InvalidState`] when the text is anything else.
    pub fn decode(text: &str) -> Result<Self, InvalidState> {
        let standard: String = text
            .trim_end_matches('=')
            .chars()
            .map(|c| match c {
                '-' => '+',
                '_' => '/',
                other => other,
            })
            .collect();
        let json = Base64Unpadded::decode_vec(&standard).map_err(|_error| InvalidState)?;
        let value = serde_json::from_slice(&json).map_err(|_error| InvalidState)?;
        Self::from_value(value).ok_or(InvalidState)
    }

    /// The state as standard padded base64.
    #[must_use]
    pub fn encode(&self) -> String {
        Base64::encode_string(serde_json::to_string(self).unwrap_or_default().as_bytes())
    }

    /// Adds this turn's inputs and outputs.
    #[must_use]
    pub fn with_turn(mut self, inputs: &[Input], outputs: &[Output]) -> Self {
        self.messages
            .extend(inputs.iter().cloned().map(Message::Input));
        self.messages
            .extend(outputs.iter().cloned().map(Message::Output));
        self
    }

    fn from_value(value: Value) -> Option<Self> {
        let Value::Array(messages) = take(&mut object(value, "").ok()?, "messages")? else {
            return None;
        };
        let messages = messages.into_iter().map(message).collect::<Option<_>>()?;
        Some(Self { messages })
    }
}

fn message(value: Value) -> Option<Message> {
    let mut map = object(value, "").ok()?;
    if let Some(input) = take(&mut map, "input") {
        return Some(Message::Input(Input::from_value(input, "").ok()?));
    }
    let output = take(&mut map, "output")?;
    Some(Message::Output(serde_json::from_value(output).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::OutputText;

    fn sample() -> ConversationState {
        let output = Output::Text(OutputText::complete(0, "Grüße?>"));
        ConversationState::default().with_turn(&[Input::user_text("hi")], &[output])
    }

    #[test]
    fn encodes_as_readable_base64() {
        let json = Base64::decode_vec(&sample().encode()).unwrap();
        let text = String::from_utf8(json).unwrap();
        assert_eq!(
            text,
            r#"{"messages":[{"input":{"text":{"role":"user","content":"hi"}}},{"output":{"text":{"index":0,"role":"assistant","content":"Grüße?>","isDelta":false,"isProcessing":false}}}]}"#
        );
    }

    #[test]
    fn decodes_either_alphabet_padded_or_not() {
        let standard = sample().encode();
        let url_safe = standard.replace('+', "-").replace('/', "_");
        for text in [
            standard.as_str(),
            standard.trim_end_matches('='),
            &url_safe,
            url_safe.trim_end_matches('='),
        ] {
            assert_eq!(ConversationState::decode(text), Ok(sample()), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        let encoded = |json: &str| Base64::encode_string(json.as_bytes());
        let rows = [
            "?",
            "bm90IGpzb24=",
            &encoded("[]"),
            &encoded("{}"),
            &encoded(r#"{"messages":[{}]}"#),
            &encoded("null"),
        ];
        for text in rows {
            assert_eq!(ConversationState::decode(text), Err(InvalidState), "{text}");
        }
    }
}
