//! The types of the stages, so that the compiler can show what the design promises.
//!
//! Nothing here is part of the public API, and none of the types can be created outside of the
//! crate. The examples below are the only users: a request passes authentication, the restrictions
//! of its key, and admission in this order, and with one of them left out it does not compile.
//!
//! # `process`
//!
//! ```
//! use aisbreaker_gateway::stages::*;
//!
//! async fn serve(
//!     pipeline: &Pipeline,
//!     api: &ProcessApi,
//!     head: Head<'_>,
//!     key_use: KeyUse,
//!     request: ProcessRequest,
//!     log: &mut AccessLog,
//! ) -> Result<(), Failure> {
//!     let authenticated: Authenticated = pipeline.authenticate(head, log)?;
//!     let permitted: Permitted = authenticated.permit(key_use)?;
//!     let admitted: Admitted = pipeline.admit(permitted, log).await?;
//!     api.call(request, admitted, log).await?;
//!     Ok(())
//! }
//! ```
//!
//! Without authentication there is nothing to admit:
//!
//! ```compile_fail,E0308
//! use aisbreaker_gateway::stages::*;
//!
//! async fn serve(
//!     pipeline: &Pipeline,
//!     api: &ProcessApi,
//!     head: Head<'_>,
//!     request: ProcessRequest,
//!     log: &mut AccessLog,
//! ) -> Result<(), Failure> {
//!     let admitted: Admitted = pipeline.admit(head, log).await?;
//!     api.call(request, admitted, log).await?;
//!     Ok(())
//! }
//! ```
//!
//! Without the restrictions of the key nothing is admitted:
//!
//! ```compile_fail,E0308
//! use aisbreaker_gateway::stages::*;
//!
//! async fn serve(
//!     pipeline: &Pipeline,
//!     api: &ProcessApi,
//!     head: Head<'_>,
//!     request: ProcessRequest,
//!     log: &mut AccessLog,
//! ) -> Result<(), Failure> {
//!     let authenticated: Authenticated = pipeline.authenticate(head, log)?;
//!     let admitted: Admitted = pipeline.admit(authenticated, log).await?;
//!     api.call(request, admitted, log).await?;
//!     Ok(())
//! }
//! ```
//!
//! Without admission nothing is called:
//!
//! ```compile_fail,E0308
//! use aisbreaker_gateway::stages::*;
//!
//! async fn serve(
//!     pipeline: &Pipeline,
//!     api: &ProcessApi,
//!     head: Head<'_>,
//!     request: ProcessRequest,
//!     log: &mut AccessLog,
//! ) -> Result<(), Failure> {
//!     let authenticated: Authenticated = pipeline.authenticate(head, log)?;
//!     api.call(request, authenticated, log).await?;
//!     Ok(())
//! }
//! ```
//!
//! # The providers' APIs
//!
//! ```
//! use aisbreaker_gateway::stages::*;
//!
//! async fn serve(
//!     pipeline: &Pipeline,
//!     api: &ProviderApi,
//!     head: Head<'_>,
//!     key_use: KeyUse,
//!     request: ProxiedRequest<'_>,
//!     log: &mut AccessLog,
//! ) -> Result<(), Failure> {
//!     let authenticated: Authenticated = pipeline.authenticate(head, log)?;
//!     let permitted: Permitted = authenticated.permit(key_use)?;
//!     let admitted: Admitted = pipeline.admit(permitted, log).await?;
//!     api.forward(&request, admitted, log).await?;
//!     Ok(())
//! }
//! ```
//!
//! Without authentication there is nothing to admit:
//!
//! ```compile_fail,E0308
//! use aisbreaker_gateway::stages::*;
//!
//! async fn serve(
//!     pipeline: &Pipeline,
//!     api: &ProviderApi,
//!     head: Head<'_>,
//!     request: ProxiedRequest<'_>,
//!     log: &mut AccessLog,
//! ) -> Result<(), Failure> {
//!     let admitted: Admitted = pipeline.admit(head, log).await?;
//!     api.forward(&request, admitted, log).await?;
//!     Ok(())
//! }
//! ```
//!
//! Without admission nothing is forwarded, and no model is listed:
//!
//! ```compile_fail,E0308
//! use aisbreaker_gateway::stages::*;
//!
//! async fn serve(
//!     pipeline: &Pipeline,
//!     api: &ProviderApi,
//!     head: Head<'_>,
//!     request: ProxiedRequest<'_>,
//!     log: &mut AccessLog,
//! ) -> Result<(), Failure> {
//!     let authenticated: Authenticated = pipeline.authenticate(head, log)?;
//!     api.forward(&request, authenticated, log).await?;
//!     Ok(())
//! }
//! ```
//!
//! ```
//! use aisbreaker_gateway::stages::*;
//!
//! async fn list(
//!     api: &ProviderApi,
//!     query: ModelListQuery<'_>,
//!     admitted: Admitted,
//!     log: &mut AccessLog,
//! ) -> Result<(), Failure> {
//!     api.list_models(query, admitted, log).await?;
//!     Ok(())
//! }
//! ```
//!
//! ```compile_fail,E0308
//! use aisbreaker_gateway::stages::*;
//!
//! async fn list(
//!     api: &ProviderApi,
//!     query: ModelListQuery<'_>,
//!     authenticated: Authenticated,
//!     log: &mut AccessLog,
//! ) -> Result<(), Failure> {
//!     api.list_models(query, authenticated, log).await?;
//!     Ok(())
//! }
//! ```
//!
//! Neither a [`Permitted`] nor an [`Admitted`] can be made up:
//!
//! ```compile_fail,E0451
//! use aisbreaker_gateway::stages::*;
//!
//! fn made_up(other: Permitted) -> Permitted {
//!     Permitted { ..other }
//! }
//! ```
//!
//! ```compile_fail,E0451
//! use aisbreaker_gateway::stages::*;
//!
//! fn made_up(other: Admitted) -> Admitted {
//!     Admitted { ..other }
//! }
//! ```

pub use crate::{
    api::process::{ProcessApi, ProcessRequest},
    failure::Failure,
    pipeline::{Admitted, Authenticated, Permitted, Pipeline},
    provider_api::{ModelListQuery, ProviderApi, ProxiedRequest},
    request::head::Head,
    restrictions::KeyUse,
    telemetry::access_log::AccessLog,
};
