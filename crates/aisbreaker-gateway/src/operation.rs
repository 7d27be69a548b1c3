//! The operations of the providers' own APIs that are passed on, and their paths.
//!
//! Source: the API references of OpenAI and Anthropic.

use std::borrow::Cow;

use aisbreaker_services::Dialect;
use http::Method;

/// What a client of a provider's API can do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Operation {
    ChatCompletions,
    Completions,
    Responses,
    ResponseCompaction,
    ResponseInputTokens,
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

/// An operation: its path, by which it is logged too, its methods, and in whose API it is.
struct Row(Operation, &'static str, &'static str, Option<Dialect>);

const POST: &str = "POST, OPTIONS";
const GET: &str = "GET, HEAD, OPTIONS";
const OPENAI: Option<Dialect> = Some(Dialect::OpenAi);
const ANTHROPIC: Option<Dialect> = Some(Dialect::Anthropic);

const TABLE: [Row; 20] = [
    Row(
        Operation::ChatCompletions,
        "/v1/chat/completions",
        POST,
        OPENAI,
    ),
    Row(Operation::Completions, "/v1/completions", POST, OPENAI),
    Row(Operation::Responses, "/v1/responses", POST, OPENAI),
    Row(
        Operation::ResponseCompaction,
        "/v1/responses/compact",
        POST,
        OPENAI,
    ),
    Row(
        Operation::ResponseInputTokens,
        "/v1/responses/input_tokens",
        POST,
        OPENAI,
    ),
    Row(
        Operation::Response,
        "/v1/responses/{id}",
        "GET, HEAD, DELETE, OPTIONS",
        OPENAI,
    ),
    Row(
        Operation::ResponseCancel,
        "/v1/responses/{id}/cancel",
        POST,
        OPENAI,
    ),
    Row(
        Operation::ResponseInputItems,
        "/v1/responses/{id}/input_items",
        GET,
        OPENAI,
    ),
    Row(Operation::Embeddings, "/v1/embeddings", POST, OPENAI),
    Row(
        Operation::ImageGenerations,
        "/v1/images/generations",
        POST,
        OPENAI,
    ),
    Row(Operation::ImageEdits, "/v1/images/edits", POST, OPENAI),
    Row(
        Operation::ImageVariations,
        "/v1/images/variations",
        POST,
        OPENAI,
    ),
    Row(Operation::Speech, "/v1/audio/speech", POST, OPENAI),
    Row(
        Operation::Transcriptions,
        "/v1/audio/transcriptions",
        POST,
        OPENAI,
    ),
    Row(
        Operation::Translations,
        "/v1/audio/translations",
        POST,
        OPENAI,
    ),
    Row(Operation::Moderations, "/v1/moderations", POST, OPENAI),
    Row(Operation::Models, MODELS, GET, None),
    Row(Operation::Model, "/v1/models/{id}", GET, None),
    Row(Operation::Messages, "/v1/messages", POST, ANTHROPIC),
    Row(
        Operation::CountTokens,
        "/v1/messages/count_tokens",
        POST,
        ANTHROPIC,
    ),
];

const MODELS: &str = "/v1/models";
const MESSAGES: &str = "/v1/messages";
/// What stands before these paths where they are of one API only.
const OF_OPENAI: &str = "/openai";
const OF_ANTHROPIC: &str = "/anthropic";
const BASE: &str = "/v1";
/// The longest id of a response.
const MAX_ID_LEN: usize = 256;

impl Operation {
    /// The operation of a path without a trailing slash.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let (only, path) = side(path);
        let form = match path.strip_prefix(MODELS) {
            Some(model) if model.len() > 1 && model.starts_with('/') => {
                Cow::Borrowed("/v1/models/{id}")
            }
            Some(_) | None => without_id(path)?,
        };
        let Row(operation, .., dialect) = TABLE.iter().find(|Row(_, known, ..)| *known == form)?;
        let is_elsewhere = only.is_some() && dialect.is_some() && only != *dialect;
        (!is_elsewhere).then_some(*operation)
    }

    fn row(self) -> &'static Row {
        // Each has one; a test looks.
        TABLE
            .iter()
            .find(|Row(operation, ..)| *operation == self)
            .unwrap_or(&TABLE[0])
    }

    /// The methods it has, for `Allow`.
    pub(crate) fn allowed(self) -> &'static str {
        self.row().2
    }

    /// Whether it has this method.
    pub(crate) fn has(self, method: &Method) -> bool {
        self.allowed()
            .split(", ")
            .any(|allowed| allowed == method.as_str())
    }

    /// Its path in the API, for logs.
    pub(crate) fn template(self) -> &'static str {
        self.row().1
    }

    /// Whether its body may be a form of several parts.
    pub(crate) fn takes_forms(self) -> bool {
        matches!(
            self,
            Self::ImageEdits | Self::ImageVariations | Self::Transcriptions | Self::Translations
        )
    }

    /// Whether there may be nothing in a body of it.
    pub(crate) fn may_be_empty(self) -> bool {
        self == Self::ResponseCancel
    }

    /// Whether it is about something that one provider has and others have not.
    pub(crate) fn is_of_one_provider(self) -> bool {
        matches!(
            self,
            Self::Response | Self::ResponseCancel | Self::ResponseInputItems | Self::Model
        )
    }

    /// Whether it makes or changes pictures, for which a key may have a service of its own.
    pub(crate) fn is_of_images(self) -> bool {
        matches!(
            self,
            Self::ImageGenerations | Self::ImageEdits | Self::ImageVariations
        )
    }
}

