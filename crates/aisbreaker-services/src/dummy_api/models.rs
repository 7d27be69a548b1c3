//! `GET /v1/models/{id}`.

use serde_json::json;

use super::{Content, fault::Fault, model::Model};
use crate::providers::Dialect;

/// Returns one model.
pub(super) fn one(name: &str, dialect: Dialect) -> Result<Content, Fault> {
    if !Model::named(name).exists() {
        return Err(Fault::unknown_model());
    }
    Ok(Content::Json(match dialect {
        Dialect::OpenAi => json!({
            "id": name, "object": "model", "created": 0, "owned_by": "dummy",
        }),
        Dialect::Anthropic => json!({
            "id": name, "type": "model", "display_name": name,
            "created_at": "1970-01-01T00:00:00Z", "lifecycle": "active",
        }),
    }))
}
