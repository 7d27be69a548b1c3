//! The conversation state: base64 of `{"messages":[…]}`, which a client may read.

use serde::Serialize;
use serde_json::Value;

use crate::{
    base64, direct, encode,
    message::Message,
    read::{self, object, take},
    request::Input,
    response::Output,
};

/// The inputs and outputs of a conversation.
///
/// A response carries it to the client as text, and the client sends it back unchanged with the next
/// request. It is neither encrypted nor authenticated.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ConversationState {
    /// The messages, oldest first.
    pub messages: Vec<Message>,
}

/// Why a text is not a conversation state.
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
    /// Returns [`InvalidState`] for any other text.
    pub fn decode(text: &str) -> Result<Self, InvalidState> {
        let json = base64::decode(text).ok_or(InvalidState)?;
        if let Some(messages) = direct::messages(&json) {
            return Ok(Self { messages });
        }
        let Ok(value) = read::json(&json) else {
            return Err(InvalidState);
        };
        Self::from_value(value).ok_or(InvalidState)
    }

    /// Returns the state as padded base64 of the standard alphabet.
    #[must_use]
    pub fn encode(&self) -> String {
        self.encode_with_turn(&[], &[])
    }

    /// Returns the state with the inputs and outputs of a turn appended, encoded as by
    /// [`encode`](Self::encode).
    #[must_use]
    pub fn encode_with_turn(&self, inputs: &[Input], outputs: &[Output]) -> String {
        base64::encode(&encode::state(&self.messages, inputs, outputs))
    }

    /// Appends the inputs and outputs of a turn.
    #[must_use]
    pub fn with_turn(mut self, inputs: &[Input], outputs: &[Output]) -> Self {
        self.messages
            .extend(inputs.iter().cloned().map(Message::Input));
        self.messages
            .extend(outputs.iter().cloned().map(Message::Output));
        self
    }

    pub(crate) fn from_value(value: Value) -> Option<Self> {
        let mut members = object(value, "").ok()?;
        let Value::Array(values) = take(&mut members, "messages")? else {
            return None;
        };
        let messages = values.into_iter().map(message).collect::<Option<_>>()?;
        Some(Self { messages })
    }
}

fn message(value: Value) -> Option<Message> {
    let mut members = object(value, "").ok()?;
    if let Some(input) = take(&mut members, "input") {
        return Some(Message::Input(Input::from_value(input, "").ok()?));
    }
    let output = take(&mut members, "output")?;
    Some(Message::Output(serde_json::from_value(output).ok()?))
}

#[cfg(test)]
mod tests {
    use base64ct::{Base64, Encoding as _};

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
            concat!(
                r#"{"messages":[{"input":{"text":{"role":"user","content":"hi"}}},"#,
                r#"{"output":{"text":{"index":0,"role":"assistant","content":"Grüße?>","#,
                r#""isDelta":false,"isProcessing":false}}}]}"#,
            )
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
    fn rejects_anything_else() {
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
