//! Where a secret is read from. Arguments are visible to every user of a machine, so it is never one
//! of them.

use std::{
    env,
    error::Error,
    fmt, fs,
    io::{self, Read as _},
    str::FromStr,
};

use secrecy::SecretString;

use crate::files::drop_line_end;

/// The help of arguments that name a source.
pub(crate) const HELP: &str = "env:NAME, file:PATH, or - for standard input";

/// Where a secret is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum SecretSource {
    Variable(String),
    File(String),
    StandardInput,
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "the variable {name}"),
            Self::File(path) => write!(f, "the file {path}"),
            Self::StandardInput => f.write_str("standard input, which is read once"),
        }
    }
}

impl FromStr for SecretSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            _ if text == "-" => Ok(Self::StandardInput),
            Some(("env", name)) if !name.is_empty() => Ok(Self::Variable(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.to_owned())),
            // The text may be the secret itself, so it is not repeated.
            Some(_) | None => Err(format!("must be {HELP}, never the secret itself")),
        }
    }
}

impl SecretSource {
    /// Reads the secret. One line end after it is dropped.
    ///
    /// # Errors
    /// A variable that is not set, a file that cannot be read, and an empty text.
    #[expect(
        clippy::disallowed_methods,
        reason = "the variable is named by an argument, so it is no setting"
    )]
    pub(crate) fn read(&self) -> Result<SecretString, Box<dyn Error>> {
        let mut text = match self {
            Self::Variable(name) => env::var(name).map_err(|error| format!("{self}: {error}"))?,
            Self::File(path) => {
                fs::read_to_string(path).map_err(|error| format!("{self}: {error}"))?
            }
            Self::StandardInput => {
                let mut text = String::new();
                io::stdin().read_to_string(&mut text)?;
                text
            }
        };
        drop_line_end(&mut text);
        if text.is_empty() {
            return Err(format!("there is no secret in {self}").into());
        }
        Ok(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_its_own_source() {
        let rows = [
            ("-", Some(SecretSource::StandardInput)),
            ("env:KEY", Some(SecretSource::Variable("KEY".to_owned()))),
            ("file:/a:b", Some(SecretSource::File("/a:b".to_owned()))),
            ("sk-secret", None),
            ("sk:secret", None),
            ("env:", None),
            ("file:", None),
            ("", None),
        ];
        for (text, source) in rows {
            let parsed = text.parse::<SecretSource>();
            if let Err(problem) = &parsed {
                assert!(
                    !problem.contains("secret-") && !problem.contains("sk"),
                    "{problem}"
                );
            }
            assert_eq!(parsed.ok(), source, "{text}");
        }
    }
}
