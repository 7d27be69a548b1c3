//! The operations of the providers' own APIs that are passed on, and their paths.
//!
//! Source: the API references of OpenAI and Anthropic.

use aisbreaker_services::Dialect;
use http::Method;

/// What a client of a provider's API can do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Operation {
    ChatCompletions,
    Completions,
    Responses,
    /// One response, to be read or deleted.
    Response,
    ResponseCancel,
    ResponseInputItems,
    Embeddings,
    ImageGenerations,
    ImageEdits,
    ImageVariations,
    Speech,
    Transcriptions,
    Translations,
    Moderations,
    Models,
    Model,
    Messages,
    CountTokens,
}

/// Under which paths the operations are, longest first.
const BASES: [&str; 3] = ["/anthropic/v1", "/openai/v1", "/v1"];
/// What is for one dialect only.
const OPENAI: &str = "/openai/";
const ANTHROPIC: &str = "/anthropic/";
/// The longest id of a response.
const MAX_ID_LEN: usize = 256;

impl Operation {
    /// The operation of a path without a trailing slash.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let operation = Self::below_base(below(path)?)?;
        let is_elsewhere = match operation {
            Self::Models | Self::Model => false,
            Self::Messages | Self::CountTokens => path.starts_with(OPENAI),
            Self::ChatCompletions
            | Self::Completions
            | Self::Responses
            | Self::Response
            | Self::ResponseCancel
            | Self::ResponseInputItems
            | Self::Embeddings
            | Self::ImageGenerations
            | Self::ImageEdits
            | Self::ImageVariations
            | Self::Speech
            | Self::Transcriptions
            | Self::Translations
            | Self::Moderations => path.starts_with(ANTHROPIC),
        };
        (!is_elsewhere).then_some(operation)
    }

    fn below_base(path: &str) -> Option<Self> {
        Some(match path {
            "/chat/completions" => Self::ChatCompletions,
            "/completions" => Self::Completions,
            "/responses" => Self::Responses,
            "/embeddings" => Self::Embeddings,
            "/images/generations" => Self::ImageGenerations,
            "/images/edits" => Self::ImageEdits,
            "/images/variations" => Self::ImageVariations,
            "/audio/speech" => Self::Speech,
            "/audio/transcriptions" => Self::Transcriptions,
            "/audio/translations" => Self::Translations,
            "/moderations" => Self::Moderations,
            "/models" => Self::Models,
            "/messages" => Self::Messages,
            "/messages/count_tokens" => Self::CountTokens,
            _ => return Self::of_one(path),
        })
    }

    /// The operation of a path that names a response or a model.
    fn of_one(path: &str) -> Option<Self> {
        if let Some(model) = path.strip_prefix("/models/") {
            return (!model.is_empty()).then_some(Self::Model);
        }
        let (id, rest) =
            path.strip_prefix("/responses/").map(|rest| rest.split_once('/').unwrap_or((rest, "")))?;
        // Whatever could be another path to the provider is none.
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if !(1..=MAX_ID_LEN).contains(&id.len()) || !id.bytes().all(is_allowed) {
            return None;
        }
        match rest {
            "" => Some(Self::Response),
            "cancel" => Some(Self::ResponseCancel),
            "input_items" => Some(Self::ResponseInputItems),
            _ => None,
        }
    }

    /// The methods it has, for `Allow`.
    pub(crate) fn allowed(self) -> &'static str {
        match self {
            Self::Models | Self::Model | Self::ResponseInputItems => "GET, HEAD, OPTIONS",
            Self::Response => "GET, HEAD, DELETE, OPTIONS",
            Self::ChatCompletions
            | Self::Completions
            | Self::Responses
            | Self::ResponseCancel
            | Self::Embeddings
            | Self::ImageGenerations
            | Self::ImageEdits
            | Self::ImageVariations
            | Self::Speech
            | Self::Transcriptions
            | Self::Translations
            | Self::Moderations
            | Self::Messages
            | Self::CountTokens => "POST, OPTIONS",
        }
    }

    /// Whether it has this method.
    pub(crate) fn has(self, method: &Method) -> bool {
        self.allowed().split(", ").any(|allowed| allowed == method.as_str())
    }

    /// Its path in the API, for logs.
    pub(crate) fn template(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Responses => "/v1/responses",
            Self::Response => "/v1/responses/{id}",
            Self::ResponseCancel => "/v1/responses/{id}/cancel",
            Self::ResponseInputItems => "/v1/responses/{id}/input_items",
            Self::Embeddings => "/v1/embeddings",
            Self::ImageGenerations => "/v1/images/generations",
            Self::ImageEdits => "/v1/images/edits",
            Self::ImageVariations => "/v1/images/variations",
            Self::Speech => "/v1/audio/speech",
            Self::Transcriptions => "/v1/audio/transcriptions",
            Self::Translations => "/v1/audio/translations",
            Self::Moderations => "/v1/moderations",
            Self::Models => "/v1/models",
            Self::Model => "/v1/models/{id}",
            Self::Messages => "/v1/messages",
            Self::CountTokens => "/v1/messages/count_tokens",
        }
    }

    /// Whether it makes or changes pictures, for which a key may have a service of its own.
    pub(crate) fn is_of_images(self) -> bool {
        matches!(self, Self::ImageGenerations | Self::ImageEdits | Self::ImageVariations)
    }
}

