//! Close frames (RFC 6455 sections 5.5.1 and 7.4).

/// Why a WebSocket is closed, as its close frame says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct CloseCode(pub(crate) u16);

impl CloseCode {
    pub(super) const NORMAL: Self = Self(1000);
    pub(super) const GOING_AWAY: Self = Self(1001);
    /// A close frame without a code. It is never sent.
    pub(super) const NONE: Self = Self(1005);
    pub(super) const POLICY_VIOLATION: Self = Self(1008);

    /// Returns whether a provider that closes with this code could or would not go on.
    pub(super) fn is_failure(self) -> bool {
        ![Self::NORMAL, Self::GOING_AWAY, Self::NONE].contains(&self)
    }
}

/// Returns a close frame. Clients mask theirs. A reason has at most 123 bytes.
pub(super) fn close_frame(code: CloseCode, reason: &str, mask: Option<[u8; 4]>) -> Vec<u8> {
    let payload: Vec<u8> = [&code.0.to_be_bytes(), reason.as_bytes()].concat();
    // Longer ones would need another form of length, which a close frame cannot have.
    let length = u8::try_from(payload.len()).unwrap_or_default().min(125);
    let payload = payload.iter().take(usize::from(length));
    let mut frame = vec![0x88];
    match mask {
        None => {
            frame.push(length);
            frame.extend(payload);
        }
        Some(mask) => {
            frame.push(0x80 | length);
            frame.extend(mask);
            let masked = payload.zip(mask.iter().cycle());
            frame.extend(masked.map(|(byte, mask)| byte ^ mask));
        }
    }
    frame
}

/// Returns a new masking key. Where there is no randomness, none is needed either: what it masks is
/// this server's own.
pub(super) fn masking_key() -> [u8; 4] {
    getrandom::u32().unwrap_or_default().to_be_bytes()
}
