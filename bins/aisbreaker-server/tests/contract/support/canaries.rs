//! Finds planted secrets, and fragments of them, in every encoding in which they may leak.

use std::collections::HashSet;

use base64ct::{Base64, Base64Url, Encoding as _};

/// The shortest run of bytes that counts as a fragment of a secret.
const FRAGMENT: usize = 12;
/// The length of a probe. Every fragment contains a probe that starts at a multiple of [`STEP`].
const PROBE: usize = 8;
const STEP: usize = FRAGMENT - PROBE + 1;

/// Secrets that must not be found anywhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Canaries {
    /// The name of a secret, and its bytes in one encoding.
    texts: Vec<(String, Vec<u8>)>,
    probes: HashSet<[u8; PROBE]>,
    /// Whether any probe starts with these two bytes: a filter that skips most of memory.
    probe_prefixes: Vec<bool>,
}

impl Canaries {
    /// Creates canaries for these secrets verbatim.
    pub(crate) fn verbatim(secrets: &[(&str, &str)]) -> Self {
        let mut canaries = Self::default();
        for (name, secret) in secrets {
            canaries.add(name, secret.as_bytes().to_vec());
        }
        canaries
    }

    /// Adds this secret verbatim and in every encoding in which programs write bytes.
    pub(crate) fn plant(&mut self, name: &str, secret: &str) {
        let bytes = secret.as_bytes();
        let encodings: [(&str, Vec<u8>); 12] = [
            ("verbatim", bytes.to_vec()),
            ("reversed", bytes.iter().rev().copied().collect()),
            ("in lower case", secret.to_lowercase().into()),
            ("in upper case", secret.to_uppercase().into()),
            ("in hex", each(bytes, |byte| format!("{byte:02x}"))),
            ("in HEX", each(bytes, |byte| format!("{byte:02X}"))),
            ("as numbers", each(bytes, |byte| format!("{byte}, "))),
            ("as dense numbers", each(bytes, |byte| format!("{byte},"))),
            (
                "percent-encoded",
                each(bytes, |byte| format!("%{byte:02X}")),
            ),
            ("in a URL", each(bytes, in_url)),
            (
                "in JSON",
                serde_json::Value::from(secret).to_string().into(),
            ),
            ("in Debug", format!("{secret:?}").into()),
        ];
        for (encoding, text) in encodings {
            self.add(&format!("{name}, {encoding}"), text);
        }
        for offset in 0..3 {
            let shifted = [&[b' '; 2][..offset], bytes].concat();
            let base64 = Base64::encode_string(&shifted);
            let base64url = Base64Url::encode_string(&shifted);
            self.add(&format!("{name}, in base64"), own_digits(&base64));
            self.add(&format!("{name}, in base64url"), own_digits(&base64url));
        }
    }

    fn add(&mut self, name: &str, text: Vec<u8>) {
        assert!(
            text.len() >= FRAGMENT,
            "{name} is too short to be searched for"
        );
        self.probe_prefixes.resize(1 << 16, false);
        for window in text.windows(PROBE) {
            self.probe_prefixes[probe_prefix(window)] = true;
            let probe = window.try_into().expect("its length");
            self.probes.insert(probe);
        }
        self.texts.push((name.to_owned(), text));
    }

    /// Returns all fragments in these bytes, with their surroundings.
    pub(crate) fn found_in(&self, bytes: &[u8]) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        let mut seen_to = 0;
        for at in (0..bytes.len().saturating_sub(PROBE - 1)).step_by(STEP) {
            if !self.probe_prefixes[probe_prefix(&bytes[at..])] {
                continue;
            }
            let probe = <[u8; PROBE]>::try_from(&bytes[at..at + PROBE]).expect("its length");
            if at < seen_to || !self.probes.contains(&probe) {
                continue;
            }
            if let Some((name, from, to)) = self.fragment_around(bytes, at) {
                let around = &bytes[from.saturating_sub(60)..bytes.len().min(to + 20)];
                found.push(format!("{name}: {}", around.escape_ascii()));
                seen_to = to;
            }
        }
        found
    }

    /// Returns the longest fragment around the probe at this position: name, start and end.
    fn fragment_around(&self, bytes: &[u8], at: usize) -> Option<(&str, usize, usize)> {
        let same = |(one, other): &(&u8, &u8)| one == other;
        let mut longest: Option<(&str, usize, usize)> = None;
        for (name, text) in &self.texts {
            for (position, window) in text.windows(PROBE).enumerate() {
                if window != &bytes[at..at + PROBE] {
                    continue;
                }
                let before = bytes[..at].iter().rev().zip(text[..position].iter().rev());
                let after = bytes[at..].iter().zip(&text[position..]);
                let start = at - before.take_while(same).count();
                let end = at + after.take_while(same).count();
                if longest.is_none_or(|(_, from, to)| end - start >= to - from) {
                    longest = Some((name, start, end));
                }
            }
        }
        longest.filter(|(_, start, end)| end - start >= FRAGMENT)
    }

    /// Asserts that no fragment occurs in these bytes.
    #[track_caller]
    pub(crate) fn assert_not_in(&self, what: &str, bytes: impl AsRef<[u8]>) {
        let found = self.found_in(bytes.as_ref());
        assert!(found.is_empty(), "{what}: {found:#?}");
    }
}

fn probe_prefix(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

/// The digits of a base64 text that encode nothing but the secret: the bytes before it share the
/// first two digits, and those after it the last one.
fn own_digits(base64: &str) -> Vec<u8> {
    let digits = base64.trim_end_matches('=').as_bytes();
    digits[2..digits.len() - 1].to_vec()
}

fn each(bytes: &[u8], write: impl Fn(&u8) -> String) -> Vec<u8> {
    bytes.iter().map(write).collect::<String>().into()
}

fn in_url(byte: &u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
        char::from(*byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}
