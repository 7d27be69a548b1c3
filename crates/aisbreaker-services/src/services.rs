//! The services that come with this crate.
//!
//! [`standard`] registers them all; each can be registered alone, and services of one's own beside them. Another
//! provider with OpenAI's or Anthropic's protocol is another row of the provider table.

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
    egress,
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
    /// By registered service id: the engine where the caller names none, instead of that of the provider table.
    pub engines: HashMap<String, String>,
    /// By registered service id: the origins to which sealed secrets for it may go besides those in the key.
    pub operator_origins: HashMap<String, Vec<Origin>>,
    /// The providers, which become chat services.
    pub providers: Providers,
}

/// All services that come with this crate, under their ids; calls to providers go through `client`.
///
/// Every provider of the table is `chat:<its id>`, in OpenAI's dialect if it speaks that, and its other names are other
/// names of the service. `aisbreaker:proxy` is another name of `aisbreaker:network`, whose operator origins it shares.
#[must_use]
pub fn standard(client: egress::Client, options: Options) -> Builder {
    let Options { engines, operator_origins, providers } = options;
    let origins = |id: &str| operator_origins.get(id).cloned().unwrap_or_default();
    let settings = |id: &str| Settings { engine: engines.get(id).cloned(), operator_origins: origins(id) };
    let builder = Builder::default().with_patience(client.timeouts().response);
    let builder = add(builder, DUMMY, Dummy);
    let builder = add(builder, ECHO, Echo);
    let builder = add(builder, MIRROR, Mirror);
    let builder = add(builder, NOP, Nop);
    let mut builder = add(builder, LOGGING, Logging);
    for provider in providers.iter() {
        for name in provider.names() {
            let (id, client) = (format!("{CHAT}{name}"), client.clone());
            builder = match provider.spoken(Dialect::OpenAi) {
                Some(_) => {
                    let chat = OpenAiChat::of(client, provider).with_operator_origins(origins(&id));
                    let chat = match engines.get(&id) {
                        Some(engine) => chat.with_default_engine(engine),
                        None => chat,
                    };
                    add(builder, &id, chat)
                }
                None => add(builder, &id, AnthropicChat::of(client, provider, settings(&id))),
            };
        }
    }
    // The table has it too, for those who pass OpenAI's dialect on.
    for id in names_of(&providers, GEMINI) {
        let settings = settings(&id);
        builder = add(builder, &id, GeminiChat::of_gemini_api(client.clone(), settings));
    }
    let vertex = GeminiChat::of_vertex_ai(client.clone(), settings(VERTEX_GEMINI));
    builder = add(builder, VERTEX_GEMINI, vertex);
    let builder = add(builder, REPLICATE, ReplicateChat::new(client.clone(), settings(REPLICATE)));
    let builder = add(builder, DUMMY_IMAGES, DummyImages);
    let builder = add(builder, OPENAI_IMAGES, OpenAiImages::new(client.clone(), settings(OPENAI_IMAGES)));
    let stability = StabilityImages::new(client.clone(), settings(STABILITY_IMAGES));
    let builder = add(builder, STABILITY_IMAGES, stability);
    let network = Network::new(client).with_operator_origins(origins(NETWORK));
    let builder = add(builder, NETWORK, network.clone());
    add(builder, PROXY, network)
}

/// The ids of the services of [`standard`] that call somebody, and for which an operator may set something.
#[must_use]
pub fn callers(providers: &Providers) -> Vec<String> {
    let chats = providers.iter().flat_map(|provider| provider.names()).map(|name| format!("{CHAT}{name}"));
    let others = names_of(providers, GEMINI).into_iter().filter(|_| providers.find(GEMINI).is_none());
    chats
        .chain(others)
        .chain([VERTEX_GEMINI, REPLICATE, OPENAI_IMAGES, STABILITY_IMAGES, NETWORK].map(str::to_owned))
        .collect()
}

/// The ids of the chat of a provider under all names that the table has for it, and under this one.
fn names_of(providers: &Providers, name: &str) -> Vec<String> {
    let row = providers.find(name);
    let names = row.into_iter().flat_map(|provider| provider.names()).filter(|other| *other != name);
    std::iter::once(name).chain(names).map(|name| format!("{CHAT}{name}")).collect()
}

fn add(builder: Builder, id: &str, service: impl Service) -> Builder {
    // The ids above are all valid; a test sees each of them registered.
    match ServiceId::parse(id) {
        Ok(id) => builder.with(&id, service),
        Err(_invalid) => builder,
    }
}
