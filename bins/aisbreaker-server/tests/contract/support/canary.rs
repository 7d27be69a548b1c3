//! Finds planted secrets, and pieces of them, in whatever form they may have got out.

use std::collections::HashSet;

use base64ct::{Base64, Base64Url, Encoding as _};

/// How many bytes of a secret are a piece of it.
const PIECE: usize = 12;
/// Any piece, wherever it begins, has a probe that begins at a multiple of [`STEP`].
const PROBE: usize = 8;
const STEP: usize = PIECE - PROBE + 1;

/// Secrets that must not be found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Canaries {
    /// What it is, and a text none of whose pieces may be seen.
    texts: Vec<(String, Vec<u8>)>,
    probes: HashSet<[u8; PROBE]>,
    /// Whether a probe begins with these two bytes, which most bytes of memory do not.
    beginnings: Vec<bool>,
}

impl Canaries {
    /// Looks for these secrets as they are.
    pub(crate) fn raw(secrets: &[(&str, &str)]) -> Self {
        let mut canaries = Self::default();
        for (name, secret) in secrets {
            canaries.add(name, secret.as_bytes().to_vec());
        }
        canaries
    }

    /// Looks for this secret as it is and in every form in which programs write bytes.
    pub(crate) fn plant(&mut self, name: &str, secret: &str) {
        let bytes = secret.as_bytes();
        self.add(name, bytes.to_vec());
        self.add(
            &format!("{name}, reversed"),
            bytes.iter().rev().copied().collect(),
        );
        self.add(
            &format!("{name} in lower case"),
            secret.to_lowercase().into(),
        );
        self.add(
            &format!("{name} in upper case"),
            secret.to_uppercase().into(),
        );
        self.add(
            &format!("{name} in hex"),
            each(bytes, |byte| format!("{byte:02x}")),
        );
        self.add(
            &format!("{name} in HEX"),
            each(bytes, |byte| format!("{byte:02X}")),
        );
        self.add(
            &format!("{name} as numbers"),
            each(bytes, |byte| format!("{byte}, ")),
        );
        self.add(
            &format!("{name} as numbers without space"),
            each(bytes, |byte| format!("{byte},")),
        );
        self.add(
            &format!("{name} with percents"),
            each(bytes, |byte| format!("%{byte:02X}")),
        );
        self.add(&format!("{name} in a URL"), each(bytes, in_url));
        self.add(
            &format!("{name} in JSON"),
            serde_json::Value::from(secret).to_string().into(),
        );
        self.add(&format!("{name} in Debug"), format!("{secret:?}").into());
        for offset in 0..3 {
            // What stands before it shifts the digits; the first and the last of them are not its
            // own.
            let shifted = [&[b' '; 2][..offset], bytes].concat();
            let own = |text: String| {
                text.trim_end_matches('=').as_bytes()[2..]
                    .split_last()
                    .map(|(_, own)| own.to_vec())
            };
            self.add(
                &format!("{name} in base64"),
                own(Base64::encode_string(&shifted)).unwrap_or_default(),
            );
            self.add(
                &format!("{name} in base64url"),
                own(Base64Url::encode_string(&shifted)).unwrap_or_default(),
            );
        }
    }

    fn add(&mut self, name: &str, text: Vec<u8>) {
        assert!(text.len() >= PIECE, "{name} is too short to be looked for");
        self.beginnings.resize(1 << 16, false);
        for probe in text.windows(PROBE) {
            self.beginnings[beginning(probe)] = true;
        }
        self.probes.extend(
            text.windows(PROBE)
                .map(|probe| <[u8; PROBE]>::try_from(probe).expect("its length")),
        );
        self.texts.push((name.to_owned(), text));
    }

    /// All pieces in these bytes, with their surroundings.
    pub(crate) fn found_in(&self, bytes: &[u8]) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        let mut seen_to = 0;
        for at in (0..bytes.len().saturating_sub(PROBE - 1)).step_by(STEP) {
            if !self.beginnings[beginning(&bytes[at..])] {
                continue;
            }
            let probe = <[u8; PROBE]>::try_from(&bytes[at..at + PROBE]).expect("its length");
            if at < seen_to || !self.probes.contains(&probe) {
                continue;
            }
            if let Some((name, from, to)) = self.piece_around(bytes, at) {
                let around = &bytes[from.saturating_sub(60)..bytes.len().min(to + 20)];
                found.push(format!("{name}: {}", around.escape_ascii()));
                seen_to = to;
            }
        }
        found
    }

    /// The longest piece around the probe at this place.
    fn piece_around(&self, bytes: &[u8], at: usize) -> Option<(&str, usize, usize)> {
        let pieces = self.texts.iter().flat_map(|(name, text)| {
            let places = text
                .windows(PROBE)
                .enumerate()
                .filter(|(_, window)| *window == &bytes[at..at + PROBE]);
            places.map(move |(place, _)| {
                let before = bytes[..at].iter().rev().zip(text[..place].iter().rev());
                let after = bytes[at..].iter().zip(&text[place..]);
                let same = |(one, other): &(&u8, &u8)| one == other;
                (
                    name.as_str(),
                    at - before.take_while(same).count(),
                    at + after.take_while(same).count(),
                )
            })
        });
        pieces
            .max_by_key(|(_, from, to)| to - from)
            .filter(|(_, from, to)| to - from >= PIECE)
    }

    #[track_caller]
    pub(crate) fn assert_not_in(&self, what: &str, bytes: impl AsRef<[u8]>) {
        let found = self.found_in(bytes.as_ref());
        assert!(found.is_empty(), "{what}: {found:#?}");
    }
}

fn beginning(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
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
