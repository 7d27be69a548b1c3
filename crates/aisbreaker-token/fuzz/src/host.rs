//! Host names: one spelling, and no character that could mean something elsewhere.

use std::net::Ipv6Addr;

use aisbreaker_token::Host;

/// Reads the text as a host.
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
        "{text:?} reads as {name:?}"
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
    match name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(address) => {
            assert_eq!(
                address
                    .parse::<Ipv6Addr>()
                    .map(|ip| ip.to_string())
                    .as_deref(),
                Ok(address)
            )
        }
        None => {
            assert!(is_plain_name(name), "{text:?} reads as {name:?}");
            assert!(
                text.to_ascii_lowercase().starts_with(name),
                "{text:?} reads as {name:?}"
            );
        }
    }
    let rest = name.bytes().find(
        |byte| !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'[' | b']' | b':'),
    );
    assert_eq!(rest, None, "{name:?}");
}

/// A name without port or trailing dot that has to be taken.
fn is_plain_name(text: &str) -> bool {
    let labels = || text.split('.');
    (1..=253).contains(&text.len())
        && labels().all(|label| !label.is_empty())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
