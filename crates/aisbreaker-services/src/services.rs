//! The services that come with this crate.
//!
//! [`standard`] registers them all; each can be registered alone, and services of one's own beside them. Another
//! provider with OpenAI's protocol is another [`OpenAiChat`] under another id.

mod dummy;
mod echo;
mod filter;
mod logging;
mod mirror;
mod network;
mod nop;
mod openai;
mod turn;
mod upstream;

use std::collections::HashMap;

use aisbreaker_api::{Origin, ServiceId};

pub use self::{
    dummy::Dummy,
    echo::Echo,
    logging::Logging,
    mirror::Mirror,
    network::{HOPS_HEADER, MAX_HOPS, Network},
    nop::Nop,
    openai::{DEFAULT_ENGINE, OpenAiChat},
    upstream::SEALED_HEADER,
};
use crate::{egress, registry::Builder, service::Service};

const DUMMY: &str = "chat:dummy";
const ECHO: &str = "chat:echo";
const OPENAI: &str = "chat:openai.com";
const NETWORK: &str = "aisbreaker:network";
const PROXY: &str = "aisbreaker:proxy";
const MIRROR: &str = "aisbreaker:mirror";
const NOP: &str = "aisbreaker:nop";
const LOGGING: &str = "aisbreaker:logging";

/// What an operator may set about the services of [`standard`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The engine of `chat:openai.com` where the caller names none; [`DEFAULT_ENGINE`] by default.
    pub openai_engine: String,
    /// By registered service id: the origins to which sealed secrets for it may go besides those in the key.
    pub operator_origins: HashMap<String, Vec<Origin>>,
}

impl Default for Options {
    fn default() -> Self {
        Self { openai_engine: DEFAULT_ENGINE.to_owned(), operator_origins: HashMap::new() }
    }
}

/// All services that come with this crate, under their ids; calls to providers go through `client`.
///
/// `aisbreaker:proxy` is another name of `aisbreaker:network`, whose operator origins it shares.
#[must_use]
pub fn standard(client: egress::Client, options: Options) -> Builder {
    let Options { openai_engine, mut operator_origins } = options;
    let mut origins = |id: &str| operator_origins.remove(id).unwrap_or_default();
    let openai = OpenAiChat::new(client.clone())
        .with_default_engine(openai_engine)
        .with_operator_origins(origins(OPENAI));
    let network = Network::new(client).with_operator_origins(origins(NETWORK));
    let builder = add(Builder::default(), DUMMY, Dummy);
    let builder = add(builder, ECHO, Echo);
    let builder = add(builder, OPENAI, openai);
    let builder = add(builder, NETWORK, network.clone());
    let builder = add(builder, PROXY, network);
    let builder = add(builder, MIRROR, Mirror);
    let builder = add(builder, NOP, Nop);
    add(builder, LOGGING, Logging)
}

fn add(builder: Builder, id: &str, service: impl Service) -> Builder {
    // The ids above are all valid; a test sees each of them registered.
    match ServiceId::parse(id) {
        Ok(id) => builder.with(&id, service),
        Err(_invalid) => builder,
    }
}
