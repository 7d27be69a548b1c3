//! The response of a provider, and what a client gets of its head.

use aisbreaker_services::{CallInProgress, ServiceError};
use http::{
    Extensions, HeaderName, HeaderValue, Response, StatusCode, Version,
    header::ACCESS_CONTROL_EXPOSE_HEADERS, response,
};

use super::{headers, resolve::ResolvedService};
use crate::{
    failure::ErrorType,
    response::ResponseBody,
    telemetry::{access_log::AccessLog, request_id::X_REQUEST_ID},
    translation::Answers,
};

/// The id in Anthropic's API.
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// The response of the last service that was called.
pub(super) struct ProviderResponse<'a> {
    pub(super) service: &'a ResolvedService,
    pub(super) parts: response::Parts,
    pub(super) body: aisbreaker_egress::Body,
    pub(super) call: CallInProgress,
    /// What translates the answer to a translated request.
    pub(super) answers: Option<Answers>,
}

/// Notes what the head of a provider's response reports.
pub(super) fn note_answer(parts: &response::Parts, log: &mut AccessLog) {
    if let Some(id) = provider_request_id(parts) {
        log.set_provider_request_id(id);
    }
    if is_error(parts.status) {
        log.set_error(ErrorType::ProviderError);
    }
}

pub(super) fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// Creates the error for a service whose provider does not speak what it was chosen for, which is
/// not expected.
pub(super) fn forgotten_dialect() -> ServiceError {
    ServiceError::Internal("a provider forgot its dialect".into())
}

/// Creates a response with the provider's status and fields.
pub(super) fn response_of(
    parts: response::Parts,
    body: ResponseBody,
    log: &mut AccessLog,
) -> Response<ResponseBody> {
    note_answer(&parts, log);
    let mut response = Response::from_parts(parts, body);
    // They are about the connection to the provider.
    *response.version_mut() = Version::default();
    *response.extensions_mut() = Extensions::new();
    let headers = response.headers_mut();
    headers::filter_for_client(headers);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    response
}

fn provider_request_id(parts: &response::Parts) -> Option<&HeaderValue> {
    match parts.headers.get(X_REQUEST_ID) {
        Some(id) => Some(id),
        None => parts.headers.get(REQUEST_ID),
    }
}
