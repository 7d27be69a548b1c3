//! The operations of the providers' own APIs that are served, and their paths.
//!
//! Source: the API references of OpenAI and Anthropic.

use std::borrow::Cow;

use aisbreaker_services::{Dialect, StreamKind};
use http::Method;

use super::family::{self, Family, Resource, name_of};

/// An operation of a provider's API.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Operation {
    ChatCompletions,
    Completions,
    Responses,
    ResponseCompaction,
    ResponseInputTokens,
    /// Reads or deletes one response.
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
    /// A conversation over a WebSocket.
    Realtime,
    /// Passes a request for a resource through to its provider.
    Resource(Resource),
}

/// The content of a `POST` operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OperationContent {
    Json,
    JsonOrMultipart,
    JsonOrEmpty,
    /// Whatever its provider takes. It is not read, and its coding is not undone.
    Opaque,
}

/// The API that a path belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PathDialect {
    Only(Dialect),
    /// Both APIs have the path, or neither.
    Either,
}

/// What is known of an operation.
struct Row {
    /// The path, which is also how the operation is logged.
    template: &'static str,
    /// The methods, as in `Allow`.
    methods: &'static str,
    /// The API that has the operation; `None`: both.
    dialect: Option<Dialect>,
    content: OperationContent,
}

const POST: &str = "POST, OPTIONS";
const GET: &str = "GET, HEAD, OPTIONS";
const GET_OR_DELETE: &str = "GET, HEAD, DELETE, OPTIONS";
/// Completions are made and, if they are stored, listed.
const LIST_OR_CREATE: &str = "GET, HEAD, POST, OPTIONS";
const MODELS: &str = "/v1/models";
const MODEL: &str = "/v1/models/{id}";
const MESSAGES: &str = "/v1/messages";
const BASE: &str = "/v1";
/// The prefixes of paths that belong to one API only.
const PREFIXES: [(&str, Dialect); 2] = [
    ("/openai", Dialect::OpenAi),
    ("/anthropic", Dialect::Anthropic),
];

/// What is translated. Of the models it is the list, and not the answer about one.
const COUNTERPARTS: [(Operation, Operation); 3] = [
    (Operation::ChatCompletions, Operation::Messages),
    (Operation::Messages, Operation::ChatCompletions),
    (Operation::Models, Operation::Models),
];

impl Row {
    const fn openai(methods: &'static str, template: &'static str) -> Self {
        Self {
            template,
            methods,
            dialect: Some(Dialect::OpenAi),
            content: OperationContent::Json,
        }
    }

    const fn anthropic(methods: &'static str, template: &'static str) -> Self {
        Self {
            dialect: Some(Dialect::Anthropic),
            ..Self::openai(methods, template)
        }
    }

    const fn both(methods: &'static str, template: &'static str) -> Self {
        Self {
            dialect: None,
            ..Self::openai(methods, template)
        }
    }

    const fn with_content(self, content: OperationContent) -> Self {
        Self { content, ..self }
    }
}

impl Operation {
    /// The number of names of operations.
    pub(crate) const COUNT: usize = Self::CALLS.len() + family::COUNT;

    /// All but those of resources.
    pub(crate) const CALLS: [Self; 21] = [
        Self::ChatCompletions,
        Self::Completions,
        Self::Responses,
        Self::ResponseCompaction,
        Self::ResponseInputTokens,
        Self::Response,
        Self::ResponseCancel,
        Self::ResponseInputItems,
        Self::Embeddings,
        Self::ImageGenerations,
        Self::ImageEdits,
        Self::ImageVariations,
        Self::Speech,
        Self::Transcriptions,
        Self::Translations,
        Self::Moderations,
        Self::Models,
        Self::Model,
        Self::Messages,
        Self::CountTokens,
        Self::Realtime,
    ];

