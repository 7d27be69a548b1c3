//! One value as the operator gave it, and the parsers that turn it into a typed setting.

mod address;
mod lists;

use std::{
    borrow::Cow,
    num::NonZeroU32,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use aisbreaker_gateway::{parse_rfc3339, quotas_from_json};
use aisbreaker_token::{OpeningKey, PREFIX, RequestQuotas, ServerKey};
use secrecy::SecretString;
use toml::Value;

pub(crate) use self::address::Names;
pub(super) use self::{address::Address, lists::is_comma};
use crate::files::unreadable;

/// The longest duration of a setting; clocks overflow beyond it.
const MAX_DURATION: Duration = Duration::from_secs(100 * 366 * 86_400);
/// The largest number of a setting.
const MAX_COUNT: u32 = 1_000_000_000;
/// The shortest secret for minting, in characters: as short as a phrase that seals.
const MIN_MINT_SECRET_CHARS: usize = 10;

/// What is wrong with a value, as a continuation of its setting's name: "must be a list of
/// strings". It never repeats a value that may be a secret.
pub(super) type Problem = Cow<'static, str>;

/// Where a value was given, the weakest first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Source {
    File,
    Environment,
    Flag,
}

/// A value and the name under which it was given. It may be a secret, so it has no `Debug`.
pub(super) struct Given {
    pub(super) name: String,
    pub(super) source: Source,
    pub(super) value: Value,
    is_secret: bool,
}

/// A value that is checked later, together with others, and the name to report it under.
pub(super) struct Named<T> {
    pub(super) name: String,
    pub(super) value: T,
}

impl Given {
    /// Creates a value that may be a secret.
    pub(super) fn new(name: &str, source: Source, value: Value) -> Self {
        Self {
            name: name.to_owned(),
            source,
            value,
            is_secret: true,
        }
    }

    /// Makes it a value of which problems may repeat an entry.
    pub(super) fn not_secret(self) -> Self {
        Self {
            is_secret: false,
            ..self
        }
    }

