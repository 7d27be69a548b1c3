//! Where the public key of a server is read from. It is not a secret, but sealing with another one
//! gives away what is sealed.

use std::{error::Error, fs};

use aisbreaker_token::SealingPublicKey;
use clap::{Arg, ArgMatches};

use super::target;

/// Returns the arguments.
pub(crate) fn args() -> [Arg; 3] {
    [
        Arg::new("jwks")
            .long("jwks")
            .value_name("URL|FILE")
            .required_unless_present("public-key")
            .help("Key set of the server: https://HOST/.well-known/jwks.json, or a file with it"),
        Arg::new("public-key")
            .long("public-key")
            .value_name("JWK|FILE")
            .conflicts_with("jwks")
            .help("Public key of the server as a JWK, or a file with what public-key prints"),
        Arg::new("thumbprint")
            .long("thumbprint")
            .value_name("TEXT")
            .help("Thumbprint that the public key must have (RFC 7638), as public-key prints it"),
    ]
}

/// Reads the public key.
///
/// # Errors
/// A source that cannot be read or holds no public key, and one with another thumbprint.
pub(crate) fn read(arguments: &ArgMatches) -> Result<SealingPublicKey, Box<dyn Error>> {
    let thumbprint = arguments.get_one::<String>("thumbprint");
    let key = match arguments.get_one::<String>("jwks") {
        Some(source) => {
            if source.starts_with("http://") && thumbprint.is_none() {
                warn_about_plain_http();
            }
            SealingPublicKey::from_jwk_set(&key_set(source)?)?
        }
        None => {
            let text = arguments.get_one::<String>("public-key");
            public_key(text.ok_or("no public key")?)?
        }
    };
    match thumbprint {
        Some(expected) if *expected != key.thumbprint() => {
            let problem = format!("the public key has the thumbprint {}", key.thumbprint());
            Err(format!("{problem}, not that of --thumbprint").into())
        }
        Some(_) | None => Ok(key),
    }
}

fn key_set(source: &str) -> Result<String, Box<dyn Error>> {
    if source.starts_with("https://") || source.starts_with("http://") {
        target::get(source).map_err(|error| format!("--jwks: {error}").into())
    } else {
        read_file(source)
    }
}

fn public_key(text: &str) -> Result<SealingPublicKey, Box<dyn Error>> {
    if text.trim_start().starts_with('{') {
        return Ok(SealingPublicKey::from_jwk(text)?);
    }
    let file = read_file(text)?;
    // The thumbprint follows in the output of `public-key`.
    let first_line = file.lines().next().unwrap_or_default();
    let key = SealingPublicKey::from_jwk(&file);
    Ok(key.or_else(|_error| SealingPublicKey::from_jwk(first_line))?)
}

fn read_file(path: &str) -> Result<String, Box<dyn Error>> {
    fs::read_to_string(path).map_err(|error| format!("the file {path}: {error}").into())
}

#[expect(clippy::print_stderr, reason = "standard output is for the key alone")]
fn warn_about_plain_http() {
    eprintln!(
        "warning: over http, anyone on the way can put another public key in place of the \
         server's, and read what is sealed: use https, or compare it with --thumbprint"
    );
}
