//! Warnings about usable but questionable settings: in the log at the start and after each reload, and
//! by `check`.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use aisbreaker_services::prices::Prices;

use crate::settings::{NEARLY_RAW_KEY, Settings, suggest_variable};

const SECONDS_OF_DAY: u64 = 86_400;
/// The days after which a price list is probably no longer right.
const MAX_DAYS_OF_PRICES: u64 = 90;

/// Something about the settings that is probably not meant. Its text holds no secret.
pub(crate) enum Warning {
    /// A variable that looks like a setting but is none.
    UnknownVariable(String),
    /// API keys end with the process.
    RandomKey,
    /// A setting with a phrase that looks like a mistyped 32-byte key.
    NearlyRawKey(String),
    /// Anyone may have this server call what `egress.allow` opens.
    OpenNetwork,
    /// All keys that were issued before this time are refused.
    RevokedBefore(SystemTime),
    /// So many phrases are so short that they can be guessed.
    ShortPhrases(usize),
    /// A file of a secret that everybody on the machine can read.
    ExposedFile(PathBuf),
    /// A file of keys that nobody can need any more.
    StaleKeyFile(PathBuf),
    /// The file of a TLS certificate that clients refuse, and the end of its validity.
    InvalidCertificate(PathBuf, String),
    /// The built-in prices are so many days old.
    OldPrices(u64),
}

/// Returns the warnings about everything that cannot change while the server runs.
pub(crate) fn of_unchanging(settings: &Settings) -> Vec<Warning> {
    let unknown = settings.unknown_variables.iter().cloned();
    let mut warnings: Vec<Warning> = unknown.map(Warning::UnknownVariable).collect();
    if settings.has_random_key {
        warnings.push(Warning::RandomKey);
    }
    warnings
}

/// Returns the warnings about all other settings.
///
/// How long a key has only opened is known by its file alone: what was sealed after that was written,
/// another server has sealed.
pub(crate) fn of_reloadable(settings: &Settings, now: SystemTime) -> Vec<Warning> {
    let nearly_raw = settings.nearly_raw_keys.iter().cloned();
    let mut warnings: Vec<Warning> = nearly_raw.map(Warning::NearlyRawKey).collect();
    if settings.is_network_open {
        warnings.push(Warning::OpenNetwork);
    }
    if let Some(before) = settings.gateway.revoked_before {
        warnings.push(Warning::RevokedBefore(before));
    }
    let phrases = settings.gateway.keys.short_phrases();
    if phrases > 0 {
        warnings.push(Warning::ShortPhrases(phrases));
    }
    for file in settings.exposed_files() {
        warnings.push(Warning::ExposedFile(file.to_owned()));
    }
    if let Some(tls) = &settings.tls
        && !tls.certificate.is_valid_now()
    {
        let (file, expires) = (tls.certificate_file.clone(), tls.certificate.expires());
        warnings.push(Warning::InvalidCertificate(file, expires));
    }
    let max_lifetime = settings.gateway.max_expiration;
    let stale = settings
        .key_files
        .stale_files(now, max_lifetime)
        .into_iter();
    warnings.extend(stale.map(Path::to_owned).map(Warning::StaleKeyFile));
    warnings
}

/// Returns the warning about a program that is too old to know what calls cost. It is no fault of the
/// settings, so `check` does not have it.
pub(crate) fn of_program(now: SystemTime) -> Option<Warning> {
    let days_old = Prices::age(now).as_secs() / SECONDS_OF_DAY;
    (days_old > MAX_DAYS_OF_PRICES).then_some(Warning::OldPrices(days_old))
}

impl Warning {
    /// Logs it, with what it is about in a field of its own.
    pub(crate) fn log(&self) {
        let text = self.text();
        match self {
            Self::UnknownVariable(variable) => tracing::warn!(variable, "{text}"),
            Self::NearlyRawKey(setting) => tracing::warn!(setting, "{text}"),
            Self::RevokedBefore(before) => {
                tracing::warn!(before = %humantime::format_rfc3339(*before), "{text}");
            }
            Self::ShortPhrases(phrases) => tracing::warn!(phrases, "{text}"),
            Self::ExposedFile(file) | Self::StaleKeyFile(file) => {
                tracing::warn!(file = %file.display(), "{text}");
            }
            Self::InvalidCertificate(file, expires) => {
                tracing::warn!(file = %file.display(), expires, "{text}");
            }
            Self::OldPrices(days_old) => {
                tracing::warn!(date = Prices::date(), days_old, "{text}");
            }
            Self::RandomKey | Self::OpenNetwork => tracing::warn!("{text}"),
        }
    }

    fn text(&self) -> String {
        let text = match self {
            Self::UnknownVariable(variable) => {
                let suggestion = suggest_variable(variable);
                return format!("this environment variable is not a setting{suggestion}");
            }
            Self::RandomKey => {
                "AUTH_ENCRYPTION_KEYPHRASE is not set: API keys are sealed with a random key and \
                 END WITH THIS PROCESS; make a lasting one with 'aisbreaker-server keygen'"
            }
            Self::NearlyRawKey(_) => NEARLY_RAW_KEY,
            Self::OpenNetwork => {
                "AISBREAKER_EGRESS_ALLOW_CALLERS is set and anyone may mint: ANY CLIENT can send \
                 requests to everything that AISBREAKER_EGRESS_ALLOW opens; unset it, or set \
                 AISBREAKER_MINT_SECRET"
            }
            Self::RevokedBefore(_) => {
                "all API keys that were issued before AISBREAKER_REVOKED_BEFORE are refused"
            }
            Self::ShortPhrases(_) => {
                "phrases under 10 characters open keys of the original server: anybody who guesses \
                 one can forge such keys; white space separates phrases, so one that contains some \
                 needs a file of its own (keys.opening_files)"
            }
            Self::ExposedFile(_) => "everybody on this machine can read this file of a secret",
            Self::StaleKeyFile(_) => {
                "no API key that was sealed before this file was written can be alive: unless a \
                 server still seals with a key in it, drop it"
            }
            Self::InvalidCertificate(..) => {
                "the TLS certificate has expired or is not valid yet: clients refuse it"
            }
            Self::OldPrices(_) => {
                "the built-in prices are old, so budgets in dollars may count too little: use a newer \
                 release, or set the prices of your models in [prices]"
            }
        };
        text.to_owned()
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownVariable(name) | Self::NearlyRawKey(name) => write!(f, "{name}: ")?,
            Self::RevokedBefore(before) => write!(f, "{}: ", humantime::format_rfc3339(*before))?,
            Self::ShortPhrases(phrases) => write!(f, "{phrases}: ")?,
            Self::ExposedFile(file) | Self::StaleKeyFile(file) => {
                write!(f, "{}: ", file.display())?
            }
            Self::InvalidCertificate(file, expires) => {
                write!(f, "{}, until {expires}: ", file.display())?;
            }
            Self::OldPrices(days_old) => {
                write!(f, "{}, {days_old} days: ", Prices::date())?;
            }
            Self::RandomKey | Self::OpenNetwork => {}
        }
        f.write_str(&self.text())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn prices_are_old_after_ninety_days() {
        let later = UNIX_EPOCH + Duration::from_secs(50_000 * SECONDS_OF_DAY);
        let made = later - Prices::age(later);
        let warning = |days| of_program(made + Duration::from_secs(days * SECONDS_OF_DAY));
        assert!(warning(0).is_none());
        assert!(warning(90).is_none());
        let text = warning(91).unwrap().to_string();
        let expected = format!("{}, 91 days: the built-in prices are old", Prices::date());
        assert!(text.starts_with(&expected), "{text}");
    }
}
