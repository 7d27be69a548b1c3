//! Operations whose content is opaque: it is passed on to the provider as it arrives.

use bytes::Bytes;
use http::Response;
use http_body::Body;

use super::{ProviderApi, ProxiedRequest};
use crate::{
    failure::Failure, pipeline::Pipeline, request::head::Head, response::ResponseBody,
    restrictions::KeyUse, telemetry::access_log::AccessLog,
};

impl ProviderApi {
    /// Takes an upload through all stages. Nothing of its content is read before the provider's
    /// connection takes it, so a refusal costs neither side anything.
    ///
    /// `request` is without its content.
    pub(super) async fn serve_upload<B: Body<Data = Bytes> + Send + 'static>(
        &self,
        pipeline: &Pipeline,
        (mut request, head): (ProxiedRequest<'_>, Head<'_>),
        body: B,
        log: &mut AccessLog,
    ) -> Result<Response<ResponseBody>, Failure> {
        let permitted = (head, KeyUse::of(request.operation, &request.parts.method));
        let (permitted, upload) = pipeline.permit_upload(permitted, body, &request.memory, log)?;
        request.upload = Some(upload);
        self.judge(&request, permitted.caller())?;
        let admitted = pipeline.admit(permitted, log).await?;
        self.forward(&request, admitted, log).await
    }
}