/// The path with `{id}` for the id of a response. Whatever could be another path to the provider is
/// no id.
fn without_id(path: &str) -> Option<Cow<'_, str>> {
    let Some(rest) = path.strip_prefix("/v1/responses/") else {
        return Some(Cow::Borrowed(path));
    };
    // Neither begins as ids do.
    if matches!(rest, "compact" | "input_tokens") {
        return Some(Cow::Borrowed(path));
    }
    let (id, behind) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_id = (1..=MAX_ID_LEN).contains(&id.len()) && id.bytes().all(is_allowed);
    is_id.then(|| Cow::Owned(format!("/v1/responses/{{id}}{behind}")))
}

/// Whose API a path is of, if it is of one only, and the path in it.
fn side(path: &str) -> (Option<Dialect>, &str) {
    let sides = [(OF_OPENAI, OPENAI), (OF_ANTHROPIC, ANTHROPIC)];
    let side = sides.iter().find_map(|(prefix, dialect)| {
        let rest = path.strip_prefix(prefix)?;
        (rest.is_empty() || rest.starts_with('/')).then_some((*dialect, rest))
    });
    side.unwrap_or((None, path))
}

/// The dialect of a path, whether there is anything or not. That of `models`, and of paths where
/// there is nothing, depends on who asks: Anthropic's clients are known by a header that they have
/// and others have not.
pub(crate) fn dialect(path: &str, looks_like_anthropic: impl FnOnce() -> bool) -> Option<Dialect> {
    let (only, path) = side(slash_free(path));
    if only.is_some() {
        return only;
    }
    below(path)?;
    let is_below = |base: &str| {
        path.strip_prefix(base)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let is_of_both = is_below(MODELS) || Operation::of(path).is_none();
    let is_anthropic = is_below(MESSAGES) || is_of_both && looks_like_anthropic();
    Some(if is_anthropic {
        Dialect::Anthropic
    } else {
        Dialect::OpenAi
    })
}

/// Whether a path where there is nothing would be one of a provider's API with `/v1` before it, or
/// has that already.
pub(crate) fn is_near(path: &str) -> bool {
    let path = slash_free(path);
    below(path).is_some() || Operation::of(&format!("{BASE}{path}")).is_some()
}

/// What follows the base of a provider's API.
pub(crate) fn below(path: &str) -> Option<&str> {
    let rest = side(path).1.strip_prefix(BASE)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// The path with one slash at its beginning and none at its end.
pub(crate) fn slash_free(path: &str) -> &str {
    let path = path
        .strip_prefix('/')
        .filter(|rest| rest.starts_with('/'))
        .unwrap_or(path);
    path.strip_suffix('/').unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_operations_below_every_base() {
        let rows = [
            ("/v1/chat/completions", Some(Operation::ChatCompletions)),
            (
                "/openai/v1/chat/completions",
                Some(Operation::ChatCompletions),
            ),
            ("/anthropic/v1/messages", Some(Operation::Messages)),
            ("/v1/messages/count_tokens", Some(Operation::CountTokens)),
            ("/v1/models", Some(Operation::Models)),
            ("/v1/models/openai.com/gpt-4o", Some(Operation::Model)),
            ("/v1/models/", None),
            ("/v1/modelsx", None),
            ("/v1/responses/{id}", None),
            ("/openai", None),
            ("/openaiv1/models", None),
            ("/v1/responses/resp_1-a", Some(Operation::Response)),
            (
                "/v1/responses/resp_1/cancel",
                Some(Operation::ResponseCancel),
            ),
            (
                "/v1/responses/resp_1/input_items",
                Some(Operation::ResponseInputItems),
            ),
            ("/v1/responses/compact", Some(Operation::ResponseCompaction)),
            (
                "/v1/responses/input_tokens",
                Some(Operation::ResponseInputTokens),
            ),
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
    fn every_operation_has_a_row_of_its_own() {
        for Row(operation, path, ..) in &TABLE {
            assert_eq!(operation.template(), *path);
            let path = path.replace("{id}", "x");
            assert_eq!(Operation::of(&path), Some(*operation), "{path}");
        }
    }

    #[test]
    fn a_path_with_the_base_of_others_is_near() {
        let rows = [
            ("/v1/v1/messages", true),
            ("/chat/completions", true),
            ("/messages/", true),
            ("/v1/files", true),
            ("/api/v2/ping", false),
            ("/", false),
            ("/favicon.ico", false),
        ];
        for (path, expected) in rows {
            assert_eq!(is_near(path), expected, "{path}");
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
            ("/v1/nothing", openai, anthropic),
            ("/v1/v1/messages", openai, anthropic),
            ("/v1", openai, anthropic),
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
