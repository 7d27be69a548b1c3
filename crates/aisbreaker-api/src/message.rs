//! The messages of a conversation.

use serde::Serialize;

use crate::{request::Input, response::Output};

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "the two sides of a conversation")]
pub enum Message {
    /// A message to the service.
    Input(Input),
    /// A message from the service.
    Output(Output),
}
