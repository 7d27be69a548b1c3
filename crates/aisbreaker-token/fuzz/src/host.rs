//! A parsed host has one spelling, without characters that another parser may interpret.

use std::net::Ipv6Addr;

use aisbreaker_token::Host;

/// Parses the data as a host.
pub fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let Ok(host) = Host::parse(text) else {
        assert!(!is_plain_name(text), "{text:?} is refused");
        return;
    };
    let name = host.as_str();

    assert_eq!(
        Host::parse(name).as_ref(),
        Ok(&host),
        "{text:?} parses as {name:?}"
    );
    assert_eq!(
        Host::parse(&format!("{name}:443")).as_ref(),
        Ok(&host),
        "{name:?} with a port"
    );
    assert_eq!(
        Host::parse(&text.to_ascii_uppercase()).as_ref(),
        Ok(&host),
        "{text:?} in upper case"
    );
    match bracketed(name) {
        Some(address) => {
            let parsed: Result<Ipv6Addr, _> = address.parse();
            assert_eq!(parsed.map(|ip| ip.to_string()).as_deref(), Ok(address));
        }
        None => {
            assert!(is_plain_name(name), "{text:?} parses as {name:?}");
            assert!(
                text.to_ascii_lowercase().starts_with(name),
                "{text:?} parses as {name:?}"
            );
        }
    }
    let other = name.bytes().find(|byte| !is_allowed(*byte));
    assert_eq!(other, None, "{name:?}");
}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.[]:".contains(&byte)
}

fn bracketed(name: &str) -> Option<&str> {
    name.strip_prefix('[')?.strip_suffix(']')
}

/// Returns whether a text is a name, without port or trailing dot, that must be accepted.
fn is_plain_name(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.split('.').all(|label| !label.is_empty())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