    /// The table of operations.
    const fn row(self) -> Row {
        use OperationContent::{JsonOrEmpty, JsonOrMultipart};
        match self {
            Self::ChatCompletions => Row::openai(LIST_OR_CREATE, "/v1/chat/completions"),
            Self::Completions => Row::openai(POST, "/v1/completions"),
            Self::Responses => Row::openai(POST, "/v1/responses"),
            Self::ResponseCompaction => Row::openai(POST, "/v1/responses/compact"),
            Self::ResponseInputTokens => Row::openai(POST, "/v1/responses/input_tokens"),
            Self::Response => Row::openai(GET_OR_DELETE, "/v1/responses/{id}"),
            Self::ResponseCancel => {
                Row::openai(POST, "/v1/responses/{id}/cancel").with_content(JsonOrEmpty)
            }
            Self::ResponseInputItems => Row::openai(GET, "/v1/responses/{id}/input_items"),
            Self::Embeddings => Row::openai(POST, "/v1/embeddings"),
            Self::ImageGenerations => Row::openai(POST, "/v1/images/generations"),
            Self::ImageEdits => Row::openai(POST, "/v1/images/edits").with_content(JsonOrMultipart),
            Self::ImageVariations => {
                Row::openai(POST, "/v1/images/variations").with_content(JsonOrMultipart)
            }
            Self::Speech => Row::openai(POST, "/v1/audio/speech"),
            Self::Transcriptions => {
                Row::openai(POST, "/v1/audio/transcriptions").with_content(JsonOrMultipart)
            }
            Self::Translations => {
                Row::openai(POST, "/v1/audio/translations").with_content(JsonOrMultipart)
            }
            Self::Moderations => Row::openai(POST, "/v1/moderations"),
            Self::Models => Row::both(GET, MODELS),
            Self::Model => Row::both(GET_OR_DELETE, MODEL),
            Self::Messages => Row::anthropic(POST, MESSAGES),
            Self::CountTokens => Row::anthropic(POST, "/v1/messages/count_tokens"),
            Self::Realtime => Row::openai("GET, OPTIONS", "/v1/realtime"),
            Self::Resource(resource) => Row {
                template: resource.template(),
                methods: resource.methods(),
                dialect: resource.family.dialect,
                content: OperationContent::Opaque,
            },
        }
    }

    /// Returns the operation of a path without a trailing slash.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let (prefix, path) = split_prefix(path);
        let operation = Self::at(path)?;
        let dialect = operation.row().dialect;
        let is_elsewhere = prefix.is_some() && dialect.is_some() && prefix != dialect;
        if is_elsewhere { None } else { Some(operation) }
    }

    /// Returns the operation of a path without a prefix.
    fn at(path: &str) -> Option<Self> {
        let template = match path.strip_prefix(MODELS) {
            Some(model) if model.len() > 1 && model.starts_with('/') => Cow::Borrowed(MODEL),
            Some(_) | None => template_of(path)?,
        };
        // Not by value: that would copy them all.
        for operation in &Self::CALLS {
            if operation.row().template == template {
                return Some(*operation);
            }
        }
        family::find(path).map(Self::Resource)
    }

    /// Returns the operation that a method stands for: the path on which completions are made lists
    /// those that are stored.
    pub(crate) fn for_method(self, method: &Method) -> Self {
        if self != Self::ChatCompletions || !matches!(*method, Method::GET | Method::HEAD) {
            return self;
        }
        family::stored_completions().map_or(self, Self::Resource)
    }

    /// Returns the names of all operations, in the order of [`index`](Self::index).
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        let calls = Self::CALLS.into_iter().map(Self::name);
        calls.chain(family::all().map(Family::name))
    }

    /// Returns the place of the name among [`names`](Self::names).
    pub(crate) fn index(self) -> usize {
        match self {
            Self::ChatCompletions => 0,
            Self::Completions => 1,
            Self::Responses => 2,
            Self::ResponseCompaction => 3,
            Self::ResponseInputTokens => 4,
            Self::Response => 5,
            Self::ResponseCancel => 6,
            Self::ResponseInputItems => 7,
            Self::Embeddings => 8,
            Self::ImageGenerations => 9,
            Self::ImageEdits => 10,
            Self::ImageVariations => 11,
            Self::Speech => 12,
            Self::Transcriptions => 13,
            Self::Translations => 14,
            Self::Moderations => 15,
            Self::Models => 16,
            Self::Model => 17,
            Self::Messages => 18,
            Self::CountTokens => 19,
            Self::Realtime => 20,
            Self::Resource(resource) => Self::CALLS.len() + resource.index(),
        }
    }

    /// Returns the family of the resource that a request is for, if it is for one. Only fine-tuned
    /// models can be deleted.
    pub(crate) fn family(self, method: &Method) -> Option<&'static Family> {
        match self.resource() {
            Some(resource) => Some(resource.family),
            None if self == Self::Model && method == Method::DELETE => family::fine_tuning(),
            None => None,
        }
    }

    /// Returns the resource that is passed through, if the operation is for one.
    pub(crate) fn resource(self) -> Option<Resource> {
        if let Self::Resource(resource) = self {
            Some(resource)
        } else {
            None
        }
    }

    /// Returns the operation of the other dialect that a request is translated to; `None` if it cannot
    /// be.
    pub(crate) fn counterpart(self) -> Option<Self> {
        let mut pairs = COUNTERPARTS.iter();
        let (_, counterpart) = pairs.find(|(own, _)| *own == self)?;
        Some(*counterpart)
    }

    /// Returns the methods, for `Allow`.
    pub(crate) fn methods(self) -> &'static str {
        self.row().methods
    }

    pub(crate) fn has_method(self, method: &Method) -> bool {
        let methods = self.methods().as_bytes();
        let mut names = methods.split(|byte| matches!(byte, b',' | b' '));
        names.any(|name| name == method.as_str().as_bytes())
    }

    /// Returns the path in the provider's API, for logs.
    pub(crate) fn template(self) -> &'static str {
        self.row().template
    }

    /// Returns the path in metrics: one for all of a family.
    pub(crate) fn label(self) -> &'static str {
        match self.resource() {
            Some(resource) => resource.family.template,
            None => self.template(),
        }
    }

    /// Returns the name in restrictions of keys, logs and metrics.
    pub(crate) fn name(self) -> &'static str {
        name_of(self.label())
    }

    pub(crate) fn content(self) -> OperationContent {
        self.row().content
    }

    /// Returns whether the operation concerns an object that only one provider has.
    pub(crate) fn is_provider_bound(self) -> bool {
        match self {
            Self::Response
            | Self::ResponseCancel
            | Self::ResponseInputItems
            | Self::Model
            | Self::Resource(_) => true,
            Self::ChatCompletions
            | Self::Completions
            | Self::Responses
            | Self::ResponseCompaction
            | Self::ResponseInputTokens
            | Self::Embeddings
            | Self::ImageGenerations
            | Self::ImageEdits
            | Self::ImageVariations
            | Self::Speech
            | Self::Transcriptions
            | Self::Translations
            | Self::Moderations
            | Self::Models
            | Self::Messages
            | Self::CountTokens
            | Self::Realtime => false,
        }
    }

    /// Returns what a streamed response consists of, which decides where it ends.
    pub(crate) fn stream_kind(self) -> StreamKind {
        match self {
            Self::ChatCompletions | Self::Completions => StreamKind::Completions,
            Self::Responses | Self::Response | Self::ResponseCompaction => StreamKind::Responses,
            Self::Messages => StreamKind::Messages,
            Self::ImageGenerations | Self::ImageEdits | Self::ImageVariations => StreamKind::Images,
            Self::Speech => StreamKind::Speech,
            Self::Transcriptions | Self::Translations => StreamKind::Transcriptions,
            Self::ResponseInputTokens
            | Self::ResponseCancel
            | Self::ResponseInputItems
            | Self::Embeddings
            | Self::Moderations
            | Self::Models
            | Self::Model
            | Self::CountTokens
            | Self::Realtime
            | Self::Resource(_) => StreamKind::Other,
        }
    }

    /// Returns whether the operation makes images, for which a key may have a service of its own.
    pub(crate) fn makes_images(self) -> bool {
        matches!(
            self,
            Self::ImageGenerations | Self::ImageEdits | Self::ImageVariations
        )
    }

    /// Returns whether a model may be named by a service that makes images.
    pub(crate) fn takes_image_services(self) -> bool {
        self.makes_images() || matches!(self, Self::Models | Self::Model)
    }
}

