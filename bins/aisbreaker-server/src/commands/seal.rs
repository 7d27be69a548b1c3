//! `seal`: seals a key offline, with the public key of a server alone.
//!
//! No server sees the secrets until the key is used: neither the one that mints nor a proxy before
//! it.

use std::{error::Error, time::Duration};

use aisbreaker_gateway::{Clock as _, SystemClock};
use aisbreaker_token::{
    Grant, Host, KeyRing, OfflinePayload, Opened, PREFIX, SealedKey, SealingPublicKey, ServerKey,
    ValidityPeriod,
};
use clap::{Arg, ArgMatches, Command};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::{Outcome, key_options, mint, public_key_source, target::Target};
use crate::settings::{self, Flags, Settings};

const EXAMPLE: &str = "Example:\n  aisbreaker-server seal --jwks \
                       https://ai.example.com/.well-known/jwks.json --host ai.example.com --service \
                       chat:openai.com=env:OPENAI_API_KEY --expires 30d\n\nA server that mints only \
                       for those who know its secret opens the key only with that secret in it: set \
                       AISBREAKER_MINT_SECRET.";

pub(crate) fn command() -> Command {
    Command::new("seal")
        .about("Seals a key with the public key of a server, and prints it")
        .after_help(EXAMPLE)
        .args(public_key_source::args())
        .arg(
            Arg::new("host")
                .long("host")
                .value_name("NAME")
                .required(true)
                .help("Host name that the key is bound to"),
        )
        .args(mint::grant_args())
        .args(key_options::args())
}

pub(crate) fn run(flags: Flags, arguments: &ArgMatches) -> Outcome {
    let public_key = public_key_source::read(arguments)?;
    let host = arguments.get_one::<String>("host").ok_or("no host")?;
    let host = Host::parse(host).map_err(|error| format!("--host is {error}"))?;
    let settings = settings::load(flags, std::env::vars_os())?;
    let client_secret = settings.gateway.minting.secret.clone();

    let (mut answer, draft) = draft(settings, &host, arguments)?;
    let sealed = seal(&public_key, &host, &draft, client_secret.as_ref())?;
    answer["access_token"] = json!(sealed.expose());
    answer["keyId"] = json!(sealed.id());
    key_options::print(&answer, arguments)
}

/// Mints the key with a server key that nobody keeps, and opens it: what is to be sealed has passed
/// the checks of minting then. Returns the answer too, with its warnings.
fn draft(
    mut settings: Settings,
    host: &Host,
    arguments: &ArgMatches,
) -> Result<(Value, Opened<Grant>), Box<dyn Error>> {
    let server_key = ServerKey::generate()?;
    let text = server_key
        .expose_text()
        .ok_or("a generated key has a text")?;
    let ring = KeyRing::new(server_key);
    settings.gateway.keys = KeyRing::new(ServerKey::parse(text.expose_secret())?);
    settings.has_random_key = false;
    // The server that takes the key knows what it keeps.
    settings.gateway.long_budgets = true;
    let target = Target::local(settings, host)?;
    let answer = mint::mint(&target, arguments)?;
    let key = answer["access_token"].as_str().unwrap_or(PREFIX);
    let lifetime = answer["expires_in"].as_u64().unwrap_or_default();
    // At its last second, since it may be valid from later on only.
    let until_last = Duration::from_secs(lifetime.saturating_sub(1));
    let opened = ring.open_grant(key, host, SystemClock::new().wall() + until_last)?;
    Ok((answer, opened))
}

fn seal(
    public_key: &SealingPublicKey,
    host: &Host,
    draft: &Opened<Grant>,
    client_secret: Option<&SecretString>,
) -> Result<SealedKey, Box<dyn Error>> {
    let issued_at = draft.issued_at().ok_or("a minted key has a date")?;
    let lifetime = draft.expires_at().duration_since(issued_at)?;
    let mut period = ValidityPeriod::new(issued_at, lifetime);
    if let Some(not_before) = draft.not_before() {
        period = period.with_not_before(not_before);
    }
    let mut payload = OfflinePayload::new(draft.payload());
    if let Some(secret) = client_secret {
        payload = payload.with_client_secret(secret);
    }
    Ok(public_key.seal(&payload, host, period)?)
}
