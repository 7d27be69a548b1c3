//! The formats of a line, byte for byte those of `tracing-subscriber`.

use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr},
};

use aisbreaker_gateway::{AccessLine, LineValue, token::KeyId};

const BASE64URL: [u8; 64] = *b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The format of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::logging) enum LineFormat {
    Text,
    /// Text with colours, for a terminal.
    ColouredText,
    Json,
}

/// What surrounds the parts of a line of text. It is constant, so that it is copied without a call.
trait TextStyle {
    const BEFORE_TIME: &str;
    /// Between the time and the first field.
    const MESSAGE: &str;
    const BEFORE_NAME: &str;
    const AFTER_NAME: &str;
}

struct Plain;

impl TextStyle for Plain {
    const BEFORE_TIME: &str = "";
    const MESSAGE: &str = "  INFO request";
    const BEFORE_NAME: &str = " ";
    const AFTER_NAME: &str = "=";
}

struct Coloured;

impl TextStyle for Coloured {
    const BEFORE_TIME: &str = "\x1b[2m";
    const MESSAGE: &str = "\x1b[0m \x1b[32m INFO\x1b[0m request";
    const BEFORE_NAME: &str = " \x1b[3m";
    const AFTER_NAME: &str = "\x1b[0m\x1b[2m=\x1b[0m";
}

impl LineFormat {
    /// Appends a line of the log that was written at this time.
    pub(super) fn write(self, line: &AccessLine<'_>, time: &str, to: &mut Vec<u8>) {
        match self {
            Self::Text => write_text::<Plain>(line, time, to),
            Self::ColouredText => write_text::<Coloured>(line, time, to),
            Self::Json => write_json(line, time, to),
        }
    }
}

fn write_text<S: TextStyle>(line: &AccessLine<'_>, time: &str, to: &mut Vec<u8>) {
    push(to, S::BEFORE_TIME);
    push(to, time);
    push(to, S::MESSAGE);
    line.for_each_field(|name, value| {
        push(to, S::BEFORE_NAME);
        push(to, name);
        push(to, S::AFTER_NAME);
        match value {
            LineValue::Text(text) if is_plain(text) => push_quoted(to, text),
            // Writing to a vector does not fail, here and below.
            LineValue::Text(text) => {
                let _written = write!(to, "{text:?}");
            }
            LineValue::Float(number) => {
                let _written = write!(to, "{number:?}");
            }
            LineValue::Integer(number) => push_number(to, number),
            LineValue::Flag(flag) => push(to, if flag { "true" } else { "false" }),
            LineValue::Address(address) => push_address(to, address),
            LineValue::Key(id) => push_key(to, id),
        }
    });
    to.push(b'\n');
}

fn write_json(line: &AccessLine<'_>, time: &str, to: &mut Vec<u8>) {
    push(to, "{\"timestamp\":\"");
    push(to, time);
    push(to, "\",\"level\":\"INFO\",\"message\":\"request\"");
    line.for_each_field(|name, value| {
        push(to, ",\"");
        push(to, name);
        push(to, "\":");
        match value {
            LineValue::Text(text) if is_plain(text) => push_quoted(to, text),
            LineValue::Text(text) => {
                let _written = serde_json::to_writer(&mut *to, text);
            }
            LineValue::Float(number) => {
                let _written = serde_json::to_writer(&mut *to, &number);
            }
            LineValue::Integer(number) => push_number(to, number),
            LineValue::Flag(flag) => push(to, if flag { "true" } else { "false" }),
            LineValue::Address(address) => {
                to.push(b'"');
                push_address(to, address);
                to.push(b'"');
            }
            LineValue::Key(id) => {
                to.push(b'"');
                push_key(to, id);
                to.push(b'"');
            }
        }
    });
    push(to, "}\n");
}

/// Returns whether every character stands for itself in a quoted text of both formats.
fn is_plain(text: &str) -> bool {
    // Without an early end, so that many bytes are compared at once.
    text.bytes().fold(true, |is_plain, byte| {
        let is_special = !(b' '..=b'~').contains(&byte) | (byte == b'"') | (byte == b'\\');
        is_plain & !is_special
    })
}

fn push(to: &mut Vec<u8>, text: &str) {
    to.extend_from_slice(text.as_bytes());
}

fn push_quoted(to: &mut Vec<u8>, text: &str) {
    to.push(b'"');
    push(to, text);
    to.push(b'"');
}

fn push_number(to: &mut Vec<u8>, number: u64) {
    push(to, itoa::Buffer::new().format(number));
}

fn push_address(to: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => push_ipv4(to, address),
        IpAddr::V6(address) => {
            let _written = write!(to, "{address}");
        }
    }
}

fn push_ipv4(to: &mut Vec<u8>, address: Ipv4Addr) {
    let [first, rest @ ..] = address.octets();
    push_number(to, first.into());
    for octet in rest {
        to.push(b'.');
        push_number(to, octet.into());
    }
}

/// Appends the id of a key, which is not secret, as base64url.
fn push_key(to: &mut Vec<u8>, id: &KeyId) {
    for bytes in id.as_bytes().chunks(3) {
        let mut group = [0; 4];
        for (place, byte) in group.iter_mut().skip(1).zip(bytes) {
            *place = *byte;
        }
        let group = u32::from_be_bytes(group);
        let digits = [group >> 18, group >> 12, group >> 6, group];
        let digits = digits.map(|digit| BASE64URL[(digit & 63) as usize]);
        let end = to.len() + bytes.len() + 1;
        to.extend_from_slice(&digits);
        to.truncate(end);
    }
}
