//! `text-to-image:openai.com`.
//!
//! Source: the API reference of `POST /v1/images/generations`.

use aisbreaker_api::{Output, OutputImage};
use aisbreaker_egress::{Client, Outgoing};
use serde_json::{Map, Value};

use super::{
    super::{
        exchange::Settings,
        told::{Pending, Told, object},
        turn::{self, Turn},
        upstream,
    },
    Ready, paint, prompt,
};
use crate::{
    destination::{Destination, Endpoint, SecretNeed},
    error::ServiceError,
    providers::AuthScheme,
    service::{Call, Reply, ReplyFuture, Service},
    usage::Tokens,
};

const NAME: &str = "OpenaiComTextToImageService";
const DEFAULT_URL: &str = "https://api.openai.com";
const DEFAULT_PATH: &str = "/v1/images/generations";
const DEFAULT_ENGINE: &str = "gpt-image-1";
/// How many pictures of an answer are read.
const MAX_IMAGES: usize = 128;

/// A service that makes pictures with the protocol of OpenAI's image generation.
///
/// The provider gets the prompt, the model, and what the request's `internOptions` hold. The model
/// is the engine of the service id, else `internOptions.model`, else that of the settings, else
/// `gpt-image-1`.
#[derive(Clone, Debug)]
pub struct OpenAiImages {
    client: Client,
    settings: Settings,
}

impl OpenAiImages {
    /// The service, with what the operator set.
    #[must_use]
    pub fn new(client: Client, settings: Settings) -> Self {
        Self { client, settings }
    }

    async fn answer(&self, mut call: Call) -> Result<Reply, ServiceError> {
        let endpoint = Endpoint {
            default_url: Some(DEFAULT_URL),
            default_path: DEFAULT_PATH,
            operator_origins: &self.settings.operator_origins,
            is_continued: true,
            secret: SecretNeed::Required,
        };
        let destination = Destination::choose(&endpoint, &call)?;
        let turn = Turn::begin(&call.service_id, &mut call.request)?;
        let prompt = prompt(&call.service_id, &turn)?;
        let model = turn::engine(
            &call,
            Some(self.settings.engine.as_deref().unwrap_or(DEFAULT_ENGINE)),
        )?;
        let stream = call.request.stream;
        let headers = upstream::headers(&destination, AuthScheme::Bearer, false)?;
        let body = body(prompt, &model, call.request.intern_options);
        let pending = Pending::new(turn, model, &destination.url);
        let outgoing = Outgoing::post(headers, body).with_budget(call.budget);
        let ready = Ready {
            destination,
            outgoing,
            pending,
            stream,
        };
        paint(NAME, &call.service_id, self.client.clone(), ready, read).await
    }
}

impl Service for OpenAiImages {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(self.answer(call))
    }
}

/// The body of the request: what `options` holds, and over it the prompt and the model. Pictures
/// that are not finished are not asked for.
fn body(prompt: String, model: &str, options: Map<String, Value>) -> String {
    let mut body = options;
    body.remove("stream");
    body.remove("partial_images");
    body.insert("prompt".to_owned(), Value::String(prompt));
    body.insert("model".to_owned(), Value::from(model));
    Value::Object(body).to_string()
}

fn read(body: &[u8]) -> Result<Told, ServiceError> {
    let mut answer = object(body)?;
    let bad = |problem: &str| ServiceError::BadAnswer(format!("the provider's answer {problem}"));
    let images = answer
        .get_mut("data")
        .and_then(Value::as_array_mut)
        .filter(|images| !images.is_empty());
    let images = images.ok_or_else(|| bad("has no pictures"))?;
    if images.len() > MAX_IMAGES {
        return Err(bad("has too many pictures"));
    }
    let mut outputs = Vec::new();
    for (index, image) in (0..).zip(images) {
        let output = take(image, "b64_json").map(|base64| OutputImage::base64(index, base64));
        let output = output.or_else(|| Some(OutputImage::url(index, image.get("url")?.as_str()?)));
        outputs.push(Output::Image(
            output.ok_or_else(|| bad("has a picture without b64_json and url"))?,
        ));
    }
    let count = |name: &str| {
        answer
            .get("usage")
            .and_then(|usage| usage.get(name)?.as_u64())
    };
    let tokens = Tokens {
        input: count("input_tokens"),
        output: count("output_tokens"),
        ..Tokens::default()
    };
    let total = count("total_tokens");
    Ok(Told {
        outputs,
        tokens,
        total,
        whole: Some(Value::Object(answer)),
        ..Told::default()
    })
}

/// Takes a picture out of what the provider told, so that it is not sent twice.
fn take(image: &mut Value, name: &str) -> Option<String> {
    match image.as_object_mut()?.remove(name)? {
        Value::String(base64) => Some(base64),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}
