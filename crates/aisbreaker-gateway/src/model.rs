//! stub
use aisbreaker_api::InvalidRequest;
use bytes::Bytes;
use http::HeaderValue;
use std::ops::Range;

#[derive(Debug, Default)]
pub(crate) struct Asks {
    pub(crate) model: Option<Model>,
}
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) span: Range<usize>,
}
pub(crate) type ModelFault = InvalidRequest;
pub(crate) fn of_json(body: &[u8]) -> Result<Asks, ModelFault> {
    let text = std::str::from_utf8(body).map_err(|_e| InvalidRequest::new("request body", "is not UTF-8"))?;
    let map: std::collections::BTreeMap<String, &serde_json::value::RawValue> = serde_json::from_str(text)
        .map_err(|_e| InvalidRequest::new("request body", "is not a JSON object"))?;
    let model = map.get("model").map(|raw| {
        let start = raw.get().as_ptr() as usize - text.as_ptr() as usize;
        Model {
            name: serde_json::from_str(raw.get()).unwrap_or_default(),
            span: start..start + raw.get().len(),
        }
    });
    Ok(Asks { model })
}
pub(crate) fn of_multipart(_body: &[u8], _content_type: &HeaderValue) -> Result<Asks, ModelFault> {
    Ok(Asks::default())
}
pub(crate) fn renamed(body: &Bytes, model: &Model, name: &str) -> [Bytes; 3] {
    [
        body.slice(..model.span.start),
        serde_json::to_vec(name).unwrap_or_default().into(),
        body.slice(model.span.end..),
    ]
}
