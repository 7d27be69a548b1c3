//! Bodies of `POST /api/v1/process`: what is read is written so that the same is read again, and a
//! refusal names the place, never the content.

use aisbreaker_api::{ConversationState, ProcessCall, ServiceId};

/// Stands in seeds where callers have secrets and prompts.
const CONTENT: &str = "Q7zPrivate";

/// Reads the bytes as a body.
pub fn check(data: &[u8]) {
    let call = match ProcessCall::from_json(data) {
        Ok(call) => call,
        Err(error) => {
            let text = error.to_string();
            assert!(!text.contains(CONTENT), "{text}");
            return assert!(
                text.len() < 200 + 30 * 128,
                "{} bytes of refusal",
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
    let marked = [b"\xef\xbb\xbf", &*written].concat();
    assert_eq!(
        ProcessCall::from_json(&marked).as_ref(),
        Ok(&call),
        "with a byte order mark"
    );

    // What the call holds is for the other readers to refuse, without a panic.
    let _id = ServiceId::parse(&call.service.service_id);
    let state = call
        .request
        .conversation_state
        .as_deref()
        .map(ConversationState::decode);
    let state = state
        .and_then(Result::ok)
        .unwrap_or_default()
        .with_turn(&call.request.inputs, &[]);
    assert_eq!(ConversationState::decode(&state.encode()), Ok(state));
}