/// The dialect of a path, whether there is anything or not. That of `models` depends on who asks: Anthropic's clients are
/// known by a header that they have and others have not.
pub(crate) fn dialect(path: &str, looks_like_anthropic: impl FnOnce() -> bool) -> Option<Dialect> {
    let path = slash_free(path);
    if path.starts_with(ANTHROPIC) {
        return Some(Dialect::Anthropic);
    }
    if path.starts_with(OPENAI) {
        return Some(Dialect::OpenAi);
    }
    let path = below(path)?;
    let is_anthropic = match path {
        "/models" => looks_like_anthropic(),
        _ if path.starts_with("/models/") => looks_like_anthropic(),
        _ => path == "/messages" || path.starts_with("/messages/"),
    };
    Some(if is_anthropic { Dialect::Anthropic } else { Dialect::OpenAi })
}

/// What follows the base of a provider's API.
pub(crate) fn below(path: &str) -> Option<&str> {
    BASES
        .iter()
        .find_map(|base| path.strip_prefix(base))
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The path with one slash at its beginning and none at its end.
pub(crate) fn slash_free(path: &str) -> &str {
    let path = path.strip_prefix('/').filter(|rest| rest.starts_with('/')).unwrap_or(path);
    path.strip_suffix('/').unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_operations_below_every_base() {
        let rows = [
            ("/v1/chat/completions", Some(Operation::ChatCompletions)),
            ("/openai/v1/chat/completions", Some(Operation::ChatCompletions)),
            ("/anthropic/v1/messages", Some(Operation::Messages)),
            ("/v1/messages/count_tokens", Some(Operation::CountTokens)),
            ("/v1/models", Some(Operation::Models)),
            ("/v1/models/openai.com/gpt-4o", Some(Operation::Model)),
            ("/v1/models/", None),
            ("/v1/responses/resp_1-a", Some(Operation::Response)),
            ("/v1/responses/resp_1/cancel", Some(Operation::ResponseCancel)),
            ("/v1/responses/resp_1/input_items", Some(Operation::ResponseInputItems)),
            ("/v1/responses/..", None),
            ("/v1/responses/%2e%2e", None),
            ("/v1/responses/a%2Fb", None),
            ("/v1/responses/a/other", None),
            ("/openai/v1/messages", None),
            ("/anthropic/v1/chat/completions", None),
            ("/v1/files", None),
            ("/v1chat/completions", None),
            ("/v2/chat/completions", None),
            ("/v1", None),
        ];
        for (path, expected) in rows {
            assert_eq!(Operation::of(path), expected, "{path}");
        }
    }

    #[test]
    fn every_path_below_a_base_has_a_dialect() {
        let (openai, anthropic) = (Some(Dialect::OpenAi), Some(Dialect::Anthropic));
        let rows = [
            ("/v1/chat/completions", openai, openai),
            ("/v1/messages", anthropic, anthropic),
            ("/v1/messages/batches", anthropic, anthropic),
            ("/v1/models", openai, anthropic),
            ("//v1/models/gpt-4o/", openai, anthropic),
            ("/v1/nothing", openai, openai),
            ("/v1", openai, openai),
            ("/anthropic/v1/models", anthropic, anthropic),
            ("/anthropic/nothing", anthropic, anthropic),
            ("/openai/v1/models", openai, openai),
            ("/openai/v1/messages", openai, openai),
            ("/api/v1/process", None, None),
            ("/", None, None),
        ];
        for (path, by_others, by_anthropic) in rows {
            let told = (dialect(path, || false), dialect(path, || true));
            assert_eq!(told, (by_others, by_anthropic), "{path}");
        }
    }
}
