//! `text-to-image:stability.ai`.
//!
//! Source: the API reference of `POST /v2beta/stable-image/generate/…`; forms are those of RFC
//! 7578.

use aisbreaker_api::{ErrorObject, Output, OutputImage};
use aisbreaker_egress::{Client, Outgoing};
use http::{HeaderValue, StatusCode, header};
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
};

const NAME: &str = "StabilityAiTextToImageService";
const DEFAULT_URL: &str = "https://api.stability.ai";
const PATH: &str = "/v2beta/stable-image/generate/";
const DEFAULT_ENGINE: &str = "core";
/// The engine that has models of its own, whose names begin so.
const SD3: &str = "sd3";
/// What the provider says of a picture that it hands out.
const SUCCESS: &str = "SUCCESS";

/// A service that makes pictures with the protocol of Stability AI's `stable-image`.
///
/// The provider gets the prompt and what the request's `internOptions` hold, as fields of a form.
/// The engine is that of the service id, else that of the settings, else `core`; an engine such as
/// `sd3.5-large` is that model of `sd3`.
#[derive(Clone, Debug)]
pub struct StabilityImages {
    client: Client,
    settings: Settings,
}

impl StabilityImages {
    /// The service, with what the operator set.
    #[must_use]
    pub fn new(client: Client, settings: Settings) -> Self {
        Self { client, settings }
    }

    async fn answer(&self, mut call: Call) -> Result<Reply, ServiceError> {
        let default_engine = self.settings.engine.as_deref().unwrap_or(DEFAULT_ENGINE);
        let engine = call
            .service_id
            .engine()
            .unwrap_or(default_engine)
            .to_owned();
        let destination = self.destination(&call, &engine)?;
        let turn = Turn::begin(&call.service_id, &mut call.request)?;
        let mut fields = std::mem::take(&mut call.request.intern_options);
        if engine.starts_with(SD3) && engine != SD3 {
            fields.insert("model".to_owned(), Value::from(&*engine));
        }
        fields.insert(
            "prompt".to_owned(),
            Value::String(prompt(&call.service_id, &turn)?),
        );
        let (content_type, body) = form(&texts(fields)?)?;
        let stream = call.request.stream;
        let mut headers = upstream::headers(&destination, AuthScheme::Bearer, false)?;
        headers.insert(header::CONTENT_TYPE, content_type);
        let pending = Pending::new(turn, engine, &destination.url);
        let outgoing = Outgoing::post(headers, body).with_budget(call.budget);
        let ready = Ready {
            destination,
            outgoing,
            pending,
            stream,
        };
        paint(NAME, &call.service_id, self.client.clone(), ready, read).await
    }

    fn destination(&self, call: &Call, engine: &str) -> Result<Destination, ServiceError> {
        let id = turn::with_engine(&call.service_id, engine)?;
        let last = if engine.starts_with(SD3) {
            SD3
        } else {
            "${engine}"
        };
        let endpoint = Endpoint {
            default_url: Some(DEFAULT_URL),
            default_path: &format!("{PATH}{last}"),
            operator_origins: &self.settings.operator_origins,
            is_continued: true,
            secret: SecretNeed::Required,
        };
        Destination::choose_as(&endpoint, call, &id)
    }
}

impl Service for StabilityImages {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(self.answer(call))
    }
}

/// The fields as texts; those that are null are left out.
fn texts(fields: Map<String, Value>) -> Result<Vec<(String, String)>, ServiceError> {
    let mut texts = Vec::new();
    for (name, value) in fields {
        match value {
            Value::Null => {}
            Value::String(text) => texts.push((name, text)),
            Value::Bool(_) | Value::Number(_) => texts.push((name, value.to_string())),
            Value::Array(_) | Value::Object(_) => {
                let text = "must hold texts, numbers and truth values only: they are sent as fields of a form";
                return Err(ServiceError::BadRequest(format!(
                    "request.internOptions {text}"
                )));
            }
        }
    }
    Ok(texts)
}

/// A form with these fields, and its media type.
fn form(fields: &[(String, String)]) -> Result<(HeaderValue, String), ServiceError> {
    let is_free = |boundary: &String| !fields.iter().any(|(_, text)| text.contains(boundary));
    let boundary = (0_u64..)
        .map(|number| format!("aisbreaker-form-{number}"))
        .find(is_free);
    let boundary = boundary.unwrap_or_default();
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
    let content_type = HeaderValue::try_from(format!("multipart/form-data; boundary={boundary}"));
    let content_type = content_type.map_err(|error| ServiceError::Internal(error.to_string()))?;
    Ok((content_type, body))
}

fn read(body: &[u8]) -> Result<Told, ServiceError> {
    let mut answer = object(body)?;
    let reason = answer
        .get("finish_reason")
        .and_then(Value::as_str)
        .unwrap_or(SUCCESS);
    if reason != SUCCESS {
        return Err(filtered(reason));
    }
    let Some(Value::String(image)) = answer.remove("image") else {
        return Err(ServiceError::BadAnswer(
            "the provider's answer has no picture".to_owned(),
        ));
    };
    let outputs = vec![Output::Image(OutputImage::base64(0, image))];
    Ok(Told {
        outputs,
        whole: Some(Value::Object(answer)),
        ..Told::default()
    })
}

/// The error of a picture that the provider does not hand out.
fn filtered(cause: &str) -> ServiceError {
    let status = StatusCode::BAD_REQUEST;
    let text = format!("the provider withholds the picture ({cause}); change the prompt");
    let mut error = ErrorObject::new(status.as_u16(), upstream::reason(status), text);
    error.kind = Some(cause.to_owned());
    ServiceError::Provider {
        error: Box::new(error),
        retry_after: None,
    }
}
