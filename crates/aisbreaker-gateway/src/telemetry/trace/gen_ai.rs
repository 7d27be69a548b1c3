//! The names of providers and operations in OpenTelemetry's conventions for generative AI.

use aisbreaker_api::ServiceId;

use crate::route::{Route, operation::Operation};

/// The task of the gateway's own services, which is not one of a provider.
const OWN_TASK: &str = "aisbreaker";
/// The providers that the conventions name, by the vendor in a service id.
const PROVIDERS: [(&str, &str); 12] = [
    ("openai.com", "openai"),
    ("anthropic.com", "anthropic"),
    ("gemini.google.com", "gcp.gemini"),
    ("gemini.vertexai.google.com", "gcp.vertex_ai"),
    ("mistral.ai", "mistral_ai"),
    ("groq.com", "groq"),
    ("deepseek.com", "deepseek"),
    ("x.ai", "x_ai"),
    ("perplexity.ai", "perplexity"),
    ("cohere.com", "cohere"),
    ("azure.com", "azure.ai.openai"),
    ("moonshot.ai", "moonshot_ai"),
];

/// Returns the provider of a service: the name in the conventions, else the vendor in its id.
pub(super) fn provider(service_id: &ServiceId) -> Option<String> {
    if service_id.task() == OWN_TASK {
        return None;
    }
    let vendor = service_id.vendor()?;
    let known = PROVIDERS.iter().find(|(known, _)| *known == vendor);
    Some(known.map_or(vendor, |(_, name)| name).to_owned())
}

/// Returns what a service is called for.
pub(super) fn operation(route: Option<Route>, service_id: &ServiceId) -> Option<&'static str> {
    if let Some(Route::Provider(operation)) = route {
        return Some(operation_name(operation));
    }
    match service_id.task() {
        OWN_TASK => None,
        "chat" => Some("chat"),
        "text-to-image" => Some("image_generation"),
        _ => Some("other"),
    }
}

/// Returns the name in the conventions, else one of the same form.
fn operation_name(operation: Operation) -> &'static str {
    match operation {
        Operation::ChatCompletions | Operation::Responses | Operation::Messages => "chat",
        Operation::Completions => "text_completion",
        Operation::Embeddings => "embeddings",
        Operation::ImageGenerations => "image_generation",
        Operation::ImageEdits => "image_edit",
        Operation::ImageVariations => "image_variation",
        Operation::Speech => "speech",
        Operation::Transcriptions => "transcription",
        Operation::Translations => "translation",
        Operation::Moderations => "moderation",
        Operation::Realtime => "realtime",
        Operation::Models => "list_models",
        Operation::Model => "get_model",
        Operation::CountTokens | Operation::ResponseInputTokens => "count_tokens",
        Operation::ResponseCompaction => "compact_response",
        Operation::Response => "response",
        Operation::ResponseCancel => "cancel_response",
        Operation::ResponseInputItems => "list_input_items",
        Operation::Resource(_) => operation.name(),
    }
}
