//! A decoded conversation state survives encoding and decoding.

use aisbreaker_api::ConversationState;

/// Decodes the data as a conversation state.
pub fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let Ok(state) = ConversationState::decode(text) else {
        return;
    };
    let encoded = state.encode();

    assert_eq!(
        ConversationState::decode(&encoded).as_ref(),
        Ok(&state),
        "{text}"
    );
    assert_eq!(
        ConversationState::decode(encoded.trim_end_matches('=')).as_ref(),
        Ok(&state),
        "{text}"
    );
    let url_safe = encoded.replace('+', "-").replace('/', "_");
    assert_eq!(
        ConversationState::decode(&url_safe).as_ref(),
        Ok(&state),
        "{text}"
    );
    assert!(text.is_ascii(), "{text}");
    assert_eq!(state.clone().with_turn(&[], &[]), state);
}
