//! A parsed body of `POST /api/v1/process` survives serialization and parsing, and an error names a
//! member but never repeats content.

use aisbreaker_api::{ConversationState, ProcessCall, ServiceId};

/// The text that seeds contain in place of secrets and prompts.
const CONTENT: &str = "Q7zPrivate";

/// Parses the data as a request body.
pub fn check(data: &[u8]) {
    let call = match ProcessCall::from_json(data) {
        Ok(call) => call,
        Err(error) => {
            let text = error.to_string();
            assert!(!text.contains(CONTENT), "{text}");
            return assert!(
                text.len() < 200 + 30 * 128,
                "an error of {} bytes",
                text.len()
            );
        }
    };
    assert!(!call.request.inputs.is_empty());
    assert!(!matches!(
        call.request.conversation_state.as_deref(),
        Some("" | "null")
    ));

    let written = serde_json::to_vec(&call).unwrap_or_default();
    assert_eq!(ProcessCall::from_json(&written).as_ref(), Ok(&call));
    let with_mark = [b"\xef\xbb\xbf", &*written].concat();
    assert_eq!(
        ProcessCall::from_json(&with_mark).as_ref(),
        Ok(&call),
        "with a byte order mark"
    );

    // The members of the call may still be invalid, but parsing them must not panic.
    let _id = ServiceId::parse(&call.service.service_id);
    let earlier = match call.request.conversation_state.as_deref() {
        Some(text) => ConversationState::decode(text).unwrap_or_default(),
        None => ConversationState::default(),
    };
    let state = earlier.with_turn(&call.request.inputs, &[]);
    assert_eq!(ConversationState::decode(&state.encode()), Ok(state));
}