/// Returns the path with `{id}` in place of the id of a response.
fn template_of(path: &str) -> Option<Cow<'_, str>> {
    let Some(rest) = path.strip_prefix("/v1/responses/") else {
        return Some(Cow::Borrowed(path));
    };
    // Neither looks like an id, which has a prefix such as `resp_`.
    if matches!(rest, "compact" | "input_tokens") {
        return Some(Cow::Borrowed(path));
    }
    let (id, subpath) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if !family::is_id(id) {
        return None;
    }
    Some(Cow::Owned(format!("/v1/responses/{{id}}{subpath}")))
}

/// Splits off the prefix of a path that belongs to one API only.
fn split_prefix(path: &str) -> (Option<Dialect>, &str) {
    for (prefix, dialect) in PREFIXES {
        if let Some(rest) = strip_segments(path, prefix) {
            return (Some(dialect), rest);
        }
    }
    (None, path)
}

/// Strips whole segments from the beginning of a path.
fn strip_segments<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix)?;
    if rest.is_empty() || rest.starts_with('/') {
        Some(rest)
    } else {
        None
    }
}

/// Returns the dialect of a path, whether or not an operation is there. `None` is the server's own
/// API.
pub(crate) fn dialect(path: &str) -> Option<PathDialect> {
    let path = trim_slashes(path);
    let operation = Operation::of(path).or_else(|| with_right_base(path));
    let (prefix, path) = split_prefix(path);
    if let Some(dialect) = prefix {
        return Some(PathDialect::Only(dialect));
    }
    let dialect = match operation {
        Some(operation) => operation.row().dialect,
        None if strip_segments(path, MESSAGES).is_some() => Some(Dialect::Anthropic),
        None => {
            strip_base(path)?;
            None
        }
    };
    Some(dialect.map_or(PathDialect::Either, PathDialect::Only))
}

