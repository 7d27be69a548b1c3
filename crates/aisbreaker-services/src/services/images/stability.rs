//! `text-to-image:stability.ai`.
//!
//! Source: the API reference of `POST /v2beta/stable-image/generate/…`. Forms follow RFC 7578.

use aisbreaker_api::{Output, OutputImage, ServiceId};
use aisbreaker_egress::{Client, Outgoing};
use http::{HeaderValue, header};
use serde_json::{Map, Value};

use super::{
    super::{
        choose_engine::{id_with_engine, with_engine},
        conversation::Conversation,
        http_exchange::ProviderRequest,
        provider_error::{of_withheld_answer, parse_object},
        reply::{PendingReply, ProviderReply},
        settings::ServiceSettings,
    },
    prompt,
};
use crate::{
    destination::Destination,
    endpoint::{Endpoint, PathJoin, SecretNeed},
    error::{ErrorDetail, ServiceError},
    providers::AuthScheme,
    service::{Call, Reached, Reply, ReplyFuture, ReplyKind, Service, Target, parse_id},
    upstream::headers,
};

const DEFAULT_URL: &str = "https://api.stability.ai";
const PATH: &str = "/v2beta/stable-image/generate/";
const DEFAULT_ENGINE: &str = "core";
/// The engine with models of its own, whose names begin with it.
const SD3: &str = "sd3";
/// The `finish_reason` of an image that the provider returns.
const SUCCESS: &str = "SUCCESS";

/// A service that makes images with the protocol of Stability AI's `stable-image`.
///
/// The provider gets the prompt and the request's `internOptions` as fields of a form. The engine
/// is that of the service id, else that of the settings, else `core`; an engine such as
/// `sd3.5-large` is that model of `sd3`.
#[derive(Clone, Debug)]
pub struct StabilityImages {
    client: Client,
    settings: ServiceSettings,
}

impl StabilityImages {
    /// Creates the service.
    #[must_use]
    pub fn new(client: Client, settings: ServiceSettings) -> Self {
        Self { client, settings }
    }

    async fn generate(&self, mut call: Call) -> Result<Reply, ServiceError> {
        let engine = self.engine(&call.service_id).to_owned();
        let destination = self.destination(&call, &engine)?;
        let conversation = Conversation::start(&call.service_id, &mut call.request)?;
        let reply_kind = call.reply_kind();
        let mut fields = call.request.intern_options;
        if engine.starts_with(SD3) && engine != SD3 {
            fields.insert("model".to_owned(), engine.as_str().into());
        }
        let prompt = prompt(&call.service_id, &conversation)?;
        fields.insert("prompt".to_owned(), prompt.into());
        let (content_type, body) = form(&field_texts(fields)?)?;
        let mut headers =
            headers::json_request(&destination, AuthScheme::Bearer, ReplyKind::Final)?;
        headers.insert(header::CONTENT_TYPE, content_type);
        let observer = call.trace.call(&call.service_id, Some(&engine));
        let pending = PendingReply::new(conversation, engine, &destination.url, call.tokens);
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

    fn engine<'a>(&'a self, id: &'a ServiceId) -> &'a str {
        match (id.engine(), &self.settings.engine) {
            (Some(engine), _) => engine,
            (None, Some(default)) => default,
            (None, None) => DEFAULT_ENGINE,
        }
    }

    fn destination(&self, call: &Call, engine: &str) -> Result<Destination, ServiceError> {
        let id = with_engine(&call.service_id, engine)?;
        let last_segment = if engine.starts_with(SD3) {
            SD3
        } else {
            "${engine}"
        };
        let endpoint = Endpoint {
            default_url: Some(DEFAULT_URL),
            default_path: &format!("{PATH}{last_segment}"),
            path_join: PathJoin::Overlap,
            operator_origins: &self.settings.operator_origins,
            secret: SecretNeed::Required,
        };
        Destination::choose_for_id(&endpoint, call, &id)
    }
}

impl Service for StabilityImages {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(self.generate(call))
    }

    fn reached(&self, target: &Target<'_>) -> Result<Reached, ServiceError> {
        let id = target.service_id;
        let engine = self.engine(id);
        let id = match target.request.intern_options.get("model") {
            None | Some(Value::Null) => id_with_engine(id, engine)?,
            // Of this engine, the option chooses the model.
            Some(Value::String(model)) if engine == SD3 => {
                let service = [id.task(), ":", id.vendor().unwrap_or_default()].concat();
                id_with_engine(&parse_id(&service)?, model)?
            }
            Some(_) if engine == SD3 => {
                let text = "request.internOptions.model must be a string";
                return Err(ServiceError::BadRequest(text.into()));
            }
            Some(_) => id_with_engine(id, engine)?,
        };
        Ok(Reached::Service(id))
    }
}

/// Returns the fields as texts; those that are null are left out.
fn field_texts(fields: Map<String, Value>) -> Result<Vec<(String, String)>, ServiceError> {
    let mut texts = Vec::new();
    for (name, value) in fields {
        match value {
            Value::Null => {}
            Value::String(text) => texts.push((name, text)),
            Value::Bool(_) | Value::Number(_) => texts.push((name, value.to_string())),
            Value::Array(_) | Value::Object(_) => {
                let text = "request.internOptions must hold texts, numbers and truth values only: \
                            they are sent as fields of a form";
                return Err(ServiceError::BadRequest(text.into()));
            }
        }
    }
    Ok(texts)
}

/// Returns the media type of a form with these fields, and the form.
fn form(fields: &[(String, String)]) -> Result<(HeaderValue, String), ServiceError> {
    let boundary = unused_boundary(fields);
    let mut body = String::new();
    for (name, text) in fields {
        let name = name
            .replace('"', "%22")
            .replace('\r', "%0D")
            .replace('\n', "%0A");
        let head =
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        body.extend([&*head, text, "\r\n"]);
    }
    body.extend(["--", &*boundary, "--\r\n"]);
    let media_type = format!("multipart/form-data; boundary={boundary}");
    match HeaderValue::try_from(media_type) {
        Ok(media_type) => Ok((media_type, body)),
        Err(invalid) => Err(ServiceError::Internal(ErrorDetail::from_source(invalid))),
    }
}

/// Returns the first boundary that occurs in no field.
fn unused_boundary(fields: &[(String, String)]) -> String {
    let is_unused = |boundary: &String| !fields.iter().any(|(_, text)| text.contains(boundary));
    (0_u64..)
        .map(|number| format!("aisbreaker-form-{number}"))
        .find(is_unused)
        .unwrap_or_default()
}

fn read(body: &[u8]) -> Result<ProviderReply, ServiceError> {
    let mut answer = parse_object(body)?;
    let reason = answer.get("finish_reason").and_then(Value::as_str);
    match reason {
        None | Some(SUCCESS) => {}
        Some(cause) => {
            let message =
                format!("the provider withholds the picture ({cause}); change the prompt");
            return Err(of_withheld_answer(cause, message));
        }
    }
    let Some(Value::String(image)) = answer.remove("image") else {
        return Err(ServiceError::BadAnswer(
            "the provider's answer has no picture".into(),
        ));
    };
    Ok(ProviderReply {
        outputs: vec![Output::Image(OutputImage::base64(0, image))],
        json: Some(Value::Object(answer).into()),
        ..ProviderReply::default()
    })
}
