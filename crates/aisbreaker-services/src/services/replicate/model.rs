//! The name of a model.

use aisbreaker_api::ServiceId;

use crate::error::ServiceError;

/// The path of predictions.
pub(super) const PREDICTIONS: &str = "/v1/predictions";

/// A model, and one of its versions if the caller names one.
pub(super) struct Model<'a> {
    owner: &'a str,
    name: &'a str,
    pub(super) version: Option<&'a str>,
}

impl<'a> Model<'a> {
    /// Parses `<owner>/<name>` or `<owner>/<name>:<version>`.
    ///
    /// # Errors
    /// [`ServiceError::BadRequest`] when the engine has another form.
    pub(super) fn parse(id: &ServiceId, engine: &'a str) -> Result<Self, ServiceError> {
        let (model, version) = match engine.split_once(':') {
            Some((model, version)) => (model, Some(version)),
            None => (engine, None),
        };
        let (owner, name) = model.split_once('/').unwrap_or_default();
        if is_name(owner) && is_name(name) && version.is_none_or(is_name) {
            return Ok(Self {
                owner,
                name,
                version,
            });
        }
        let text = format!(
            "{id}: name the model as <owner>/<name>, with :<version> where it is needed, such as \
             'chat:replicate.com/meta/meta-llama-3-8b-instruct'"
        );
        Err(ServiceError::BadRequest(text.into()))
    }

    /// Returns the path at which predictions of the model are created.
    pub(super) fn path(&self) -> String {
        match self.version {
            Some(_) => PREDICTIONS.to_owned(),
            None => format!("/v1/models/{}/{}/predictions", self.owner, self.name),
        }
    }
}

fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty() && text.bytes().all(is_allowed) && !matches!(text, "." | "..")
}