    /// Returns the value as text, exactly as it was given.
    pub(super) fn text(&self) -> Result<Cow<'_, str>, Problem> {
        match &self.value {
            Value::String(text) => Ok(Cow::Borrowed(text)),
            Value::Integer(number) => Ok(Cow::Owned(number.to_string())),
            Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_)
            | Value::Table(_) => Err("must be a string".into()),
        }
    }

    /// Returns the text with its name, to be checked together with other settings.
    pub(super) fn named_text(&self) -> Result<Named<String>, Problem> {
        Ok(self.named(self.text()?.into_owned()))
    }

    /// Returns what is in the file of this name.
    pub(super) fn named_file(&self) -> Result<Named<Vec<u8>>, Problem> {
        let path = self.path()?;
        match std::fs::read(&path) {
            Ok(bytes) => Ok(self.named(bytes)),
            Err(error) => Err(unreadable(&path, &error).into()),
        }
    }

    /// Returns the path with its name, to be read together with another file.
    pub(super) fn named_path(&self) -> Result<Named<PathBuf>, Problem> {
        Ok(self.named(self.path()?))
    }

    pub(super) fn path(&self) -> Result<PathBuf, Problem> {
        Ok(self.text()?.into_owned().into())
    }

    /// Returns a secret. From the environment, it must not be surrounded by what editors, shells and
    /// mounted files add; a value in the settings file is exact.
    fn secret(&self) -> Result<Cow<'_, str>, Problem> {
        let text = self.text()?;
        match surrounding_problem(&text) {
            Some(problem) if self.source == Source::Environment => Err(problem.into()),
            Some(_) | None => Ok(text),
        }
    }

    fn named<T>(&self, value: T) -> Named<T> {
        Named {
            name: self.name.clone(),
            value,
        }
    }

    /// Parses the text without the white space around it. The error of `parse` is the problem.
    pub(super) fn parsed<T>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Result<T, Problem> {
        Ok(parse(self.text()?.trim())?)
    }

    /// Returns a whole number from 1 to [`MAX_COUNT`].
    pub(super) fn number(&self) -> Result<NonZeroU32, Problem> {
        match self.text()?.trim().parse::<NonZeroU32>() {
            Ok(number) if number.get() <= MAX_COUNT => Ok(number),
            Ok(_) | Err(_) => Err("must be a whole number from 1 to 1000000000".into()),
        }
    }

    /// Returns [`number`](Self::number) as a count of bytes, connections and the like.
    pub(super) fn count(&self) -> Result<usize, Problem> {
        Ok(self.number()?.get() as usize)
    }

    /// Returns a truth value: `true` or `false`, or 1 or 0.
    pub(super) fn flag(&self) -> Result<bool, Problem> {
        if let Value::Boolean(flag) = self.value {
            return Ok(flag);
        }
        self.parsed(|text| match text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err("must be true or false"),
        })
    }

    pub(super) fn duration(&self) -> Result<Duration, Problem> {
        match humantime::parse_duration(self.text()?.trim()) {
            Ok(duration) if !duration.is_zero() && duration <= MAX_DURATION => Ok(duration),
            Ok(_) | Err(_) => {
                Err("must be a duration over zero and up to 100 years, such as 30s or 5m".into())
            }
        }
    }

    /// Returns a [`duration`](Self::duration), or zero.
    pub(super) fn duration_or_zero(&self) -> Result<Duration, Problem> {
        match humantime::parse_duration(self.text()?.trim()) {
            Ok(duration) if duration <= MAX_DURATION => Ok(duration),
            Ok(_) | Err(_) => {
                Err("must be a duration up to 100 years, such as 0s, 30s or 5m".into())
            }
        }
    }

    /// Returns the value as one text, whatever its kind is, to be compared with another one.
    pub(super) fn comparable(&self) -> SecretString {
        match self.text() {
            Ok(text) => text.trim().into(),
            Err(_other_kind) => match serde_json::to_string(&self.value) {
                Ok(json) => json.into(),
                Err(_never) => "".into(),
            },
        }
    }

    /// Returns a time (RFC 3339), which the file may have as TOML's own type.
    pub(super) fn time(&self) -> Result<SystemTime, Problem> {
        let text = match &self.value {
            Value::Datetime(time) => Cow::Owned(time.to_string()),
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Array(_)
            | Value::Table(_) => self.text()?,
        };
        parse_rfc3339(text.trim())
            .ok_or_else(|| "must be a time with its zone, such as 2026-11-29T12:00:00Z".into())
    }

    pub(super) fn port(&self) -> Result<u16, Problem> {
        self.parsed(|text| text.parse().map_err(|_syntax| "must be a port number"))
    }

    pub(super) fn sealing_key(&self) -> Result<ServerKey, Problem> {
        ServerKey::parse(&self.secret()?).map_err(unusable)
    }

    /// Returns whether a key of this setting is a phrase that looks like a 32-byte key with a
    /// character too many or too few.
    pub(super) fn has_nearly_raw_key(&self) -> Result<bool, Problem> {
        let keys = self.entries(char::is_whitespace)?;
        Ok(keys.into_iter().any(is_nearly_raw_key))
    }

    /// Returns the whole text as one key that only opens.
    pub(super) fn opening_key(&self) -> Result<OpeningKey, Problem> {
        ServerKey::parse_for_opening(&self.secret()?).map_err(unusable)
    }

    pub(super) fn api_key(&self) -> Result<SecretString, Problem> {
        let text = self.secret()?;
        if !text.starts_with(PREFIX) {
            return Err(format!("must be a key that starts with {PREFIX}").into());
        }
        Ok(text.into_owned().into())
    }

    pub(super) fn mint_secret(&self) -> Result<SecretString, Problem> {
        let text = self.secret()?;
        if text.chars().count() < MIN_MINT_SECRET_CHARS {
            return Err(format!("is shorter than {MIN_MINT_SECRET_CHARS} characters").into());
        }
        Ok(text.into_owned().into())
    }

    /// Returns quotas given as JSON, or as a table of the file with the same members.
    pub(super) fn quotas(&self) -> Result<RequestQuotas, Problem> {
        let json = match self.value.as_str() {
            Some(json) => Cow::Borrowed(json),
            None => Cow::Owned(serde_json::to_string(&self.value).map_err(unusable)?),
        };
        quotas_from_json(&json).map_err(unusable)
    }
}

pub(super) fn unusable(error: impl std::fmt::Display) -> Problem {
    format!("is unusable: {error}").into()
}

/// Returns what is wrong around a secret from the environment, if anything is.
fn surrounding_problem(secret: &str) -> Option<&'static str> {
    let ends = [secret.chars().next(), secret.chars().next_back()];
    let has_end = |is_it: fn(char) -> bool| ends.into_iter().flatten().any(is_it);
    if has_end(|c| c == '\u{feff}') {
        Some("must not begin or end with a byte order mark")
    } else if has_end(|c| c.is_whitespace() || c.is_control()) {
        Some("must not begin or end with white space, except in the settings file")
    } else if has_end(|c| matches!(c, '"' | '\'')) {
        Some("must not begin or end with a quotation mark, except in the settings file")
    } else {
        None
    }
}

/// Returns whether a key is one character longer or shorter than 32 bytes in base64url, which makes
/// it a phrase.
fn is_nearly_raw_key(key: &str) -> bool {
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    // Padding is one character too many.
    let unpadded = key.strip_suffix('=').unwrap_or(key);
    matches!(key.len(), 42 | 44) && unpadded.bytes().all(is_base64url)
}
