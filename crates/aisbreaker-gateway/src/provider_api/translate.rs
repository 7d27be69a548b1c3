//! Requests to providers that speak the other dialect than their client, and what they answer.
//!
//! A request is translated as a whole, and so is an answer that is no stream. `response::translated`
//! translates streams.

use std::{collections::BTreeMap, sync::Arc};

use aisbreaker_egress::Payload;
use aisbreaker_services::{CallInProgress, Dialect, ServiceError, StreamKind, Tokens, UsageRule};
use aisbreaker_translate::Untranslatable;
use bytes::Bytes;
use http::{HeaderValue, Response, header::ACCESS_CONTROL_EXPOSE_HEADERS, response};
use memchr::memmem;
use serde_json::value::RawValue;

use super::{
    ProviderApi,
    error::ProviderApiError,
    headers::{self, dialects},
    provider_body::{ReadAnswer, read_answer, read_error},
    provider_response::{forgotten_dialect, is_error, note_answer},
    proxied_request::ProxiedRequest,
    resolve::ResolvedService,
};
use crate::{
    budgets::hold::{BudgetHold, Outcome},
    request::body::run_on_content,
    response::{
        ResponseBody,
        translated::{TranslatedBody, TranslationOptions},
        write_stream_headers,
    },
    telemetry::access_log::AccessLog,
    translation::{Answers, translate_request},
};

/// The member with which a request asks for the usage of a stream.
const STREAM_OPTIONS: &str = "stream_options";
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");

/// A request in the dialect of the service that is called.
pub(super) struct Translation {
    body: Bytes,
    pub(super) answers: Answers,
}

/// The answer to a translated request.
pub(super) struct TranslatedAnswer<'a> {
    pub(super) service: &'a ResolvedService,
    pub(super) answers: Answers,
    pub(super) parts: response::Parts,
    pub(super) body: aisbreaker_egress::Body,
    pub(super) call: CallInProgress,
}

impl Translation {
    pub(super) fn payload(&self) -> Payload {
        self.body.clone().into()
    }
}

impl ProxiedRequest<'_> {
    /// Translates the request for a service that speaks the other dialect.
    pub(super) async fn translate(
        &self,
        service: &ResolvedService,
    ) -> Result<Translation, ProviderApiError> {
        let own = self.model.as_ref().map(|model| &model.name);
        let Some(model) = service.engine.as_ref().or(own).cloned() else {
            return Err(Untranslatable::new("model", "is missing").into());
        };
        let mut hold = self.memory.empty_hold();
        // As long as the original, until its length is known.
        hold.resize(self.body.len()).map_err(ServiceError::from)?;
        let dialect = self.dialect;
        let asks_for_usage = service.provider.stream_usage;
        let translate = move |body: &Bytes| {
            let mut translated = translate_request(body, &model, dialect)?;
            if !asks_for_usage {
                remove_stream_options(&mut translated.body);
            }
            Ok::<_, Untranslatable>(translated)
        };
        let translated = run_on_content(self.body.clone(), translate).await??;
        Ok(Translation {
            body: hold.attach(translated.body.into())?,
            answers: translated.answers,
        })
    }
}

impl ProviderApi {
    /// Creates the response in the dialect of the client. What is reserved is settled for an answer
    /// that is no stream.
    pub(super) async fn respond_translated(
        &self,
        answer: TranslatedAnswer<'_>,
        (request, log): (&ProxiedRequest<'_>, &mut AccessLog),
        hold: Option<&mut BudgetHold>,
    ) -> Result<Response<ResponseBody>, ProviderApiError> {
        let TranslatedAnswer {
            service,
            answers,
            parts,
            body,
            mut call,
        } = answer;
        let Some(config) = service.provider.dialect(service.dialect) else {
            return Err(forgotten_dialect().into());
        };
        note_answer(&parts, log);
        if is_error(parts.status) {
            let text = read_error(body).await;
            call.complete();
            let text = answers.translate_error(parts.status.as_u16(), &text);
            return Ok(whole_response(parts, text, request)?);
        }
        let read = match read_answer(answers.is_stream(), &parts, body).await {
            Ok(read) => read,
            Err(error) => {
                call.fail(&error);
                settle(hold, Outcome::Cut(Tokens::default()), log);
                return Err(error.into());
            }
        };
        let (whole, _reservation) = match read {
            ReadAnswer::Events(start, body) => {
                let options = TranslationOptions {
                    events: answers.events(),
                    dialect: request.dialect,
                    kind: stream_kind(service.dialect),
                    usage: Arc::clone(&config.usage),
                    keep_alive: self.keep_alive,
                    request_id: log.request_id().clone(),
                };
                let memory = (Arc::clone(&request.memory), call);
                let body = TranslatedBody::new((start, *body), options, memory);
                let body = ResponseBody::translated(body);
                let mut response = response(parts, (body, EVENT_STREAM), request.dialect);
                write_stream_headers(response.headers_mut());
                return Ok(response);
            }
            ReadAnswer::Whole(whole, reservation) => (whole, reservation),
        };
        call.complete();
        let tokens = tokens(&config.usage, &whole);
        log.set_tokens(tokens);
        settle(hold, Outcome::Answered(tokens), log);
        let translate = move |whole: &Bytes| answers.translate_response(whole);
        let text = run_on_content(whole, translate).await?;
        let text = text.map_err(|error| ServiceError::BadAnswer(error.to_string().into()))?;
        Ok(whole_response(parts, text, request)?)
    }
}

/// Removes `stream_options` from a translated request, for a provider that may refuse what it does
/// not know.
fn remove_stream_options(body: &mut Vec<u8>) {
    if memmem::find(body, STREAM_OPTIONS.as_bytes()).is_none() {
        return;
    }
    // Read as it is written here: the translation writes each member once.
    let Ok(mut members) = serde_json::from_slice::<BTreeMap<String, &RawValue>>(body) else {
        return;
    };
    members.remove(STREAM_OPTIONS);
    if let Ok(without) = serde_json::to_vec(&members) {
        *body = without;
    }
}

/// Creates a response whose body is complete, and held of the memory of the client.
fn whole_response(
    parts: response::Parts,
    text: Vec<u8>,
    request: &ProxiedRequest<'_>,
) -> Result<Response<ResponseBody>, ServiceError> {
    let mut body = ResponseBody::full(text.into());
    body.hold(request.memory.empty_hold())?;
    Ok(response(parts, (body, JSON), request.dialect))
}

fn response(
    parts: response::Parts,
    (body, content_type): (ResponseBody, HeaderValue),
    of_client: Dialect,
) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    *response.status_mut() = parts.status;
    let mut fields = headers::for_client(parts.headers);
    dialects::translate_response(&mut fields, of_client, content_type);
    fields.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    *response.headers_mut() = fields;
    response
}

/// Settles what is reserved, and notes what that came to.
fn settle(hold: Option<&mut BudgetHold>, outcome: Outcome, log: &mut AccessLog) {
    let Some(hold) = hold else { return };
    let has_price = hold.has_price();
    let spent = hold.settle(outcome);
    log.set_cost(spent.map(|spent| spent.nanos).filter(|_| has_price));
}

/// Returns what the provider reports in a whole answer.
fn tokens(rule: &UsageRule, whole: &[u8]) -> Tokens {
    let tokens = rule.read_last(whole).or_else(|| rule.read_first(whole));
    tokens.unwrap_or_default()
}

fn stream_kind(of_provider: Dialect) -> StreamKind {
    match of_provider {
        Dialect::OpenAi => StreamKind::Completions,
        Dialect::Anthropic => StreamKind::Messages,
    }
}