/// Returns whether a path without an operation has `/v1` twice, or would have an operation with it.
pub(crate) fn has_wrong_base(path: &str) -> bool {
    let path = trim_slashes(path);
    let has_two = strip_base(path).is_some_and(|path| strip_base(path).is_some());
    has_two || with_right_base(path).is_some()
}

/// Returns the operation that a path was meant for if the base URL of its client has `/v1` twice or
/// not at all.
fn with_right_base(path: &str) -> Option<Operation> {
    let (_, below_prefix) = split_prefix(path);
    match strip_segments(below_prefix, BASE) {
        Some(below_base) => Operation::of(below_base),
        None => Operation::of(&[BASE, below_prefix].concat()),
    }
}

/// Returns what follows the base of a provider's API.
pub(crate) fn strip_base(path: &str) -> Option<&str> {
    let (_, path) = split_prefix(path);
    strip_segments(path, BASE)
}

/// Returns the path without a trailing slash and without a second leading one, which come from base
/// URLs that end in a slash.
pub(crate) fn trim_slashes(path: &str) -> &str {
    let path = if path.starts_with("//") {
        path.get(1..).unwrap_or_default()
    } else {
        path
    };
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
            ("/v1/threads", None),
            ("/v1/fine_tuning", None),
            ("/anthropic/v1/batches", None),
            ("/openai/v1/messages/batches", None),
            ("/v1chat/completions", None),
            ("/v2/chat/completions", None),
            ("/v1", None),
        ];
        for (path, expected) in rows {
            assert_eq!(Operation::of(path), expected, "{path}");
        }
    }

    #[test]
    fn every_operation_is_found_by_its_own_path() {
        for operation in Operation::CALLS {
            let path = operation.template().replace("{id}", "x");
            assert_eq!(Operation::of(&path), Some(operation), "{path}");
        }
        let resources = family::resources().map(Operation::Resource);
        let all = Operation::CALLS.into_iter().chain(resources);
        let names: Vec<_> = Operation::names().collect();
        assert_eq!(names.len(), Operation::COUNT);
        let mut used = vec![false; Operation::COUNT];
        for operation in all {
            assert_eq!(names[operation.index()], operation.name());
            used[operation.index()] = true;
        }
        assert_eq!(used, [true; Operation::COUNT]);
    }

    #[test]
    fn a_path_with_a_wrong_base_url_is_recognized() {
        let rows = [
            ("/v1/v1/messages", true),
            ("/v1/v1/files/file-1", true),
            ("/v1/openai/v1/chat/completions", true),
            ("/openai/v1/v1/responses", true),
            ("/openai/chat/completions", true),
            ("/chat/completions", true),
            ("/files", true),
            ("/messages/", true),
            ("/v1/threads", false),
            ("/v1/v1/threads", true),
            ("/v1/v1", true),
            ("/threads", false),
            ("/v1", false),
            ("/api/v2/ping", false),
            ("/", false),
            ("/favicon.ico", false),
        ];
        for (path, expected) in rows {
            assert_eq!(has_wrong_base(path), expected, "{path}");
        }
    }

    #[test]
    fn every_path_below_a_base_has_a_dialect() {
        let openai = Some(PathDialect::Only(Dialect::OpenAi));
        let anthropic = Some(PathDialect::Only(Dialect::Anthropic));
        let either = Some(PathDialect::Either);
        let rows = [
            ("/v1/chat/completions", openai),
            ("/v1/messages", anthropic),
            ("/v1/messages/batches", anthropic),
            ("/v1/messages/other", anthropic),
            ("/v1/batches/batch_1", openai),
            ("/v1/files", either),
            ("/v1/files/file-1/content/", either),
            ("/v1/skills/pptx", either),
            ("/anthropic/v1/files", anthropic),
            ("/openai/v1/files", openai),
            ("/v1/models", either),
            ("//v1/models/gpt-4o/", either),
            ("/v1/nothing", either),
            ("/v1/v1/messages", anthropic),
            ("/v1/v1/models", either),
            ("/chat/completions", openai),
            ("/messages", anthropic),
            ("/files", either),
            ("/v1/threads", either),
            ("/v1", either),
            ("/anthropic/v1/models", anthropic),
            ("/anthropic/nothing", anthropic),
            ("/openai/v1/models", openai),
            ("/openai/v1/messages", openai),
            ("/api/v1/process", None),
            ("/", None),
        ];
        for (path, expected) in rows {
            assert_eq!(dialect(path), expected, "{path}");
        }
    }
}
