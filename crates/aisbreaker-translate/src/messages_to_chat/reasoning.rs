//! Reasoning that the provider wants back.
//!
//! Providers that send reasoning as `reasoning_content` (DeepSeek, Moonshot and others) refuse the results of tools
//! unless the message that called them holds its reasoning again; others refuse the member. So the signature of a
//! `thinking` block says that it came as `reasoning_content`, and of which model. Clients send the blocks of an answer
//! back as they are.

use std::borrow::Cow;

const MEMBER: &str = "reasoning_content ";

/// Returns the signature of reasoning that is shown to the client.
pub(super) fn signature(model: &str) -> String {
    format!("{MEMBER}{model}")
}

/// Returns the signature of reasoning that is not shown: it holds the text.
pub(super) fn signature_with_text(model: &str, text: &str) -> String {
    format!("{MEMBER}{model}\n{text}")
}

/// Returns the text of a `thinking` block, if it is reasoning that this model wants back.
pub(super) fn returned<'a>(
    thinking: Cow<'a, str>,
    signature: &str,
    model: &str,
) -> Option<Cow<'a, str>> {
    let signed = signature.strip_prefix(MEMBER)?;
    match signed.split_once('\n') {
        Some((signer, text)) if signer == model => Some(Cow::Owned(text.to_owned())),
        None if signed == model => Some(thinking),
        _ => None,
    }
}
