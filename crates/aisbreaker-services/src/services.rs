//! The services that come with this crate.
//!
//! [`standard`] registers them all; each can be registered alone, and services of one's own beside
//! them. Another provider with OpenAI's or Anthropic's protocol is another row of the provider
//! table.

mod anthropic;
mod dummy;
mod echo;
mod exchange;
mod filter;
mod gemini;
mod images;
mod logging;
mod mirror;
pub(crate) mod network;
mod nop;
mod openai;
mod replicate;
mod said;
mod told;
mod turn;
pub(crate) mod upstream;

use std::collections::HashMap;

use aisbreaker_api::{Origin, ServiceId};
use aisbreaker_egress as egress;

pub use self::{
    anthropic::AnthropicChat,
    dummy::Dummy,
    echo::Echo,
    exchange::Settings,
    gemini::GeminiChat,
    images::{DummyImages, OpenAiImages, StabilityImages},
    logging::Logging,
    mirror::Mirror,
    network::{HOPS_HEADER, MAX_HOPS, Network},
    nop::Nop,
    openai::OpenAiChat,
    replicate::ReplicateChat,
    upstream::SEALED_HEADER,
};
use crate::{
    providers::{Dialect, Providers},
    registry::Builder,
    service::Service,
};

const DUMMY: &str = "chat:dummy";
const ECHO: &str = "chat:echo";
/// The task of chat services, as ids begin.
const CHAT: &str = "chat:";
const GEMINI: &str = "gemini.google.com";
const VERTEX_GEMINI: &str = "chat:gemini.vertexai.google.com";
const REPLICATE: &str = "chat:replicate.com";
const DUMMY_IMAGES: &str = "text-to-image:dummy";
const OPENAI_IMAGES: &str = "text-to-image:openai.com";
const STABILITY_IMAGES: &str = "text-to-image:stability.ai";
const NETWORK: &str = "aisbreaker:network";
const PROXY: &str = "aisbreaker:proxy";
const MIRROR: &str = "aisbreaker:mirror";
const NOP: &str = "aisbreaker:nop";
const LOGGING: &str = "aisbreaker:logging";

/// What an operator may set about the services of [`standard`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// By registered service id: the engine where the caller names none, instead of that of the
    /// provider table.
    pub engines: HashMap<String, String>,
    /// By registered service id: the origins to which sealed secrets for it may go besides those in
    /// the key.
    pub operator_origins: HashMap<String, Vec<Origin>>,
    /// The providers, which become chat services.
    pub providers: Providers,
}

/// All services that come with this crate, under their ids; calls to providers go through `client`.
///
/// Every provider of the table is `chat:<its id>`, in OpenAI's dialect if it speaks that, and its
/// other names are other names of the service; `gemini.google.com` has a protocol of its own, which
/// is preferred here. `aisbreaker:proxy` is another name of `aisbreaker:network`, whose operator
/// origins it shares.
#[must_use]
#[expect(
    clippy::needless_pass_by_value,
    reason = "options are made to be given away here"
)]
pub fn standard(client: egress::Client, options: Options) -> Builder {
    let builder = Builder::default().with_patience(client.timeouts().response);
    let builder = add(builder, DUMMY, Dummy);
    let builder = add(builder, ECHO, Echo);
    let builder = add(builder, MIRROR, Mirror);
    let builder = add(builder, NOP, Nop);
    let builder = add(builder, LOGGING, Logging);
    let builder = add(builder, DUMMY_IMAGES, DummyImages);
    let builder = with_native(builder, &client, &options);
    let builder = with_table(builder, &client, &options);
    let network = Network::new(client).with_operator_origins(options.origins(NETWORK));
    let builder = add(builder, NETWORK, network.clone());
    add(builder, PROXY, network)
}

/// Adds the services with protocols of their own.
fn with_native(builder: Builder, client: &egress::Client, options: &Options) -> Builder {
    let vertex = GeminiChat::of_vertex_ai(client.clone(), options.settings(VERTEX_GEMINI));
    let builder = add(builder, VERTEX_GEMINI, vertex);
    let replicate = ReplicateChat::new(client.clone(), options.settings(REPLICATE));
    let builder = add(builder, REPLICATE, replicate);
    let openai = OpenAiImages::new(client.clone(), options.settings(OPENAI_IMAGES));
    let builder = add(builder, OPENAI_IMAGES, openai);
    let stability = StabilityImages::new(client.clone(), options.settings(STABILITY_IMAGES));
    add(builder, STABILITY_IMAGES, stability)
}

/// Adds the providers of the table. A row of an operator's own stands before a service with a
/// protocol of its own, but for Gemini, which is in the table for those who pass OpenAI's dialect
/// on.
fn with_table(mut builder: Builder, client: &egress::Client, options: &Options) -> Builder {
    for provider in options.providers.iter() {
        for name in provider.names() {
            let (id, client) = (format!("{CHAT}{name}"), client.clone());
            let Settings {
                engine,
                operator_origins,
            } = options.settings(&id);
            if provider.spoken(Dialect::OpenAi).is_none() {
                let settings = Settings {
                    engine,
                    operator_origins,
                };
                builder = add(builder, &id, AnthropicChat::of(client, provider, settings));
                continue;
            }
            let chat = OpenAiChat::of(client, provider).with_operator_origins(operator_origins);
            let chat = match engine {
                Some(engine) => chat.with_default_engine(engine),
                None => chat,
            };
            builder = add(builder, &id, chat);
        }
    }
    for id in names_of(&options.providers, GEMINI) {
        let chat = GeminiChat::of_gemini_api(client.clone(), options.settings(&id));
        builder = add(builder, &id, chat);
    }
    builder
}

impl Options {
    fn settings(&self, id: &str) -> Settings {
        Settings {
            engine: self.engines.get(id).cloned(),
            operator_origins: self.origins(id),
        }
    }

    fn origins(&self, id: &str) -> Vec<Origin> {
        self.operator_origins.get(id).cloned().unwrap_or_default()
    }
}

/// The ids of the services of [`standard`] that call somebody, and for which an operator may set
/// something.
#[must_use]
pub fn callers(providers: &Providers) -> Vec<String> {
    let chats = providers
        .iter()
        .flat_map(|provider| provider.names())
        .map(|name| format!("{CHAT}{name}"));
    let others = names_of(providers, GEMINI)
        .into_iter()
        .filter(|_| providers.find(GEMINI).is_none());
    chats
        .chain(others)
        .chain(
            [
                VERTEX_GEMINI,
                REPLICATE,
                OPENAI_IMAGES,
                STABILITY_IMAGES,
                NETWORK,
            ]
            .map(str::to_owned),
        )
        .collect()
}

/// The ids of the chat of a provider under all names that the table has for it, and under this one.
fn names_of(providers: &Providers, name: &str) -> Vec<String> {
    let row = providers.find(name);
    let names = row
        .into_iter()
        .flat_map(|provider| provider.names())
        .filter(|other| *other != name);
    std::iter::once(name)
        .chain(names)
        .map(|name| format!("{CHAT}{name}"))
        .collect()
}

fn add(builder: Builder, id: &str, service: impl Service) -> Builder {
    // The ids above are all valid; a test sees each of them registered.
    match ServiceId::parse(id) {
        Ok(id) => builder.with(&id, service),
        Err(_invalid) => builder,
    }
}
