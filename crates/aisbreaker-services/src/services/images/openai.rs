//! `text-to-image:openai.com`.
//!
//! Source: the API reference of `POST /v1/images/generations`.

use aisbreaker_api::{Output, OutputImage};
use aisbreaker_egress::{Client, Outgoing};
use serde_json::{Map, Value};

use super::{
    super::{
        choose_engine::{choose_engine, reached_engine},
        conversation::Conversation,
        http_exchange::ProviderRequest,
        provider_error::parse_object,
        reply::{PendingReply, ProviderReply},
        settings::ServiceSettings,
    },
    prompt,
};
use crate::{
    destination::Destination,
    endpoint::{Endpoint, PathJoin, SecretNeed},
    error::ServiceError,
    providers::AuthScheme,
    service::{Call, Reached, Reply, ReplyFuture, ReplyKind, Service, Target},
    upstream::headers,
    usage::Tokens,
};

const DEFAULT_URL: &str = "https://api.openai.com";
const DEFAULT_PATH: &str = "/v1/images/generations";
const DEFAULT_ENGINE: &str = "gpt-image-1";
/// The most images of an answer.
const MAX_IMAGES: usize = 128;

/// A service that makes images with the protocol of OpenAI's image generation.
///
/// The provider gets the prompt, the model, and the request's `internOptions`. The model is the
/// engine of the service id, else `internOptions.model`, else that of the settings, else
/// `gpt-image-1`.
#[derive(Clone, Debug)]
pub struct OpenAiImages {
    client: Client,
    settings: ServiceSettings,
}

impl OpenAiImages {
    /// Creates the service.
    #[must_use]
    pub fn new(client: Client, settings: ServiceSettings) -> Self {
        Self { client, settings }
    }

    fn default_engine(&self) -> &str {
        self.settings.engine.as_deref().unwrap_or(DEFAULT_ENGINE)
    }

    async fn generate(&self, mut call: Call) -> Result<Reply, ServiceError> {
        let endpoint = Endpoint {
            default_url: Some(DEFAULT_URL),
            default_path: DEFAULT_PATH,
            path_join: PathJoin::Overlap,
            operator_origins: &self.settings.operator_origins,
            secret: SecretNeed::Required,
        };
        let destination = Destination::choose(&endpoint, &call)?;
        let conversation = Conversation::start(&call.service_id, &mut call.request)?;
        let prompt = prompt(&call.service_id, &conversation)?;
        let model = choose_engine(&call, Some(self.default_engine()))?;
        let reply_kind = call.reply_kind();
        let headers = headers::json_request(&destination, AuthScheme::Bearer, ReplyKind::Final)?;
        let body = body(prompt, &model, call.request.intern_options);
        let observer = call.trace.call(&call.service_id, Some(&model));
        let pending = PendingReply::new(conversation, model, &destination.url, call.tokens);
        let request = ProviderRequest {
            client: &self.client,
            service_id: &call.service_id,
            destination,
            outgoing: Outgoing::post(headers, body)
                .with_budget(call.budget)
                .with_observer(observer),
            reply_kind,
            calls: call.provider_calls,
        };
        request
            .exchange_whole(move |body| Ok(pending.finish_without_state(read(body)?)))
            .await
    }
}

impl Service for OpenAiImages {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(self.generate(call))
    }

    fn reached(&self, target: &Target<'_>) -> Result<Reached, ServiceError> {
        reached_engine(target, Some(self.default_engine()))
    }
}

/// Returns the body: the options, and over them the prompt and the model. Partial images are not
/// requested.
fn body(prompt: String, model: &str, options: Map<String, Value>) -> String {
    let mut body = options;
    body.remove("stream");
    body.remove("partial_images");
    body.insert("prompt".to_owned(), prompt.into());
    body.insert("model".to_owned(), model.into());
    Value::Object(body).to_string()
}

fn read(body: &[u8]) -> Result<ProviderReply, ServiceError> {
    let mut answer = parse_object(body)?;
    let images = match answer.get_mut("data") {
        Some(Value::Array(images)) if !images.is_empty() => images,
        _ => return Err(bad("has no pictures")),
    };
    if images.len() > MAX_IMAGES {
        return Err(bad("has too many pictures"));
    }
    let mut outputs = Vec::new();
    for (index, image) in (0..).zip(images) {
        let Some(output) = output(index, image) else {
            return Err(bad("has a picture without b64_json and url"));
        };
        outputs.push(Output::Image(output));
    }
    let usage = answer.get("usage");
    let count = |name: &str| usage?.get(name)?.as_u64();
    Ok(ProviderReply {
        outputs,
        model: None,
        tokens: Tokens {
            input: count("input_tokens"),
            output: count("output_tokens"),
            ..Tokens::default()
        },
        total_tokens: count("total_tokens"),
        json: Some(Value::Object(answer).into()),
    })
}

/// Returns one image. Its base64 is taken out of the provider's JSON, so that it is not sent twice.
fn output(index: u32, image: &mut Value) -> Option<OutputImage> {
    let members = image.as_object_mut()?;
    if let Some(Value::String(base64)) = members.remove("b64_json") {
        return Some(OutputImage::base64(index, base64));
    }
    let url = members.get("url")?.as_str()?;
    Some(OutputImage::url(index, url))
}

fn bad(problem: &str) -> ServiceError {
    ServiceError::BadAnswer(format!("the provider's answer {problem}").into())
}
